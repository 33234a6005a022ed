#include "coordinator/core/balance.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "common/base/hash.h"

namespace millrace {
namespace {

using State = BalancePartition::State;
using Counts = std::map<std::string, std::size_t>;  // of members that may own: how many they do, or will

// Rendezvous: equal candidates are told apart by a hash of (name, partition), which spreads and is the same for all.
std::uint64_t weight(const std::string& name, PartitionId partition) { return hash64(name, partition.value + 1); }

bool all_drain(const BalanceView& view) {
  return std::ranges::all_of(view.members, [](const BalanceMember& member) { return member.draining; });
}

// Those that drain own nothing, unless there is nobody else: serving comes before leaving.
Counts counts_of(const BalanceView& view) {
  Counts counts;
  const bool all = all_drain(view);
  for (const BalanceMember& member : view.members) {
    if (!member.draining || all) counts[member.name] = 0;
  }
  for (const BalancePartition& partition : view.partitions) {
    const bool leaving = partition.state == State::kLeaving || partition.state == State::kFree;
    if (partition.state != State::kOwned && !leaving) continue;
    auto it = counts.find(leaving ? partition.heir : partition.owner);
    if (it != counts.end()) ++it->second;
  }
  return counts;
}

// The one with the fewest; it is counted with it.
std::string next_taker(Counts& counts, PartitionId partition) {
  if (counts.empty()) return "";
  auto better = [&](const auto& a, const auto& b) {
    return std::tuple(a.second, weight(b.first, partition), a.first) <
           std::tuple(b.second, weight(a.first, partition), b.first);
  };
  auto least = counts.begin();
  for (auto it = counts.begin(); it != counts.end(); ++it) {
    if (better(*it, *least)) least = it;
  }
  ++least->second;
  return least->first;
}

bool is_open(const BalancePartition& partition) {
  return partition.state == State::kFree || partition.state == State::kSilent;
}

void plan_taking(Time now, const BalanceView& view, Counts& counts, BalancePlan& plan) {
  const bool may_own = counts.contains(view.self);
  for (const BalancePartition& partition : view.partitions) {
    if (!is_open(partition)) continue;
    const bool named = partition.state == State::kFree && counts.contains(partition.heir);
    const std::string taker = named ? partition.heir : next_taker(counts, partition.id);
    if (!may_own) continue;
    const bool late = now >= partition.since + kTakeLate;
    if ((taker == view.self && (named || view.members_known)) || late) {
      plan.take.push_back(partition.id);
    } else {
      plan.look_again = std::min(plan.look_again, partition.since + kTakeLate);
    }
  }
}

// How many each should have: all the same, and one more for those who have the most already.
Counts quotas(const Counts& counts, std::size_t partitions) {
  std::vector<std::pair<std::size_t, std::string>> order;
  for (const auto& [name, count] : counts) order.emplace_back(count, name);
  std::ranges::sort(
      order, [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
  Counts quota;
  const std::size_t each = partitions / order.size();
  std::size_t more = partitions % order.size();
  for (const auto& [count, name] : order) {
    quota[name] = each + (more > 0 ? 1 : 0);
    if (more > 0) --more;
  }
  return quota;
}

// Ours, in the order in which they are given up.
std::vector<const BalancePartition*> ours(const BalanceView& view) {
  std::vector<const BalancePartition*> mine;
  for (const BalancePartition& partition : view.partitions) {
    if (partition.state == State::kOwned && partition.owner == view.self) mine.push_back(&partition);
  }
  std::ranges::sort(mine, {}, [](const BalancePartition* p) { return std::tuple(p->inherited, p->taken, p->id); });
  return mine;
}

void plan_giving(const BalanceView& view, const Counts& counts, BalancePlan& plan) {
  if (counts.empty() || all_drain(view)) return;
  const bool known = std::ranges::all_of(view.partitions, [](const BalancePartition& p) {
    return p.state != State::kUnknown && p.state != State::kSilent;
  });
  if (!known) return;
  const Counts quota = quotas(counts, view.partitions.size());
  std::vector<std::string> lacking;  // a name for each partition that it lacks
  for (const auto& [name, count] : counts) {
    const std::size_t wanted = quota.at(name);
    lacking.insert(lacking.end(), wanted > count ? wanted - count : 0, name);
  }
  // Each giver serves its own stretch of them.
  std::size_t at = 0;
  std::size_t leaving = 0;
  for (const BalancePartition& partition : view.partitions) {
    if (partition.state == State::kLeaving && partition.owner == view.self) ++leaving;
  }
  for (const BalanceMember& member : view.members) {
    std::size_t excess = 0;
    if (member.draining) {
      excess = static_cast<std::size_t>(std::ranges::count_if(view.partitions, [&](const BalancePartition& p) {
        return p.state == State::kOwned && p.owner == member.name;
      }));
    } else {
      excess = counts.at(member.name) - std::min(counts.at(member.name), quota.at(member.name));
    }
    if (member.name != view.self) {
      at += excess;
      continue;
    }
    const std::vector<const BalancePartition*> mine = ours(view);
    const std::size_t at_once = member.draining ? mine.size() : kGivenAtOnce - std::min(kGivenAtOnce, leaving);
    for (std::size_t i = 0; i < std::min({excess, mine.size(), at_once}) && at < lacking.size(); ++i)
      plan.give.emplace_back(mine[i]->id, lacking[at++]);
    return;
  }
}

}  // namespace

BalancePlan balance(Time now, const BalanceView& view) {
  BalancePlan plan;
  Counts counts = counts_of(view);
  plan_taking(now, view, counts, plan);
  if (view.settled) plan_giving(view, counts, plan);
  return plan;
}

std::vector<std::pair<PartitionId, std::string>> heirs_of(const BalanceView& view) {
  BalanceView without = view;
  std::erase_if(without.members, [&](const BalanceMember& member) { return member.name == view.self; });
  Counts counts = counts_of(without);
  std::vector<std::pair<PartitionId, std::string>> heirs;
  for (const BalancePartition* partition : ours(view))
    heirs.emplace_back(partition->id, next_taker(counts, partition->id));
  if (counts.empty()) heirs.clear();
  return heirs;
}

}  // namespace millrace
