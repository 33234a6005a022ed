// NetLoop: what Egress needs of an event loop. Each shell gives it its own.
//
// Promises: callbacks come later, from the loop, never from within these calls. Threads: one.
#pragma once

#include <cstdint>
#include <functional>

#include "common/base/time.h"

namespace millrace {

class NetLoop {
 public:
  virtual ~NetLoop() = default;
  // Starts, or changes, what is waited for. Errors and hang-ups count as readable and writable.
  virtual void watch(int fd, bool read, bool write, std::function<void(bool readable, bool writable)> on_ready) = 0;
  virtual void forget(int fd) = 0;
  virtual std::uint64_t after(Duration delay, std::function<void()> on_time) = 0;
  virtual void cancel(std::uint64_t timer) = 0;
};

}  // namespace millrace
