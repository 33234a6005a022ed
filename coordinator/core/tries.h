// What becomes of a task whose attempt has ended: whether another one is worth it and when, and what stays in its
// record. Shared by tasks and by items of mapped nodes. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/model/outcome.h"
#include "common/model/records.h"
#include "common/model/workflow.h"
#include "coordinator/core/run.h"

namespace millrace {

// Whether the node wants another try after such a failure: retry.on names reasons, or texts of the message; without it
// whatever another try may mend.
bool wants_retry(const RetryPolicy& retry, Reason reason, const std::string& message);
// Why a worker is to stop an attempt, in the words that workers of the version before know, too.
inline Reason reason_for_workers(Reason reason) {
  return reason == Reason::kRunTimeout || reason == Reason::kDeadline ? Reason::kTimeout : reason;
}

inline bool is_cancellation(Reason reason) { return reason == Reason::kCancelRequested || reason == Reason::kFailFast; }
// Exponential backoff with up to `jitter` of it added; which part is a hash of what names the attempt.
Duration backoff_of(const RetryPolicy& policy, std::uint32_t failures, const AttemptId& attempt);
// The number of the try that follows those that have failed: of what the core does itself, where nothing else is one.
inline std::uint32_t next_try(const TaskRecord& record) { return record.failures + 1U; }
// Whoever wrote when it is due may have a clock far ahead of ours: from now on it waits no longer than it had to.
inline Time due_by_our_clock(Time now, Time due, Time since) { return std::min(due, now + (due - since)); }
// What the attempt leaves in the record, whatever its outcome.
void note(TaskRecord& record, const Attempt& attempt, const Outcome& outcome);
// The attempt that the record knows of was lost: its error is that, and keeps what is known of all losses.
void note_loss(TaskRecord& record, Time now, std::string_view how);
// The error of a failure takes the place of the record's, which may tell of losses: they are kept.
void note_error(TaskRecord& record, ErrorInfo error);

}  // namespace millrace
