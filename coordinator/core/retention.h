// Retention: which finished runs are not kept any longer, by age and by number per workflow.
//
// A sweep goes through the runs of all partitions in the order of their acceptance, page by page, and names those to
// delete. Each coordinator sweeps for itself and names only runs of its own partitions; those of others are counted, so
// that of a workflow the oldest go, wherever they are. What is known of other coordinators' partitions may be out of
// date: then fewer go than could, never more than the policy allows.
//
// Kept: of one partition, how many ended runs of each workflow and how many runs of each definition it holds. Who takes
// a partition does not know what it holds: until all of it was counted (complete()), nothing is deleted there.
//
// Promises: deterministic; no run that lives is named. Threads: none. Times are handed in. Fails: never.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/base/time.h"
#include "common/model/records.h"

namespace millrace {

struct RetentionPolicy {
  Duration age = std::chrono::hours(7 * 24);  // since the end of a run; zero: any
  std::uint64_t count = 100'000;              // ended runs of one workflow, the newest; zero: any number
  bool keeps_all() const { return age == Duration::zero() && count == 0; }
};

struct RunRow {  // a run in the order of acceptance, as far as retention goes
  RunId run;
  std::string tenant;
  std::string workflow;
  Hash128 definition;
  Time accepted{};
  Time ended{};             // zero: it lives
  std::uint32_t epoch = 0;  // of the commit that changed it last
  bool operator==(const RunRow&) const = default;
};

// Under what name runs of a workflow are counted: workflows of different tenants are different ones.
std::string workflow_key(std::string_view tenant, std::string_view workflow);

class Kept {
 public:
  void accepted(const RunInfo& info) { ++definitions_[info.definition]; }
  void ended(const RunInfo& info);
  // One that stood there when the partition was taken; what this epoch has accepted or ended was told above.
  void found(const RunRow& row, std::uint32_t epoch);
  void counted() { complete_ = true; }
  bool complete() const { return complete_; }
  // True: no run of the partition has its definition any more.
  bool deleted(const RunRow& row);

  const std::map<std::string, std::uint64_t>& by_workflow() const { return ended_; }
  bool changed() const { return !changed_.empty(); }
  std::vector<std::pair<std::string, std::uint64_t>> take_changed();
  std::vector<std::pair<std::string, std::uint64_t>> all() const { return {ended_.begin(), ended_.end()}; }
  bool uses(const Hash128& definition) const { return definitions_.contains(definition); }

 private:
  std::map<std::string, std::uint64_t> ended_;
  std::map<Hash128, std::uint64_t> definitions_;
  std::set<std::string> changed_;
  bool complete_ = false;
};

class Retention {
 public:
  Retention(RetentionPolicy policy, std::size_t partitions) : policy_(policy), sources_(partitions) {}

  const RetentionPolicy& policy() const { return policy_; }
  void begin();
  bool sweeping() const { return sweeping_; }
  void give_up() { sweeping_ = false; }
  // Partitions that must show their next runs before choose() can go on, and from where.
  std::vector<std::pair<PartitionId, std::string>> wanted() const;
  void add(PartitionId partition, std::vector<RunRow> rows, std::string next);

  struct View {
    std::map<std::string, std::uint64_t> excess;  // of each workflow that has more than it may: how many
    std::function<bool(PartitionId)> ours;        // whose runs may be named
  };
  // How many runs of each workflow are too many, of those kept in all partitions.
  std::map<std::string, std::uint64_t> excess(const std::map<std::string, std::uint64_t>& by_workflow) const;
  struct Chosen {
    std::vector<RunRow> deletes;
    std::size_t passed = 0;  // runs looked at
  };
  Chosen choose(Time now, std::size_t at_most, View view);

 private:
  struct Source {
    std::deque<RunRow> rows;  // oldest first
    std::string next;
    bool exhausted = false;
  };
  Source* oldest();

  RetentionPolicy policy_;
  std::vector<Source> sources_;
  std::map<std::string, std::uint64_t> passed_;  // ended runs of this sweep that stay where they are, by workflow
  bool sweeping_ = false;
};

}  // namespace millrace
