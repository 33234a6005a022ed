// ExecutorCounts: how warm an executor is: what operators are told of its pool.
//
// Threads: the Reactor's; plain values, copied for others.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "common/base/histogram.h"

namespace millrace {

struct ExecutorCounts {
  std::uint64_t hits = 0;      // tasks that found a process ready for them
  std::uint64_t misses = 0;    // tasks that had to wait for one to be made, or to be free
  std::uint64_t starts = 0;    // processes that others are forked from, or that stand ready: begun
  std::uint64_t restarts = 0;  // of these, after one had ended by itself
  LatencyHistogram start_up;   // what a task took beyond its own code: process, confinement, values, reply
};

using CountsByExecutor = std::map<std::string, ExecutorCounts, std::less<>>;

}  // namespace millrace
