// TokenBucket: so many a second, and as many at once.
//
// Promises: take() is true at most that often. Threads: a value, used by one. Units: microseconds of a steady clock.
#pragma once

#include <algorithm>
#include <cstdint>

namespace millrace {

class TokenBucket {
 public:
  explicit TokenBucket(std::uint32_t per_second) : most_(std::max(1U, per_second)), tokens_(most_) {}

  bool take(std::int64_t now_us) {
    tokens_ = tokens_at(now_us);
    filled_us_ = now_us;
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }
  bool is_full(std::int64_t now_us) const { return tokens_at(now_us) >= most_; }  // like a new one

 private:
  double tokens_at(std::int64_t now_us) const {
    if (filled_us_ == 0) return tokens_;
    return std::min(most_, tokens_ + static_cast<double>(now_us - filled_us_) * most_ / 1e6);
  }

  double most_;
  double tokens_;
  std::int64_t filled_us_ = 0;
};

}  // namespace millrace
