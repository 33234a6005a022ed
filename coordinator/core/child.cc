// Partition: runs that are started by a node of another run. Parent and child know each other by letters only: the
// parent's partition asks the name's home, which says which definition that is and asks the partition of the child's
// key; that one tells the parent that the child was accepted, and how it ended.
#include <charconv>

#include "coordinator/core/home.h"
#include "coordinator/core/partition.h"
#include "coordinator/core/tries.h"

namespace millrace {
namespace {

// Of the first try "child/RUN/NODE", of later ones with their number behind.
std::string child_key(RunId parent, std::string_view node, std::uint32_t attempt) {
  return "child/" + to_string(parent) + "/" + std::string(node) + (attempt == 1 ? "" : "#" + std::to_string(attempt));
}

std::uint32_t attempt_of(std::string_view key) {
  const std::size_t mark = key.rfind('#');
  std::uint32_t attempt = 1;
  if (mark != std::string_view::npos) std::from_chars(key.data() + mark + 1, key.data() + key.size(), attempt);
  return attempt;
}

std::string named(const WaitSpec& wait) {
  return "workflow '" + wait.workflow + (wait.version == 0 ? "" : "@" + std::to_string(wait.version)) + "'";
}

}  // namespace

std::string end_of_child(const ChildTold& told) {
  const std::string who = told.child == RunId{} ? "" : "child run " + to_string(told.child) + " ";
  const std::string how = told.child == RunId{} ? "" : std::string(to_string(told.state));
  return who + how + (told.why.empty() || how.empty() ? "" : ": ") + told.why;
}

bool Partition::awaits_child(const TaskRecord& record) {
  return record.state == TaskState::kWaiting && record.reason == Reason::kChild;
}

bool Partition::awaits_child(const Run& run, TaskIndex task) {
  return run.states[task.value] == TaskState::kWaiting && run.tasks[task.value].reason == Reason::kChild;
}

// What bounds a family: how deep it is, and how many descendants a run may have. Each node that has children may have
// its part of what its run may, and each of the children an equal part of that.
Result<RunParent> Partition::link_of(const Run& run, TaskIndex task, std::uint32_t children) const {
  const RunParent& own = run.info->parent;
  const std::uint32_t room = (own.run == RunId{} ? kDescendantsMax : own.room) / run.plan->child_count();
  if (own.depth + 1 > kChildDepthMax) {
    return Error{
        Code::kRefused, "child runs are nested deeper than " + std::to_string(kChildDepthMax) + " levels", {}, ""};
  }
  if (room < children) {
    return Error{Code::kRefused,
                 "the run's family would have more than " + std::to_string(kDescendantsMax) + " child runs",
                 {},
                 ""};
  }
  return RunParent{run.id(), task, run.plan->id(task), own.depth + 1, (room - children) / std::max(children, 1U)};
}

// False: it waits for values, or has failed.
bool Partition::ask_for_child(Time now, Run& run, TaskIndex task, const Flow::Wait& wait) {
  Value inputs = Value::Object{};
  if (wait.with) {
    std::optional<Value> given = evaluate_for(now, run, task, *wait.with);
    if (!given) return false;
    inputs = std::move(*given);
  }
  const std::uint32_t attempt = next_try(run.tasks[task.value]);
  if (std::optional<NoChild> none = order_child(run, task, wait.spec, inputs, 1, attempt)) {
    fail_wait(now, run, task, none->reason, std::move(none->why));
    return false;
  }
  return true;
}

// The letter that asks for the child of a node, or of an item: one of `children`.
std::optional<NoChild> Partition::order_child(const Run& run, TaskIndex task, const WaitSpec& wait, const Value& inputs,
                                              std::uint32_t children, std::uint32_t attempt) {
  if (!inputs.is_object())
    return NoChild{Reason::kExpression, std::string("'with' is ") + inputs.kind_name() + ", not an object"};
  std::string json = inputs.dump();
  if (json.size() > kAssignmentMax) {
    return NoChild{Reason::kInvalidInput, "the inputs of " + named(wait) + " have " + std::to_string(json.size()) +
                                              " bytes, more than " + std::to_string(kAssignmentMax)};
  }
  Result<RunParent> link = link_of(run, task, children);
  if (!link.ok()) return NoChild{Reason::kRefused, link.error().what};
  ChildWanted wanted;
  wanted.name = wait.workflow;
  wanted.run.version = wait.version;
  wanted.run.tenant = run.info->tenant;
  wanted.run.key = child_key(run.id(), link->node, attempt);
  wanted.run.inputs = Payload::inline_json(std::move(json));
  wanted.run.labels = run.info->labels;
  wanted.run.trace_id = run.info->trace_id;
  wanted.run.caller = "run:" + to_string(run.id());
  wanted.run.parent = std::move(*link);
  const PartitionId home = home_of(run.info->tenant, wanted.name, options_.partitions);
  post(home, std::move(wanted));
  return std::nullopt;
}

// A new try: whom it waits for is not known until that is accepted.
void Partition::note_child_try(TaskRecord& record, Time now) const {
  note_try(record, now);
  record.tries = next_try(record);
  record.worker = nullptr;
}

void Partition::cancel_child(const Run& run, TaskIndex task, std::uint32_t attempt) {
  const WaitSpec& wait = run.plan->flow(*run.plan->node_of(task))->wait->spec;
  // By the same way as it was wanted, so that it cannot come before.
  post(home_of(run.info->tenant, wait.workflow, options_.partitions),
       ChildCancelled{run.info->tenant, child_key(run.id(), run.plan->id(task), attempt), run.id(), false});
}

// At the home of the name.
void Partition::take(Time now, LetterCame&, ChildWanted& wanted) {
  (void)now;
  const RunParent parent = wanted.run.parent;
  Result<const RegisteredWorkflow*> found = registry_.find({wanted.run.tenant, wanted.name}, wanted.run.version);
  if (!found.ok()) return tell_refused(parent, wanted.run.key, found.error().what);
  const WorkflowVersion& version = *(*found)->find(wanted.run.version);
  wanted.run.version = version.version;
  wanted.run.definition = version.definition;
  wanted.run.home = options_.partition;
  const PartitionId to = home_of(wanted.run.tenant, wanted.run.key, options_.partitions);
  post(to, std::move(wanted.run));
}

// At the home of the name, and then at the child.
void Partition::take(Time now, LetterCame&, ChildCancelled& cancelled) {
  if (!cancelled.passed_on) {
    cancelled.passed_on = true;
    const PartitionId to = home_of(cancelled.tenant, cancelled.key, options_.partitions);
    return post(to, std::move(cancelled));
  }
  const std::optional<RunId> child = find_key(cancelled.tenant, cancelled.key);
  if (!child || runs_.at(*child)->info->parent.run != cancelled.parent) return;
  CancelRequested cancel{RequestId{}, *child,
                         "its parent run " + to_string(cancelled.parent) + " does not wait for it"};
  on(now, cancel);
}

void Partition::tell_refused(const RunParent& parent, std::string_view key, std::string why) {
  ChildTold told;
  told.attempt = attempt_of(key);
  told.parent = parent.run;
  told.task = parent.task;
  told.state = RunState::kFailed;
  told.why = clip(std::move(why), kErrorMessageMax);
  post(partition_of(parent.run), std::move(told));
}

// Of a run that has a parent: that it was accepted, or how it ended.
void Partition::tell_parent(const Run& run) {
  const RunParent& parent = run.info->parent;
  if (parent.run == RunId{}) return;
  ChildTold told;
  told.parent = parent.run;
  told.task = parent.task;
  told.attempt = attempt_of(run.info->key);
  told.child = run.id();
  told.state = run.record.state;
  if (run.ended()) told.outputs = run.record.outputs;
  if (run.ended() && run.record.error != nullptr) told.why = run.record.error->message;
  post(partition_of(parent.run), std::move(told));
}

void Partition::take(Time now, LetterCame&, ChildTold& told) {
  Run* run = live(told.parent);
  if (run != nullptr && run->plan->is_item(told.task)) return item_told(now, *run, told);
  if (run == nullptr || told.task.value >= run->states.size() || !awaits_child(*run, told.task)) return;
  TaskRecord& record = run->tasks[told.task.value];
  if (told.attempt != next_try(record)) return;  // of a try that was given up
  if (told.child != RunId{}) record.worker = std::make_shared<const std::string>(to_string(told.child));
  if (!is_terminal(told.state)) return write(*run, told.task);
  if (told.state == RunState::kSucceeded || told.state == RunState::kDegraded)
    return end_wait(now, *run, told.task, std::move(told.outputs));
  fail_wait(now, *run, told.task, Reason::kChild, end_of_child(told));
}

}  // namespace millrace
