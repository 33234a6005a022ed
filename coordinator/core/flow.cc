// Partition: whether a task runs at all: what became of its upstream, branches, conditions, joins, fallbacks.
#include <algorithm>

#include "coordinator/core/partition.h"

namespace millrace {
namespace {

bool is_chosen(const Payload& output, const std::string& id) {
  Result<Value> decided = Value::parse(output.json());
  const Value* chosen = decided.ok() ? decided->find("chosen") : nullptr;
  if (chosen == nullptr || !chosen->is_array()) return false;
  return std::ranges::any_of(chosen->as_array(),
                             [&](const Value& one) { return one.is_string() && one.as_string() == id; });
}

}  // namespace

// What became of the upstream of a task, as far as it has ended, in the light of what the task says about failures.
Partition::Upstream Partition::upstream_of(const Run& run, TaskIndex task) const {
  const Flow* flow = run.plan->flow(task);
  const bool takes_failures = flow != nullptr && flow->on_upstream_failure == OnUpstreamFailure::kRun;
  Upstream seen;
  const std::optional<TaskIndex> gate = run.plan->gate_of(task);
  for (std::uint32_t up : run.plan->dag().upstream().of(task.value)) {
    if (gate == TaskIndex{up}) continue;  // whether it runs at all, not what it waits for
    switch (run.states[up]) {
      case TaskState::kSucceeded: ++seen.well; break;
      case TaskState::kSkipped:
        if (run.tasks[up].reason != Reason::kUpstreamFailed) {
          ++seen.skipped;
          break;
        }
        [[fallthrough]];
      case TaskState::kFailed:
      case TaskState::kCancelled: ++(takes_failures ? seen.well : seen.failed); break;
      case TaskState::kPending:
      case TaskState::kReady:
      case TaskState::kWaiting:
      case TaskState::kRetrying:
      case TaskState::kDispatched:
      case TaskState::kRunning: break;
    }
  }
  return seen;
}

// Why the task is skipped, now that its wait is over; kNone: it is not.
Reason Partition::hindrance(const Run& run, TaskIndex task) const {
  if (const auto aside = run.plan->stands_in_for(task); aside && !stands_aside(run, *aside)) return Reason::kNotChosen;
  if (const auto gate = run.plan->gate_of(task); gate && run.states[gate->value] != TaskState::kSucceeded) {
    const bool passed =
        run.states[gate->value] == TaskState::kSkipped && run.tasks[gate->value].reason != Reason::kUpstreamFailed;
    return passed ? Reason::kUpstreamSkipped : Reason::kUpstreamFailed;
  }
  if (const std::span<const std::uint32_t> handled = run.plan->handled_by(task); !handled.empty()) {
    const bool any =
        std::ranges::any_of(handled, [&](std::uint32_t up) { return run.states[up] == TaskState::kFailed; });
    return any ? Reason::kNone : Reason::kNotChosen;
  }
  const Flow* flow = run.plan->flow(task);
  const std::uint32_t join = flow == nullptr ? 0 : flow->join;
  const Upstream seen = upstream_of(run, task);
  if (join > 0 && seen.well < join) return seen.failed > 0 ? Reason::kUpstreamFailed : Reason::kUpstreamSkipped;
  if (join == 0 && seen.failed > 0) return Reason::kUpstreamFailed;
  if (seen.well == 0 && seen.skipped > 0) return Reason::kUpstreamSkipped;
  const std::span<const std::uint32_t> branches = run.plan->chosen_by(task);
  if (branches.empty()) return Reason::kNone;
  const std::string id = run.plan->id(task);
  const auto chooses = [&](std::uint32_t branch) {
    return run.states[branch] == TaskState::kSucceeded && is_chosen(run.tasks[branch].output, id);
  };
  return std::ranges::any_of(branches, chooses) ? Reason::kNone : Reason::kNotChosen;
}

// Everything upstream has ended, or enough of it: the task becomes ready, is decided on the spot, or is skipped.
void Partition::open(Time now, Run& run, TaskIndex task) {
  if (run.plan->cleanup_of(task) != Cleanup::kNone) return open_cleanup(now, run, task);
  const bool plain =
      !run.plan->has_flow() &&
      run.count(TaskState::kFailed) + run.count(TaskState::kSkipped) + run.count(TaskState::kCancelled) == 0;
  const Reason why = plain ? Reason::kNone : hindrance(run, task);
  if (why != Reason::kNone) return end_task(now, run, task, TaskState::kSkipped, why, EventType::kTaskSkipped);
  run.tasks[task.value].ready = now;
  begin_limit(now, run, task);
  decide(now, run, task);
}

// Tasks that need not wait for all of their upstream, and whoever waited for the end of its stand-in.
void Partition::open_early(Run& run, TaskIndex ended) {
  if (const auto aside = run.plan->stands_in_for(ended); aside && stands_aside(run, *aside))
    opened_.emplace_back(run.id(), *aside);
  for (std::uint32_t next : run.plan->dag().downstream().of(ended.value)) {
    if (run.plan->stands_in_for(TaskIndex{next})) {
      if (may_stand_in(run, TaskIndex{next})) opened_.emplace_back(run.id(), TaskIndex{next});
      continue;
    }
    const Flow* flow = run.plan->flow(TaskIndex{next});
    if (flow == nullptr || flow->join == 0 || run.states[next] != TaskState::kPending) continue;
    if (const auto gate = run.plan->gate_of(TaskIndex{next}); gate && !is_terminal(run.states[gate->value])) continue;
    if (upstream_of(run, TaskIndex{next}).well >= flow->join) opened_.emplace_back(run.id(), TaskIndex{next});
  }
}

// What its own condition says; again when values have come for which that had to wait.
void Partition::decide(Time now, Run& run, TaskIndex task) {
  if (awaits_event(run, task)) return wait_over(now, run, task);  // values have come that its end needs
  if (const Flow* flow = run.plan->flow(task); flow != nullptr && flow->when) {
    const std::optional<Value> holds = evaluate_for(now, run, task, *flow->when);
    if (!holds) return;
    if (!expr::truthy(*holds)) {
      run.value_waits.erase(task);
      return end_task(now, run, task, TaskState::kSkipped, Reason::kCondition, EventType::kTaskSkipped);
    }
  }
  if (run.plan->is_mapped(task)) return open_items(now, run, task, *run.plan->flow(task));
  if (const Flow* flow = run.plan->flow(task); flow != nullptr && flow->wait) return begin_wait(now, run, task, *flow);
  if (run.plan->is_control_node(task)) return evaluate_control_node(now, run, task);
  if (const Flow* flow = run.plan->flow(task); flow != nullptr && flow->cache && run.tasks[task.value].claim == nullptr)
    return claim(now, run, task, *flow->cache);
  run.value_waits.erase(task);
  move(run, task, TaskState::kReady);
  offer(now, run, task);
}

// A branch node's output: the nodes that its cases choose, in the order of the cases.
std::optional<Value> Partition::choose(Time now, Run& run, TaskIndex task, const Flow& flow) {
  Value::Array chosen;
  const auto add = [&](const std::vector<std::string>& ids) {
    for (const std::string& id : ids) {
      if (std::ranges::find(chosen, Value(id)) == chosen.end()) chosen.emplace_back(id);
    }
  };
  bool any = false;
  for (const Flow::Case& one : flow.cases) {
    const std::optional<Value> holds = evaluate_for(now, run, task, one.when);
    if (!holds) return std::nullopt;
    if (!expr::truthy(*holds)) continue;
    any = true;
    add(one.to);
    if (flow.first) break;
  }
  if (!any) add(flow.otherwise);
  return Value(Value::Object{{"chosen", std::move(chosen)}});
}

// Takes the place of the output of a task that finally failed. False: there is none, or it cannot be had.
bool Partition::fall_back(Run& run, TaskIndex task) {
  const Flow* flow = run.plan->flow(task);
  if (const auto& claim = run.tasks[task.value].claim; claim != nullptr && claim->has_old) {
    run.tasks[task.value].output = claim->old;
    ++run.fallbacks;
    return true;
  }
  if (flow == nullptr || !flow->fallback) return false;
  std::vector<Hash128> missing;
  Result<Value> value = evaluate(run, *flow->fallback, missing, task);
  if (!value.ok() || !missing.empty()) return false;
  std::string json = value->dump();
  if (json.size() > kValueMax) return false;
  run.tasks[task.value].output = make_payload(run.id(), std::move(json));
  ++run.fallbacks;
  return true;
}

// Whether a node takes the failure of this task upon itself: then it does not stop the run.
bool Partition::failure_is_taken(const Run& run, TaskIndex task) const {
  if (!run.plan->has_flow()) return false;
  if (const Flow* flow = run.plan->flow(task); flow != nullptr && flow->has_handlers) return true;
  return std::ranges::any_of(run.plan->dag().downstream().of(task.value), [&](std::uint32_t next) {
    const Flow* flow = run.plan->flow(TaskIndex{next});
    return flow != nullptr && flow->on_upstream_failure == OnUpstreamFailure::kRun;
  });
}

}  // namespace millrace
