// Checks of executors' fields that go beyond their kind: `auth`, `body`, `messages` ... The same readers serve
// validation (as written, wherever no expression hides the value) and the worker (rendered).
//
// Promises: pure; every problem names its field and what was expected, never the value of one that may hold a secret.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/value.h"

namespace millrace {

struct FieldProblem {
  std::string field;
  std::string message;   // "is ...": what is wrong with it
  std::string expected;  // may be empty
};

// What is wrong with fields as they stand in a workflow. Unknown executors have none.
std::vector<FieldProblem> check_fields(std::string_view executor, const Value& fields);

// Whether a value is one text with an expression in it: what it will be is known on the worker only.
bool is_templated(const Value& value);

Error field_error(std::string_view field, std::string message, std::string expected = {});

}  // namespace millrace
