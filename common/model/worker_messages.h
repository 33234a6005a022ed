// What coordinators and workers say to each other. Plain values; common/wire turns them into frames and back.
//
// Delivery promises nothing: messages may be lost, repeated, delayed. Reports are resent until answered; assignments
// are leased. Many small messages that are ready together share one frame (the vectors below).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/base/time.h"
#include "common/model/event.h"
#include "common/model/executor_fields.h"
#include "common/model/outcome.h"
#include "common/model/records.h"
#include "common/model/value_parts.h"
#include "common/model/workflow.h"

namespace millrace {

constexpr Duration kBeatEvery = 1s;
constexpr Duration kWorkerLostAfter = 5s;

// ---------------------------------------------------------------- worker -> coordinator

// An upstream record that an attempt rests on, as its assignment named it.
struct UpstreamVersion {
  TaskIndex task;
  std::uint32_t version = 0;
  bool operator==(const UpstreamVersion&) const = default;
};

struct AttemptReport {
  AttemptId attempt;
  Outcome outcome;
  std::vector<UpstreamVersion> rests_on;  // only in reports of attempts that another epoch dispatched
  bool operator==(const AttemptReport&) const = default;
};

struct HeldAttempt {  // running or queued at the worker
  AttemptId attempt;
  bool started = false;
  std::vector<UpstreamVersion> rests_on;
  std::uint32_t items = 0;  // how many it has; zero: none
  bool operator==(const HeldAttempt&) const = default;
};

struct PartitionEpoch {
  PartitionId partition;
  std::uint32_t epoch = 0;  // its counter
  auto operator<=>(const PartitionEpoch&) const = default;
};

constexpr std::uint64_t kNothingAsked = 1;  // no SayHello came over this line; their numbers are higher

struct WorkerHello {
  std::uint64_t incarnation = 0;  // random per process: tells a restarted worker from a reconnected one
  std::string name;               // --id
  std::string version;
  std::string host;
  std::uint32_t pid = 0;
  std::uint32_t slots = 1;  // cpu attempts at once
  std::uint32_t io_slots = 0;
  Labels labels;
  std::vector<std::string> executors;
  std::vector<HeldAttempt> held;  // everything it still has, whoever sent it, for adoption
  bool draining = false;
  std::vector<PartitionEpoch> epochs = {};  // the highest that it has heard of
  std::vector<std::string> queues = {};     // that it serves; none: the default one
  Resources resources = {};                 // that it has, for all its tasks together
  std::uint64_t answers = 0;                // the latest SayHello that came over this line; 0: an older worker
  bool operator==(const WorkerHello&) const = default;
};

// Sent from a thread of its own on a connection of its own, so that it never queues behind bulk data.
struct WorkerBeat {
  std::uint64_t incarnation = 0;
  std::uint32_t running = 0;  // for all coordinators
  std::uint32_t queued = 0;   // likewise, not started
  bool operator==(const WorkerBeat&) const = default;
};

// How many attempts this coordinator may have out at this worker, all told (slots and prefetch).
struct CreditUpdate {
  std::uint32_t cpu = 0;
  std::uint32_t io = 0;
  bool operator==(const CreditUpdate&) const = default;
};

struct AttemptsStarted {
  std::vector<AttemptId> attempts;  // only those that run long enough to be worth telling
  bool operator==(const AttemptsStarted&) const = default;
};

struct AttemptReports {
  std::vector<AttemptReport> reports;
  bool operator==(const AttemptReports&) const = default;
};

struct AttemptsReclaimed {  // given back, not started; will not start
  std::vector<AttemptId> attempts;
  bool operator==(const AttemptsReclaimed&) const = default;
};

struct TaskLog {
  AttemptId attempt;
  bool stderr_stream = false;
  std::string text;                        // UTF-8
  std::optional<std::uint32_t> item = {};  // whose, of an attempt that has items
  bool operator==(const TaskLog&) const = default;
};

// What a running task says of itself: becomes an ephemeral event of type kTaskProgress or kTaskTokens.
struct TaskNews {
  AttemptId attempt;
  EventType type = EventType::kTaskProgress;
  std::string json;  // at most kEventDataMax
  bool operator==(const TaskNews&) const = default;
};

struct ValueRequest {  // fetch a value held by reference, or a part of it
  Hash128 hash;
  std::uint64_t from = 0;
  std::uint32_t max = 0;  // bytes; zero: all of it in one message, as older workers want it
  bool operator==(const ValueRequest&) const = default;
};

// Some bytes of a value that is to be kept by its content hash, in order from the first. Asked for again until it is
// answered by PartTaken, by which alone it is told where to go on.
struct PutPart {
  Hash128 hash;  // of the whole
  std::uint64_t size = 0;
  RunId run;  // that needs it
  std::uint64_t from = 0;
  std::uint64_t check = 0;  // part_check()
  std::string bytes;
  bool operator==(const PutPart&) const = default;
};

struct WorkerDraining {
  bool operator==(const WorkerDraining&) const = default;
};
struct WorkerBye {  // nothing left, going away
  bool operator==(const WorkerBye&) const = default;
};

using WorkerMessage =
    std::variant<WorkerHello, WorkerBeat, CreditUpdate, AttemptsStarted, AttemptReports, AttemptsReclaimed, TaskLog,
                 ValueRequest, WorkerDraining, WorkerBye, TaskNews, PutPart>;

// ---------------------------------------------------------------- coordinator -> worker

struct MemberAddress {
  std::string name;
  std::string endpoint;
  auto operator<=>(const MemberAddress&) const = default;
};

// What a coordinator knows that a worker must know: told with the Welcome and again when it has changed.
struct ClusterNews {
  std::vector<MemberAddress> members;  // coordinators that live, the speaker among them
  std::vector<PartitionEpoch> owned;   // by the speaker: reports of their runs are for it
  std::uint32_t demand = 0;            // tasks of the speaker that are ready or running
  bool operator==(const ClusterNews&) const = default;
};

struct WorkerWelcome {
  WorkerId worker;
  std::string coordinator;  // name
  ClusterNews news = {};
  bool takes_parts = false;  // PutPart; an older coordinator does not
  bool operator==(const WorkerWelcome&) const = default;
};

struct WorkerRefused {
  std::string name;  // "id_in_use", "version"
  std::string message;
  bool operator==(const WorkerRefused&) const = default;
};

// What an attempt can see of one upstream task.
struct Binding {
  TaskIndex task;
  std::uint32_t version = 0;
  Payload value;
  bool operator==(const Binding&) const = default;
};

// How a node is executed: sent to a worker once, then named by (definition, spec).
struct SpecKey {
  Hash128 definition;
  std::uint32_t spec = 0;
  auto operator<=>(const SpecKey&) const = default;
};

// What the tasks of one run share.
struct RunContext {
  RunId run;
  std::uint32_t epoch = 0;
  Hash128 definition;
  std::string workflow;
  TraceId trace_id;
  Payload inputs;
  bool operator==(const RunContext&) const = default;
};

// What an attempt of a mapped node works on, one after the other: items first .. first + count - 1 of the node.
struct AssignedItems {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  Payload values;                      // a JSON array of `count` values
  Duration budget = Duration::zero();  // after so long no further item is begun; zero: all of them are
  bool operator==(const AssignedItems&) const = default;
};

struct Assignment {
  std::shared_ptr<const RunContext> context;
  TaskIndex task;
  std::uint32_t number = 0;                   // attempt
  std::uint32_t spec = 0;                     // index into the definition's specs
  std::shared_ptr<const NodeSpec> node_spec;  // always set in memory; the wire sends it once a worker
  std::string node;                           // id
  std::int32_t priority = 0;
  Time age{};                      // the run's acceptance: older first
  std::vector<Binding> bindings;   // upstream tasks that the node may see
  std::vector<std::string> names;  // ids of the bindings, in step with them
  Payload bundle;                  // a join over very many: their outputs as one object by id, instead of bindings
  std::shared_ptr<const AssignedItems> items = {};  // null: the node is not mapped
  AttemptId attempt() const { return {context->run, task, context->epoch, number}; }
};
bool operator==(const Assignment& a, const Assignment& b);

struct AssignBatch {
  std::vector<Assignment> assignments;
  bool operator==(const AssignBatch&) const = default;
};

struct AttemptCancel {
  AttemptId attempt;
  Reason reason = Reason::kCancelRequested;
  bool operator==(const AttemptCancel&) const = default;
};
struct CancelBatch {
  std::vector<AttemptCancel> cancels;
  bool operator==(const CancelBatch&) const = default;
};

enum class Answer : std::uint8_t { kRecorded, kDuplicate, kRefused };

struct ReportAnswer {
  AttemptId attempt;
  Answer answer = Answer::kRecorded;
  std::string why;  // of a refusal
  bool operator==(const ReportAnswer&) const = default;
};
struct AnswerBatch {
  std::vector<ReportAnswer> answers;
  bool operator==(const AnswerBatch&) const = default;
};

struct Reclaim {  // give back what has not started: answered by AttemptsReclaimed, or AttemptsStarted where it has
  std::vector<AttemptId> attempts;
  bool operator==(const Reclaim&) const = default;
};

struct ValueReply {
  Hash128 hash;
  bool found = false;
  std::string json;
  PartPlace place = {};  // of a part that was asked for
  bool operator==(const ValueReply&) const = default;
};

struct PartTaken {
  Hash128 hash;
  std::uint64_t have = 0;  // bytes from the first: the next part begins there
  bool kept = false;       // all of them, checked
  bool damaged = false;    // all of them, and they were not what the hash says: from the first again
  bool operator==(const PartTaken&) const = default;
};

struct DrainWorker {  // finish what runs, take nothing new, leave
  bool operator==(const DrainWorker&) const = default;
};

// "I do not know you": the worker says Hello again (a restarted coordinator, or a worker that was given up).
struct SayHello {
  std::uint64_t number = 0;  // the Hello that it brings names it: what was sent before it has arrived, or is lost
  bool operator==(const SayHello&) const = default;
};

using CoordinatorMessage = std::variant<WorkerWelcome, WorkerRefused, AssignBatch, CancelBatch, AnswerBatch, Reclaim,
                                        ValueReply, DrainWorker, SayHello, ClusterNews, PartTaken>;

}  // namespace millrace
