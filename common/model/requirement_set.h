// RequirementSet: the packages that a python task wants, each pinned, in the form of pip's requirement files.
//
//     NAME[EXTRA,...]==VERSION [; MARKER] [--hash=ALGORITHM:HEX ...]
//
// Promises: pure; a set is sorted and has each line once, so that equal wishes are equal; no other option of pip's gets
// through. Fails: kInvalid; the message quotes the line and says what was expected.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/value.h"

namespace millrace {

constexpr std::size_t kRequirementsMax = 200;
constexpr std::size_t kRequirementsBytesMax = 64 * 1024;

using RequirementSet = std::vector<std::string>;

bool is_pinned_requirement(std::string_view line);
Result<RequirementSet> read_requirements(const Value& list);  // of texts
// A file of pip's: comments, lines continued with a backslash.
Result<RequirementSet> parse_requirements_file(std::string_view text, const std::string& path);

}  // namespace millrace
