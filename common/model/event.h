// Event: one change of state as it is published on the bus.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/ids.h"
#include "common/base/time.h"
#include "common/model/payload.h"
#include "common/model/task_state.h"

namespace millrace {

// Written to Redis by number: append only.
enum class EventType : std::uint8_t {
  kRunAccepted,
  kRunSucceeded,
  kRunDegraded,
  kRunFailed,
  kRunCancelled,
  kTaskSucceeded,
  kTaskFailed,
  kTaskRetrying,
  kTaskSkipped,
  kTaskCancelled,
  kTaskWaiting,
  // Ephemeral: no seq, no promise, never in Redis.
  kTaskDispatched,
  kTaskRunning,
  kOwnerChanged,
  kTaskProgress,  // what a task says of itself while it runs, in `data`: {"done", "total"} ...
  kTaskTokens,    // a piece of a stream, in `data`: {"text": ...}
  // Durable again.
  kRunPaused,
  kRunResumed,
};
constexpr std::size_t kEventTypes = 18;
constexpr std::size_t kEventDataMax = 64 * 1024;  // bytes of `data`

constexpr bool is_durable(EventType type) {
  return type < EventType::kTaskDispatched || type == EventType::kRunPaused || type == EventType::kRunResumed;
}
constexpr bool is_run_end(EventType type) {
  return type >= EventType::kRunSucceeded && type <= EventType::kRunCancelled;
}
std::string_view to_string(EventType type);  // "run_accepted", "task_succeeded" ...

struct Event {
  RunId run;
  std::uint64_t seq = 0;  // 1, 2, 3 ... per run for durable events; 0 for ephemeral ones
  EventType type = EventType::kRunAccepted;
  Reason reason = Reason::kNone;
  TaskIndex task;             // of task events
  std::uint32_t attempt = 0;  // 0: none
  Time time{};
  std::string node;    // id, of task events
  std::string cursor;  // stream id "<epoch>-<commit>"; filled where the commit is known
  Payload data = {};   // JSON, of kTaskProgress and kTaskTokens; inline
  bool operator==(const Event&) const = default;
};

bool is_task_event(EventType type);
std::string_view status_word(
    EventType type);  // the state that the run or task is in after it: "accepted", "succeeded" ...

}  // namespace millrace
