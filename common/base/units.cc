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

// Days from 1970-01-01, by the proleptic Gregorian calendar.
static std::int64_t days_of(std::int64_t year, int month, int day) {
  year -= month <= 2 ? 1 : 0;
  const std::int64_t era = year / 400;
  const std::int64_t of_era = year - era * 400;
  const std::int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146'097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719'468;
}

Result<Time> parse_time(std::string_view text) {
  const auto bad = [&] { return not_a("time", text, "RFC 3339, like 2026-01-31T08:00:00Z"); };
  std::string_view rest = text;
  const auto number = [&](std::size_t digits, int least, int most) -> int {  // -1: not there
    if (rest.size() < digits) return -1;
    int value = 0;
    for (char c : rest.substr(0, digits)) {
      if (!is_digit(c)) return -1;
      value = value * 10 + (c - '0');
    }
    rest.remove_prefix(digits);
    return value < least || value > most ? -1 : value;
  };
  const auto take_one_of = [&](std::string_view any) {
    if (rest.empty() || any.find(rest[0]) == std::string_view::npos) return '\0';
    const char c = rest[0];
    rest.remove_prefix(1);
    return c;
  };
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const int year = number(4, 1970, 9999);
  if (year < 0 || take_one_of("-") == 0) return bad();
  const int month = number(2, 1, 12);
  if (month < 0 || take_one_of("-") == 0) return bad();
  const bool leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  const int day = number(2, 1, kDays[month - 1] + (leap ? 1 : 0));
  if (day < 0 || take_one_of("Tt ") == 0) return bad();
  const int hour = number(2, 0, 23);
  if (hour < 0 || take_one_of(":") == 0) return bad();
  const int minute = number(2, 0, 59);
  if (minute < 0 || take_one_of(":") == 0) return bad();
  const int second = number(2, 0, 59);
  if (second < 0) return bad();
  std::int64_t us = 0;
  if (take_one_of(".") != 0) {
    if (rest.empty() || !is_digit(rest[0])) return bad();
    for (std::int64_t scale = 100'000; !rest.empty() && is_digit(rest[0]); rest.remove_prefix(1), scale /= 10)
      us += (rest[0] - '0') * scale;
  }
  std::int64_t ahead = 0;  // of UTC, in minutes
  const char zone = take_one_of("Zz+-");
  if (zone == 0) return bad();
  if (zone == '+' || zone == '-') {
    const int hours = number(2, 0, 23);
    if (hours < 0 || take_one_of(":") == 0) return bad();
    const int minutes = number(2, 0, 59);
    if (minutes < 0) return bad();
    ahead = (zone == '+' ? 1 : -1) * (hours * 60 + minutes);
  }
  if (!rest.empty()) return bad();
  const std::int64_t minutes = (days_of(year, month, day) * 24 + hour) * 60 + minute - ahead;
  return from_us((minutes * 60 + second) * 1'000'000 + us);
}

Result<Deadline> parse_deadline(std::string_view text) {
  if (const Result<Duration> after = parse_duration(text); after.ok() && *after > Duration{})
    return Deadline{Time{}, *after};
  const Result<Time> at = parse_time(text);
  if (at.ok() && *at > Time{}) return Deadline{*at, Duration{}};
  return Error{Code::kInvalid,
               "'" + std::string(text.substr(0, kTextMax)) +
                   "' is no deadline: a duration (2h) or a moment"
                   " (2026-01-31T08:00:00Z) is one",
               {},
               ""};
}

std::string format_time(Time time) {
  const std::int64_t us = to_us(time);
  std::int64_t seconds = us / 1'000'000 - (us % 1'000'000 < 0 ? 1 : 0);
  const std::int64_t fraction = us - seconds * 1'000'000;
  const std::int64_t of_day = ((seconds % 86'400) + 86'400) % 86'400;
  const std::int64_t days = (seconds - of_day) / 86'400 + 719'468;
  const std::int64_t era = days / 146'097;
  const std::int64_t of_era = days - era * 146'097;
  const std::int64_t of_400 = (of_era - of_era / 1'460 + of_era / 36'524 - of_era / 146'096) / 365;
  const std::int64_t of_year = of_era - (365 * of_400 + of_400 / 4 - of_400 / 100);
  const std::int64_t march = (5 * of_year + 2) / 153;
  const std::int64_t day = of_year - (153 * march + 2) / 5 + 1;
  const std::int64_t month = march < 10 ? march + 3 : march - 9;
  const std::int64_t year = of_400 + era * 400 + (month <= 2 ? 1 : 0);
  std::string out;
  const auto put = [&](std::int64_t value, std::size_t digits, char before) {
    if (before != 0) out += before;
    const std::string text = std::to_string(value);
    out.append(digits > text.size() ? digits - text.size() : 0, '0').append(text);
  };
  put(year, 4, 0);
  put(month, 2, '-');
  put(day, 2, '-');
  put(of_day / 3600, 2, 'T');
  put(of_day / 60 % 60, 2, ':');
  put(of_day % 60, 2, ':');
  if (fraction != 0) put(fraction, 6, '.');
  return out + 'Z';
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
