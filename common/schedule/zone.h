// ZoneRules: how far the wall clocks of a time zone are from UTC, and when that changes, as a value. What reads the
// time zone database makes it (common/io/zones.h).
//
// A wall minute that summer time skips is the moment at which the clocks were put forward; one that comes twice is the
// first of the two. So every wall minute is one moment, and later minutes are never earlier moments. Promises: pure,
// total. Units: seconds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/time.h"
#include "common/schedule/cron.h"

namespace millrace {

struct ZoneRules {
  struct Change {
    std::int64_t at = 0;      // seconds since 1970, UTC
    std::int32_t offset = 0;  // seconds east of UTC from then on
    bool operator==(const Change&) const = default;
  };

  std::string name = "UTC";
  std::int32_t offset = 0;           // before the first change
  std::vector<Change> changes = {};  // ascending
  bool operator==(const ZoneRules&) const = default;
};

// The rules of a zone by its name, always the same ones; null: there is no such zone here.
using ZoneSource = std::function<std::shared_ptr<const ZoneRules>(const std::string& name)>;

std::int32_t offset_at(const ZoneRules& zone, Time time);
WallMinute wall_minute_at(const ZoneRules& zone, Time time);  // the minute that the clock shows
Time moment_of(const ZoneRules& zone, WallMinute minute);

// "2026-03-29T03:00:00+02:00"
std::string format_local(const ZoneRules& zone, Time time);

}  // namespace millrace
