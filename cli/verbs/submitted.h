// Submitted: what `submit`, `retry` and `rerun` do once a coordinator has accepted their run: wait for its end where
// that was asked for, and print it as millrace wait does. Threads: one. Fails: what the coordinator says.
#pragma once

#include <vector>

#include "cli/session.h"
#include "cli/verb.h"
#include "common/model/operator_messages.h"
#include "common/model/workflow.h"

namespace millrace {

std::vector<Option> submitted_options();  // --idempotency-key, --wait, --no-progress, and those of every request
Status check_key(const Arguments& arguments);
Result<int> wait_for(const CommandContext& context, const Arguments& arguments, Session& session,
                     const SubmitReply& submitted, const WorkflowSpec& spec);

}  // namespace millrace
