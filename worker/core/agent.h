// Agent: the worker's decisions, pure. It is told what coordinators say and what its tasks do; it asks for tasks to be
// started and killed and for messages to be sent.
//
// Promises: never runs more than `slots` cpu attempts (io_slots io attempts) at once, nor more than its resources are
// enough for, whoever sent them, started by (priority, age) over all coordinators: one that waits for a resource lets
// none pass that wants the same; an attempt is started at most once; every ended attempt is reported to its coordinator
// again and again (every kReportAgain, large ones more rarely) until answered `recorded`, `duplicate` or `refused`;
// `refused` kills an attempt that still runs; a repeated assignment of an attempt that it has or had is ignored (or
// answered by its report); timeouts kill (Reason::kTimeout; those of items are the host's to keep). Draining: takes
// nothing new, gives back what has not started, leaves when everything is answered. Every Hello names all attempts
// held, whoever sent them, and is followed by the link's unanswered reports; it is said when a link comes up, when
// asked for, and when a coordinator is silent. Coordinators say which partitions they own: what is held of a partition
// belongs to the link of its highest epoch, and is reported there. A name in use is tried again for kNameFreeAfter by a
// worker that was never welcome there. Assignments of an epoch lower than one heard of their partition are ignored, as
// are cancels and refusals of who owns it no more. A cancelled attempt that is unknown is reported as ended, a
// reclaimed one as given back: a lost assignment holds nobody up, and one that comes late does not start. Bounded: at
// most kHeldMax attempts at once (more are given back) and kRecentMax remembered after their end. Threads: none of its
// own. Times are handed in. Fails: never; what cannot be is ignored.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/base/ids.h"
#include "common/model/worker_messages.h"

namespace millrace {

constexpr Duration kReportAgain = 1s;
// A large report is repeated after 4 s, 8 s, 16 s ...: on a slow link it may not have got through yet, and repeating it
// every second would leave no room for anything else.
constexpr std::size_t kReportLarge = 4 * 1024;
constexpr std::uint32_t kReportDoublingsMax = 5;
// While there is more to start, reports are gathered (Prefetch::hold()), or until there are so many: a message for each
// tiny task would cost the coordinator more than the task.
constexpr std::size_t kReportsHeld = 128;
constexpr Duration kStartedAfter = 20ms;      // attempts that end sooner are not worth a "started" message
constexpr Duration kHelloEvery = 100ms;       // at most one Hello a link in this time
constexpr Duration kNameFreeAfter = 4s;       // a name in use at the start may be our own of before a crash: so long
constexpr Duration kNameTryEvery = 500ms;     // it is tried again
constexpr Duration kSilentAfter = 3s;         // a coordinator that owes an answer is told Hello again
constexpr Duration kReconcileAfter = 10s;     // so is one that owes none: an assignment may have been lost on the way
constexpr Duration kReconcileAtLeast = 900s;  // as is one that never falls silent
constexpr Duration kLeaveAfterKill = 10s;     // after KillRequested the worker leaves, answered or not
constexpr std::size_t kHeldMax = 65'536;
constexpr std::size_t kRecentMax = 16'384;
constexpr std::size_t kReportBytes = 64 * 1024;  // where a message of reports is closed; a larger one travels alone

// A coordinator that this worker is connected to; the shell numbers them 0, 1, 2 ...
using LinkId = Id<struct LinkTag, std::uint32_t>;

struct AgentOptions {
  WorkerHello hello;                  // `held` and `draining` are filled in by the agent
  std::uint32_t prefetch_max = 1024;  // attempts queued beyond the slots, per coordinator
};

// Inputs.
struct LinkUp {
  LinkId link;
};  // connected (again): say Hello
struct LinkDown {
  LinkId link;
};
struct CoordinatorSaid {
  LinkId link;
  CoordinatorMessage message;
};
struct TaskEnded {
  AttemptId attempt;
  Outcome outcome;
};  // from an executor, exactly once per StartTask
struct TaskLogged {
  AttemptId attempt;
  bool stderr_stream = false;
  std::string text;
  std::optional<std::uint32_t> item = {};  // of an attempt that has items
};
struct TaskSaid {
  TaskNews news;
};
struct DrainRequested {};  // SIGTERM
struct KillRequested {};   // the grace of a drain is over: what runs is killed (Reason::kLost)
struct AgentTick {};
using AgentInput = std::variant<LinkUp, LinkDown, CoordinatorSaid, TaskEnded, TaskLogged, TaskSaid, DrainRequested,
                                KillRequested, AgentTick>;

// Effects.
struct StartTask {
  Assignment assignment;
  LinkId link;  // whose it is: values it refers to are fetched there
};
struct KillTask {
  AttemptId attempt;
  Reason why = Reason::kCancelRequested;
};
struct ToCoordinator {
  LinkId link;
  WorkerMessage message;
};
struct AgentEffects {
  std::vector<StartTask> starts;
  std::vector<KillTask> kills;
  // Batched a link and flush(): one AttemptsStarted, AttemptsReclaimed, CreditUpdate; one AttemptReports per
  // kReportBytes.
  std::vector<ToCoordinator> messages;
  bool leave = false;             // drained: the process may end
  bool refused_for_good = false;  // `id_in_use` or wrong version: the process must end with the error below
  std::string refusal;            // the name: "id_in_use"
  std::string refusal_message;
};

class Agent {
 public:
  explicit Agent(AgentOptions options);
  ~Agent();
  Agent(Agent&&) noexcept;

  // Takes in one input. Cheap; collects what must be said.
  void step(Time now, AgentInput input, AgentEffects& out);
  // Starts what fits and says nothing: for tasks that end at once, between steps of the same round.
  void start(Time now, AgentEffects& out);
  // After the inputs of one round: starts what fits, adds the batched messages.
  void flush(Time now, AgentEffects& out);
  Time next_deadline() const;     // when to send AgentTick: timeouts, resends; kNever without one
  std::uint32_t running() const;  // of both classes, as is queued()
  std::uint32_t queued() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace
