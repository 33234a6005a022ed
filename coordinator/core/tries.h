// What becomes of a task whose attempt has ended: whether another one is worth it and when, and what stays in its
// record. Shared by tasks and by items of mapped nodes. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "common/model/outcome.h"
#include "common/model/records.h"
#include "common/model/workflow.h"
#include "coordinator/core/run.h"

namespace millrace {

// Whether the node wants another try after such a failure: retry.on names reasons, or texts of the message; without it
// whatever another try may mend.
bool wants_retry(const RetryPolicy& retry, Reason reason, const std::string& message);
inline bool is_cancellation(Reason reason) { return reason == Reason::kCancelRequested || reason == Reason::kFailFast; }
// Exponential backoff with up to `jitter` of it added; which part is a hash of what names the attempt.
Duration backoff_of(const RetryPolicy& policy, std::uint32_t failures, const AttemptId& attempt);
// What the attempt leaves in the record, whatever its outcome.
void note(TaskRecord& record, const Attempt& attempt, const Outcome& outcome);

}  // namespace millrace
