// Schedule: the one queue of (time, sequence, action) of a simulation, and its clock.
//
// Promises: actions run in order of time, those of one time in the order they were added. Threads: one.
#pragma once

#include <functional>
#include <queue>
#include <utility>
#include <vector>

#include "coordinator/shell/ports.h"

namespace millrace::sim {

class Schedule : public Clock {
 public:
  Time now() const override { return now_; }
  std::uint64_t actions() const { return sequence_; }
  std::size_t waiting() const { return queue_.size(); }

  void at(Time when, std::function<void()> action) {
    queue_.push({std::max(when, now_), ++sequence_, std::move(action)});
  }
  void after(Duration wait, std::function<void()> action) { at(now_ + wait, std::move(action)); }
  bool step() {  // false: nothing is left
    if (queue_.empty()) return false;
    Entry next = std::move(const_cast<Entry&>(queue_.top()));  // it is popped at once
    queue_.pop();
    now_ = next.when;
    next.action();
    return true;
  }

 private:
  struct Entry {
    Time when;
    std::uint64_t sequence;
    std::function<void()> action;
    bool operator<(const Entry& other) const {  // a max-heap: what comes first is greatest
      return when != other.when ? when > other.when : sequence > other.sequence;
    }
  };
  std::priority_queue<Entry> queue_;
  std::uint64_t sequence_ = 0;
  Time now_ = from_us(1'700'000'000'000'000);
};

}  // namespace millrace::sim
