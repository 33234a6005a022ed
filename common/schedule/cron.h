// Cron: when something recurs, written as five fields: minute, hour, day of the month, month, day of the week.
//
// A field is `*`, a value, a range `a-b`, any of them with a step `/n`, or a list of those with commas. Months and days
// of the week have names (JAN, MON); Sunday is 0 and 7. `@yearly`, `@annually`, `@monthly`, `@weekly`, `@daily`,
// `@midnight` and
// `@hourly` stand for five fields. If both day fields are restricted (neither begins with `*`), one of them is enough,
// as in every cron. Here minutes are those of a wall clock, whichever: zone.h and firings.h make moments of them.
//
// Promises: pure, total; a cron that never comes (30 February) is refused. Fails: kInvalid with one Problem, whose
// column is the place in the text + 1. Units: minutes of a wall clock since 1970-01-01 00:00 on it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/base/result.h"

namespace millrace {

struct Cron {
  std::uint64_t minutes = 0;   // bits 0 to 59
  std::uint32_t hours = 0;     // bits 0 to 23
  std::uint32_t days = 0;      // bits 1 to 31
  std::uint32_t months = 0;    // bits 1 to 12
  std::uint32_t weekdays = 0;  // bits 0 (Sunday) to 6
  bool either_day = false;     // a day that fits one of `days` and `weekdays` is enough
  bool operator==(const Cron&) const = default;
};

using WallMinute = std::int64_t;

Result<Cron> parse_cron(std::string_view text);

// The first minute from `from` on, the last one up to `from`, that fits. Nothing: none within 50 years.
std::optional<WallMinute> first_match(const Cron& cron, WallMinute from);
std::optional<WallMinute> last_match(const Cron& cron, WallMinute from);

}  // namespace millrace
