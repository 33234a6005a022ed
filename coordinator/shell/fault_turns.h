// Which fault points a turn passes (common/io/fault.h). Called only while faults are armed, which is in tests.
#pragma once

#include <vector>

#include "coordinator/shell/loop_state.h"

namespace millrace {

void fault_before_commit(const TurnCommit& commit);
void fault_when_durable(const TurnCommit& commit);  // nothing of the turn has left
void fault_before_sends(const std::vector<Outgoing>& outgoing);
void fault_after_sends(const std::vector<Outgoing>& outgoing);  // no event is published

}  // namespace millrace
