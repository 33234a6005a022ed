// What clients (the CLI) and a coordinator say to each other: one request, one reply, matched by a number that the
// client chose. `wait` is a request whose reply is late; live events come over the event bus.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "common/model/event.h"
#include "common/model/health.h"
#include "common/model/pause.h"
#include "common/model/registered.h"
#include "common/model/run_view.h"
#include "common/model/value_parts.h"
#include "common/model/workflow.h"

namespace millrace {

// ---------------------------------------------------------------- requests

// Names a run as an operator does: an id, a unique prefix of at least 4 characters, or "@latest".
struct RunName {
  std::string text;
  std::string caller;  // whose @latest
  bool operator==(const RunName&) const = default;
};

// Of a submission: it runs an earlier run again. What it does not say is as in that run: a definition of zero, labels
// and inputs that are not named.
enum class ResumeScope : std::uint8_t {
  kFailed,  // what failed, was cancelled or never ran, and everything downstream of it
  kFrom,    // these nodes, too
  kAll,     // everything; that run may still be live
};
struct Resume {
  RunId of;
  ResumeScope scope = ResumeScope::kFailed;
  std::vector<std::string> from;  // nodes
  std::string why;                // for the records
  bool operator==(const Resume&) const = default;
};

struct SubmitRun {
  std::string tenant = "default";
  std::string key;                                      // idempotency key; never empty
  Hash128 definition;                                   // of the definition's bytes
  std::shared_ptr<const std::string> definition_bytes;  // encoded WorkflowSpec; null: the coordinator knows it by hash
  Payload inputs;                                       // JSON object, or the reference of one that PutInputs has sent
  Labels labels;
  std::string trace_id;  // empty: the coordinator makes one from the run's id
  std::string caller;
  std::int32_t priority = 0;
  Deadline deadline = {};     // of the run; none: the workflow's
  bool wait = false;          // reply when the run has ended (RunReply) instead of SubmitReply
  bool with_nodes = true;     // of that reply
  std::uint32_t version = 0;  // of the registered workflow that it is a run of; zero: of none
  std::optional<Resume> resume = {};
};

struct GetRun {
  RunName run;
  std::uint32_t nodes_max = 20'000;  // more nodes than this: only counts
};
struct WaitRun {  // answered with RunReply when the run has ended
  RunName run;
  std::uint32_t nodes_max = 20'000;
};
struct ListRuns {
  std::string tenant;  // empty: all
  std::string workflow;
  Labels labels;
  std::optional<RunState> state;
  std::string caller;
  std::uint32_t limit = 50;
  std::string page;        // token of the reply before; empty: newest first from the start
  std::string where = {};  // an expression that holds for what is listed; empty: all (coordinator/shell/run_filter.h)
};
struct CancelRun {
  RunName run;
  std::string why;
};
struct ReadEvents {  // durable events with seq > since, in order, at most `limit`
  RunName run;
  std::uint64_t since = 0;
  std::uint32_t limit = 1000;
};
struct ReadLogs {
  RunName run;
  std::string node;           // empty: all
  std::uint32_t attempt = 0;  // 0: all
  std::string since;          // cursor of the reply before
  std::uint32_t limit = 1000;
};
struct GetValue {
  Hash128 hash;
  std::uint64_t from = 0;
  std::uint32_t max = 0;  // bytes; zero: all of it in one message, as older clients want it
};
// Some bytes of the inputs of a run that is about to be submitted, in order from the first; answered by InputsTaken.
// What has come whole is kept for a while, and a submission may name it by its hash.
struct PutInputs {
  Hash128 hash;
  std::uint64_t size = 0;
  std::uint64_t from = 0;
  std::uint64_t check = 0;  // part_check()
  std::string bytes;
};
struct ListWorkers {};
struct DrainWorkerRequest {
  std::string name;
};
struct GetDefinition {  // the encoded WorkflowSpec of a run
  RunName run;
};
struct PingRequest {};
struct ListCoordinators {};
struct ListPartitions {};
struct MovePartition {  // its owner gives it up for `to`
  std::uint32_t partition = 0;
  std::string to;
};
struct DrainCoordinator {  // gives up all its partitions, takes none, goes on forwarding
  std::string name;
};

// A signal to a run: for the node that waits for it, or will. Asked twice with one `key` it comes once.
struct SignalRun {
  RunName run;
  std::string name;
  Payload payload;
  std::uint64_t key = 0;
  std::string caller;
};
struct DecideApproval {
  RunName run;
  std::string node;
  bool approve = true;
  std::string role;  // in which the caller decides; empty: none
  std::string comment;
  std::string caller;
};
struct PauseRun {  // or lets it go on
  RunName run;
  bool pause = true;
  std::string why = {};
};

// A workflow or a queue, all over the cluster. Answered by the home of its name, with PauseReply.
struct PauseScope {
  PauseName what;
  bool pause = true;
  std::string why = {};
  std::string caller = {};
};
struct ListPauses {
  std::string tenant;  // empty: all; queues are everybody's
};

// Registered workflows. What changes a name is answered by its home partition, with WorkflowReply.
enum class WorkflowAct : std::uint8_t { kGet, kApply, kRollBack, kDelete };
struct WorkflowRequest {
  WorkflowAct act = WorkflowAct::kGet;
  std::string tenant = "default";
  std::string name;
  std::uint32_t version = 0;                            // of kGet (zero: the current one) and kRollBack
  Hash128 definition;                                   // of kApply
  std::shared_ptr<const std::string> definition_bytes;  // of kApply; null: the coordinator knows it by hash
  std::string caller;
  bool force = false;            // of kDelete: also where runs of it are live
  bool with_definition = false;  // of kGet
};
struct ListWorkflows {  // those of all partitions that are served
  std::string tenant;   // empty: all
};

// Letters of one partition to another, from coordinator to coordinator only; packed as their partition keeps them.
struct DeliverLetters {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  std::vector<std::string> letters;  // none: how far it has taken those before is asked
  std::uint64_t after = 0;           // it has said that it has taken all up to this one
};

enum class TriggerAct : std::uint8_t { kFire, kPause, kResume };
struct ListTriggers {  // of the applied workflows
  std::string tenant = "default";
  std::string workflow;  // empty: of all
};
struct TellTrigger {
  std::string tenant = "default";
  std::string workflow;
  std::string trigger;
  TriggerAct act = TriggerAct::kFire;
  std::uint64_t once = 0;  // of kFire: the same number is the same firing
};

// What came to a webhook, as it came: the home of its trigger says whether it may. Answered with HookReply.
struct HookDelivery {
  std::string tenant = "default";
  std::string workflow;
  std::string trigger;
  std::vector<std::pair<std::string, std::string>> headers = {};  // names in lower case
  std::string body = {};
};
struct FindRunOfKey {  // an idempotency key; answered with SubmitReply
  std::string tenant = "default";
  std::string key;
};

struct ExamineCluster {};  // the whole audit now, and how each coordinator is

using OperatorRequest =
    std::variant<SubmitRun, GetRun, WaitRun, ListRuns, CancelRun, ReadEvents, ReadLogs, GetValue, ListWorkers,
                 DrainWorkerRequest, GetDefinition, PingRequest, ListCoordinators, ListPartitions, MovePartition,
                 DrainCoordinator, ExamineCluster, SignalRun, DecideApproval, PauseRun, DeliverLetters, WorkflowRequest,
                 ListWorkflows, ListTriggers, TellTrigger, HookDelivery, FindRunOfKey, PauseScope, ListPauses,
                 PutInputs>;

// ---------------------------------------------------------------- replies

struct SubmitReply {
  RunId run;
  bool existing = false;
  TraceId trace_id;
  std::uint32_t shared = 0;  // results that it takes over from the run that it runs again
};
struct NeedDefinition {  // submit again with the bytes
  Hash128 definition;
};
struct RunReply {
  RunView view;
};
struct ListReply {
  std::vector<RunSummary> runs;
  std::string next_page;  // empty: no more
};
struct CancelReply {
  RunId run;
  RunState state = RunState::kCancelling;
  bool was_cancelled = false;  // it had been before
};
struct EventsReply {
  RunId run;
  std::vector<Event> events;
  bool ended = false;  // the run's last event is among those read so far
};
struct LogLine {
  std::string node;
  std::uint32_t attempt = 0;
  bool stderr_stream = false;
  Time time{};
  std::string text;
  bool operator==(const LogLine&) const = default;
};
struct LogsReply {
  RunId run;
  std::vector<LogLine> lines;
  std::string cursor;
  bool ended = false;  // the run has ended and nothing more will come
};
struct ValueFound {
  bool found = false;
  std::string json;
  PartPlace place = {};  // of a part that was asked for; older coordinators answer with all of it
};
struct InputsTaken {
  Hash128 hash;
  std::uint64_t have = 0;  // bytes of them that have come: where to go on
  bool kept = false;       // all have
  bool damaged = false;    // what has come was not what it should be, and is forgotten
};
struct WorkersReply {
  std::vector<WorkerView> workers;
};
struct DrainReply {
  std::string name;
};
struct DefinitionReply {
  std::shared_ptr<const std::string> bytes;
};
struct CoordinatorAddress {
  std::string name;
  std::string endpoint;
  std::string events;  // where its XPUB listens
  bool operator==(const CoordinatorAddress&) const = default;
};
struct PingReply {
  std::string coordinator;
  std::string version;
  std::string events_endpoint;  // where XPUB listens; "tcp://*:5712" means the host the client used
  std::uint32_t partitions = 0;
  std::uint32_t workers = 0;
  std::vector<CoordinatorAddress> members = {};  // coordinators that live, this one among them
};
struct CoordinatorsReply {
  std::vector<CoordinatorView> coordinators;
};
struct PartitionsReply {
  std::vector<PartitionView> partitions;
};
struct MoveReply {
  std::uint32_t partition = 0;
  std::string from;
  std::string to;
};
struct DrainCoordinatorReply {
  std::string name;
  std::uint32_t partitions = 0;  // that it has to give up
};
struct HealthReply {
  std::vector<CoordinatorHealth> coordinators;  // that answered
};
// What was done to a run or to one of its nodes.
struct ActReply {
  RunId run;
  RunState state = RunState::kRunning;
  std::string node;  // empty: the run itself
  TaskState node_state = TaskState::kPending;
  bool repeated = false;  // it had been done before
};
struct WorkflowReply {
  RegisteredWorkflow workflow;
  std::uint32_t version = 0;  // that was asked for, or is the current one now; zero: it was deleted
  bool changed = false;
  std::shared_ptr<const std::string> definition;  // of that version; null where it was not asked for
};
struct WorkflowsReply {
  std::vector<RegisteredWorkflow> workflows;
};
struct LettersReply {  // `to` has taken all letters of `from` up to that number
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  std::uint64_t until = 0;
};
struct TriggerView {
  std::string tenant;
  std::string workflow;
  std::string trigger;
  std::uint64_t version = 0;
  std::string cron;      // empty: it is not timed
  std::string timezone;  // likewise
  std::optional<RunEndSpec> run_end;
  bool paused = false;
  Time next{};          // zero: none
  Time fired{};         // zero: never
  std::string running;  // key of the run of the latest firing, while that lives
  std::uint32_t queued = 0;
  std::uint64_t started = 0;
  std::uint64_t skipped = 0;
  std::uint64_t failed = 0;
  std::string error;
  bool webhook = false;
  std::uint64_t waiting = 0;  // events in a debounce or a batch
  std::uint64_t filtered = 0;
  std::uint64_t duplicates = 0;
  std::string stream = {};    // SERVER/KEY; empty: it follows none
  std::string offset = {};    // id of the last entry that it has taken
  std::string keyspace = {};  // SERVER/PATTERN; empty: it hears of none
  bool operator==(const TriggerView&) const = default;
};
struct TriggersReply {
  std::vector<TriggerView> triggers;
};
struct TriggerReply {
  std::string workflow;
  std::string trigger;
  bool paused = false;
  std::string key;  // of the run that a firing starts
};
struct HookReply {  // it is durable
  EventFate fate = EventFate::kFired;
  std::string key;  // of the run that it starts, or that its batch will start; empty: none
  std::string why;  // of kFailed
};
struct PauseReply {
  Pause pause;  // as it is; of one that is over: as it was
  bool paused = true;
  bool repeated = false;  // it had been done before
};
struct PausesReply {
  std::vector<Pause> pauses;
};
struct ErrorReply {
  Error error;
};

using OperatorReply =
    std::variant<SubmitReply, NeedDefinition, RunReply, ListReply, CancelReply, EventsReply, LogsReply, ValueFound,
                 WorkersReply, DrainReply, DefinitionReply, PingReply, ErrorReply, CoordinatorsReply, PartitionsReply,
                 MoveReply, DrainCoordinatorReply, HealthReply, ActReply, LettersReply, WorkflowReply, WorkflowsReply,
                 TriggersReply, TriggerReply, HookReply, PauseReply, PausesReply, InputsTaken>;

}  // namespace millrace
