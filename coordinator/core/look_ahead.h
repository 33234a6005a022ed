// LookAhead: of a row of steps about tasks of one large run, fetches what the later ones will touch while the earlier
// ones are at work. The tasks of a run of a million lie anywhere in hundreds of megabytes, and each step would wait for
// a dozen lines of memory one after the other.
//
// Promises: changes nothing but what is in the caches; costs a comparison where a row is of many runs, or a run fits
// them. Used for one row, then thrown away; between its steps the partition forgets no run. Threads: the loop's.
#pragma once

#include <cstddef>
#include <utility>

#include "coordinator/core/partition.h"

namespace millrace {

class LookAhead {
 public:
  enum class To : std::uint8_t { kEnd, kGrant };
  explicit LookAhead(To what) : what_(what) {}

  // Before step i of `count`. `place(k)` is what step k is about: its run and its task.
  template <class Place>
  void before(std::size_t i, std::size_t count, const Partition& core, Place place) {
    static constexpr std::size_t kFar = 12;  // steps ahead
    static constexpr std::size_t kCloser = kFar / 4;
    const RunId now = place(i).first;
    for (std::size_t glance = 0; glance < 4; ++glance) {
      const std::size_t k = i + kFar - glance * kCloser;
      if (k >= count) continue;
      const std::pair<RunId, TaskIndex> next = place(k);
      if (next.first != now) continue;
      if (run_ == nullptr || run_->id() != now) run_ = core.find(now);
      if (run_ == nullptr || run_->tasks.size() < kLargeRun || next.second.value >= run_->tasks.size()) continue;
      if (what_ == To::kEnd) run_->look_ahead_to_end(next.second, static_cast<Glance>(glance));
      else run_->look_ahead_to_grant(next.second, static_cast<Glance>(glance));
    }
  }

 private:
  static constexpr std::size_t kLargeRun = 10'000;  // tasks; a core's own cache holds fewer

  const To what_;
  const Run* run_ = nullptr;
};

}  // namespace millrace
