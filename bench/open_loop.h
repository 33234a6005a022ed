// OpenLoop: submissions at a fixed rate, whatever becomes of them, and what was answered to each.
//
// Promises: latencies count from the time a submission was due, not from when it left (no coordinated omission);
// how late the client itself was is reported. Every submission is answered exactly once, or it fails.
// Threads: one; it sleeps between sends, by the microsecond up to 5,000 a second and in steps of 200 us above, so that
// the cluster has the processor. Fails: no answer for 60 s, an answer to nothing, a run that did not succeed, a refusal
// that is not allowed.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bench/arithmetic.h"
#include "bench/raw_client.h"
#include "common/model/workflow.h"

namespace millrace::bench {

struct OpenLoopOptions {
  double rate = 1'000;  // submissions a second
  Nanos length = std::chrono::seconds(1);
  bool to_result = false;       // answered at the end of the run; otherwise when it is durable
  bool may_be_refused = false;  // `queue_full` is an answer like another
};

struct OpenLoopResult {
  std::uint64_t sent = 0;
  std::uint64_t accepted = 0;
  std::uint64_t refused = 0;
  std::vector<double> latencies_ms;  // of the accepted, sorted
  std::vector<double> late_ms;       // how long after it was due a submission left, sorted
  std::vector<RunId> runs;           // the accepted, in the order of their answers
  double sending_s = 0;              // from the first to the last send
  double answered_s = 0;             // from the first send to the last answer
  std::chrono::steady_clock::time_point sent_last;
};

Result<OpenLoopResult> open_loop(RawClient& client, const WorkflowSpec& spec, const OpenLoopOptions& options);

// Waits until the `newest` of these runs have ended: runs start in the order of their acceptance.
Status wait_for_newest(RawClient& client, const std::vector<RunId>& runs, std::size_t newest, Duration timeout);
// Pages through all runs of the cluster: exactly `others` and these, each succeeded with every task done. `live` counts
// those that have not ended; they are not a failure.
Status check_all_executed(RawClient& client, std::vector<RunId> runs, std::size_t others, std::size_t& live);

}  // namespace millrace::bench
