// The four ports of the loop: Clock, Store, Gateway, Bus. Small on purpose: whatever implements them can run the
// engine, in production over Redis and ZeroMQ, in simulation over a queue of events.
//
// Threads: all calls come from the loop's thread. No call blocks: answers come by poll().
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "common/model/event.h"
#include "common/model/health.h"
#include "common/model/operator_messages.h"
#include "common/model/records.h"
#include "common/model/worker_messages.h"
#include "coordinator/core/effect.h"
#include "coordinator/core/retention.h"

namespace millrace {

// ---------------------------------------------------------------- Clock

class Clock {  // never goes back
 public:
  virtual ~Clock() = default;
  virtual Time now() const = 0;
};

// ---------------------------------------------------------------- Store

// Who owns a partition. `beat` changes every 500 ms while the owner lives; a missing record has epoch.counter 0.
struct OwnerRecord {
  std::string owner;  // coordinator's name; empty: given up in an orderly way
  Epoch epoch;
  std::uint64_t beat = 0;
  std::uint64_t number = 0;  // of the partition's last commit
  std::string heir = {};     // of one that was given up: who should take it; empty: anybody
  Time since{};              // when it was taken
  bool operator==(const OwnerRecord&) const = default;
};

// A coordinator as it publishes itself. Nothing expires: it lives while others see `beat` change.
struct MemberRecord {
  std::string name;
  std::uint64_t nonce = 0;  // of its process
  std::uint64_t beat = 0;
  std::string endpoint;  // where workers, clients and other coordinators reach it
  std::string events;    // where it publishes live events
  std::string version;
  Time since{};  // when the process began
  bool draining = false;
  std::string durability = {};  // as it was asked for; empty: nothing lasts
  std::string weaker = {};      // why the store gives less; empty: it does not
  bool operator==(const MemberRecord&) const = default;
};

// Small records of a partition itself, beside its runs, each kind on a shelf of its own. How they are packed is the
// business of who writes them (letter_codec.h).
enum class Shelf : std::uint8_t {
  kWorkflows,  // registered ones, by tenant and name
  kTriggers,   // of these, by name
  kWatchers,   // triggers of any home that hear of run ends here, by name
  kCache,      // values under keys whose home this is, by key and content
  kCacheAsks,  // tasks that have asked for those, by key, run and task
  kPauses,     // workflows and queues that are paused, by kind, tenant and name
  kOutbox,     // letters that their receivers have not taken, by number
  kInbox,      // how far the letters of others are taken, by sender
};
inline constexpr Shelf kShelves[] = {Shelf::kWorkflows, Shelf::kTriggers, Shelf::kWatchers, Shelf::kCache,
                                     Shelf::kCacheAsks, Shelf::kPauses,   Shelf::kOutbox,   Shelf::kInbox};
constexpr const char* to_string(Shelf shelf) {
  switch (shelf) {
    case Shelf::kWorkflows: return "workflows";
    case Shelf::kOutbox: return "outbox";
    case Shelf::kInbox: return "inbox";
    case Shelf::kTriggers: return "triggers";
    case Shelf::kWatchers: return "watchers";
    case Shelf::kCache: return "cache";
    case Shelf::kCacheAsks: return "cache_asks";
    case Shelf::kPauses: return "pauses";
  }
  return "?";
}
struct ShelfWrite {
  Shelf shelf = Shelf::kOutbox;
  std::string field;
  std::string bytes;  // empty: it goes
  bool operator==(const ShelfWrite&) const = default;
};

// What one turn writes to one partition. Applied only if (epoch) owns it and `number` is the stored number + 1.
// A commit with number 0 writes nothing and renews the beat.
struct PartitionCommit {
  PartitionId partition;
  Epoch epoch;
  std::uint64_t number = 0;
  std::uint64_t beat = 0;
  std::uint64_t expects = 0;  // of number 0: answered kGap where the stored number is lower
  std::vector<RunWrite> runs;
  std::vector<Event> events;                                                        // durable ones only, in order
  std::vector<std::pair<Hash128, std::shared_ptr<const std::string>>> definitions;  // first use in this partition
  std::vector<RunId> deletes = {};             // finished runs that are not kept any longer; one that lives stays
  std::vector<Hash128> definitions_gone = {};  // that no run of the partition has any more
  std::vector<std::pair<std::string, std::uint64_t>> finished =
      {};                                // how many ended runs it keeps, by workflow_key(); those that have changed
  std::vector<ShelfWrite> shelves = {};  // in order
  std::vector<ValueNeed> needs = {};     // besides those that its runs tell
  std::vector<RunWrite> anew = {};       // runs whose records are damaged, as a whole: what stood there goes
};

struct LogAppend {
  RunId run;
  LogLine line;
};

struct TurnCommit {
  std::uint64_t turn = 0;  // grows by one a commit call; names it in the outcome
  Time now{};
  std::vector<ValueWrite> values;            // before the partitions; not fenced (content-addressed)
  std::vector<PartitionCommit> partitions;   // each checked and answered on its own
  std::vector<LogAppend> logs;               // best effort, bounded per run
  std::vector<std::string> fleet;            // names of workers to remember; empty: unchanged
  std::vector<std::string> fleet_gone = {};  // names to forget
  Duration keys_beyond = {};                 // how much longer than kKeyLife an idempotency key lives at least
};

enum class CommitResult : std::uint8_t {
  kApplied,
  kAlready,  // its number was stored before: a resend of what had been applied
  kGap,      // the stored number is not its predecessor: the store is behind or ahead
  kFenced,   // another epoch owns the partition
  kUnknown,  // the connection broke before the answer: may or may not be applied; resend in order
};

struct CommitOutcome {
  std::uint64_t turn = 0;
  std::vector<std::pair<PartitionId, CommitResult>>
      partitions;     // in step with the commit; all kUnknown when the connection broke
  std::string error;  // of kUnknown and of refused writes (out of memory ...)
};

// Reads. `tag` comes back with the answer; reads see every commit that was applied before them.
struct ReadOwner {
  PartitionId partition;
};
struct TakePartition {  // compare and set: only if the owner record still is `seen`
  PartitionId partition;
  OwnerRecord seen;
  std::string owner;
  Epoch epoch;  // counter above seen.epoch.counter
  Time now{};
};
struct ReleasePartition {
  PartitionId partition;
  Epoch epoch;
  std::string heir = {};      // who should take it; empty: anybody
  std::uint64_t expects = 0;  // not released where the stored number is lower
};                            // orderly: the next owner need not wait
// Brings a store that is behind what was acknowledged to where it was: the commits of ours that it has lost are applied
// again, as they were, under the epoch that was just taken. All of them or none: the store keeps those of some seconds.
struct RepairPartition {
  PartitionId partition;
  Epoch epoch;                 // owns it now
  std::vector<Epoch> written;  // under which they were committed, one after the other
  std::uint64_t after = 0;     // what the store has
  std::uint64_t until = 0;     // what was acknowledged
};
struct MeetMembers {  // publishes `self` (unless its name is empty) and reads all
  MemberRecord self;
};
struct ForgetMember {  // one that has left, or has been silent for long; a live one publishes itself again
  std::string name;
};
struct LoadActive {
  PartitionId partition;
  std::string cursor;
};  // a page of live runs; empty cursor: from the start
struct LoadRun {
  RunId run;
};  // live or finished
struct LoadDefinition {
  PartitionId partition;
  Hash128 definition;
};
struct LoadValue {
  Hash128 hash;
  std::uint64_t from = 0;
  std::uint32_t max = 0;  // bytes; zero: all of it, checked
};
// Some bytes of a value that comes in parts. They are kept for a while though the rest does not come; when all have,
// and they are what the hash says, it is a value like any other, which `run` needs.
struct StorePart {
  Hash128 hash;
  std::uint64_t size = 0;
  RunId run;
  std::uint64_t from = 0;
  std::string bytes;
  Time now{};
};
struct FindKey {
  PartitionId partition;
  std::string tenant;
  std::string key;
};
struct ScanKeys {  // fingerprints of a partition's idempotency keys, page by page; empty cursor: from the start
  PartitionId partition;
  std::string cursor;
};
struct ReadShelf {  // page by page; empty cursor: from the start
  PartitionId partition;
  Shelf shelf = Shelf::kOutbox;
  std::string cursor;
};
struct FindRuns {
  ListRuns query;
  std::string prefix;
};  // finished and live, newest first; prefix of the printed id
struct ReadRunEvents {
  RunId run;
  std::uint64_t since = 0;
  std::uint32_t limit = 1000;
};
struct ReadRunLogs {
  RunId run;
  std::string node;
  std::uint32_t attempt = 0;
  std::string since;
  std::uint32_t limit = 1000;
};
struct ReadFleet {};
struct ScanRuns {  // all runs of a partition, live and finished, oldest first, page by page; empty cursor: from the
                   // start
  PartitionId partition;
  std::string cursor;
  std::uint32_t limit = 128;
};
struct ReadFinished {  // PartitionCommit::finished, as it was written last
  PartitionId partition;
};
// One step of clearing away what no run needs any more; cursor by cursor; empty: from the start. Each step is bounded,
// may be repeated, and needs no owner: what it takes away can never be needed again.
struct Sweep {
  enum class Kind : std::uint8_t {
    kEvents,  // entries of the event stream whose runs are all gone
    kKeys,    // idempotency keys accepted before `before` whose run is gone
    kValues,  // values that were not used since `before`, all of whose runs are gone
  };
  Kind kind = Kind::kEvents;
  PartitionId partition;
  std::string cursor;
  Time before{};
  Time now{};
};
struct ExamineStore {};  // how its server is, for operators

using StoreRead =
    std::variant<ReadOwner, TakePartition, ReleasePartition, LoadActive, LoadRun, LoadDefinition, LoadValue, FindKey,
                 ScanKeys, FindRuns, ReadRunEvents, ReadRunLogs, ReadFleet, MeetMembers, ForgetMember, ScanRuns,
                 ReadFinished, Sweep, ExamineStore, RepairPartition, ReadShelf, StorePart>;

struct StoredRun {  // a run as read back; checked against its checksum
  RunInfo info;
  RunRecord record;
  std::vector<std::pair<TaskIndex, TaskRecord>> tasks;  // latest version of each, ascending by task
  std::uint32_t tasks_total = 0;
};
struct OwnerAnswer {
  OwnerRecord record;
  bool taken = false;
};  // of ReadOwner, TakePartition, ReleasePartition
struct ActivePage {
  std::vector<StoredRun> runs;
  std::string next;                 // empty: that was the last page
  std::vector<Error> damaged;       // runs of this page that failed their check: must not be served; names run and key
  std::vector<RunId> damaged_runs;  // which, in step with these; zero: its name is none
};
struct RunAnswer {
  std::optional<StoredRun> run;
};
struct DefinitionAnswer {
  Hash128 definition;
  std::shared_ptr<const std::string> bytes;
};  // null: not there
struct ValueAnswer {
  Hash128 hash;
  std::optional<std::string> json;  // or the part of it that was asked for
  std::uint64_t size = 0;           // of the whole
};
struct KeyAnswer {
  std::optional<RunId> run;
  std::uint32_t request = 0;  // short_request() of it: 32 bits tell a repeat from a conflict
};
struct KeysAnswer {  // every key that stood there from the first page to the last is in one of them, some twice
  std::vector<std::uint64_t> fingerprints;  // key_fingerprint() of run_codec.h
  std::string next;                         // empty: that was the last page
};
struct RunsAnswer {
  std::vector<RunSummary> runs;
  std::string next;
};
struct EventsAnswer {
  std::vector<Event> events;
};  // node ids empty: the loop fills them in from the plan
struct LogsAnswer {
  std::vector<LogLine> lines;
  std::string cursor;
};
struct FleetAnswer {
  std::vector<std::string> names;
};
struct MembersAnswer {
  std::vector<MemberRecord> members;   // by name
  std::optional<MemberRecord> before;  // what stood under our own name
};                                     // of MeetMembers, ForgetMember (empty)
struct RepairAnswer {
  std::uint64_t number = 0;  // what the store has now
};
struct ScanAnswer {
  std::vector<RunRow> runs;   // damaged ones left out
  std::uint64_t skipped = 0;  // that many
  std::string next;           // empty: that was the last page
};
struct FinishedAnswer {
  std::vector<std::pair<std::string, std::uint64_t>> counts;
};
struct SweptAnswer {
  std::uint64_t looked = 0;   // at entries, keys or values
  std::uint64_t dropped = 0;  // of them
  std::uint64_t bytes = 0;    // that those held, about
  std::string next;           // empty: it is through
};
struct ShelfAnswer {  // a field that stood there from the first page to the last is in one of them, some twice
  std::vector<std::pair<std::string, std::string>> records;
  std::string next;  // empty: that was the last page
};
struct HealthAnswer {
  ServerFacts health;
};
struct ReadFailed {
  Error error;
};  // connection gone (ask again) or data that must not be served

using StoreAnswer =
    std::variant<OwnerAnswer, ActivePage, RunAnswer, DefinitionAnswer, ValueAnswer, KeyAnswer, KeysAnswer, RunsAnswer,
                 EventsAnswer, LogsAnswer, FleetAnswer, MembersAnswer, ScanAnswer, FinishedAnswer, SweptAnswer,
                 HealthAnswer, RepairAnswer, ShelfAnswer, PartTaken, ReadFailed>;

struct ReadOutcome {
  std::uint64_t tag = 0;
  StoreAnswer answer;
};

struct StoreReplies {
  std::vector<CommitOutcome> commits;  // in the order of the commits
  std::vector<ReadOutcome> reads;
};

// What a store is and gives, for operators.
struct StoreHealth {
  std::string kind = "memory";      // memory, standalone, sentinel, cluster
  std::string durability = {};      // as it was asked for; empty: nothing lasts
  std::vector<std::string> weaker;  // why it gives less
  bool replicas_short = false;      // effects wait until enough replicas have their turns
  std::uint64_t connections = 0;    // made, all told
  std::uint64_t ring_bytes = 0;     // of recent commits, kept for a repair
};

// Promise: per partition all or nothing for each numbered commit, fenced by epoch. After a kUnknown every later commit
// of the pipeline is kUnknown too, until ready() is true again; the caller then resends in order.
class Store {
 public:
  virtual ~Store() = default;
  virtual bool ready() const = 0;                     // a connection stands
  virtual void commit(const TurnCommit& commit) = 0;  // the commit is only a loan: the caller keeps it for a resend
  virtual void read(std::uint64_t tag, const StoreRead& read) = 0;
  virtual void poll(StoreReplies& out) = 0;  // appends what has come
  virtual StoreHealth health() const { return {}; }
};

// ---------------------------------------------------------------- Gateway

struct FromWorker {
  PeerId peer;
  WorkerMessage message;
};
// Heartbeats that came together: most of what a large fleet says. Each comes over a connection of its own, so that they
// have no order with what else is said.
struct FromBeats {
  std::vector<std::pair<PeerId, WorkerBeat>> beats;
};
struct FromClient {
  RequestId request;
  OperatorRequest body;
  std::uint8_t hops = 0;  // coordinators that have forwarded it; zero: it comes from a client
};
struct FromPeer {  // another coordinator's answer to what was forwarded to it
  std::uint64_t number = 0;
  OperatorReply reply;
};
using Incoming = std::variant<FromWorker, FromClient, FromPeer, FromBeats>;

// Promises what a network promises: nothing. send() answers whether the message was taken; taken is not delivered.
class Gateway {
 public:
  virtual ~Gateway() = default;
  // At most so many messages; a batch of beats may stand for as many.
  virtual void poll(std::vector<Incoming>& out, std::size_t at_most) = 0;
  virtual bool send(PeerId peer, const CoordinatorMessage& message) = 0;
  // The same to many, put into bytes once. Not for assignments, whose bytes depend on what a peer has been sent.
  virtual void announce(std::span<const PeerId> peers, const CoordinatorMessage& message) {
    for (const PeerId peer : peers) (void)send(peer, message);
  }
  virtual void reply(RequestId request, const OperatorReply& reply) = 0;
  // Hands a request on to the coordinator at `endpoint`; its answer comes as FromPeer. False: not taken.
  virtual bool forward(const std::string& endpoint, std::uint64_t number, std::uint8_t hops,
                       const OperatorRequest& request) {
    (void)endpoint, (void)number, (void)hops, (void)request;
    return false;
  }
};

// ---------------------------------------------------------------- Bus

// A per-run sequence without holes at the source; subscribers may miss events and repair from the store.
class Bus {
 public:
  virtual ~Bus() = default;
  virtual void publish(std::span<const Event> events) = 0;
  virtual bool heard() const { return true; }  // somebody listens; else ephemeral events are not even made
};

}  // namespace millrace
