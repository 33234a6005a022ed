// Scale: how the real loops and agents carry a large fleet. One simulated cluster without faults, many coordinators,
// thousands of workers, a steady rate of runs; what is counted is said at the end: how long runs took, how much each
// kind of message costs, how fast simulated time passes. For sizing (docs/operations.md), offline.
#pragma once

#include <cstdint>
#include <string>

namespace millrace::sim {

struct ScaleSettings {
  int coordinators = 64;
  int workers = 10'000;
  int slots = 4;
  int partitions = 256;
  int seconds = 3'600;  // simulated
  int runs_a_minute = 100'000;
  int tasks = 3;  // of each run: a chain
  int task_ms = 200;
  std::uint64_t seed = 1;
};

// Plays it, says how it goes every simulated ten seconds. Returns what did not hold; empty: everything did.
std::string play_scale(const ScaleSettings& settings);

}  // namespace millrace::sim
