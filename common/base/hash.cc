#include "common/base/hash.h"

#include <xxhash.h>

#include <array>

namespace millrace {
namespace {

// The value of a hexadecimal digit; 255 where a character is none.
constexpr std::array<std::uint8_t, 256> kDigit = [] {
  std::array<std::uint8_t, 256> values{};
  values.fill(255);
  for (std::uint8_t i = 0; i < 10; ++i) values['0' + i] = i;
  for (std::uint8_t i = 0; i < 6; ++i) values['a' + i] = i + 10;
  return values;
}();

}  // namespace

Hash128 hash128(std::string_view bytes) {
  XXH128_hash_t h = XXH3_128bits(bytes.data(), bytes.size());
  return {.high = h.high64, .low = h.low64};
}

std::uint64_t hash64(std::string_view bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

struct HashStream::State {
  XXH3_state_t* wide = XXH3_createState();
  XXH3_state_t* narrow = XXH3_createState();
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    XXH3_freeState(wide);
    XXH3_freeState(narrow);
  }
};

HashStream::HashStream(std::uint64_t seed) : state_(std::make_unique<State>()) {
  XXH3_128bits_reset(state_->wide);
  XXH3_64bits_reset_withSeed(state_->narrow, seed);
}
HashStream::~HashStream() = default;
HashStream::HashStream(HashStream&&) noexcept = default;
HashStream& HashStream::operator=(HashStream&&) noexcept = default;

void HashStream::add(std::string_view bytes) {
  XXH3_128bits_update(state_->wide, bytes.data(), bytes.size());
  XXH3_64bits_update(state_->narrow, bytes.data(), bytes.size());
}

Hash128 HashStream::sum128() const {
  const XXH128_hash_t h = XXH3_128bits_digest(state_->wide);
  return {.high = h.high64, .low = h.low64};
}

std::uint64_t HashStream::sum64() const { return XXH3_64bits_digest(state_->narrow); }

std::string to_string(const Hash128& hash) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text(32, '0');
  for (int i = 0; i < 16; ++i) {
    text[15 - i] = kHex[(hash.high >> (4 * i)) & 15];
    text[31 - i] = kHex[(hash.low >> (4 * i)) & 15];
  }
  return text;
}

std::optional<Hash128> parse_hash128(std::string_view text) {
  if (text.size() != 32) return std::nullopt;
  std::uint8_t wrong = 0;
  const auto half = [&](std::size_t first) {
    std::uint64_t value = 0;
    for (std::size_t i = first; i < first + 16; ++i) {
      const std::uint8_t digit = kDigit[static_cast<std::uint8_t>(text[i])];
      wrong |= digit;
      value = (value << 4) | digit;
    }
    return value;
  };
  Hash128 hash;
  hash.high = half(0);
  hash.low = half(16);
  if (wrong > 15) return std::nullopt;
  return hash;
}

}  // namespace millrace
