#include "common/schedule/cron.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <span>
#include <string>
#include <vector>

#include "common/model/trigger.h"

namespace millrace {
namespace {

constexpr std::int64_t kMinutesOfDay = 24 * 60;
constexpr int kYearsSearched = 50;  // 29 February on a given day of the week: 40 years at most

constexpr std::array<std::string_view, 12> kMonths = {"JAN", "FEB", "MAR", "APR", "MAY", "JUN",
                                                      "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"};
constexpr std::array<std::string_view, 7> kWeekdays = {"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"};

struct Field {
  std::string_view what;
  int least;
  int most;
  std::span<const std::string_view> names;
};
constexpr std::array<Field, 5> kFields = {{{"minute", 0, 59, {}},
                                           {"hour", 0, 23, {}},
                                           {"day of the month", 1, 31, {}},
                                           {"month", 1, 12, kMonths},
                                           {"day of the week", 0, 6, kWeekdays}}};

struct Macro {
  std::string_view name;
  std::string_view text;
};
constexpr std::array<Macro, 7> kMacros = {{{"@yearly", "0 0 1 1 *"},
                                           {"@annually", "0 0 1 1 *"},
                                           {"@monthly", "0 0 1 * *"},
                                           {"@weekly", "0 0 * * 0"},
                                           {"@daily", "0 0 * * *"},
                                           {"@midnight", "0 0 * * *"},
                                           {"@hourly", "0 * * * *"}}};

Error bad(std::size_t offset, std::string message, std::string expected, std::string hint = "") {
  Problem problem{"", 1, static_cast<int>(offset) + 1, std::move(message), std::move(expected), std::move(hint)};
  return Error{Code::kInvalid, problem.message, {problem}, "cron"};
}

std::string quoted(std::string_view text) { return "'" + to_valid_utf8(text.substr(0, 40)) + "'"; }

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::optional<int> number_of(std::string_view text) {
  if (text.empty() || text.size() > 4 || !std::ranges::all_of(text, is_digit)) return std::nullopt;
  int value = 0;
  for (char c : text) value = value * 10 + (c - '0');
  return value;
}

// One field of a cron text, with where it begins in it.
class FieldReader {
 public:
  FieldReader(const Field& field, std::size_t offset) : field_(field), offset_(offset) {}

  Result<std::uint64_t> read(std::string_view text) const {
    std::uint64_t bits = 0;
    for (std::size_t at = 0; at <= text.size();) {
      const std::size_t comma = std::min(text.find(',', at), text.size());
      const Result<std::uint64_t> item = read_item(text.substr(at, comma - at), offset_ + at);
      if (!item.ok()) return item.error();
      bits |= *item;
      at = comma + 1;
    }
    return bits;
  }

 private:
  bool is_weekday() const { return field_.most == 6; }

  std::string expected() const {
    std::string text = std::to_string(field_.least) + " to " + std::to_string(is_weekday() ? 7 : field_.most);
    if (!field_.names.empty()) text += " or a name like " + std::string(field_.names[is_weekday() ? 1 : 0]);
    return text + ", '*', a range a-b, a step /n, or a list with commas";
  }

  std::optional<int> value_of(std::string_view text) const {
    if (const std::optional<int> number = number_of(text)) {
      const int most = is_weekday() ? 7 : field_.most;
      return *number >= field_.least && *number <= most ? number : std::nullopt;
    }
    for (std::size_t i = 0; i < field_.names.size(); ++i) {
      const bool same = std::ranges::equal(text, field_.names[i], {}, upper);
      if (same) return static_cast<int>(i) + field_.least;
    }
    return std::nullopt;
  }

  Result<std::uint64_t> read_item(std::string_view item, std::size_t offset) const {
    const std::size_t slash = item.find('/');
    const std::string_view range = item.substr(0, slash);
    int from = field_.least;
    int to = field_.most;
    if (range != "*") {
      const std::size_t dash = range.find('-');
      const std::optional<int> first = value_of(range.substr(0, dash));
      const std::optional<int> last = dash == std::string_view::npos ? first : value_of(range.substr(dash + 1));
      if (!first || !last) {
        return bad(offset, quoted(item) + " is not a " + std::string(field_.what) + " of cron", expected());
      }
      from = *first;
      to = dash == std::string_view::npos && slash != std::string_view::npos ? field_.most : *last;  // 5/15
      if (is_weekday() && from == 7 && to != 7) from = 0;
      if (is_weekday() && to == 0 && from > 0) to = 7;  // FRI-SUN
      if (from > to) return bad(offset, "the range " + quoted(range) + " goes backwards", "two ranges with a comma");
    }
    int step = 1;
    if (slash != std::string_view::npos) {
      const std::optional<int> number = number_of(item.substr(slash + 1));
      if (!number || *number < 1 || *number > field_.most) {
        return bad(offset + slash, "the step of " + quoted(item) + " is no number of " + std::string(field_.what) + "s",
                   "1 to " + std::to_string(field_.most));
      }
      step = *number;
    }
    std::uint64_t bits = 0;
    for (int value = from; value <= to; value += step) bits |= std::uint64_t{1} << (is_weekday() ? value % 7 : value);
    return bits;
  }

