// Loop: the other coordinators: meeting them in the store, what each of us should own, giving partitions up in an
// orderly way, and what workers are told of it (DESIGN sections 5 and 8).
#include <algorithm>

#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

constexpr Duration kPlanAtLeastEvery = 1s;
constexpr Duration kNewsEvery = 1s;       // at most, where only the demand has changed
constexpr Duration kToldAgainEvery = 8s;  // well within the patience of a worker, kReconcileAfter
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
  for (Share* one : cores) {
    Share& share = *one;
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
  for (const Share* one : cores) {
    const Share& share = *one;
    if (share.ours()) news.owned.push_back({share.id, share.epoch.counter});
  }
  if (news.members.size() > 1) news.demand = static_cast<std::uint32_t>(placement.demand());
  return news;
}

// Who is there and who owns what is told to all at once, and so is the demand where it matters: with it a worker
// divides its credit among its coordinators, at least one each. More of it matters while tasks wait for a slot here;
// who has room for all of its tasks needs no larger share, however many they are. Less of it leaves more to the others.
void Loop::State::tell_news(Time now) {
  if (!news_dirty && now < news_at) return;
  news_dirty = false;
  ClusterNews fresh = news();
  news_at = fresh.members.size() > 1 ? now + kNewsEvery : kNever;
  const bool whole = fresh.members != news_told.members || fresh.owned != news_told.owned;
  const bool waits = fresh.demand < news_told.demand || placement.offers() > 0;
  const bool other = waits && differs(news_told.demand, fresh.demand);
  if (!whole && !other) return tell_some_again();
  news_told = std::move(fresh);
  Announcement all{whole ? news_told : ClusterNews{{}, {}, news_told.demand}, {}};
  all.peers.reserve(lines.all().size());
  for (const auto& [worker, peer] : lines.all()) all.peers.push_back(peer);
  announcements.push_back(std::move(all));
}

// Every worker hears of us within kToldAgainEvery, so that it need not ask by a Hello whether we are there. One in so
// many times it hears all there is: what was lost on the way is mended, soon, since every coordinator does so.
void Loop::State::tell_some_again() {
  if (news_told.members.size() <= 1 || lines.all().empty()) return;
  const std::uint64_t whole_every = std::max<std::uint64_t>(1, news_told.members.size() / 2);
  Announcement brief{ClusterNews{{}, {}, news_told.demand}, {}};
  Announcement whole{news_told, {}};
  constexpr auto kRounds = static_cast<std::size_t>(kToldAgainEvery / kNewsEvery);
  auto next = lines.all().upper_bound(told_last);
  for (std::size_t left = (lines.all().size() + kRounds - 1) / kRounds; left > 0; --left, ++next) {
    if (next == lines.all().end()) next = lines.all().begin(), ++told_rounds;
    const auto& [worker, peer] = *next;
    told_last = worker;
    const FleetWorker* known = placement.find(worker);
    const bool has_slots = known != nullptr && known->hello.slots + known->hello.io_slots > 0;
    const bool without_credit = has_slots && known->credit == CreditUpdate{} && !known->draining;
    if (without_credit) hello_wanted.insert(peer);  // what it granted did not come
    else ((worker.value + told_rounds) % whole_every == 0 ? whole : brief).peers.push_back(peer);
  }
  for (Announcement* one : {&brief, &whole}) {
    if (!one->peers.empty()) announcements.push_back(std::move(*one));
  }
}

}  // namespace millrace
