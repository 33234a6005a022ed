// Arithmetic of measurements: what a median, a percentile, a spread and a rate mean here. Pure.
//
// Promises: percentiles are nearest rank: a value that was measured, never one in between. A percentile with fewer than
// kBeyondMin samples beyond it says little; whoever prints it says so. Threads: pure functions and values.
// Fails: never; what needs a sample and has none is 0. Units: as the caller's, rates a second.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace millrace::bench {

using Nanos = std::chrono::nanoseconds;

constexpr std::size_t kBeyondMin = 10;

double median(std::vector<double> values);
// The smallest sample that at least the share `p` of all samples does not exceed. `sorted` is ascending.
double percentile(const std::vector<double>& sorted, double p);
std::size_t samples_beyond(std::size_t samples, double p);  // above the percentile's rank

struct Spread {
  double min = 0;
  double median = 0;
  double max = 0;
  bool operator==(const Spread&) const = default;
};
Spread spread_of(const std::vector<double>& values);

// When the sends of an open loop are due: evenly spaced, whatever became of those before (so that a slow answer cannot
// hide the wait of those behind it: no coordinated omission). Times count from the start.
class RateSchedule {
 public:
  RateSchedule(double per_second, Nanos length);
  std::uint64_t total() const { return total_; }
  Nanos at(std::uint64_t send) const;      // 0, 1, 2 ...
  std::uint64_t due(Nanos elapsed) const;  // sends whose time has come, at most total()

 private:
  double per_second_;
  std::uint64_t total_;
};

// Looks for the highest rate that is sustained: doubles until one is not, then halves the gap until it is within
// `precision` of the rate. Ask rate(), try it, tell(whether it was sustained), until done().
class RateSearch {
 public:
  RateSearch(double first, double precision) : rate_(first), precision_(precision) {}
  double rate() const { return rate_; }
  void tell(bool sustained);
  bool done() const { return done_; }
  double best() const { return best_; }  // 0: none was sustained

 private:
  static constexpr double kLeast = 10;
  double rate_;
  double precision_;
  double best_ = 0;
  std::optional<double> too_much_;
  bool done_ = false;
};

}  // namespace millrace::bench
