// Loop: the other coordinators: meeting them in the store, what each of us should own, giving partitions up in an
// orderly way, and what workers are told of it (DESIGN sections 5 and 8).
#include <algorithm>

#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

constexpr Duration kPlanAtLeastEvery = 1s;
constexpr Duration kNewsEvery = 1s;  // at most, where only the demand has changed
constexpr Duration kTwinNotedEvery = 10s;

// Worth telling: more than half away from what was told.
bool differs(std::uint32_t told, std::uint32_t now) {
  const std::uint32_t change = now > told ? now - told : told - now;
  return std::uint64_t{change} * 2 > told;
}

}  // namespace

void Loop::State::meet(Time now) {
  if (meeting || now < meet_at) return;
  meeting = true;
  meet_at = now + kMeetEvery;
  const StoreHealth health = store.health();
  std::string weaker;
  for (const std::string& finding : health.weaker) weaker += (weaker.empty() ? "" : "; ") + finding;
  membership.publish(health.durability, std::move(weaker));
  ask(MeetMembers{membership.beat()}, [this](Time at, StoreAnswer&& answer) {
    meeting = false;
    auto* met = std::get_if<MembersAnswer>(&answer);
    if (met == nullptr) return membership.unheard();
    if (membership.heard(at, *met)) plan_dirty = routes_dirty = news_dirty = true;
    for (const std::string& name : membership.forgotten(at)) ask(ForgetMember{name}, [](Time, StoreAnswer&&) {});
    if (!membership.has_twin() || at < twin_noted) return;
    twin_noted = at + kTwinNotedEvery;
    options.note(LoopNote::kError,
                 "another coordinator publishes itself as '" + options.name + "': give one of them another --id");
  });
}

BalanceView Loop::State::balance_view() const {
  using PartitionState = BalancePartition::State;
  BalanceView view;
  view.self = options.name;
  view.members_known = membership.known();
  std::set<std::string> quiet;  // owners whose beat stands still are not waited for
  for (const Share& share : shares) {
    if (share.phase == Share::Phase::kWatching && share.silent) quiet.insert(share.seen->owner);
  }
  for (const MemberRecord* member : membership.living()) {
    if (member->name == options.name || !quiet.contains(member->name))
      view.members.push_back({member->name, member->draining});
  }
  for (const Share& share : shares) {
    BalancePartition& partition = view.partitions.emplace_back();
    partition.id = share.id;
    switch (share.phase) {
      case Share::Phase::kTaking:
      case Share::Phase::kRepairing:
      case Share::Phase::kLoading:
      case Share::Phase::kServing:
        partition.state = share.giving ? PartitionState::kLeaving : PartitionState::kOwned;
        partition.owner = options.name;
        partition.heir = share.giving.value_or("");
        partition.taken = share.taken;
        partition.inherited = share.inherited;
        break;
      case Share::Phase::kReleasing:
      case Share::Phase::kReleased:
        partition.state = PartitionState::kLeaving;
        partition.owner = options.name;
        partition.heir = share.giving.value_or("");
        break;
      case Share::Phase::kWatching:
        if (!share.seen) break;
        if (share.seen->owner.empty()) {
          partition.state = PartitionState::kFree;
          partition.heir = share.seen->heir;
          partition.since = share.seen_since;
        } else if (share.silent) {
          partition.state = PartitionState::kSilent;
          partition.since = share.silent_since;
        } else {  // an owner of our own name is who had it before us
          partition.state = PartitionState::kOwned;
          partition.owner = share.seen->owner == options.name ? "" : share.seen->owner;
        }
        break;
    }
  }
  return view;
}

void Loop::State::plan_ownership(Time now) {
  if (!membership.met() || (!plan_dirty && now < plan_at)) return;
  plan_dirty = false;
  BalanceView view = balance_view();
  view.settled = membership.settled(now);
  const BalancePlan plan = balance(now, view);
  plan_at = std::min(plan.look_again, now + kPlanAtLeastEvery);
  if (const Time change = membership.next_change(); change > now) plan_at = std::min(plan_at, change);
  for (PartitionId id : plan.take) {
    if (Share& one = share(id); !one.asked) take(now, one);
    else plan_dirty = true;  // its record is being read
  }
  for (const auto& [id, heir] : plan.give) {
    if (share(id).serving()) leave(now, share(id), heir);
  }
}