  const Field& field_;
  std::size_t offset_;
};

struct Word {
  std::size_t offset;
  std::string_view text;
};

std::vector<Word> words_of(std::string_view text) {
  std::vector<Word> words;
  for (std::size_t at = 0; at < text.size();) {
    if (is_blank(text[at])) {
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < text.size() && !is_blank(text[end])) ++end;
    words.push_back({at, text.substr(at, end - at)});
    at = end;
  }
  return words;
}

std::string macro_names() {
  std::string names;
  for (const Macro& macro : kMacros) names += (names.empty() ? "" : ", ") + std::string(macro.name);
  return names;
}

int longest(int month) { return month == 2 ? 29 : month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31; }

bool ever_comes(const Cron& cron) {
  if (cron.either_day) return true;
  for (int month = 1; month <= 12; ++month) {
    if ((cron.months >> month & 1U) == 0) continue;
    if (std::countr_zero(cron.days) <= longest(month)) return true;
  }
  return false;
}

bool fits(const Cron& cron, std::chrono::sys_days day) {
  const std::chrono::year_month_day date(day);
  if ((cron.months >> static_cast<unsigned>(date.month()) & 1U) == 0) return false;
  const bool by_day = (cron.days >> static_cast<unsigned>(date.day()) & 1U) != 0;
  const bool by_weekday = (cron.weekdays >> std::chrono::weekday(day).c_encoding() & 1U) != 0;
  return cron.either_day ? by_day || by_weekday : by_day && by_weekday;
}

std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

std::int64_t count_of(std::chrono::sys_days day) { return day.time_since_epoch().count(); }
std::chrono::sys_days day_of(std::int64_t count) {
  return std::chrono::sys_days(std::chrono::days(static_cast<int>(count)));
}

// The first day from `day` on that can fit: days of months that do not fit are leapt over.
std::int64_t leap_forward(const Cron& cron, std::int64_t day) {
  const std::chrono::year_month_day date(day_of(day));
  if ((cron.months >> static_cast<unsigned>(date.month()) & 1U) != 0) return day;
  return count_of(std::chrono::sys_days((date.year() / date.month() + std::chrono::months(1)) / 1));
}

std::int64_t leap_back(const Cron& cron, std::int64_t day) {
  const std::chrono::year_month_day date(day_of(day));
  if ((cron.months >> static_cast<unsigned>(date.month()) & 1U) != 0) return day;
  return count_of(std::chrono::sys_days(date.year() / date.month() / 1)) - 1;
}

}  // namespace

Result<Cron> parse_cron(std::string_view text) {
  if (text.size() > kCronMax) {
    return bad(0, "a cron text of " + std::to_string(text.size()) + " bytes", "at most " + std::to_string(kCronMax));
  }
  std::vector<Word> words = words_of(text);
  if (!words.empty() && words[0].text.starts_with('@')) {
    for (const Macro& macro : kMacros) {
      if (words.size() == 1 && std::ranges::equal(words[0].text, macro.name, {}, upper, upper))
        return parse_cron(macro.text);
    }
    return bad(words[0].offset, quoted(text) + " is not known", "one of " + macro_names() + ", or five fields");
  }
  if (words.size() != kFields.size()) {
    return bad(0, quoted(text) + " has " + std::to_string(words.size()) + (words.size() == 1 ? " field" : " fields"),
               "five fields: minute, hour, day of the month, month, day of the week",
               words.size() > kFields.size() ? "there are neither seconds nor years in it" : "");
  }
  std::array<std::uint64_t, kFields.size()> bits{};
  for (std::size_t i = 0; i < kFields.size(); ++i) {
    const Result<std::uint64_t> field = FieldReader(kFields[i], words[i].offset).read(words[i].text);
    if (!field.ok()) return field.error();
    bits[i] = *field;
  }
  const auto narrow = [](std::uint64_t wide) { return static_cast<std::uint32_t>(wide); };
  const bool restricted = !words[2].text.starts_with('*') && !words[4].text.starts_with('*');
  const Cron cron{bits[0], narrow(bits[1]), narrow(bits[2]), narrow(bits[3]), narrow(bits[4]), restricted};
  if (!ever_comes(cron)) {
    return bad(words[2].offset, quoted(text) + " never comes: none of its months has such a day",
               "a day that there is");
  }
  return cron;
}

std::optional<WallMinute> first_match(const Cron& cron, WallMinute from) {
  const std::int64_t first = floor_div(from, kMinutesOfDay);
  const std::int64_t last = first + std::int64_t{kYearsSearched} * 366;
  std::int64_t minute = from - first * kMinutesOfDay;
  for (std::int64_t day = first; day <= last; ++day, minute = 0) {
    if (const std::int64_t leapt = leap_forward(cron, day); leapt != day) {
      day = leapt;
      minute = 0;
    }
    if (!fits(cron, day_of(day))) continue;
    for (std::int64_t hour = minute / 60; hour < 24; ++hour, minute = hour * 60) {
      if ((cron.hours >> hour & 1U) == 0) continue;
      const std::uint64_t left = cron.minutes >> (minute % 60);
      if (left != 0) return day * kMinutesOfDay + hour * 60 + minute % 60 + std::countr_zero(left);
    }
  }
  return std::nullopt;
}

std::optional<WallMinute> last_match(const Cron& cron, WallMinute from) {
  const std::int64_t first = floor_div(from, kMinutesOfDay);
  const std::int64_t last = first - std::int64_t{kYearsSearched} * 366;
  std::int64_t minute = from - first * kMinutesOfDay;
  for (std::int64_t day = first; day >= last; --day, minute = kMinutesOfDay - 1) {
    if (const std::int64_t leapt = leap_back(cron, day); leapt != day) {
      day = leapt;
      minute = kMinutesOfDay - 1;
    }
    if (!fits(cron, day_of(day))) continue;
    for (std::int64_t hour = minute / 60; hour >= 0; --hour, minute = hour * 60 + 59) {
      if ((cron.hours >> hour & 1U) == 0) continue;
      const std::uint64_t left = cron.minutes << (63 - minute % 60);
      if (left != 0) return day * kMinutesOfDay + hour * 60 + minute % 60 - std::countl_zero(left);
    }
  }
  return std::nullopt;
}

}  // namespace millrace
