#include "worker/core/prefetch.h"

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

constexpr double kWeight = 1.0 / 8;
constexpr double kRoundTripGuess = 1000;  // microseconds, until one is measured

double us(Duration duration) { return static_cast<double>(std::max(duration, Duration::zero()).count()); }

}  // namespace

void Prefetch::ran(Duration duration) {
  duration_us_ = observed_ ? duration_us_ + kWeight * (us(duration) - duration_us_) : us(duration);
  observed_ = true;
  unseen_ = true;
}

void Prefetch::answered(Duration waited) {
  const double sample = std::max(us(waited), 1.0);
  round_trip_us_ = round_trip_us_ == 0 ? sample : round_trip_us_ + kWeight * (sample - round_trip_us_);
}

Duration Prefetch::hold() const {
  if (!observed_ || duration_us_ > us(kGatherBelow)) return kReportHold;
  return std::clamp(Duration{static_cast<Duration::rep>(duration_us_ * kTasksGathered)}, kReportHold, kReportHoldMax);
}

std::uint32_t Prefetch::target() const {
  if (!observed_ || duration_us_ > us(kLongTask)) return 0;
  if (duration_us_ < us(kTinyTask)) return most_;
  const double round_trip = (round_trip_us_ == 0 ? kRoundTripGuess : round_trip_us_) + us(hold());
  return static_cast<std::uint32_t>(std::min<double>(most_, std::round(slots_ * round_trip / duration_us_)));
}

std::uint32_t Prefetch::next() {
  if (!unseen_) return current_;
  unseen_ = false;
  const std::uint64_t doubled = std::max(std::uint64_t{slots_} * 2, std::uint64_t{current_} * 2);
  current_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(target(), doubled));
  return current_;
}

}  // namespace millrace
