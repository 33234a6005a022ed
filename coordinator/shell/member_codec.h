// Member codec: a MemberRecord as it stands in the store: packed and sealed under its name.
//
// Promises: decode(name, encode(m)) == m. What does not open (another format, damage, another name) is nothing.
// Threads: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "coordinator/shell/ports.h"

namespace millrace {

std::string encode_member(const MemberRecord& member);
std::optional<MemberRecord> decode_member(std::string_view name, std::string_view sealed);

}  // namespace millrace
