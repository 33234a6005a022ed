// Loop: finished runs that are not kept any longer, and what they leave behind (housekeeping.h, core/retention.h).
#include "coordinator/shell/housekeeping.h"

#include <algorithm>

#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

constexpr Duration kSweepEvery = 1s;    // whether anything is too much
constexpr Duration kSweepSoon = 100ms;  // after one that found something
constexpr Duration kOthersEvery = 5s;
constexpr std::size_t kCountPage = 128;
constexpr std::size_t kRowsAtOnce = 512;  // asked for in one round, over all partitions
constexpr std::size_t kChooseAtOnce = 1'024;
constexpr unsigned kFruitlessMax = 4;  // pages of events; the oldest go first as a rule
constexpr Duration kWholeEvery = 300s;

}  // namespace

bool Loop::State::has_others() const {
  return std::ranges::any_of(membership.others(),
                             [](const auto& other) { return other.second.state != Membership::State::kSilent; });
}

// In each turn; nothing is done more often than every kHouseEvery, unless the last page brought much.
void Loop::State::keep_house(Time now) {
  if (now < house.next || stopping || !store.ready()) return;
  house.next = now + kHouseEvery;
  house.at_work = count_kept(now);
  for (Share* one : cores) {  // what a filter of keys has seen does not come out of it again
    Share& share = *one;
    if (!share.serving() || !share.keys.worn() || share.keys_anew != nullptr) continue;
    share.keys_anew = std::make_unique<KeyFilter>();
    scan_keys(share, "");
    break;
  }
  sweep_runs(now);
  house.at_work |= house.sweep.sweeping();
  house.at_work |= clear_away(now);
}

// ---------------------------------------------------------------- what is there

// Who has taken a partition counts what it holds, page by page; true while there is anything left to count.
bool Loop::State::count_kept(Time) {
  bool left = false;
  for (Share* one : cores) {
    Share& share = *one;
    if (!share.serving() || share.house.kept.complete()) continue;
    left = true;
    if (share.house.counting) continue;
    share.house.counting = true;
    ask(ScanRuns{share.id, share.house.count_cursor, kCountPage},
        [this, id = share.id, epoch = share.epoch](Time, StoreAnswer&& answer) {
          Share& ours = this->share(id);
          if (ours.core == nullptr || ours.epoch != epoch) return;
          ours.house.counting = false;
          auto* page = std::get_if<ScanAnswer>(&answer);
          if (page == nullptr) return;  // asked for again
          for (const RunRow& row : page->runs) ours.house.kept.found(row, epoch.counter);
          ours.house.count_cursor = page->next;
          if (page->next.empty()) ours.house.kept.counted();
        });
    break;  // one page at a time
  }
  return left;
}

std::map<std::string, std::uint64_t> Loop::State::kept_everywhere() const {
  std::map<std::string, std::uint64_t> sum;
  for (const Share& share : shares) {
    if (share.ours()) {
      for (const auto& [workflow, runs] : share.house.kept.by_workflow()) sum[workflow] += runs;
    } else if (auto other = house.others.find(share.id); other != house.others.end()) {
      for (const auto& [workflow, runs] : other->second) sum[workflow] += runs;
    }
  }
  return sum;
}

// ---------------------------------------------------------------- what goes

void Loop::State::sweep_runs(Time now) {
  if (options.retention.keeps_all() || house.pages_out > 0) return;
  if (!house.sweep.sweeping()) {
    if (now < house.sweep_at) return;
    house.sweep_at = now + kSweepEvery;
    if (has_others() && now >= house.others_at) {
      house.others_at = now + kOthersEvery;
      ask_others();
      return;
    }
    auto going = [](const PartitionCommit& part) { return !part.deletes.empty(); };
    const bool on_its_way =
        std::ranges::any_of(cores, [](const Share* share) { return !share->house.deletes.empty(); }) ||
        std::ranges::any_of(turns,
                            [&](const PendingTurn& t) { return std::ranges::any_of(t.commit.partitions, going); });
    if (on_its_way) return;  // what goes would be seen again
    const Duration age = options.retention.age;
    const bool by_age = age > Duration::zero() && now >= house.age_at;
    if (!by_age && house.sweep.excess(kept_everywhere()).empty()) return;
    if (by_age) house.age_at = now + std::clamp<Duration>(age / 10, 1s, 60s);
    house.sweep.begin();
    ++house.sweeps;
  }
  const auto wanted = house.sweep.wanted();
  for (const auto& [partition, cursor] : wanted) ask_runs(partition, cursor);
  if (wanted.empty()) choose_runs(now);
}

