// Random: the one generator of a simulation (splitmix64). Never draw twice within one expression's arguments: their
// order is the compiler's, and a seed must give one trace everywhere.
#pragma once

#include <cstdint>

#include "common/base/time.h"

namespace millrace::sim {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ULL + 0xD1B54A32D192ED03ULL) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t n) { return next() % n; }  // 0 .. n-1
  int between(int low, int high) { return low + static_cast<int>(below(static_cast<std::uint64_t>(high - low) + 1)); }
  Duration between(Duration low, Duration high) {
    return low + Duration{static_cast<Duration::rep>(below(static_cast<std::uint64_t>((high - low).count()) + 1))};
  }
  bool chance(int per_thousand) { return below(1'000) < static_cast<std::uint64_t>(per_thousand); }

 private:
  std::uint64_t state_;
};

}  // namespace millrace::sim
