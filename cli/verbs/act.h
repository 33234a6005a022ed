// Act: what `signal`, `approve`, `pause` and `resume` share: a run is asked for something and the answer is printed as
// {"run", "status", "node", "node_status", "repeated"}. Threads: one. Fails: what the coordinator says.
#pragma once

#include "cli/verb.h"
#include "common/model/operator_messages.h"

namespace millrace {

Result<int> act(const CommandContext& context, const Arguments& arguments, OperatorRequest request);
Option reason_option();
std::vector<Option> with_reason(std::vector<Option> own);
std::vector<Option> act_options(std::vector<Option> own);  // and those of every verb that talks to a cluster

}  // namespace millrace
