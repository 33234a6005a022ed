// Placement: the pure machine that knows the fleet of this coordinator and decides which ready task goes where.
//
// Promises: used(w) <= credit(w) for every grant it makes; among tasks that some worker could take now, higher priority
// goes first, then older runs, then the longer remaining path, then the lower id; a task goes to the worker with the
// largest share of its credit free (ties: lower id), so work spreads before it queues. Iterates in a fixed order.
// Threads: none of its own; owned by the loop by value. Fails: never; an unknown worker reads as "no room". Times are
// handed in.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "common/model/run_view.h"
#include "common/model/worker_messages.h"
#include "coordinator/core/effect.h"
#include "coordinator/core/input.h"

namespace millrace {

struct Need;

struct FleetWorker {
  WorkerRef ref;
  WorkerHello hello;    // `held` is not kept
  CreditUpdate credit;  // attempts that may be out
  CreditUpdate used;    // attempts that are out
  Time joined{};
  Time heard{};
  bool draining = false;
  std::vector<Need*> needs;  // that it is able to serve; Placement's own
  std::uint64_t stamp = 0;   // of its place among the others; an older one no longer counts
  bool moved = false;        // its place has to be found again
};

// Where a worker stands among those that are able: the largest free share of its credit first, then the lower id.
struct Standing {
  double share = 0;
  WorkerId worker;
  std::uint64_t stamp = 0;
  bool operator<(const Standing& other) const {  // as a heap's "less"
    return share != other.share ? share < other.share : worker > other.worker;
  }
};

// What is kept of an offer while it waits: half a cache line, since there may be a million.
struct WaitingTask {
  RunId run;
  Time age{};
  TaskIndex task;
  std::int32_t priority = 0;
  std::uint32_t rank = 0;
  bool operator<(const WaitingTask& other) const;  // as a heap's "less": what goes first is greatest
};

// Tasks that fit the same workers, and those workers. A worker that moves gets a new entry in the heap, and its old one
// is passed over when it comes up: a grant costs the logarithm of the fleet, not its size.
struct Need {
  SlotClass slot_class = SlotClass::kCpu;
  std::priority_queue<WaitingTask> waiting;
  std::vector<Standing> standings;  // a heap
  std::size_t able = 0;
};

struct Grant {
  WorkerRef worker;
  RunId run;
  TaskIndex task;
  SlotClass slot_class = SlotClass::kCpu;
};

class Placement {
 public:
  // A Hello. The same incarnation keeps its WorkerId. Refused (kRefused, "id_in_use") while another live holder of the
  // name was heard within three heartbeats; a silent one is replaced and reported in `replaced`.
  Result<WorkerRef> join(Time now, const WorkerHello& hello, std::optional<WorkerId>& replaced);
  void heard(Time now, WorkerId worker);
  void credit(WorkerId worker, const CreditUpdate& credit);
  void drain(WorkerId worker);  // gets nothing new
  void leave(WorkerId worker);
  std::vector<WorkerId> silent(Time now) const;  // not heard for kWorkerLostAfter: to be declared lost, then leave()
  Time next_deadline() const;                    // of silent()

  void offer(const Offer& offer);
  void taken(WorkerId worker, SlotClass slot_class);  // an attempt is out that was not granted here (adopted)
  void freed(WorkerId worker, SlotClass slot_class);
  // Matches offers with free credit; what it grants counts as used until freed().
  void place(std::vector<Grant>& grants);

  const FleetWorker* find(WorkerId worker) const;
  std::optional<WorkerId> find_name(const std::string& name) const;
  std::optional<WorkerId> find_incarnation(std::uint64_t incarnation) const;
  std::vector<WorkerView> view(Time now) const;
  // Each worker, and whether it has missed three heartbeats.
  template <class Take>
  void measure(Time now, Take take) const {
    for (const auto& [id, worker] : fleet_) take(worker, now - worker.heard >= 3 * kBeatEvery);
  }
  std::size_t workers() const { return fleet_.size(); }
  std::size_t offers() const;
  std::size_t demand() const;  // offers, and attempts that are out
  // Executors that somebody waits for and no worker has.
  std::vector<std::string> without_worker() const;

 private:
  using NeedKey = std::pair<std::string, SlotClass>;  // executor, class

  bool can(const FleetWorker& worker, const NeedKey& need) const;
  Need& need_of(const Offer& offer);
  FleetWorker* choose(Need& need);
  void refresh_able();
  void moved(FleetWorker& worker);
  void settle();  // finds the places of all that moved
  void stand(FleetWorker& worker);
  void rank(FleetWorker& worker, Need& need);

  std::map<WorkerId, FleetWorker> fleet_;
  std::map<std::string, WorkerId> names_;
  std::map<std::uint64_t, WorkerId> incarnations_;
  std::map<NeedKey, Need> needs_;
  std::vector<WorkerId> moved_;
  std::shared_ptr<const NodeSpec> spec_latest_;  // of the latest offer, and its need: neighbours are alike
  Need* need_latest_ = nullptr;
  std::uint32_t workers_made_ = 0;
};

}  // namespace millrace
