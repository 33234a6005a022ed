#include "coordinator/shell/fault_turns.h"

#include <algorithm>

#include "common/io/fault.h"

namespace millrace {
namespace {

template <class Test>
bool any_run(const TurnCommit& commit, Test test) {
  return std::ranges::any_of(commit.partitions,
                             [&](const PartitionCommit& part) { return std::ranges::any_of(part.runs, test); });
}

bool accepts(const RunWrite& run) { return run.info != nullptr; }

bool has_results(const RunWrite& run) {
  return std::ranges::any_of(run.tasks, [](const auto& entry) { return entry.second.tries > 0; });
}

template <class Test>
bool any_of(const std::vector<Outgoing>& outgoing, Test test) {
  return std::ranges::any_of(outgoing, [&](const Outgoing& out) { return test(out.effects); });
}

bool assigns(const Effects& effects) { return !effects.assigns.empty(); }
bool tells(const Effects& effects) {
  return std::ranges::any_of(effects.events, [](const Event& event) { return is_durable(event.type); });
}

}  // namespace

void fault_before_commit(const TurnCommit& commit) {
  if (any_run(commit, accepts)) fault_point(FaultPoint::kAcceptBeforeCommit);
  if (any_run(commit, has_results)) fault_point(FaultPoint::kResultBeforeCommit);
}

void fault_when_durable(const TurnCommit& commit) {
  if (any_run(commit, accepts)) fault_point(FaultPoint::kAcceptBeforeReply);
  if (any_run(commit, has_results)) fault_point(FaultPoint::kCommitBeforeSuccessors);
}

void fault_before_sends(const std::vector<Outgoing>& outgoing) {
  if (any_of(outgoing, assigns)) fault_point(FaultPoint::kLeaseBeforeSend);
}

void fault_after_sends(const std::vector<Outgoing>& outgoing) {
  if (any_of(outgoing, assigns)) fault_point(FaultPoint::kSendBeforeAck);
  if (any_of(outgoing, tells)) fault_point(FaultPoint::kCommitBeforeEvent);
}

}  // namespace millrace
