// SimStore: one coordinator's connection to the cluster's store, with its ring of recent commits: takes time, and under
// faults breaks before or after a commit was applied, is slow, or is gone for a while. What was on its way when it
// broke may still be applied later, as bytes in a kernel's buffer are.
//
// Promises: the Store contract. Outlives nothing: its destruction is the death of its process.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "tests/sim/context.h"

namespace millrace::sim {

class SimStore : public Store {
 public:
  SimStore(Context& context, std::string name, std::function<void()> wake);
  ~SimStore() override;

  bool ready() const override { return pipe_ != nullptr; }
  void commit(const TurnCommit& commit) override;
  void read(std::uint64_t tag, const StoreRead& read) override;
  void poll(StoreReplies& out) override;
  void break_connection(Duration gone);
  bool quick() const { return pipe_ != nullptr && pipe_->applied < context_.now() + 100ms; }
  void fail_over(Duration gone);  // breaks, and nothing of what was on its way arrives

 private:
  struct Call {  // a commit or a read on its way
    std::optional<TurnCommit> commit;
    std::uint64_t tag = 0;
    StoreRead read;
    bool applied = false;
    bool lost = false;  // it will never reach the store
    CommitOutcome outcome;
    StoreAnswer answer;
    std::vector<PartitionCommit> again;  // of a repair
    std::vector<ValueWrite> values;
  };
  struct Pipe {  // one connection; first in, first out
    std::deque<std::shared_ptr<Call>> calls;
    Time applied{};
    Time answered{};
    bool broken = false;
  };

  void call(Call call);
  void keep(const TurnCommit& commit);
  void repair(Call& call, const RepairPartition& repair) const;
  static void repair(Context& context, Call& call, const RepairPartition& repair);
  static void apply(Context& context, Call& call);
  static CommitOutcome apply(Context& context, const TurnCommit& commit);
  void fail(const Call& call);
  void abandon();
  Duration latency();

  Context& context_;
  std::string name_;
  std::function<void()> wake_;
  std::shared_ptr<Pipe> pipe_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  Time slow_until_{};
  std::deque<std::pair<Time, TurnCommit>> ring_;  // recent commits
  StoreReplies replies_;
};

}  // namespace millrace::sim
