#include "common/base/ids.h"

namespace millrace {
namespace {

constexpr char kAlphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::size_t kRunIdChars = 13;

// Odd multiplications and xor-shifts are bijections on 64 bits; kUnmix is the inverse of kMix modulo 2^64.
constexpr std::uint64_t kMix = 0x9E3779B97F4A7C15ULL;
constexpr std::uint64_t inverse(std::uint64_t odd) {
  std::uint64_t x = odd;  // Newton: each round doubles the correct low bits (3 -> 6 -> 12 -> 24 -> 48 -> 96)
  for (int i = 0; i < 5; ++i) x *= 2 - odd * x;
  return x;
}
constexpr std::uint64_t kUnmix = inverse(kMix);
static_assert(kMix * kUnmix == 1);

constexpr std::uint64_t mix(std::uint64_t x) {
  x *= kMix;
  x ^= x >> 32;
  return x * kMix;
}
constexpr std::uint64_t unmix(std::uint64_t x) {
  x *= kUnmix;
  x ^= x >> 32;
  return x * kUnmix;
}
static_assert(unmix(mix(0x0123456789abcdefULL)) == 0x0123456789abcdefULL);

}  // namespace

std::string to_string(RunId run) {
  // 13 * 5 = 65 bits: the first character carries the top 4 bits.
  std::uint64_t bits = mix(run.value);
  std::string text(kRunIdChars, 'a');
  for (std::size_t i = kRunIdChars; i-- > 0; bits >>= 5) text[i] = kAlphabet[bits & 31];
  return text;
}

std::optional<RunId> parse_run_id(std::string_view text) {
  if (text.size() != kRunIdChars) return std::nullopt;
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < kRunIdChars; ++i) {
    char c = text[i];
    std::uint64_t digit = 0;
    if (c >= 'a' && c <= 'z') digit = static_cast<std::uint64_t>(c - 'a');
    else if (c >= '2' && c <= '7') digit = static_cast<std::uint64_t>(c - '2') + 26;
    else return std::nullopt;
    if (i == 0 && digit > 15) return std::nullopt;
    bits = (bits << 5) | digit;
  }
  return RunId{unmix(bits)};
}

}  // namespace millrace
