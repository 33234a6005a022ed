#include "coordinator/core/run.h"

namespace millrace {

Run::Run(std::shared_ptr<const RunInfo> i, std::shared_ptr<const Plan> p)
    : info(std::move(i)),
      plan(std::move(p)),
      frontier(plan->dag()),
      states(plan->node_count(), TaskState::kPending),
      tasks(plan->node_count()),
      sums(plan->node_count()),
      seen(plan->node_count()) {
  by_state[static_cast<std::size_t>(TaskState::kPending)] = plan->node_count();
}

std::string key_name(const RunInfo& info) { return info.tenant + '\0' + info.key; }

}  // namespace millrace
