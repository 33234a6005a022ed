// Reactor: file descriptors and timers of one thread (epoll). The worker's main loop polls fd() next to its sockets.
//
// Promises: callbacks run only inside run(); a callback may add and remove watches and timers, its own included.
// Timers fire in order of their time, then of their creation. Units: Duration is microseconds of the steady clock.
// Threads: one. Fails: construction aborts when the kernel refuses an epoll descriptor.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>

#include "common/base/ids.h"
#include "common/base/time.h"

namespace millrace {

using TimerId = Id<struct TimerTag>;

class Reactor {
 public:
  enum Interest : std::uint32_t { kRead = 1, kWrite = 2 };

  Reactor();
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  // `on_ready` gets the set of Interest bits that are ready (errors and hang-ups count as both).
  void watch(int fd, std::uint32_t interest, std::function<void(std::uint32_t ready)> on_ready);
  void change(int fd, std::uint32_t interest);
  void forget(int fd);  // before the descriptor is closed

  TimerId after(Duration delay, std::function<void()> on_time);
  void cancel(TimerId timer);  // unknown or fired: ignored

  // Waits up to `wait_max` for something to do, does it, returns whether anything was done. Zero: never blocks.
  bool run(Duration wait_max);
  int fd() const { return epoll_; }  // readable when a watched descriptor is ready; timers need next_timer()
  Duration next_timer() const;       // until the first timer is due; Duration::max() without one

 private:
  struct Watch {
    std::uint32_t serial;  // tells a descriptor from an earlier one of the same number
    std::function<void(std::uint32_t)> on_ready;
  };
  bool fire_timers();

  int epoll_ = -1;
  std::uint32_t watches_made_ = 0;
  std::uint64_t timers_made_ = 0;
  std::unordered_map<int, std::shared_ptr<Watch>> watches_;
  std::map<std::pair<std::int64_t, std::uint64_t>, std::function<void()>> timers_;  // (steady microseconds, id)
  std::unordered_map<std::uint64_t, std::int64_t> timer_times_;
};

}  // namespace millrace
