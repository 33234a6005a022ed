// AnchoredClock: wall-clock time that never goes back: the steady clock, anchored once to the system's.
#pragma once

#include <chrono>

#include "coordinator/shell/ports.h"

namespace millrace {

class AnchoredClock : public Clock {
 public:
  Time now() const override {
    auto elapsed = std::chrono::steady_clock::now() - steady_;
    return wall_ + std::chrono::duration_cast<Duration>(elapsed);
  }

 private:
  std::chrono::steady_clock::time_point steady_ = std::chrono::steady_clock::now();
  Time wall_ = Time{std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch())};
};

}  // namespace millrace
