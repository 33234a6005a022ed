// Inputs: everything that a Partition can be told.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/base/ids.h"
#include "common/model/operator_messages.h"
#include "common/model/worker_messages.h"
#include "coordinator/core/letter.h"
#include "coordinator/core/plan.h"

namespace millrace {

// An attempt's place: the worker that has it and the name that records keep.
struct WorkerRef {
  WorkerId id;
  SharedName name;
};

struct RestoredRun;

struct RunSubmitted {
  RequestId request;  // answered with SubmitReply, RunReply (submit.wait) or ErrorReply
  SubmitRun submit;
  std::shared_ptr<const Plan> plan;
  Hash128 request_hash;  // of definition, inputs, labels, priority: tells a repeat from a conflict
  std::shared_ptr<const RestoredRun> old = nullptr;  // with submit.resume: the run that is run again
  RunParent parent = {};                             // of a child run
  std::vector<Hash128> parts = {};                   // what lists are put together from that it may take over
};
struct CancelRequested {
  RequestId request;  // zero: nobody waits for an answer
  RunId run;
  std::string why;
};
struct SignalGiven {  // these three are answered with ActReply
  RequestId request;
  RunId run;
  std::string name;
  Payload payload;
  std::uint64_t key = 0;
  std::string caller;
};
struct ApprovalGiven {
  RequestId request;
  RunId run;
  std::string node;
  bool approve = true;
  std::string role;
  std::string comment;
  std::string caller;
};
struct PauseRequested {
  RequestId request;
  RunId run;
  bool pause = true;
  std::string why = {};
};
struct WaitRequested {  // answered with RunReply when the run has ended
  RequestId request;
  RunId run;
  std::uint32_t nodes_max = 0;
};
struct SlotGranted {  // by Placement, for a task that was offered
  RunId run;
  TaskIndex task;
  WorkerRef worker;
  SlotClass slot_class = SlotClass::kCpu;
  const Requirements* needs = nullptr;  // where it has resources; a loan of this turn
  std::uint32_t slots = 0;              // of that class, of all workers together
};
struct AttemptStarted {
  WorkerRef worker;
  AttemptId attempt;
};
struct AttemptEnded {
  WorkerRef worker;
  AttemptReport report;
};
struct AttemptReclaimed {  // given back unstarted
  WorkerRef worker;
  AttemptId attempt;
};
struct ReclaimWanted {  // an attempt that waits at its worker: to be given back if it has not started
  WorkerId worker;
  RunId run;
  TaskIndex task;
};
struct TaskUnplaceable {  // by Placement: no worker, live or remembered, could run it
  RunId run;
  TaskIndex task;
  Reason reason = Reason::kNoWorker;
  bool overdue = false;  // it has waited for long enough: it fails
  std::string why;       // then
};
struct WorkerReported {  // a Hello: what it holds of this partition; what it should hold and does not is lost
  WorkerRef worker;
  std::vector<HeldAttempt> held;
  Time exempt_after = kNever;  // attempts dispatched at or after this may still be on their way to it
};
struct WorkerLost {
  WorkerId worker;
};
struct ValueFetched {  // answers Effects::fetches
  Hash128 hash;
  std::optional<std::string> json;  // nothing: it is gone
};
struct AdoptionClosed {};  // every worker of the stored fleet has reported, or the time for it is over
// Letters (outbox.h). The shell brings what a letter only names: plan and key of a wanted run.
struct LetterPosted {  // by who decides beside the runs
  PartitionId to;
  LetterBody body;
};
struct LetterCame {  // of one sender in order; one that was taken before changes nothing
  PartitionId from;
  std::uint64_t number = 0;
  LetterBody body;
  std::shared_ptr<const Plan> plan = nullptr;  // of RunWanted; null: it cannot be run
  std::string why = {};                        // then
  Hash128 request_hash = {};
  std::optional<RunId> existing = {};  // that has its key, and has left the memory
};
struct LettersRead {  // a batch is through: answered with LetterAck
  RequestId request;
  PartitionId from;
};
struct LettersTaken {  // the receiver has taken all up to this one
  PartitionId to;
  std::uint64_t until = 0;
};
struct WorkflowChanged {  // answered with WorkflowReply; act is not kGet
  RequestId request;
  WorkflowAct act = WorkflowAct::kApply;
  std::string tenant;
  std::string name;
  std::uint32_t version = 0;  // of kRollBack
  Hash128 definition = {};    // of kApply, and its bytes
  std::shared_ptr<const std::string> bytes = nullptr;
  std::string caller = {};
  std::vector<TriggerSpec> triggers = {};  // of that definition
};
struct PauseWanted {  // of a workflow or a queue, at the home of its name; answered with PauseReply
  RequestId request;
  Pause pause;  // its time is set here
  bool paused = true;
};
// Triggers (triggers.h), at their home.
struct TriggerTold {  // by an operator; answered with TriggerReply
  RequestId request;
  TriggerName trigger;
  TriggerAct act = TriggerAct::kFire;
  std::uint64_t once = 0;
};
struct EventCame {  // that a trigger awaits; answered with HookReply
  RequestId request;
  TriggerName trigger;
  TriggerEvent event;
};
struct StreamCame {  // nobody waits for an answer: what is committed is how far it was read
  TriggerName trigger;
  StreamEntries entries;
};
struct ClockSet {  // how far the wall clock is ahead of the time that is told; triggers follow the wall
  Duration ahead{};
};
struct TimePassed {};

using Input =
    std::variant<RunSubmitted, CancelRequested, WaitRequested, SlotGranted, AttemptStarted, AttemptEnded,
                 AttemptReclaimed, ReclaimWanted, TaskUnplaceable, WorkerReported, WorkerLost, ValueFetched,
                 AdoptionClosed, SignalGiven, ApprovalGiven, PauseRequested, LetterPosted, LetterCame, LettersRead,
                 LettersTaken, WorkflowChanged, PauseWanted, TriggerTold, EventCame, StreamCame, ClockSet, TimePassed>;

}  // namespace millrace
