// Drives the pure core alone: one Partition and Placement, workers that end every attempt at once, no sockets, no
// store.
//
// Promises: one call is one turn after another until every run has ended. Threads: one. Fails: never; a run that does
// not end hangs, which is what a benchmark of a broken core may do.
#pragma once

#include <cstdint>
#include <memory>

#include "common/model/workflow.h"
#include "coordinator/core/plan.h"

namespace millrace::bench {

struct CoreLoad {
  std::uint32_t runs = 1;
  std::uint32_t in_flight = 1'000'000;  // runs that are live at once, at most
  std::uint32_t workers = 1;
  std::uint32_t credit = 1'024;  // attempts out, of each worker
  Resources resources = {};      // of each worker
};
struct CoreDriven {
  std::uint64_t completions = 0;
  double seconds = 0;  // of this thread's processor time: others on the machine do not count
  double per_s() const { return static_cast<double>(completions) / seconds; }
};

std::shared_ptr<const Plan> plan_of(const WorkflowSpec& spec);
CoreDriven drive_core(const std::shared_ptr<const Plan>& plan, const CoreLoad& load);

}  // namespace millrace::bench
