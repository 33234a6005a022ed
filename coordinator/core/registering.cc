// Partition: registered workflows change (registry.h).
#include "coordinator/core/partition.h"

namespace millrace {

void Partition::on(Time now, WorkflowChanged& in) {
  const Registry::Key key{in.tenant, in.name};
  Result<Registry::Change> change =
      in.act == WorkflowAct::kApply      ? registry_.apply(now, key, in.definition, std::move(in.caller))
      : in.act == WorkflowAct::kRollBack ? registry_.roll_back(now, key, in.version, std::move(in.caller))
                                         : registry_.erase(key);
  if (!change.ok()) return effects_.replies.push_back({in.request, ErrorReply{std::move(change).error()}});
  const RegisteredWorkflow& workflow = *change->workflow;
  if (change->changed) {
    effects_.workflows.push_back(workflow);
    if (in.bytes != nullptr) effects_.definitions.emplace_back(in.definition, std::move(in.bytes));
    effects_.definitions_dropped.insert(effects_.definitions_dropped.end(), change->dropped.begin(),
                                        change->dropped.end());
    ++records_pending_;
    ++records_step_;
    apply_triggers(now, workflow, in.triggers);
  }
  const std::uint32_t version = workflow.exists() ? workflow.versions.back().version : 0;
  effects_.replies.push_back({in.request, WorkflowReply{workflow, version, change->changed, nullptr}});
}

}  // namespace millrace
