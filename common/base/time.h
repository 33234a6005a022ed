// Time as a value. Its clock has no now(): pure code cannot read the hour, it can only be told it.
//
// Units: microseconds. A Time counts from the Unix epoch; the shells derive it from a steady clock anchored once
// at start, so it never goes back within a process. A Duration is a difference of two.
#pragma once

#include <chrono>
#include <cstdint>

namespace millrace {

using Duration = std::chrono::microseconds;

struct ToldClock {  // deliberately without now()
  using rep = Duration::rep;
  using period = Duration::period;
  using duration = Duration;
  using time_point = std::chrono::time_point<ToldClock>;
  static constexpr bool is_steady = true;
};
using Time = ToldClock::time_point;

constexpr Time kNever = Time::max();

constexpr std::int64_t to_us(Time t) { return t.time_since_epoch().count(); }
constexpr Time from_us(std::int64_t us) { return Time{Duration{us}}; }

using namespace std::chrono_literals;

}  // namespace millrace
