// Content hashes: XXH3, 128 bits for naming content, 64 bits for checksums. Not cryptographic.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
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
// The same hashes of bytes that come one part after the other.
class HashStream {
 public:
  explicit HashStream(std::uint64_t seed = 0);  // of sum64(); sum128() has none
  ~HashStream();
  HashStream(HashStream&&) noexcept;
  HashStream& operator=(HashStream&&) noexcept;
  void add(std::string_view bytes);
  Hash128 sum128() const;       // hash128() of all that was added
  std::uint64_t sum64() const;  // hash64() of it

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string to_string(const Hash128& hash);  // 32 lower-case hex digits
std::optional<Hash128> parse_hash128(std::string_view text);

}  // namespace millrace
