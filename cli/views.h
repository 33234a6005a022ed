// Views: runs, events, workers and errors as the JSON that users see. The shapes are a contract (docs/cli.md).
//
// Promises: every key is always there, in the documented order; what does not apply is null. Times are UTC text with
// microseconds, durations milliseconds with fractions. Threads: pure, any.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/value.h"
#include "common/model/event.h"
#include "common/model/operator_messages.h"
#include "common/model/run_view.h"

namespace millrace {

// Finds what a payload refers to and parses it.
using ReadPayload = std::function<Result<Value>(const Payload& payload)>;
Result<Value> read_inline(const Payload& payload);  // for payloads that are known to be no references

struct RunViewParts {
  bool outputs = true;       // of the run
  bool node_outputs = true;  // left out, they are null
};
// The run object of `run`, `wait` and `status`. A view without its nodes (too many) gives "nodes": null and one more
// key, "nodes_summary": {"total","by_status"}.
Result<Value> run_json(const RunView& view, const ReadPayload& read, RunViewParts parts = {});
Duration elapsed(const RunView& view);  // accepted to ended, or to now

Value event_json(const Event& event);
Value summary_json(const RunSummary& run, Time now);  // `now` for the elapsed time of a live run
Value worker_json(const WorkerView& worker);
Value coordinator_json(const CoordinatorView& coordinator);
Value partition_json(const PartitionView& partition);
Value log_line_json(const LogLine& line);
Value problem_json(const Problem& problem);
Value error_json(const Error& error);  // {"error":{"code","message","details"}}, and "name" where a rule has one

}  // namespace millrace
