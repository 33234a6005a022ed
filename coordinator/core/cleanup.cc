// Partition: what happens when a run fails, is cancelled or comes to its end: nodes that undo, that handle the failure,
// that run in any case.
//
// When everything else has ended a run goes through its clean-up phases: first what undoes (`compensate`), one after
// the other, the latest success first; then what handles the failure of the run (`on_failure`); then what runs in any
// case (`finally`). Which phase it is in follows from the records, so a new owner goes on where the old one was.
#include <algorithm>

#include "coordinator/core/partition.h"

namespace millrace {
namespace {

Value text_or_null(const std::string& text) { return text.empty() ? Value() : Value(text); }

Value as_json(const RunError& error) {
  return Value::Object{{"code", error.code},
                       {"message", error.message},
                       {"node", text_or_null(error.node)},
                       {"attempt", error.attempt == 0 ? Value() : Value(std::uint64_t{error.attempt})}};
}

}  // namespace

bool Partition::halted(const Run& run, TaskIndex task) {
  return run.stopping() && run.plan->cleanup_of(task) == Cleanup::kNone;
}

// What `error` is for a task: the failure that it handles, or that of the run; null: there is none.
Value Partition::error_for(const Run& run, TaskIndex task) const {
  for (std::uint32_t failed : run.plan->handled_by(task)) {
    if (run.states[failed] != TaskState::kFailed) continue;
    const TaskRecord& record = run.tasks[failed];
    return as_json({std::string(to_string(record.reason)), record.error == nullptr ? "" : record.error->message,
                    run.plan->id(TaskIndex{failed}), record.tries, ""});
  }
  if (const auto aside = run.plan->stands_in_for(task); aside && stands_aside(run, *aside)) {
    const TaskRecord& record = run.tasks[aside->value];
    return as_json({std::string(to_string(record.cause)), record.error == nullptr ? "" : record.error->message,
                    run.plan->id(*aside), record.tries, ""});
  }
  if (run.plan->cleanup_of(task) == Cleanup::kNone) return Value();
  if (run.record.error != nullptr) return as_json(*run.record.error);
  if (run.record.state == RunState::kCancelling)
    return as_json({std::string(to_string(Reason::kCancelRequested)), "the run was cancelled", "", 0, ""});
  return Value();
}

// When a task succeeds whose end has a place in an order: in which things are undone, and in which variables were set.
// The clock of an earlier owner may have been ahead of ours: it is later than all such ends before it, whoever wrote
// them.
bool Partition::ends_in_order(const Run& run, TaskIndex task) {
  const FlowSpec& flow = run.plan->spec(task).flow;
  return !flow.compensate.empty() || flow.sets;
}

Time Partition::ordered_end(Time now, Run& run, TaskIndex task) {
  if (!ends_in_order(run, task)) return now;
  if (run.ordered_ended != Time::min()) now = std::max(now, run.ordered_ended + 1us);
  return run.ordered_ended = now;
}

// Tasks of a phase that have not ended; what has to be undone is put in order. What the run has from another one it has
// not done, and does not undo.
void Partition::enter_phase(Run& run, Cleanup phase) {
  run.phase = phase;
  run.phase_open = 0;
  run.undo.clear();
  std::vector<std::pair<std::pair<Time, std::uint32_t>, std::uint32_t>> order;
  for (std::uint32_t task : run.plan->cleanups(phase)) {
    if (is_terminal(run.states[task])) continue;
    ++run.phase_open;
    if (run.states[task] != TaskState::kPending) continue;
    const std::optional<TaskIndex> undone = run.plan->undone_by(TaskIndex{task});
    if (phase == Cleanup::kCompensate && run.stopping() && undone &&
        run.states[undone->value] == TaskState::kSucceeded && run.tasks[undone->value].reason != Reason::kShared) {
      order.push_back({{run.tasks[undone->value].ended, run.plan->place_in_order(*undone)}, task});
    } else if (run.frontier.unmet(task) == 0) {
      opened_.emplace_back(run.id(), TaskIndex{task});
    }
  }
  std::ranges::sort(order);
  for (const auto& [when, task] : order) run.undo.push_back(task);  // the latest is the last
  undo_next(run);
}

// One at a time: the next when the one before has ended.
bool Partition::may_undo(const Run& run) {
  return !run.undo.empty() && std::ranges::all_of(run.plan->cleanups(Cleanup::kCompensate), [&](std::uint32_t task) {
    return run.states[task] == TaskState::kPending || is_terminal(run.states[task]);
  });
}

void Partition::undo_next(Run& run) {
  if (may_undo(run)) opened_.emplace_back(run.id(), TaskIndex{run.undo.back()});
}

// Everything else has ended. True while there is something to clean up.
bool Partition::clean_up(Run& run) {
  if (!run.plan->has_cleanup()) return false;
  static constexpr Cleanup kPhases[] = {Cleanup::kCompensate, Cleanup::kOnFailure, Cleanup::kFinally};
  while (true) {
    if (run.phase != Cleanup::kNone && run.phase_open > 0) return true;
    if (run.phase == Cleanup::kFinally) return false;
    enter_phase(run, kPhases[static_cast<std::size_t>(run.phase)]);
  }
}

// A clean-up task that nothing holds back any more, if its time has come.
void Partition::open_cleanup(Time now, Run& run, TaskIndex task) {
  const Cleanup kind = run.plan->cleanup_of(task);
  if (run.phase != kind) return;
  bool runs = true;
  if (kind == Cleanup::kCompensate) {
    runs = std::ranges::find(run.undo, task.value) != run.undo.end();
    if (runs && (run.undo.back() != task.value || !may_undo(run))) return;  // not yet
    if (runs) run.undo.pop_back();
  } else if (kind == Cleanup::kOnFailure) {
    runs = run.record.state == RunState::kFailing;
  }
  if (!runs) return end_task(now, run, task, TaskState::kSkipped, Reason::kNotChosen, EventType::kTaskSkipped);
  run.tasks[task.value].ready = now;
  begin_limit(now, run, task);
  decide(now, run, task);
}

// It has ended.
void Partition::cleanup_ended(Run& run, TaskIndex task) {
  ++run.cleanup_done;
  if (run.phase != run.plan->cleanup_of(task)) return;
  --run.phase_open;
  if (run.phase == Cleanup::kCompensate) undo_next(run);
}

// The first error of a run stays its error; what cleaning up adds to it is told beside.
void Partition::cleanup_failed(Run& run, TaskIndex task, RunError error) {
  ++run.cleanup_failed;
  if (run.record.error != nullptr) {
    RunError first = *run.record.error;
    first.message = clip(first.message + " (then node '" + run.plan->id(task) + "' failed: " + error.message + ")",
                         kErrorMessageMax);
    error = std::move(first);
  }
  run.record.error = std::make_shared<const RunError>(std::move(error));
  touch(run);
}

}  // namespace millrace
