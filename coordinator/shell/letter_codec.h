// Letter codec: letters and marks as their partition keeps them, and as they travel between coordinators: the same
// bytes, sealed with who wrote them to whom, so that one that was copied elsewhere does not open.
//
// Promises: decode(encode(x)) == x; decoding is total and bounded by its input. Threads: pure functions. Fails: an
// Error (`damaged`, `newer_version`) that names the letter.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "coordinator/core/letter.h"

namespace millrace {

constexpr std::uint8_t kLetterVersion = 1;
constexpr std::size_t kLetterMax = 2 * 1024 * 1024;  // one letter; its inputs are at most half of it

std::optional<PartitionId> parse_partition(std::string_view text);  // a number, as fields of shelves are

std::string encode_letter(const Letter& letter);
Result<Letter> decode_letter(PartitionId from, std::string_view bytes);

std::string encode_mark(PartitionId from, PartitionId at, const Mark& mark);
Result<Mark> decode_mark(PartitionId from, PartitionId at, std::string_view bytes);

}  // namespace millrace
