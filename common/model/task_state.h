// States of tasks and runs, the reasons beside them, and the one table of allowed moves for each.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace millrace {

enum class TaskState : std::uint8_t {
  kPending,     // upstream not done
  kReady,       // nothing left to wait for but a slot
  kWaiting,     // for a value, a timer, a signal, an approval
  kRetrying,    // failed, waits out its backoff
  kDispatched,  // in memory only: handed to a worker
  kRunning,     // in memory only: a worker said it started
  kSucceeded,
  kFailed,
  kSkipped,
  kCancelled,
};

enum class RunState : std::uint8_t {
  kAccepted,
  kRunning,
  kPaused,
  kFailing,     // failed, attempts still running
  kCancelling,  // cancelled, attempts still running
  kSucceeded,
  kDegraded,  // succeeded with a fallback in it
  kFailed,
  kCancelled,
};

// Why a state is what it is. Written to Redis by number: append only.
enum class Reason : std::uint8_t {
  kNone,
  kError,            // the user's code or command failed
  kTimeout,          // the attempt's time was over; of a wait: nobody came in time
  kLost,             // the worker or the owner went away
  kPoisoned,         // lost too often
  kUpstreamFailed,   // skipped: something before it failed
  kFailFast,         // cancelled: another node failed
  kCancelRequested,  // somebody asked
  kInvalidOutput,    // not JSON, too large, not finite
  kInvalidInput,     // a field could not be rendered
  kExpression,       // an expression of the core failed
  kOutOfMemory,
  kCrashed,          // its process died of a signal
  kRefused,          // no such executor, or isolation that cannot be had
  kMissingValue,     // a value held by reference is gone
  kNoWorker,         // waits for a worker that could run it: none has its executor, queue or resources
  kLabel,            // likewise: none has the labels that it requires
  kCondition,        // skipped: its `when` does not hold
  kNotChosen,        // skipped: no branch chose it
  kUpstreamSkipped,  // skipped: nothing that it waits for ran
  kFallback,         // succeeded: it failed, and its fallback took the place of its output; waiting: for that
  kTimer,            // waits until its time has come
  kSignal,           // waits for a signal; pending: the signal has come before
  kApproval,         // waits for somebody's decision
  kRejected,         // failed: somebody said no
  kPaused,           // ready, and its run is paused
  kChild,            // waits for the run that it has started; failed: that run has
  kShared,           // succeeded: in the run that this one runs again
  kNodeTimeout,      // the time of all its tries together was over, or would be before the next
  kRunTimeout,       // the run's time was over, or would be
  kDeadline,         // the run's deadline had passed, or would have
  kRounds,           // a loop that was to go on after its last round
  kCpu,              // it used more cpu time than it may
  kProcesses,        // it wanted more processes at once than it may
  kCache,            // waits for the value of its key, which another task computes
  kCached,           // succeeded: with a value of its key that was there
};
constexpr Reason kReasonLast = Reason::kCached;

// What a ready or waiting task waits for; `explain` prints it. Append only.
enum class WaitReason : std::uint8_t {
  kNone,
  kSlot,
  kLabel,
  kLimit,
  kPaused,
  kBreaker,
  kValue,
  kAdoption,
  kTimer,
  kSignal,
  kApproval,
  kBackoff,
  kNoWorker,  // no worker could run it
  kResource,  // every worker that could run it has too little left
  kFallback,  // it failed, and waits for the node that takes its place
  kChild,     // the run that it has started
  kCache,     // the value of its key, which another task computes
};
constexpr WaitReason kWaitReasonLast = WaitReason::kCache;

constexpr bool is_terminal(TaskState s) {
  return s == TaskState::kSucceeded || s == TaskState::kFailed || s == TaskState::kSkipped ||
         s == TaskState::kCancelled;
}
constexpr bool is_durable(TaskState s) { return s != TaskState::kDispatched && s != TaskState::kRunning; }
constexpr bool is_terminal(RunState s) {
  return s == RunState::kSucceeded || s == RunState::kDegraded || s == RunState::kFailed || s == RunState::kCancelled;
}

// The one table of moves. A task that waits or retries becomes ready; a lost one becomes ready again or retries.
constexpr bool allowed(TaskState from, TaskState to) {
  using enum TaskState;
  switch (from) {
    case kPending:
      return to == kReady || to == kWaiting || to == kSkipped || to == kCancelled || to == kSucceeded || to == kFailed;
    case kReady:
      return to == kDispatched || to == kWaiting || to == kSkipped || to == kCancelled || to == kSucceeded ||
             to == kFailed;
    case kWaiting:
      return to == kReady || to == kRetrying || to == kSucceeded || to == kFailed || to == kSkipped || to == kCancelled;
    case kRetrying: return to == kReady || to == kWaiting || to == kSucceeded || to == kFailed || to == kCancelled;
    case kDispatched:
      return to == kRunning || to == kReady || to == kWaiting || to == kRetrying || to == kSucceeded || to == kFailed ||
             to == kCancelled;
    case kRunning:
      return to == kReady || to == kWaiting || to == kRetrying || to == kSucceeded || to == kFailed || to == kCancelled;
    case kSucceeded:
    case kFailed:
    case kSkipped:
    case kCancelled: return false;
  }
  return false;  // no `default:` above: a new state does not compile until it is placed
}

constexpr bool allowed(RunState from, RunState to) {
  using enum RunState;
  switch (from) {
    case kAccepted:
      return to == kRunning || to == kPaused || to == kFailing || to == kCancelling || to == kSucceeded ||
             to == kDegraded || to == kFailed || to == kCancelled;
    case kRunning:
      return to == kPaused || to == kFailing || to == kCancelling || to == kSucceeded || to == kDegraded ||
             to == kFailed || to == kCancelled;
    case kPaused: return to == kRunning || to == kFailing || to == kCancelling || to == kFailed || to == kCancelled;
    case kFailing: return to == kFailed || to == kCancelling;
    case kCancelling: return to == kCancelled;
    case kSucceeded:
    case kDegraded:
    case kFailed:
    case kCancelled: return false;
  }
  return false;
}

// Words as DESIGN section 1 fixes them, in lower case.
std::string_view to_string(TaskState state);
std::string_view to_string(RunState state);
std::string_view to_string(Reason reason);
std::string_view to_string(WaitReason reason);
std::optional<TaskState> parse_task_state(std::string_view word);
std::optional<RunState> parse_run_state(std::string_view word);

}  // namespace millrace
