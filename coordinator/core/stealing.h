// Stealing: which attempts that wait at a busy or slow worker are asked back for one that is idle.
//
// An attempt is only ever asked back; it is dispatched again when its worker has said that it did not start it.
// Promises: looks at nothing while no worker is idle or tasks wait here; asks for no more than idle workers have credit
// for, of a busy worker for half of what waits there; an attempt is asked for once in kReclaimAgain, and not before it
// has waited for kWaitedThere (at a worker with more than its slots can run) or kUnstartedFor (at any: it may stand
// still). What its worker would start last is asked for first. Pure. Threads: none. Fails: never.
#pragma once

#include <span>
#include <vector>

#include "coordinator/core/partition.h"
#include "coordinator/core/placement.h"

namespace millrace {

constexpr Duration kWaitedThere = 50ms;
constexpr Duration kUnstartedFor = 300ms;
constexpr Duration kStealEvery = 20ms;       // while there is something to take
constexpr Duration kStealLookEvery = 250ms;  // while there is not
constexpr std::size_t kReclaimsAtOnce = 1'024;

struct Stealing {
  Time at{};           // when to look again
  bool worth = false;  // at the latest look attempts were out, and not known that no worker is idle
  // `partitions`: those that may be stepped.
  std::vector<ReclaimWanted> choose(Time now, const Placement& placement, std::span<const Partition* const> partitions);
  Time next_deadline() const { return worth ? at : kNever; }  // when to call choose() though nothing came in
};

}  // namespace millrace
