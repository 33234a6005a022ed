#include "common/base/units.h"

#include <array>
#include <limits>
#include <optional>
#include <span>

namespace millrace {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t scale;
};

constexpr std::array<Unit, 6> kTimeUnits = {
    {{"d", 86'400'000'000}, {"h", 3'600'000'000}, {"m", 60'000'000}, {"s", 1'000'000}, {"ms", 1000}, {"us", 1}}};
constexpr std::array<Unit, 9> kSizeUnits = {{{"B", 1},
                                             {"KB", 1000},
                                             {"MB", 1'000'000},
                                             {"GB", 1'000'000'000},
                                             {"TB", 1'000'000'000'000},
                                             {"KiB", 1ULL << 10},
                                             {"MiB", 1ULL << 20},
                                             {"GiB", 1ULL << 30},
                                             {"TiB", 1ULL << 40}}};
constexpr std::uint64_t kDurationMax = 10'000 * kTimeUnits[0].scale;
constexpr std::uint64_t kSizeMax = std::uint64_t{1} << 60;
constexpr std::size_t kTextMax = 64;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Takes one `number unit` off the front of `text`: digits, perhaps a fraction, then a unit of the table. The amount is
// exact in units of scale 1; nothing when it is not written so, not whole, or above `max`.
std::optional<std::uint64_t> take(std::string_view& text, std::span<const Unit> units, std::uint64_t max,
                                  const Unit*& unit) {
  std::size_t at = 0;
  std::uint64_t digits = 0;  // all digits as one number
  std::uint64_t divisor = 1;
  bool fraction = false;
  for (; at < text.size() && (is_digit(text[at]) || (text[at] == '.' && !fraction && at > 0)); ++at) {
    if (text[at] == '.') {
      fraction = true;
      continue;
    }
    if (digits > max || divisor > 1'000'000'000) return std::nullopt;
    digits = digits * 10 + static_cast<std::uint64_t>(text[at] - '0');
    if (fraction) divisor *= 10;
  }
  if (at == 0 || text[at - 1] == '.') return std::nullopt;
  std::size_t end = at;
  while (end < text.size() && is_letter(text[end])) ++end;
  const std::string_view name = text.substr(at, end - at);
  unit = nullptr;
  for (const Unit& u : units) {
    if (u.name == name) unit = &u;
  }
  if (unit == nullptr) return std::nullopt;
  unsigned __int128 amount = static_cast<unsigned __int128>(digits) * unit->scale;
  if (amount % divisor != 0 || amount / divisor > max) return std::nullopt;
  text.remove_prefix(end);
  return static_cast<std::uint64_t>(amount / divisor);
}

Error not_a(std::string_view what, std::string_view text, std::string expected) {
  std::string hint;
  const bool bare = !text.empty() && text.find_first_not_of("0123456789.") == std::string_view::npos;
  if (bare) hint = "write the unit";
  const std::string shown(text.substr(0, kTextMax));
  Problem problem{"", 0, 0, "'" + shown + "' is not a " + std::string(what), std::move(expected), std::move(hint)};
  return Error{Code::kInvalid, problem.message, {problem}, ""};
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  const auto bad = [&] { return not_a("duration", text, "a number with its unit: 100ms, 30s, 5m, 1h, 2d"); };
  if (text.empty() || text.size() > kTextMax) return bad();
  std::uint64_t total = 0;
  std::uint64_t last_scale = std::numeric_limits<std::uint64_t>::max();
  for (std::string_view rest = text; !rest.empty();) {
    const Unit* unit = nullptr;
    const std::optional<std::uint64_t> part = take(rest, kTimeUnits, kDurationMax, unit);
    if (!part || unit->scale >= last_scale || total + *part > kDurationMax) return bad();
    last_scale = unit->scale;
    total += *part;
  }
  return Duration{static_cast<Duration::rep>(total)};
}

Result<std::uint64_t> parse_size(std::string_view text) {
  std::string_view rest = text;
  const Unit* unit = nullptr;
  const std::optional<std::uint64_t> size =
      text.size() > kTextMax ? std::nullopt : take(rest, kSizeUnits, kSizeMax, unit);
  if (!size || !rest.empty()) return not_a("size", text, "a number with its unit: 512B, 64KiB, 1MB");
  return *size;
}

std::string format_duration(Duration duration) {
  auto left = static_cast<std::uint64_t>(duration.count());
  if (left == 0) return "0s";
  std::string text;
  for (const Unit& unit : kTimeUnits) {
    if (left < unit.scale) continue;
    (text += std::to_string(left / unit.scale)) += unit.name;
    left %= unit.scale;
  }
  return text;
}

}  // namespace millrace
