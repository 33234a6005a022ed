// SteadyClock: the time of day at its making, carried on by the steady clock: never goes back within a process.
// Threads: any, once made.
#pragma once

#include <chrono>

#include "common/base/time.h"

namespace millrace {

class SteadyClock {
 public:
  SteadyClock()
      : start_(std::chrono::steady_clock::now()),
        offset_(std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch())) {}
  Time now() const {
    return Time{offset_ + std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - start_)};
  }

 private:
  std::chrono::steady_clock::time_point start_;
  Duration offset_;
};

}  // namespace millrace
