// WorkerLines: which worker speaks over which line, and the line over which a worker is reached.
//
// Promises: a worker has one line; iterates by worker. Lookups touch a line of the cache or two, whatever the size of
// the fleet: there are several for each task. Threads: none; owned by the loop. Fails: never.
#pragma once

#include <map>
#include <optional>

#include "common/base/flat_index.h"
#include "coordinator/shell/ports.h"

namespace millrace {

class WorkerLines {
 public:
  // Its earlier line brings nothing more. Returns whether this is another.
  bool set(WorkerId worker, PeerId peer) {
    const std::optional<PeerId> before = peer_of(worker);
    if (before) by_peer_.erase(before->value);
    by_peer_.put(peer.value, worker);
    by_worker_.put(worker.value, peer);
    all_[worker] = peer;
    return before != peer;
  }
  // The line that it had.
  std::optional<PeerId> drop(WorkerId worker) {
    const std::optional<PeerId> before = peer_of(worker);
    if (!before) return before;
    by_peer_.erase(before->value);
    by_worker_.erase(worker.value);
    all_.erase(worker);
    return before;
  }
  std::optional<WorkerId> worker_at(PeerId peer) const { return by_peer_.find(peer.value); }
  std::optional<PeerId> peer_of(WorkerId worker) const { return by_worker_.find(worker.value); }
  const std::map<WorkerId, PeerId>& all() const { return all_; }

 private:
  std::map<WorkerId, PeerId> all_;
  FlatIndex<WorkerId> by_peer_;
  FlatIndex<PeerId> by_worker_;
};

}  // namespace millrace
