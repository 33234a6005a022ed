// MemoryCluster: what a Store keeps, in memory, with the contract of the Redis one: fencing, commit numbers, keys,
// listings, events, logs, values. A plain value: calls answer at once.
//
// MemoryStore gives it the shape of the Store port; the simulator wraps it with delays and failures and takes copies
// (a copy is a snapshot; assigning an older copy back loses a suffix of commits).
//
// Promises: a partition's commit is applied whole or not at all. Threads: one at a time. Fails: never; what a commit
// may not do is in its CommitResult.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "coordinator/shell/listing.h"
#include "coordinator/shell/ports.h"
#include "coordinator/shell/value_needs.h"

namespace millrace {

struct Hash128Hash {
  std::size_t operator()(const Hash128& hash) const noexcept { return static_cast<std::size_t>(hash.low); }
};

class MemoryCluster {
 public:
  CommitOutcome apply(const TurnCommit& commit);
  // A commit of an earlier epoch, again: `owner` has to own the partition now.
  CommitResult repair(const PartitionCommit& commit, const Epoch& owner);
  StoreAnswer read(const StoreRead& read);  // some write: TakePartition, ReleasePartition, MeetMembers ...

  void page_runs(std::size_t runs) { page_runs_ = runs; }  // of LoadActive; tests make it small

  // For checkers: everything there is, in order of run ids.
  std::vector<RunId> runs() const;
  std::optional<StoredRun> run(RunId run) const;
  std::vector<Event> events(RunId run) const;  // durable ones, by seq, with cursors
  const OwnerRecord& owner(PartitionId partition) const;
  std::map<std::string, std::string> shelf(PartitionId partition, Shelf shelf) const;

 private:
  struct StoredLog {
    std::uint64_t number = 0;
    LogLine line;
  };
  struct Run {
    std::shared_ptr<const RunInfo> info;
    RunRecord record;
    std::vector<TaskRecord> tasks;          // by index; version 0: no record
    std::map<TaskIndex, TaskRecord> items;  // of mapped nodes
    std::uint32_t tasks_total = 0;
    std::uint32_t tasks_done = 0;
    std::vector<Event> events;
    std::deque<StoredLog> logs;
    std::uint64_t logs_number = 0;  // of the latest line
    std::uint32_t epoch = 0;        // of the commit that changed it last
  };
  struct StoredValue {
    std::shared_ptr<const std::string> json;
    std::set<RunId> runs;                                   // that need it
    std::set<std::pair<PartitionId, std::string>> entries;  // what is kept under a key, and needs it
    Time used{};
  };
  struct Key {
    RunId run;
    Hash128 request;
    Time accepted{};
  };
  struct Partition {
    OwnerRecord owner;
    std::map<RunPosition, RunId> active;
    std::map<std::pair<std::string, std::string>, Key> keys;  // (tenant, key)
    std::unordered_map<Hash128, std::shared_ptr<const std::string>, Hash128Hash> definitions;
    std::map<std::string, std::uint64_t> finished;
    std::map<Shelf, std::map<std::string, std::string>> shelves;
  };

  CommitResult apply(const PartitionCommit& commit, const Epoch& owner);
  void write(Partition& partition, const RunWrite& write, std::uint32_t epoch);
  void erase(Partition& partition, RunId run);
  void need(const StoredNeed& need, Time now);
  void append(const PartitionCommit& commit, const Event& event);
  void append(const LogAppend& log);
  StoredRun stored(RunId id, const Run& run) const;

  StoreAnswer answer(const ReadOwner& read);
  StoreAnswer answer(const TakePartition& read);
  StoreAnswer answer(const ReleasePartition& read);
  StoreAnswer answer(const LoadActive& read);
  StoreAnswer answer(const LoadRun& read);
  StoreAnswer answer(const LoadDefinition& read);
  StoreAnswer answer(const LoadValue& read);
  StoreAnswer answer(const StorePart& part);
  StoreAnswer answer(const FindKey& read);
  StoreAnswer answer(const ScanKeys& read);
  StoreAnswer answer(const FindRuns& read);
  StoreAnswer answer(const ReadRunEvents& read);
  StoreAnswer answer(const ReadRunLogs& read);
  StoreAnswer answer(const ReadFleet& read);
  StoreAnswer answer(const MeetMembers& read);
  StoreAnswer answer(const ForgetMember& read);
  StoreAnswer answer(const RepairPartition& read);
  StoreAnswer answer(const ScanRuns& read);
  StoreAnswer answer(const ReadFinished& read);
  StoreAnswer answer(const Sweep& read);
  StoreAnswer answer(const ExamineStore& read);
  StoreAnswer answer(const ReadShelf& read);

  std::map<PartitionId, Partition> partitions_;
  std::unordered_map<RunId, Run> runs_;
  std::map<RunPosition, RunId> listed_;  // all runs, oldest first
  std::unordered_map<Hash128, StoredValue, Hash128Hash> values_;
  std::unordered_map<Hash128, std::string, Hash128Hash> parts_;  // of values that have not come whole
  std::set<std::string> fleet_;
  std::map<std::string, MemberRecord> members_;
  std::size_t page_runs_ = kActivePageRuns;
};

}  // namespace millrace