void Loop::State::ask_runs(PartitionId partition, const std::string& cursor) {
  ++house.pages_out;
  const auto limit = static_cast<std::uint32_t>(std::clamp<std::size_t>(kRowsAtOnce / shares.size(), 4, kCountPage));
  ask(ScanRuns{partition, cursor, limit}, [this, partition](Time now, StoreAnswer&& answer) {
    --house.pages_out;
    if (auto* page = std::get_if<ScanAnswer>(&answer))
      house.sweep.add(partition, std::move(page->runs), std::move(page->next));
    else house.sweep.give_up();
    if (house.pages_out > 0) return;
    // What others keep is read after their runs: then it is never more than what was there when those were read.
    if (has_others() && house.sweep.sweeping()) ask_others();
    else choose_runs(now);
  });
}

void Loop::State::ask_others() {
  for (const Share& share : shares) {
    if (share.ours()) {
      house.others.erase(share.id);
      continue;
    }
    ++house.pages_out;
    ask(ReadFinished{share.id}, [this, id = share.id](Time now, StoreAnswer&& answer) {
      --house.pages_out;
      auto* counts = std::get_if<FinishedAnswer>(&answer);
      if (counts == nullptr) house.others.erase(id);
      else house.others[id] = {counts->counts.begin(), counts->counts.end()};
      if (house.pages_out == 0) choose_runs(now);
    });
  }
  if (house.pages_out == 0 && house.sweep.sweeping()) choose_runs(clock.now());
}

void Loop::State::choose_runs(Time now) {
  if (!house.sweep.sweeping()) return;
  Retention::View view;
  view.excess = house.sweep.excess(kept_everywhere());
  view.ours = [this](PartitionId id) {
    const Share& share = this->share(id);
    return share.serving() && share.house.kept.complete() && share.house.deletes.size() < kDeletesWaitingMax;
  };
  Retention::Chosen chosen = house.sweep.choose(now, kChooseAtOnce, std::move(view));
  for (const RunRow& row : chosen.deletes) {
    Share& share = *share_of(row.run);
    share.core->forget(row.run);
    if (share.core->find(row.run) != nullptr) continue;  // written in this very turn, or it lives: another time
    share.house.deletes.push_back(row.run);
    if (share.house.kept.deleted(row)) share.house.definitions_gone.push_back(row.definition);
  }
  if (2 * chosen.deletes.size() >= chosen.passed && chosen.passed > 0) house.next = now;
  if (!chosen.deletes.empty()) house.sweep_at = now + kSweepSoon;
}

// Whether a partition has something to commit beside what its runs do.
bool Loop::State::house_writes(const Share& share, Time now) const {
  if (!share.open()) return false;
  if (!share.house.deletes.empty()) return true;
  return share.house.kept.complete() && now >= share.house.publish_at && has_others() &&
         (!share.house.published || share.house.kept.changed());
}

