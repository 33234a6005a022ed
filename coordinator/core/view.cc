// Read-only answers about runs.
#include <algorithm>

#include "common/base/units.h"
#include "coordinator/core/partition.h"
#include "coordinator/core/variables.h"

namespace millrace {
namespace {

WaitReason wait_reason_of(Reason reason) {
  if (reason == Reason::kNoWorker) return WaitReason::kNoWorker;
  if (reason == Reason::kLabel) return WaitReason::kLabel;
  if (reason == Reason::kTimer) return WaitReason::kTimer;
  if (reason == Reason::kSignal) return WaitReason::kSignal;
  if (reason == Reason::kApproval) return WaitReason::kApproval;
  if (reason == Reason::kChild) return WaitReason::kChild;
  if (reason == Reason::kPaused) return WaitReason::kPaused;
  if (reason == Reason::kFallback) return WaitReason::kFallback;
  if (reason == Reason::kCache) return WaitReason::kCache;
  return WaitReason::kValue;
}

// What a person wants to know of a wait: the name of the signal, who is asked what, until when.
std::string wait_text_of(const NodeSpec& spec, const TaskRecord& record) {
  if (record.reason == Reason::kFallback) return "node " + spec.flow.stand_in;
  if (!spec.flow.wait) return "";
  std::string text;
  if (record.reason == Reason::kSignal) text = "signal " + spec.flow.wait->signal;
  if (record.reason == Reason::kApproval) {
    const Result<Value> question = Value::parse(record.output.json());
    const Value* message = question.ok() ? question->find("message") : nullptr;
    if (message != nullptr && message->is_string()) text = message->as_string();
    for (const std::string& role : spec.flow.wait->roles)
      text += (&role == &spec.flow.wait->roles.front() ? (text.empty() ? "for " : " (for ") : ", ") + role;
    if (!text.empty() && text != "" && !spec.flow.wait->roles.empty() && message != nullptr) text += ")";
  }
  if (record.reason == Reason::kChild) {
    text = record.worker == nullptr ? "" : "run " + *record.worker + " of ";
    text += "workflow " + spec.flow.wait->workflow;
  }
  if (record.due != Time{}) text += (text.empty() ? "until " : ", until ") + format_time(record.due);
  return text;
}

NodeView node_view(const Plan& plan, TaskIndex task, TaskState state, const TaskRecord& record, const Attempt* attempt,
                   Time now) {
  NodeView node;
  node.id = plan.id(task);
  node.state = state;
  node.reason = record.reason;
  node.attempts = record.tries;
  node.queued = record.queued;
  node.ran = record.ran;
  if (state != TaskState::kPending && state != TaskState::kWaiting) node.output = record.output;
  node.error = record.error;
  node.artifacts = record.artifacts;
  const FlowSpec& flow = plan.spec(task).flow;
  if (record.worker != nullptr && flow.wait && flow.wait->kind == WaitKind::kChild) node.child = *record.worker;
  else if (record.worker != nullptr) node.worker = *record.worker;
  if (attempt != nullptr) {
    node.attempts = attempt->id.number;
    node.queued += attempt->dispatched - attempt->ready;
    node.ran = now - attempt->dispatched;
    if (attempt->worker.name != nullptr) node.worker = *attempt->worker.name;
  } else if (state == TaskState::kReady) {
    node.wait_reason = WaitReason::kSlot;
    node.queued += now - record.ready;
  } else if (state == TaskState::kWaiting) {
    node.wait_reason = wait_reason_of(record.reason);
    node.wait_text = wait_text_of(plan.spec(task), record);
    if (record.reason == Reason::kFallback) node.reason = record.cause;
  } else if (state == TaskState::kRetrying) {
    node.wait_reason = WaitReason::kBackoff;
  }
  return node;
}

// Of a fan-out that was taken over there are no items here, only what they came to.
std::optional<ItemsView> shared_items(const TaskRecord& record) {
  if (record.reason != Reason::kShared || record.items == 0) return std::nullopt;
  return ItemsView{record.items, record.items, record.items_failed, 0, 0, {}};
}

void count(RunView& view, TaskState state) { ++view.by_state[state]; }

void count_item(Mapped& mapped, std::uint32_t first, const TaskRecord& record) {
  if (record.state == TaskState::kRetrying) ++mapped.waiting;
  if (record.state == TaskState::kWaiting && record.reason == Reason::kChild) ++mapped.running;
  if (is_terminal(record.state)) mapped.done.add(first, first + std::max(record.items, 1U));
  if (record.state != TaskState::kFailed) return;
  ++mapped.failed;
  mapped.show({first, record.reason, record.tries, record.error});
}

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
  const auto id = [&](std::uint32_t node) { return run.plan->id(TaskIndex{node}); };
  view.variables = variables_view(run.plan->setters(), record_of(run.tasks), id);
  if (view.nodes_total > nodes_max) return view;
  view.nodes.reserve(view.nodes_total);
  for (std::uint32_t task = 0; task < view.nodes_total; ++task) {
    auto it = run.attempts.find(TaskIndex{task});
    view.nodes.push_back(node_view(*run.plan, TaskIndex{task}, run.states[task], run.tasks[task],
                                   it == run.attempts.end() ? nullptr : &it->second, now));
    if (auto mapped = run.mapped.find(TaskIndex{task}); mapped != run.mapped.end()) {
      view.nodes.back().items = mapped->second->view();
      if (run.states[task] == TaskState::kRunning) view.nodes.back().ran = now - mapped->second->dispatched;
    } else {
      view.nodes.back().items = shared_items(run.tasks[task]);
    }
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
  std::map<TaskIndex, Mapped> mapped;
  for (const auto& [task, record] : run.tasks) {
    if (!run.plan->is_item(task)) records[task.value] = &record;
    else if (const auto node = run.plan->node_of(task))
      count_item(mapped[*node], task.value - run.plan->base(*node), record);
  }
  for (const TaskRecord* record : records) count(view, record->state);
  view.variables = variables_view(
      run.plan->setters(), [&](std::uint32_t node) -> const TaskRecord& { return *records[node]; },
      [&](std::uint32_t node) { return run.plan->id(TaskIndex{node}); });
  if (view.nodes_total > nodes_max) return view;
  view.nodes.reserve(view.nodes_total);
  for (std::uint32_t task = 0; task < view.nodes_total; ++task) {
    view.nodes.push_back(node_view(*run.plan, TaskIndex{task}, records[task]->state, *records[task], nullptr, now));
    const TaskRecord& record = *records[task];
    auto items = mapped.find(TaskIndex{task});
    if (items == mapped.end()) view.nodes.back().items = shared_items(record);
    if (view.nodes.back().items || (items == mapped.end() && record.items == 0)) continue;
    view.nodes.back().items = items == mapped.end() ? ItemsView{} : items->second.view();
    view.nodes.back().items->total = record.items;
  }
  return view;
}

RunSummary summary_of(const Run& run) {
  return {run.id(),           run.info->tenant, run.info->workflow,     run.info->labels, run.record.state,
          run.info->accepted, run.record.ended, run.plan->node_count(), run.done(),       run.info->trace_id};
}

}  // namespace millrace
