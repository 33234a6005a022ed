#include "bench/arithmetic.h"

#include <algorithm>
#include <cmath>

namespace millrace::bench {
namespace {

// 1-based; the small amount takes back what the product of a decimal fraction rounds up (0.07 * 100 > 7).
std::size_t rank_of(std::size_t samples, double p) {
  auto rank = static_cast<std::size_t>(std::ceil(p * static_cast<double>(samples) - 1e-9));
  return std::clamp<std::size_t>(rank, 1, std::max<std::size_t>(samples, 1));
}

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double percentile(const std::vector<double>& sorted, double p) {
  return sorted.empty() ? 0 : sorted[rank_of(sorted.size(), p) - 1];
}

std::size_t samples_beyond(std::size_t samples, double p) { return samples == 0 ? 0 : samples - rank_of(samples, p); }

Spread spread_of(const std::vector<double>& values) {
  if (values.empty()) return {};
  const auto [least, most] = std::ranges::minmax(values);
  return {least, median(values), most};
}

RateSchedule::RateSchedule(double per_second, Nanos length)
    : per_second_(per_second),
      total_(static_cast<std::uint64_t>(std::llround(per_second * std::chrono::duration<double>(length).count()))) {}

Nanos RateSchedule::at(std::uint64_t send) const {
  return Nanos(std::llround(static_cast<double>(send) * 1e9 / per_second_));
}

std::uint64_t RateSchedule::due(Nanos elapsed) const {
  if (elapsed < Nanos::zero()) return 0;
  auto sends = static_cast<std::uint64_t>(static_cast<double>(elapsed.count()) * per_second_ / 1e9);
  while (sends > 0 && at(sends) > elapsed) --sends;  // rounding must not send early, nor late
  while (at(sends + 1) <= elapsed) ++sends;
  return std::min(sends + 1, total_);  // the first is due at once
}

void RateSearch::tell(bool sustained) {
  if (sustained) best_ = std::max(best_, rate_);
  else too_much_ = rate_;
  if (!too_much_) rate_ = best_ * 2;
  else if (best_ == 0) rate_ = *too_much_ / 2;
  else rate_ = (best_ + *too_much_) / 2;
  const bool close = too_much_ && best_ > 0 && *too_much_ - best_ <= precision_ * best_;
  done_ = close || rate_ < kLeast;
}

}  // namespace millrace::bench
