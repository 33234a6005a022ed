// Read-only answers about runs.
#include "coordinator/core/partition.h"

namespace millrace {
namespace {

NodeView node_view(const Plan& plan, TaskIndex task, TaskState state, const TaskRecord& record, const Attempt* attempt,
                   Time now) {
  NodeView node;
  node.id = plan.id(task);
  node.state = state;
  node.reason = record.reason;
  node.attempts = record.tries;
  node.queued = record.queued;
  node.ran = record.ran;
  node.output = record.output;
  node.error = record.error;
  if (record.worker != nullptr) node.worker = *record.worker;
  if (attempt != nullptr) {
    node.attempts = attempt->id.number;
    node.queued += attempt->dispatched - attempt->ready;
    node.ran = now - attempt->dispatched;
    if (attempt->worker.name != nullptr) node.worker = *attempt->worker.name;
  } else if (state == TaskState::kReady) {
    node.wait_reason = WaitReason::kSlot;
    node.queued += now - record.ready;
  } else if (state == TaskState::kWaiting) {
    node.wait_reason = record.reason == Reason::kNoWorker ? WaitReason::kNoWorker
                       : record.reason == Reason::kLabel  ? WaitReason::kLabel
                                                          : WaitReason::kValue;
  } else if (state == TaskState::kRetrying) {
    node.wait_reason = WaitReason::kBackoff;
  }
  return node;
}

void count(RunView& view, TaskState state) { ++view.by_state[state]; }

}  // namespace

RunView view_of(const Run& run, Time now, std::uint32_t nodes_max) {
  RunView view;
  view.info = *run.info;
  view.record = run.record;
  view.now = now;
  view.nodes_total = run.plan->node_count();
  for (std::size_t i = 0; i < run.by_state.size(); ++i) {
    if (run.by_state[i] > 0) view.by_state[static_cast<TaskState>(i)] = run.by_state[i];
  }
  if (view.nodes_total > nodes_max) return view;
  view.nodes.reserve(view.nodes_total);
  for (std::uint32_t task = 0; task < view.nodes_total; ++task) {
    auto it = run.attempts.find(TaskIndex{task});
    view.nodes.push_back(node_view(*run.plan, TaskIndex{task}, run.states[task], run.tasks[task],
                                   it == run.attempts.end() ? nullptr : &it->second, now));
  }
  return view;
}

RunView view_of(const RestoredRun& run, Time now, std::uint32_t nodes_max) {
  RunView view;
  view.info = *run.info;
  view.record = run.record;
  view.now = now;
  view.nodes_total = run.plan->node_count();
  static const TaskRecord kPending;
  std::vector<const TaskRecord*> records(view.nodes_total, &kPending);
  for (const auto& [task, record] : run.tasks) records[task.value] = &record;
  for (const TaskRecord* record : records) count(view, record->state);
  if (view.nodes_total > nodes_max) return view;
  view.nodes.reserve(view.nodes_total);
  for (std::uint32_t task = 0; task < view.nodes_total; ++task) {
    view.nodes.push_back(node_view(*run.plan, TaskIndex{task}, records[task]->state, *records[task], nullptr, now));
  }
  return view;
}

RunSummary summary_of(const Run& run) {
  return {run.id(),           run.info->tenant, run.info->workflow,     run.info->labels, run.record.state,
          run.info->accepted, run.record.ended, run.plan->node_count(), run.done(),       run.info->trace_id};
}

}  // namespace millrace
