// WorkerMeter: what a worker counts, and what it tells its operators over HTTP (docs/operations.md).
//
// Threads: the meter is the worker's thread's; a WorkerState is a copy for the server's. Fails: never.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/histogram.h"
#include "common/io/operator_http.h"
#include "common/model/outcome.h"
#include "common/model/task_state.h"
#include "worker/executors/counts.h"

namespace millrace {

struct WorkerCounts {
  std::uint64_t started = 0;
  std::uint64_t succeeded = 0;
  std::array<std::uint64_t, static_cast<std::size_t>(kReasonLast) + 1> failed{};  // by reason
  std::uint64_t reopened = 0;                                                     // lines to coordinators
  LatencyHistogram waited;                                                        // assigned until started
  LatencyHistogram ran;                                                           // started until ended
  std::vector<bool> welcomed;                                                     // by coordinator, in the order given

  void ended(const Outcome& outcome) {
    if (outcome.success) ++succeeded;
    else ++failed[static_cast<std::size_t>(outcome.reason) % failed.size()];
    waited.add(outcome.waited);
    ran.add(outcome.ran);
  }
};

class WorkerState final : public OperatorState {
 public:
  std::string name;
  std::uint32_t slots = 0;
  std::uint32_t running = 0;
  std::uint32_t queued = 0;
  bool draining = false;
  WorkerCounts counts;
  CountsByExecutor executors;
  std::uint64_t log_bytes = 0;
  std::uint64_t log_bytes_dropped = 0;

  Readiness readiness() const override;  // a coordinator has welcomed it, and it does not drain
  void metrics(MetricsPage& page) const override;

 private:
  std::size_t welcomed() const;
};

}  // namespace millrace
