// MemoryStore: the Store of `millrace run` and of tests: a MemoryCluster that answers at the next poll().
//
// Promises: the Store contract; always ready; nothing outlives the cluster. Threads: one. Fails: never.
#pragma once

#include "coordinator/shell/memory_cluster.h"
#include "coordinator/shell/ports.h"

namespace millrace {

class MemoryStore : public Store {
 public:
  MemoryStore() : cluster_(&own_) {}
  explicit MemoryStore(MemoryCluster& cluster) : cluster_(&cluster) {}  // a loan: several stores may share one
  MemoryStore(const MemoryStore&) = delete;
  MemoryStore& operator=(const MemoryStore&) = delete;

  bool ready() const override { return true; }
  void commit(const TurnCommit& commit) override;
  void read(std::uint64_t tag, const StoreRead& read) override;
  void poll(StoreReplies& out) override;

  const MemoryCluster& cluster() const { return *cluster_; }

 private:
  MemoryCluster own_;
  MemoryCluster* cluster_;
  StoreReplies replies_;  // for the next poll
};

}  // namespace millrace
