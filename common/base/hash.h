// Content hashes: XXH3, 128 bits for naming content, 64 bits for checksums. Not cryptographic.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace {

struct Hash128 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  auto operator<=>(const Hash128&) const = default;
  bool is_zero() const { return high == 0 && low == 0; }
};

Hash128 hash128(std::string_view bytes);
std::uint64_t hash64(std::string_view bytes, std::uint64_t seed = 0);
std::string to_string(const Hash128& hash);  // 32 lower-case hex digits
std::optional<Hash128> parse_hash128(std::string_view text);

}  // namespace millrace
