// Fault points: places in a daemon where a test can kill it, stop it or hold it up. MILLRACE_FAULT says where and how:
//
//   POINT:kill|stop|delay[=MILLISECONDS][@N[+]][,...]
//
// at the Nth time that the point is reached (default: the first), with + from then on each time. `kill` is SIGKILL,
// `stop` SIGSTOP, `delay` blocks the thread (1,000 ms unless said). For tests: docs/RELIABILITY.md names the points.
//
// Promises: without MILLRACE_FAULT a point costs one look at a pointer that is null. Threads: arm_faults() before there
// are others; each point is reached from one thread. Fails: arm_faults() says what it does not understand.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/base/result.h"

namespace millrace {

enum class FaultPoint : std::uint8_t {
  kAcceptBeforeCommit,      // a run is accepted in memory, its commit goes out next
  kAcceptBeforeReply,       // it is durable, its client has not heard
  kLeaseBeforeSend,         // an attempt is leased to a worker, the assignment goes out next
  kSendBeforeAck,           // the assignment went out, the worker has not said anything
  kResultBeforeCommit,      // a worker's report was taken in, its commit goes out next
  kCommitBeforeSuccessors,  // it is durable, nothing that it opens has left
  kCommitBeforeEvent,       // all was sent, its events are not published
  kTaskBeforeStart,         // worker: an assignment came, its task starts next
  kTaskRunning,             // worker: a task was started
  kResultSent,              // worker: a report went out, no answer came
};
constexpr std::size_t kFaultPoints = static_cast<std::size_t>(FaultPoint::kResultSent) + 1;
std::string_view to_string(FaultPoint point);  // "accept_before_commit" ...

struct FaultPlan;
extern FaultPlan* fault_plan;  // null: inert

Status arm_faults(const char* plan);  // null or empty: nothing is armed; otherwise a warning is logged
void reach_fault(FaultPoint point);

inline bool faults_armed() { return fault_plan != nullptr; }
inline void fault_point(FaultPoint point) {
  if (fault_plan != nullptr) [[unlikely]]
    reach_fault(point);
}

}  // namespace millrace
