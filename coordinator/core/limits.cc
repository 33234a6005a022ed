// Partition: how long a run and its nodes may take: the run's timeout and deadline, a node's limit over all its tries
// and the time between them. (The time of one attempt is its worker's to keep.)
//
// Of all this only the deadline is stored: a node's time begins when what it waits for had ended, which the records
// tell after a restart. What cleans up has its own limits and heeds no other.
#include <algorithm>

#include "common/base/units.h"
#include "coordinator/core/partition.h"

namespace millrace {
namespace {

std::string text_of(Reason reason, Duration limit) {
  if (reason == Reason::kNodeTimeout) return "the limit of " + format_duration(limit) + " for all its tries";
  return reason == Reason::kDeadline ? "the time until the run's deadline"
                                     : "the run's timeout of " + format_duration(limit);
}

}  // namespace

// ---------------------------------------------------------------- of the run

void Partition::begin_run_limits(Time now, const Run& run) {
  const Time accepted = run.info->accepted;
  if (const Duration timeout = run.plan->workflow().timeout; timeout != Duration::zero())
    set_timer(std::clamp(accepted + timeout, now, now + timeout), run.id(), kRunTimer);
  if (run.info->deadline != Time{}) set_timer(std::max(now, run.info->deadline), run.id(), kRunTimer);
}

void Partition::run_time_over(Time now, Run& run) {
  if (run.phase != Cleanup::kNone) return;
  const Time deadline = run.info->deadline;
  if (deadline != Time{} && now >= deadline)
    return fail_run(now, run, Reason::kDeadline,
                    {std::string(to_string(Reason::kDeadline)),
                     "the run had not ended by its deadline, " + format_time(deadline), "", 0, ""});
  const Duration timeout = run.plan->workflow().timeout;
  if (timeout == Duration::zero()) return;
  const Time accepted = run.info->accepted;  // by a clock that may have been ahead of ours: then since we have it
  if (now >= accepted && now < accepted + timeout) return set_timer(accepted + timeout, run.id(), kRunTimer);
  fail_run(now, run, Reason::kRunTimeout,
           {std::string(to_string(Reason::kRunTimeout)),
            "the run took longer than its timeout of " + format_duration(timeout), "", 0, ""});
}

// ---------------------------------------------------------------- of a node

void Partition::begin_limit(Time now, Run& run, TaskIndex task) {
  const Duration limit = run.plan->spec(task).limit;
  if (limit == Duration::zero()) return;
  Time begun = now;
  if (run.restored && run.plan->cleanup_of(task) == Cleanup::kNone) {
    begun = run.info->accepted;
    for (std::uint32_t up : run.plan->dag().upstream().of(task.value)) begun = std::max(begun, run.tasks[up].ended);
    begun = std::min(begun, now);
  }
  run.limits[task] = begun + limit;
  set_timer(begun + limit, run.id(), task);
}

bool Partition::over_limit(Time now, const Run& run, TaskIndex task) {
  if (run.limits.empty()) return false;
  const auto limit = run.limits.find(task);
  return limit != run.limits.end() && limit->second <= now && !is_terminal(run.states[task.value]) &&
         !stands_aside(run, task) && !halted(run, task);
}

ErrorInfo Partition::limit_error(const Run& run, TaskIndex task) {
  const std::shared_ptr<const ErrorInfo>& last = run.tasks[task.value].error;
  return {clip("it took longer than " + text_of(Reason::kNodeTimeout, run.plan->spec(task).limit) +
                   (last == nullptr ? "" : "; the latest failed: " + last->message),
               kErrorMessageMax),
          last == nullptr ? "" : last->traceback, last == nullptr ? std::vector<LostAttempt>() : last->losses};
}

// It is not out any more.
void Partition::fail_by_limit(Time now, Run& run, TaskIndex task) {
  TaskRecord& record = run.tasks[task.value];
  record.error = std::make_shared<const ErrorInfo>(limit_error(run, task));
  record.due = Time{};
  run.value_waits.erase(task);
  end_task(now, run, task, TaskState::kFailed, Reason::kNodeTimeout, EventType::kTaskFailed);
}

// Its time is over: what is out is told to stop, again until it has; everything else fails on the spot.
void Partition::time_is_up(Time now, Run& run, TaskIndex task) {
  const TaskState state = run.states[task.value];
  if (state != TaskState::kDispatched && state != TaskState::kRunning) return fail_by_limit(now, run, task);
  set_timer(now + kConfirmWithin, run.id(), task);
  if (Mapped* mapped = mapped_at(run, task)) {
    fail_items(run, *mapped, Reason::kNodeTimeout, limit_error(run, task));
    return advance_items(now, run, *mapped);
  }
  Attempt& attempt = run.attempts.at(task);
  attempt.cancelling = true;
  effects_.cancels.push_back({attempt.worker.id, {attempt.id, Reason::kTimeout}});
}

// A try that would begin then could not end in time. True: the error says so, and `reason` is whose time it is.
bool Partition::too_late(const Run& run, TaskIndex node, Time due, ErrorInfo& error, Reason& reason) const {
  Time first = kNever;
  Duration length{};
  const auto consider = [&](Time limit, Reason whose, Duration of) {
    if (limit > due || limit >= first) return;
    first = limit;
    reason = whose;
    length = of;
  };
  if (const auto limit = run.limits.find(node); limit != run.limits.end())
    consider(limit->second, Reason::kNodeTimeout, run.plan->spec(node).limit);
  if (run.plan->cleanup_of(node) == Cleanup::kNone) {
    const Duration timeout = run.plan->workflow().timeout;
    if (timeout != Duration::zero()) consider(run.info->accepted + timeout, Reason::kRunTimeout, timeout);
    if (run.info->deadline != Time{}) consider(run.info->deadline, Reason::kDeadline, {});
  }
  if (first == kNever) return false;
  error.message = clip(error.message + " (not tried again: " + text_of(reason, length) + " ends before the next try)",
                       kErrorMessageMax);
  return true;
}

}  // namespace millrace
