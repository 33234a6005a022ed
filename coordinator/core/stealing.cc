#include "coordinator/core/stealing.h"

#include <algorithm>
#include <optional>

namespace millrace {
namespace {

struct Idle {
  const FleetWorker* worker = nullptr;
  std::uint32_t room = 0;  // attempts that it may have, idle slots and queue
};

struct Candidate {
  Unstarted attempt;
  bool operator<(const Candidate& other) const {  // what is started last comes first
    if (attempt.priority != other.attempt.priority) return attempt.priority < other.attempt.priority;
    if (attempt.age != other.attempt.age) return attempt.age > other.attempt.age;
    if (attempt.dispatched != other.attempt.dispatched) return attempt.dispatched > other.attempt.dispatched;
    return std::pair(attempt.run, attempt.task) > std::pair(other.attempt.run, other.attempt.task);
  }
};

std::vector<Idle> idle_workers(const Placement& placement) {
  std::vector<Idle> idle;
  for (const auto& [id, worker] : placement.fleet()) {
    if (placement.idle(worker) > 0) idle.push_back({&worker, worker.credit.cpu - worker.used.cpu});
  }
  return idle;
}

// Who takes it: the first with room that has what it needs.
Idle* taker(std::vector<Idle>& idle, const Placement& placement, const Unstarted& attempt, WorkerId from) {
  for (Idle& one : idle) {
    if (one.room > 0 && one.worker->ref.id != from && placement.has_free(*one.worker, *attempt.needs)) return &one;
  }
  return nullptr;
}

}  // namespace

std::vector<ReclaimWanted> Stealing::choose(Time now, const Placement& placement,
                                            std::span<const Partition* const> partitions) {
  std::vector<ReclaimWanted> wanted;
  if (now < at) return wanted;
  at = now + kStealLookEvery;
  worth = false;
  if (placement.workers() < 2) return wanted;
  std::optional<std::vector<Idle>> idle;  // a look at the whole fleet: only where somebody could give
  for (const WorkerId id : placement.busy()) {
    const FleetWorker& worker = *placement.find(id);
    worth = true;
    const std::uint32_t surplus = placement.surplus(worker);
    // Perhaps it stands still: all that has not started goes.
    const bool still = now - placement.said_of(worker).heard >= kUnstartedFor;
    const Time before = now - (surplus > 0 && !still ? kWaitedThere : kUnstartedFor);
    std::vector<Candidate> candidates;
    std::size_t asked = 0;  // and not answered
    for (const Partition* partition : partitions) {
      for (Unstarted& one : partition->unstarted(id, before)) {
        if (now - one.reclaimed >= kReclaimAgain) candidates.push_back({std::move(one)});
        else ++asked;
      }
    }
    if (candidates.empty()) continue;
    if (!idle) idle = idle_workers(placement);
    if (idle->empty()) {
      worth = false;
      return wanted;
    }
    const std::size_t half = (surplus + 1) / 2;
    std::size_t most = surplus == 0 || still ? candidates.size() : half > asked ? half - asked : 0;
    std::ranges::sort(candidates, [](const Candidate& a, const Candidate& b) { return a < b; });
    for (const Candidate& candidate : candidates) {
      if (most == 0 || wanted.size() >= kReclaimsAtOnce) break;
      Idle* to = taker(*idle, placement, candidate.attempt, id);
      if (to == nullptr) continue;
      --to->room;
      --most;
      wanted.push_back({id, candidate.attempt.run, candidate.attempt.task});
    }
  }
  if (!wanted.empty()) at = now + kStealEvery;
  return wanted;
}

}  // namespace millrace
