// Prefetch: how many attempts are worth queueing here beyond the slots, so that no slot waits for a round trip.
//
// Promises: slots * (round trip + hold) / duration, at most `most`; none before anything was observed and none for long
// tasks; grows by at most doubling a next(), from twice the slots, and falls at once. Both are moving averages (1/8).
// hold(): how long a report may wait for others: the time of kTasksGathered tiny tasks, within kReportHold and
// kReportHoldMax. A turn of the coordinator and of Redis costs 100-200 us whatever it carries: with tasks of 100 us a
// message for each cost twice as much as one for thirty.
// Threads: none. Fails: never.
#pragma once

#include <cstdint>

#include "common/base/time.h"

namespace millrace {

constexpr Duration kLongTask = 50ms;  // from here on a queued attempt is better off elsewhere
constexpr Duration kTinyTask = 20us;  // below, handing an attempt over costs more than running it
constexpr Duration kReportHold = 300us;
constexpr Duration kReportHoldMax = 4ms;
constexpr Duration kGatherBelow = 2ms;  // longer tasks do not end often enough to be gathered
constexpr int kTasksGathered = 32;

class Prefetch {
 public:
  Prefetch(std::uint32_t slots, std::uint32_t most) : slots_(slots), most_(most) {}

  void ran(Duration duration);     // an attempt ended, or has been running this long
  void answered(Duration waited);  // from a report to its answer
  std::uint32_t next();            // once a round: the number, in the light of what was observed since
  std::uint32_t now() const { return current_; }
  Duration hold() const;

 private:
  std::uint32_t target() const;

  std::uint32_t slots_;
  std::uint32_t most_;
  std::uint32_t current_ = 0;
  bool observed_ = false;  // anything, ever
  bool unseen_ = false;    // something since the latest next()
  double duration_us_ = 0;
  double round_trip_us_ = 0;  // zero: none measured yet
};

}  // namespace millrace
