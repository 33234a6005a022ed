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

// Until when something must have ended: a moment, or so long after it began. At most one of them is set.
struct Deadline {
  Time at{};
  Duration after{};
  static constexpr Duration kAfterMax = std::chrono::hours{24 * 10'000};
  static constexpr Time kAtMax{std::chrono::seconds{253'402'300'799}};  // the year 9999
  bool sane() const { return after >= Duration{} && after <= kAfterMax && at >= Time{} && at <= kAtMax; }
  bool given() const { return at != Time{} || after != Duration{}; }
  Time since(Time begun) const { return after != Duration{} ? begun + after : at; }  // zero: never
  bool operator==(const Deadline&) const = default;
};

}  // namespace millrace
