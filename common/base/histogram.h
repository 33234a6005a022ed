// LatencyHistogram: how often something took how long, in buckets that double.
//
// Promises: add() costs a few instructions and never allocates. bound(i) is the greatest duration that bucket i holds;
// the last bucket holds what is longer than every bound. Durations below zero count as zero.
// Threads: one at a time; a plain value, handed to other threads by copy.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "common/base/time.h"

namespace millrace {

class LatencyHistogram {
 public:
  static constexpr std::size_t kBounds = 26;  // 4 us, 8 us ... 134 s
  static constexpr std::size_t kBuckets = kBounds + 1;

  static constexpr Duration bound(std::size_t i) { return Duration{Duration::rep{4} << i}; }

  constexpr void add(Duration took) {
    std::uint64_t us = took.count() < 0 ? 0 : static_cast<std::uint64_t>(took.count());
    ++buckets_[bucket_of(us)];
    sum_us_ += us;
  }
  constexpr void merge(const LatencyHistogram& other) {
    for (std::size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
    sum_us_ += other.sum_us_;
  }

  constexpr std::uint64_t in_bucket(std::size_t i) const { return buckets_[i]; }
  constexpr std::uint64_t count() const {
    std::uint64_t all = 0;
    for (std::uint64_t bucket : buckets_) all += bucket;
    return all;
  }
  // What the share `of` (0 to 1) took at most, as far as buckets tell: the bound of one. Zero where nothing was added.
  constexpr Duration quantile(double of) const {
    const double wanted = of * static_cast<double>(count());
    std::uint64_t all = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      all += buckets_[i];
      if (all > 0 && static_cast<double>(all) >= wanted) return bound(i < kBounds ? i : kBounds - 1);
    }
    return Duration::zero();
  }
  constexpr Duration sum() const { return Duration{static_cast<Duration::rep>(sum_us_)}; }

  bool operator==(const LatencyHistogram&) const = default;

 private:
  static constexpr std::size_t bucket_of(std::uint64_t us) {
    if (us <= 4) return 0;
    std::size_t i = static_cast<std::size_t>(std::bit_width(us - 1)) - 2;
    return i < kBounds ? i : kBounds;
  }
  std::array<std::uint64_t, kBuckets> buckets_{};
  std::uint64_t sum_us_ = 0;
};

}  // namespace millrace