void Loop::State::give(Share& share, const std::string& heir) {
  options.note(LoopNote::kInfo, "partition " + std::to_string(share.id.value) + " goes to " + heir);
  share.giving = heir;
  share.giving_closed = false;
}

// A partition is released when nothing of it is on its way any more; until then it beats.
void Loop::State::finish_giving(Time now) {
  for (Share& share : shares) {
    if (!share.giving || share.phase != Share::Phase::kServing) continue;
    const MemberRecord* heir = membership.alive(*share.giving);
    if (heir == nullptr || heir->draining) {  // nobody would take it
      share.giving.reset();
      for (WorkerId worker : std::exchange(share.gone, {})) share.core->step(now, WorkerLost{worker});
      for (const auto& [run, task] : std::exchange(share.postponed, {})) share.core->offer_again(run, task);
      plan_dirty = routes_dirty = true;
      continue;
    }
    const bool on_its_way = std::ranges::any_of(turns, [&](const PendingTurn& turn) {
      return std::ranges::any_of(turn.commit.partitions, [&](const auto& p) { return p.partition == share.id; }) ||
             std::ranges::any_of(turn.outgoing, [&](const Outgoing& out) { return out.partition == share.id; });
    });
    if (!share.giving_closed || on_its_way) continue;
    share.phase = Share::Phase::kReleasing;
    ask(ReleasePartition{share.id, share.epoch, *share.giving, share.past.acked},
        [this, id = share.id, epoch = share.epoch](Time at, StoreAnswer&& answer) {
          Share& given = this->share(id);
          if (given.phase != Share::Phase::kReleasing || given.epoch != epoch) return;
          let_go(at, given, std::get_if<OwnerAnswer>(&answer));
        });
  }
}

// Released, or nobody knows: then its beat stands still, and somebody takes it over.
void Loop::State::let_go(Time now, Share& share, const OwnerAnswer* answer) {
  const std::string heir = share.giving.value_or("");
  std::vector<Routed> waiting;  // for the end of a run: the next owner will know
  for (const auto& [id, run] : share.core->runs()) {
    for (const auto& [request, nodes_max] : run->waiters)
      waiting.push_back({request, WaitRun{{to_string(id), ""}, nodes_max}, 0, now + kHoldMax});
  }
  forget_core(now, share);
  for (Routed& one : waiting) hold(now, std::move(one));
  if (answer != nullptr) {
    share.seen = answer->record;
    share.seen_since = now;
    share.retake = !answer->taken && answer->record.number < share.past.acked;  // the store is behind
  }
  const MemberRecord* next = membership.alive(heir);
  if (answer == nullptr || !answer->taken || next == nullptr || next->name == options.name) return;
  // It need not wait for its next look.
  (void)gateway.forward(next->endpoint, ++forwards_made, 1, MovePartition{share.id.value, heir});
}

ClusterNews Loop::State::news() const {
  ClusterNews news;
  if (membership.met()) news.members.push_back({options.name, options.endpoint});
  for (const auto& [name, other] : membership.others()) {  // those of whom we do not know yet, too
    if (other.state != Membership::State::kSilent) news.members.push_back({name, other.record.endpoint});
  }
  for (const Share& share : shares) {
    if (share.ours()) news.owned.push_back({share.id, share.epoch.counter});
  }
  if (news.members.size() > 1) news.demand = static_cast<std::uint32_t>(placement.demand());
  return news;
}

void Loop::State::tell_news(Time now) {
  if (!news_dirty && now < news_at) return;
  news_dirty = false;
  ClusterNews fresh = news();
  news_at = fresh.members.size() > 1 ? now + kNewsEvery : kNever;
  if (fresh.members == news_told.members && fresh.owned == news_told.owned && !differs(news_told.demand, fresh.demand))
    return;
  news_told = std::move(fresh);
  for (const auto& [worker, peer] : peers_by_worker) sends_direct.emplace_back(peer, news_told);
}

}  // namespace millrace
