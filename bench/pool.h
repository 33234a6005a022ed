// What users would write themselves: a pool that starts a program for each task, as many at once as there are
// processors.
//
// Promises: every program has ended when it returns. Threads: one.
// Fails: kUnavailable, where the program cannot be started; kFailed, with what it printed where that is not `wanted`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace millrace::bench {

struct PoolMeasured {
  double total_s = 0;
  double cpu_s = 0;  // of the programs
};

// `tasks` times argv, found by PATH; each is to print `wanted`, blanks at the end aside.
Result<PoolMeasured> run_pool(const std::vector<std::string>& argv, const std::string& wanted, std::uint32_t tasks);

}  // namespace millrace::bench
