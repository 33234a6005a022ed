// Scenarios: the work that millrace-bench measures. Each starts a fresh cluster of real processes, checks every result
// and reports what one repeat took.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/processes.h"
#include "common/base/result.h"

namespace millrace::bench {

struct Options {
  std::string scenario = "single";
  std::uint32_t tasks = 0;  // 0: the scenario's own default
  std::uint32_t in_flight = 64;
  int repeats = 3;
  std::string isolation = "process";
  ClusterOptions cluster;
};

struct Measured {  // of one repeat
  std::uint32_t tasks = 0;
  std::uint32_t runs = 0;
  double total_s = 0;
  std::vector<double> latencies_ms;  // of runs, sorted; empty where one run is all
  double per_hop_ms = 0;             // of chains
  Usage coordinator, workers, redis;
  double client_cpu_s = 0;
  std::int64_t redis_bytes = 0;  // grown by
};

std::vector<std::string> scenario_names();
std::uint32_t default_tasks(const std::string& scenario);
Result<Measured> measure(const Options& options);

}  // namespace millrace::bench
