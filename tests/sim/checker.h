// Checker: what must hold whatever happens (the invariants of the fault matrix). It looks only at what the store
// applied, what was published, what workers were sent and started, and what clients were told: never at a coordinator's
// memory.
//
// Promises: the first violation is kept, with its invariant's number; later ones are not reported. Threads: one.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/core/letter.h"
#include "coordinator/core/plan.h"
#include "coordinator/shell/memory_cluster.h"
#include "tests/sim/schedule.h"

namespace millrace::sim {

class Checker {
 public:
  explicit Checker(const MemoryCluster& cluster) : cluster_(cluster) {}

  // Neither messages nor processes: no attempt may count as lost. Where lines are slow, a new owner may dispatch again
  // what it does not hear of within kAdoptionWait.
  void nothing_is_lost(bool lines_are_slow) { nothing_is_lost_ = true, lines_are_slow_ = lines_are_slow; }
  void definitions_go() { definitions_go_ = true; }  // with their last run: whoever wants one later is too late
  void definition(std::shared_ptr<const Plan> plan) { plans_[plan->definition()] = std::move(plan); }

  // What happens.
  void turn(std::optional<Time> begun) { turn_ = begun; }  // whose commits follow; nothing: of a repair
  // Applied by the store just now, as it was sent; `by`: who wrote it, a later epoch where the commit had been lost.
  void committed(const PartitionCommit& commit, const Epoch& by);
  void published(std::span<const Event> events);                     // on the bus
  void assigned(const Assignment& assignment);                       // leaves a coordinator
  void answered(const ReportAnswer& answer);                         // leaves a coordinator
  void started(const Assignment& assignment);                        // by a worker
  void ended(const AttemptId& attempt);                              // there
  void told(const std::string& key, const OperatorReply& reply);     // a client got a reply for its run of that key
  void again(const std::string& key, Resume how);                    // a client wants to run a run again
  void delivered(const std::string& id) { deliveries_.insert(id); }  // to a webhook, which has said so
  void taken(PartitionId partition);                                 // by a new owner
  void fell_back();                    // the store: what it had in the end is to come again as it was
  bool is_whole() const;               // it has
  void settled() { settled_ = true; }  // nothing has a reason to change its owner any more
  void finished();                     // faults are over and time was given
  // What is missing before all partitions are owned, each by one of those that run, and evenly. From the store alone.
  std::string unsettled(const std::set<std::string>& running, std::uint16_t partitions);

  void fail(const std::string& what) {
    if (broken_.empty()) broken_ = what;
  }
  const std::string& broken() const { return broken_; }
  bool all_ended() const { return live_ == 0; }
  std::size_t letters_waiting() const;         // that no receiver is known to have taken
  bool deleted(const std::string& key) const;  // the run of that key was, after its end
  std::size_t deleted() const { return deleted_; }
  std::size_t runs() const { return runs_.size(); }
  std::size_t ended(RunState state) const {
    auto it = ends_.find(state);
    return it == ends_.end() ? 0 : it->second;
  }

 private:
  struct Seen {  // of a run, from its commits
    std::shared_ptr<const Plan> plan;
    std::string key;
    std::uint64_t seq = 0;
    bool end_event = false;
    RunState state = RunState::kAccepted;
    std::uint32_t version = 0;
    bool deleted = false;
    bool deletion_lost = false;  // the store had lost the commit with it, and has it again
    std::vector<TaskRecord> tasks;
    std::map<TaskIndex, TaskRecord> items;  // of mapped nodes
    Time set_ended = Time::min();           // the latest end of a node that sets variables
    std::vector<TaskIndex> succeeded;       // in the order of their commits
  };
  void written(const PartitionCommit& commit, const RunWrite& write);
  void task_written(const PartitionCommit& commit, Seen& run, RunId id, const std::string& name, TaskIndex task,
                    const TaskRecord& record);
  // Of the value of a key at most one task computes at a time.
  void claim_written(const std::string& where, RunId run, TaskIndex task, const TaskRecord& record);
  void item_claims_left(const Plan& plan, RunId run, TaskIndex node);  // which has ended
  void event_written(const Event& event);
  void cleared(const PartitionCommit& commit);
  void upstream_committed(const char* what, const Assignment& assignment);
  void check_letters();
  void check_triggers();  // checker_triggers.cc
  bool take_firing(const RunWanted& wanted);
  // checker_pauses.cc
  struct Paused {  // at one partition
    PauseName what;
    std::uint32_t epoch = 0;
    Time since{};                 // by the clock of that epoch's owner
    std::uint32_t end_epoch = 0;  // zero: it lasts
    Time end{};
  };
  void note_pauses(const PartitionCommit& commit);
  void check_paused(const PartitionCommit& commit, const Seen& run, const std::string& where, TaskIndex task,
                    const TaskRecord& record);
  void check_pauses();
  // A run that runs another one again has taken over exactly what still holds, as it was.
  void check_shared(const std::string& name, const Seen& run, const Resume& how);
  void check_end(RunId id, const Seen& run);
  void check_results(const std::string& name, const Seen& run);
  void check_items(const std::string& name, const Seen& run, TaskIndex node, std::optional<std::uint64_t> sum);
  void check_skips(const std::string& name, const Seen& run);
  // What keeps a task that started from having been allowed to; empty: nothing.
  static std::string too_early(const Seen& run, TaskIndex task);
  static std::string too_early_to_clean_up(const Seen& run, TaskIndex task);
  void check_cleanup(const std::string& name, const Seen& run);
  void check_limits(const std::string& name, const Seen& run, const StoredRun& stored);

  const MemoryCluster& cluster_;
  std::map<Hash128, std::shared_ptr<const Plan>> plans_;
  std::map<PartitionId, std::vector<PartitionCommit>> log_;  // commits by number
  std::map<PartitionId, Epoch> epochs_;
  std::map<PartitionId, std::set<Epoch>> epochs_past_;
  std::map<RunId, Seen> runs_;
  std::map<std::string, RunId> keys_;
  std::map<Hash128, std::pair<RunId, TaskIndex>> computing_;  // by the key of its value
  std::map<std::pair<RunId, TaskIndex>, Hash128> claims_;     // the other way round
  std::map<std::string, Resume> agains_;
  std::map<std::string, RunId> told_runs_;
  std::map<RunState, std::size_t> ends_;
  std::map<std::pair<RunId, TaskIndex>, AttemptId> running_;                   // kept where nothing is lost
  std::map<std::pair<PartitionId, std::string>, std::vector<Paused>> pauses_;  // by field of the shelf
  std::optional<Time> turn_;          // of what is committed now, by the clock of who does
  std::set<std::string> deliveries_;  // that were acknowledged
  std::set<std::string> fired_;       // that a run was wanted for
  std::size_t live_ = 0;
  std::size_t deleted_ = 0;
  bool nothing_is_lost_ = false;
  bool lines_are_slow_ = false;
  bool settled_ = false;
  bool definitions_go_ = false;
  std::string broken_;
};

constexpr std::int64_t kFallbackSum = 7;  // {"sum": 7} is the fallback of every node that has one
// The sum in an output, or nothing.
// The JSON of an output, put together where it is a list reference; nothing: something of it is not in the store.
std::optional<std::string> whole_in(const Payload& output, const MemoryCluster& cluster);
std::optional<std::int64_t> sum_in(const Payload& output, const MemoryCluster& cluster);

}  // namespace millrace::sim
