// Partition: a node that stands in for one that failed (`fallback: {node}`).
//
// Who failed for good stands aside: it waits, durably, with the reason `fallback`, while `cause` keeps why it failed.
// Its stand-in opens then, when nothing else holds it back, and when that has ended so does who stood aside: with its
// output, or for good. Where that stands follows from the records, so a new owner goes on where the old one was.
#include "coordinator/core/partition.h"

namespace millrace {

bool Partition::stands_aside(const TaskRecord& record) {
  return record.state == TaskState::kWaiting && record.reason == Reason::kFallback;
}

bool Partition::stands_aside(const Run& run, TaskIndex task) {
  return run.states[task.value] == TaskState::kWaiting && run.tasks[task.value].reason == Reason::kFallback;
}

// It has failed for good. True: another node runs in its place, and it waits for that.
bool Partition::stand_aside(Time now, Run& run, TaskIndex task, Reason cause) {
  const std::optional<TaskIndex> next = run.plan->stand_in(task);
  if (!next || run.states[next->value] != TaskState::kPending) return false;
  if (run.plan->is_mapped(task)) close_items(run, task);
  run.value_waits.erase(task);
  note_start(now, run);
  TaskRecord& record = run.tasks[task.value];
  if (run.states[task.value] != TaskState::kWaiting) move(run, task, TaskState::kWaiting);
  record.reason = Reason::kFallback;
  record.cause = cause;
  record.ended = now;
  record.due = Time{};
  give_up_claim(run, task, TaskState::kWaiting, Reason::kFallback);
  write(run, task);
  emit(now, run, EventType::kTaskWaiting, task, record.tries, Reason::kFallback);
  if (may_stand_in(run, *next)) opened_.emplace_back(run.id(), *next);
  return true;
}

// Whether it is wanted, and everything else that it waits for has ended.
bool Partition::may_stand_in(const Run& run, TaskIndex task) const {
  const std::optional<TaskIndex> aside = run.plan->stands_in_for(task);
  return aside && stands_aside(run, *aside) && run.frontier.unmet(task.value) == 1;
}

// Its stand-in has ended: so does the task.
void Partition::stood_in(Time now, Run& run, TaskIndex task) {
  const TaskIndex next = *run.plan->stand_in(task);
  const TaskRecord& other = run.tasks[next.value];
  TaskRecord& record = run.tasks[task.value];
  if (!is_terminal(run.states[next.value])) return;
  if (run.states[next.value] == TaskState::kSucceeded) {
    record.output = other.output;
    ++run.fallbacks;
    return end_task(now, run, task, TaskState::kSucceeded, Reason::kFallback, EventType::kTaskSucceeded);
  }
  ErrorInfo error = record.error == nullptr ? ErrorInfo{"it failed", ""} : *record.error;
  error.message += " (then node '" + run.plan->id(next) + "', which stands in for it, ";
  error.message +=
      run.states[next.value] == TaskState::kFailed && other.error != nullptr
          ? "failed: " + other.error->message + ")"
          : "was " + std::string(to_string(run.states[next.value])) + ": " + std::string(to_string(other.reason)) + ")";
  error.message = clip(std::move(error.message), kErrorMessageMax);
  record.error = std::make_shared<const ErrorInfo>(std::move(error));
  end_task(now, run, task, TaskState::kFailed, std::exchange(record.cause, Reason::kNone), EventType::kTaskFailed);
}

}  // namespace millrace
