// Trace: what happened in a simulation, as lines. All of them are hashed; the last ones are kept for a report, or every
// line is printed as it comes.
#pragma once

#include <cstdio>
#include <deque>
#include <string>

#include "common/base/hash.h"
#include "common/base/time.h"

namespace millrace::sim {

class Trace {
 public:
  static constexpr std::size_t kKept = 80;

  explicit Trace(bool print) : print_(print) {}

  void line(Time now, const std::string& text) {
    char stamp[32];
    std::snprintf(stamp, sizeof stamp, "%11.6f ", static_cast<double>(to_us(now) - 1'700'000'000'000'000) / 1e6);
    std::string whole = stamp + text;
    hash_ = hash64(whole, hash_);
    ++lines_;
    if (print_) std::printf("%s\n", whole.c_str());
    kept_.push_back(std::move(whole));
    if (kept_.size() > kKept) kept_.pop_front();
  }
  std::uint64_t hash() const { return hash_; }
  std::uint64_t lines() const { return lines_; }
  const std::deque<std::string>& last() const { return kept_; }

 private:
  bool print_;
  std::uint64_t hash_ = 0;
  std::uint64_t lines_ = 0;
  std::deque<std::string> kept_;
};

}  // namespace millrace::sim