void Loop::State::add_house(Time now, Share& share, PartitionCommit& part) {
  if (!share.open()) return;
  ShareHouse& own = share.house;
  if (!own.deletes.empty()) {
    const std::size_t some = std::min(own.deletes.size(), kDeletesPerTurn);
    part.deletes.assign(own.deletes.begin(), own.deletes.begin() + static_cast<std::ptrdiff_t>(some));
    own.deletes.erase(own.deletes.begin(), own.deletes.begin() + static_cast<std::ptrdiff_t>(some));
    house.counts.runs_deleted += some;
    own.events_left = true;
  }
  if (own.kept.complete()) std::ranges::move(std::exchange(own.dropped, {}), std::back_inserter(own.definitions_gone));
  if (own.deletes.empty()) {
    for (const Hash128& definition : std::exchange(own.definitions_gone, {})) {
      if (own.kept.uses(definition) || share.core->registry().uses(definition)) continue;
      share.definitions_stored.erase(definition);
      part.definitions_gone.push_back(definition);
      ++house.counts.definitions_deleted;
    }
  }
  if (!has_others()) {
    own.published = false;
    if (now >= own.publish_at) (void)own.kept.take_changed();
  } else if (own.kept.complete() && (now >= own.publish_at || !part.deletes.empty())) {
    auto changed = own.kept.take_changed();
    part.finished = own.published ? std::move(changed) : own.kept.all();
    own.published = true;
  }
  if (now >= own.publish_at) own.publish_at = now + kPublishEvery;
}

// ---------------------------------------------------------------- what is left behind

Time Loop::State::next_clearing(const Share& share, std::size_t kind) const {
  if (!share.serving()) return kNever;
  if (static_cast<Sweep::Kind>(kind) == Sweep::Kind::kEvents && !share.house.events_left) return kNever;
  return share.house.rounds[kind].next;
}

// Event entries, idempotency keys and values that no run needs, one page at a time over all partitions in turn; true
// while there is a page to ask for at once.
bool Loop::State::clear_away(Time now) {
  if (house.clearing) return true;
  const std::size_t places = shares.size() * 3;
  for (std::size_t i = 0; i < places; ++i) {
    const std::size_t place = (house.at + i) % places;
    Share& share = shares[place / 3];
    const std::size_t kind = place % 3;
    if (next_clearing(share, kind) > now) continue;
    house.at = place + 1;
    house.clearing = true;
    Sweep sweep{static_cast<Sweep::Kind>(kind), share.id, share.house.rounds[kind].cursor, {}, now};
    sweep.before = now - (sweep.kind == Sweep::Kind::kKeys ? options.key_life : options.value_grace);
    if (sweep.kind == Sweep::Kind::kEvents && sweep.cursor.empty()) {
      ShareHouse::Round& round = share.house.rounds[kind];
      share.house.events_left = false;
      round.whole = now >= round.whole_at;
      if (round.whole) round.whole_at = now + kWholeEvery;
      round.fruitless = 0;
    }
    ask(sweep, [this, id = share.id, epoch = share.epoch, kind](Time at, StoreAnswer&& answer) {
      house.clearing = false;
      Share& ours = this->share(id);
      if (ours.core == nullptr || ours.epoch != epoch) return;
      ShareHouse::Round& round = ours.house.rounds[kind];
      auto* swept = std::get_if<SweptAnswer>(&answer);
      if (swept == nullptr) {
        round.next = at + kSweepEvery;
        return;
      }
      Swept& sum = house.counts.swept[kind];
      sum.looked += swept->looked;
      sum.dropped += swept->dropped;
      sum.bytes += swept->bytes;
      round.cursor = std::move(swept->next);
      round.fruitless = swept->dropped > 0 ? 0 : round.fruitless + 1;
      if (kind == 0 && !round.whole && round.fruitless >= kFruitlessMax) round.cursor.clear();
      if (!round.cursor.empty()) {
        if (kind == 0) ours.house.events_left = true;
        round.next = at;
        if (4 * swept->dropped >= swept->looked) house.next = at;
        return;
      }
      const Duration pause = kind == 0   ? Duration(kSweepEvery)
                             : kind == 1 ? std::clamp<Duration>(options.key_life / 4, 1s, 60s)
                                         : std::clamp<Duration>(options.value_grace / 2, 1s, 300s);
      round.next = at + pause;
    });
    return true;
  }
  return false;
}

}  // namespace millrace
