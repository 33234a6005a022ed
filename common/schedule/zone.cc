#include "common/schedule/zone.h"

#include <algorithm>
#include <limits>

#include "common/base/units.h"

namespace millrace {
namespace {

constexpr std::int64_t kFarthest = 48 * 3600;  // no zone is, or was, as far from UTC as half of it

std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }
std::int64_t seconds_of(Time time) { return floor_div(to_us(time), 1'000'000); }

// How many changes there were up to that second.
std::size_t changes_until(const ZoneRules& zone, std::int64_t second) {
  const auto after = std::ranges::upper_bound(zone.changes, second, {}, &ZoneRules::Change::at);
  return static_cast<std::size_t>(after - zone.changes.begin());
}

std::int32_t offset_after(const ZoneRules& zone, std::size_t changes) {
  return changes == 0 ? zone.offset : zone.changes[changes - 1].offset;
}

}  // namespace

std::int32_t offset_at(const ZoneRules& zone, Time time) {
  return offset_after(zone, changes_until(zone, seconds_of(time)));
}

WallMinute wall_minute_at(const ZoneRules& zone, Time time) {
  return floor_div(seconds_of(time) + offset_at(zone, time), 60);
}

Time moment_of(const ZoneRules& zone, WallMinute minute) {
  const std::int64_t wall = minute * 60;
  for (std::size_t i = changes_until(zone, wall - kFarthest);; ++i) {
    const std::int64_t begin = i == 0 ? std::numeric_limits<std::int64_t>::min() : zone.changes[i - 1].at;
    const std::int64_t end = i == zone.changes.size() ? std::numeric_limits<std::int64_t>::max() : zone.changes[i].at;
    const std::int64_t second = wall - offset_after(zone, i);
    if (second < end) return from_us(std::max(second, begin) * 1'000'000);  // before `begin`: skipped
  }
}

std::string format_local(const ZoneRules& zone, Time time) {
  const std::int32_t offset = offset_at(zone, time);
  std::string text = format_time(time + std::chrono::seconds(offset));
  text.pop_back();  // the Z
  const std::int32_t away = offset < 0 ? -offset : offset;
  const auto two = [](std::int32_t n) { return std::string(n < 10 ? "0" : "") + std::to_string(n); };
  return text + (offset < 0 ? "-" : "+") + two(away / 3600) + ":" + two(away / 60 % 60);
}

}  // namespace millrace
