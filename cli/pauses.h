// Pauses: `pause` and `resume` of a workflow or a queue, all over the cluster, and what is paused.
//
// {"kind", "name", "tenant", "paused", "since", "caller", "reason", "repeated"}; with --list {"pauses": [...]}.
// Threads: those of the session. Fails: what the coordinator answers; kInvalid for wrong arguments.
#pragma once

#include <vector>

#include "cli/session.h"
#include "cli/verb.h"
#include "common/model/pause.h"

namespace millrace {

std::vector<Option> scope_options(bool pauses);  // --workflow, --queue, --tenant; of pause also --list
// Whether the words speak of a workflow, a queue or the list, and not of runs. Fails: of several at once.
Result<bool> is_scope(const Arguments& arguments, bool pauses);
Result<int> act_on_scope(const CommandContext& context, const Arguments& arguments, bool pauses);

// {"kind", "name", "tenant", "since", "caller", "reason"}
Value pause_json(const Pause& pause);

}  // namespace millrace
