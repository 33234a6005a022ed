// Partition: tasks and their places: wishes about them, tasks that no worker could run, what waits at a worker.
#include <algorithm>

#include "coordinator/core/partition.h"

namespace millrace {
namespace {

std::uint64_t key_of(RunId run, TaskIndex task) {
  const std::uint64_t words[] = {run.value, task.value};
  return hash64({reinterpret_cast<const char*>(words), sizeof words}) | 1;
}

bool is_of_place(Reason reason) { return reason == Reason::kNoWorker || reason == Reason::kLabel; }

}  // namespace

bool Partition::waits_for_place(const Run& run, TaskIndex task) const {
  return run.states[task.value] == TaskState::kWaiting && is_of_place(run.tasks[task.value].reason);
}

void Partition::place_found(Run& run, TaskIndex task) {
  Reason& reason = run.tasks[task.value].reason;
  if (!is_of_place(reason)) return;
  if (run.states[task.value] == TaskState::kWaiting) move(run, task, TaskState::kReady);
  if (!is_terminal(run.states[task.value])) reason = Reason::kNone;
}

void Partition::on(Time now, TaskUnplaceable& in) {
  Run* run = live(in.run);
  if (run == nullptr || halted(*run, in.task) || held_back(*run, in.task)) return;
  if (options_.adopting && run->restored) return;
  const bool waits = waits_for_place(*run, in.task);
  const TaskState state = run->states[in.task.value];
  const Mapped* mapped = mapped_at(*run, in.task);
  const bool begun = mapped != nullptr && state == TaskState::kRunning && mapped->out.empty();  // and cannot go on
  if (!waits && !begun && state != TaskState::kReady) return;
  TaskRecord& record = run->tasks[in.task.value];
  if (in.overdue) {
    record.error = std::make_shared<const ErrorInfo>(ErrorInfo{std::move(in.why), ""});
    end_task(now, *run, in.task, TaskState::kFailed, in.reason, EventType::kTaskFailed);
    return;
  }
  if (waits) return;
  const bool told = is_of_place(record.reason);  // by an earlier epoch
  record.reason = in.reason;
  move(*run, in.task, TaskState::kWaiting);
  if (told) return;
  write(*run, in.task);
  emit(now, *run, EventType::kTaskWaiting, in.task, record.tries, in.reason);
}

std::vector<Unstarted> Partition::unstarted(WorkerId worker, Time before) const {
  std::vector<Unstarted> out;
  for (auto it = out_.lower_bound({worker, RunId{}, TaskIndex{}});
       it != out_.end() && std::get<WorkerId>(*it) == worker; ++it) {
    const auto& [id, run_id, task] = *it;
    const Run& run = *runs_.at(run_id);
    const Attempt& attempt = run.attempts.at(task);
    if (!is_unstarted(run, task, attempt) || attempt.cancelling || attempt.dispatched > before) continue;
    const TaskIndex node = *run.plan->node_of(task);
    const std::shared_ptr<const Requirements>& needs = run.plan->needs(node);
    if (needs->slot_class != SlotClass::kCpu) continue;  // the others do not wait
    out.push_back({run_id, task, run.info->priority + run.plan->spec(node).priority, run.info->accepted,
                   attempt.dispatched, attempt.reclaimed, needs.get()});
  }
  return out;
}

bool Partition::is_unstarted(const Run& run, TaskIndex task, const Attempt& attempt) const {
  return run.plan->is_item(task) ? !attempt.started : run.states[task.value] == TaskState::kDispatched;
}

// Asked for, and nothing more: until its worker says that it has not started the attempt is where it is.
void Partition::on(Time now, ReclaimWanted& in) {
  Run* run = live(in.run);
  if (run == nullptr) return;
  const auto found = run->attempts.find(in.task);
  if (found == run->attempts.end() || !is_unstarted(*run, in.task, found->second)) return;
  Attempt& attempt = found->second;
  if (attempt.worker.id != in.worker || attempt.cancelling) return;
  attempt.reclaimed = now;
  attempt.confirmed = false;  // the answer may be lost: then its worker is asked what it has
  effects_.reclaims.push_back({in.worker, attempt.id});
  if (options_.plant == TestPlant::kNoPatience) {
    AttemptReclaimed given{attempt.worker, attempt.id};
    on(now, given);
  }
}

// ---------------------------------------------------------------- wishes

std::uint64_t Partition::hint_key(const Run& run, TaskIndex task, const Wish& wish) {
  if (wish.node) return key_of(run.id(), *wish.node);
  std::vector<Hash128> missing;
  const Result<Value> key = evaluate(run, *wish.key, missing, task);
  if (!key.ok() || !missing.empty() || key->is_null()) return 0;  // a wish is nothing to fail by
  return hash64(run.info->tenant + '\0' + (key->is_string() ? key->as_string() : key->dump())) | 1;
}

std::unique_ptr<const PlacingHints> Partition::hints(const Run& run, TaskIndex task) {
  const Wishes* wishes = run.plan->wishes(task);
  const bool noted = run.plan->noted(task);
  if (wishes == nullptr && !noted) return nullptr;
  auto hints = std::make_unique<PlacingHints>();
  if (noted) hints->noted.push_back(key_of(run.id(), task));
  if (wishes == nullptr) return hints;
  for (const Wish& wish : wishes->sticky) {
    hints->sticky = hint_key(run, task, wish);
    if (!wish.node && hints->sticky != 0) hints->noted.push_back(hints->sticky);
  }
  for (const Wish& wish : wishes->apart) {
    const std::uint64_t key = hint_key(run, task, wish);
    if (key == 0) continue;
    hints->apart.push_back(key);
    if (!wish.node) hints->noted.push_back(key);
  }
  return hints;
}

}  // namespace millrace
