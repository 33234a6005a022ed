// Timeline: what happens when in a large simulated cluster, and its clock. Most of what is on its way takes the same
// time as everything of its kind (a message, an answer of the store, a task), so that each kind is a queue and not a
// heap.
//
// Promises: what happens at one time happens in the order in which it was added, of whatever kind. Threads: one.
#pragma once

#include <cstdint>
#include <deque>
#include <queue>
#include <utility>
#include <vector>

#include "coordinator/shell/ports.h"

namespace millrace::sim {

// When, and after what else of that time.
struct Moment {
  Time when = kNever;
  std::uint64_t sequence = 0;
  auto operator<=>(const Moment&) const = default;
};

class TimelineClock : public Clock {
 public:
  Time now() const override { return now_; }
  Moment after(Duration wait) { return {now_ + wait, ++made_}; }
  Moment at(Time when) { return {std::max(when, now_), ++made_}; }
  void set(Time now) { now_ = now; }

 private:
  Time now_ = from_us(1'700'000'000'000'000);
  std::uint64_t made_ = 0;
};

// What takes the same time, each.
template <class What>
class Lane {
 public:
  Lane(TimelineClock& clock, Duration takes) : clock_(clock), takes_(takes) {}
  void add(What what) { waiting_.push_back({clock_.after(takes_), std::move(what)}); }
  Moment next() const { return waiting_.empty() ? Moment{} : waiting_.front().first; }
  What take() {
    What what = std::move(waiting_.front().second);
    waiting_.pop_front();
    return what;
  }
  std::size_t size() const { return waiting_.size(); }

 private:
  TimelineClock& clock_;
  Duration takes_;
  std::deque<std::pair<Moment, What>> waiting_;
};

// What is due at any time.
template <class What>
class Timers {
 public:
  explicit Timers(TimelineClock& clock) : clock_(clock) {}
  void add(Time when, What what) { waiting_.push({clock_.at(when), what}); }
  Moment next() const { return waiting_.empty() ? Moment{} : waiting_.top().moment; }
  What take() {
    What what = waiting_.top().what;
    waiting_.pop();
    return what;
  }

 private:
  struct Entry {
    Moment moment;
    What what;
    bool operator<(const Entry& other) const {
      return moment > other.moment;
    }  // a max-heap: what comes first is greatest
  };
  TimelineClock& clock_;
  std::priority_queue<Entry> waiting_;
};

// The timer of somebody who is often told of another time: only the latest counts, and only an earlier one is worth an
// entry among the Timers.
class Alarm {
 public:
  enum class Ring : std::uint8_t { kNow, kEarly, kStale };
  // Whether an entry has to be made for that time.
  bool set(Time when) {
    wanted_ = when;
    if (when >= entered_) return false;
    entered_ = when;
    return true;
  }
  // An entry has come up. Early: the time was put off since; set(wanted()) says whether that needs an entry.
  Ring comes(Time now) {
    if (now < entered_) return Ring::kStale;
    entered_ = kNever;
    if (now < wanted_) return Ring::kEarly;
    wanted_ = kNever;
    return Ring::kNow;
  }
  Time wanted() const { return wanted_; }

 private:
  Time wanted_ = kNever;
  Time entered_ = kNever;  // of the earliest entry
};

}  // namespace millrace::sim
