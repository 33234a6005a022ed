// Loop: which partitions are ours: watched, taken, loaded, dropped, given back (DESIGN section 5, "Ownership").
#include <algorithm>

#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

constexpr Duration kWatchEvery = 250ms;
constexpr Duration kStopWithin = 2s;

}  // namespace

void Loop::State::own(Time now) {
  if (stopping || !store.ready()) return;
  if (!fleet_asked) {
    fleet_asked = true;
    ask(ReadFleet{}, [this](Time, StoreAnswer&& answer) {
      auto* fleet = std::get_if<FleetAnswer>(&answer);
      if (fleet == nullptr) {
        fleet_asked = false;
        return;
      }
      fleet_read = true;
      for (Share& share : shares) {
        if (share.adopting) share.awaited.insert(fleet->names.begin(), fleet->names.end());
      }
      fleet_stored.insert(fleet->names.begin(), fleet->names.end());
    });
  }
  for (Share& share : shares) {
    if (share.phase != Share::Phase::kWatching || share.asked || now < share.ask_at) continue;
    share.asked = true;
    bool silent = share.seen && now - share.seen_since >= kTakeOverAfter;
    bool free = share.seen && share.seen->owner.empty();
    auto heard = [this, id = share.id](Time at, StoreAnswer&& answer) {
      Share& owner = this->share(id);
      owner.asked = false;
      owner.ask_at = at + kWatchEvery;
      if (auto* record = std::get_if<OwnerAnswer>(&answer)) on_owner(at, owner, *record);
      else if (owner.phase == Share::Phase::kTaking) owner.phase = Share::Phase::kWatching;
      if (std::holds_alternative<ReadFailed>(answer)) owner.seen.reset();  // time without the store counts for nobody
    };
    if (silent || free) {
      share.phase = Share::Phase::kTaking;
      share.epoch = {std::max(share.epoch_highest, share.seen->epoch.counter) + 1, options.nonce};
      ask(TakePartition{share.id, *share.seen, options.name, share.epoch}, heard);
    } else {
      ask(ReadOwner{share.id}, heard);
    }
  }
}

void Loop::State::on_owner(Time now, Share& share, const OwnerAnswer& answer) {
  share.epoch_highest = std::max(share.epoch_highest, answer.record.epoch.counter);
  if (share.phase == Share::Phase::kTaking) {
    bool taken = answer.taken || (answer.record.epoch == share.epoch && answer.record.owner == options.name);
    if (taken) {
      share.phase = Share::Phase::kLoading;
      share.number = answer.record.number;
      share.beat = answer.record.beat;
      share.beat_due = now;
      share.renewed = now;
      share.core =
          std::make_unique<Partition>(PartitionOptions{share.id, share.epoch, kInlineMaxDefault, true, options.plant});
      share.load_cursor.clear();
      share.load_done = false;
      share.restoring.clear();
      share.definitions_stored.clear();
      share.keys = KeyFilter();
      load(share);
      return;
    }
    share.phase = Share::Phase::kWatching;
  }
  if (!share.seen || *share.seen != answer.record) {
    share.other_alive = share.seen.has_value() && !answer.record.owner.empty();
    share.seen = answer.record;
    share.seen_since = now;
    if (answer.record.owner.empty()) share.ask_at = now;  // nobody has it: take it at once
  }
}

void Loop::State::load(Share& share) {
  ask(LoadActive{share.id, share.load_cursor},
      [this, id = share.id, epoch = share.epoch](Time now, StoreAnswer&& answer) {
        Share& owner = this->share(id);
        if (owner.phase != Share::Phase::kLoading || owner.epoch != epoch) return;
        if (auto* page = std::get_if<ActivePage>(&answer)) on_page(now, owner, *page);
        else
          ask_again(now, [this, id, epoch] {
            Share& later = this->share(id);
            if (later.phase == Share::Phase::kLoading && later.epoch == epoch) load(later);
          });
      });
}

// Reads the idempotency keys that stand in the store, beside everything else. Until it has all of them, each submission
// asks for its own.
void Loop::State::scan_keys(Share& share, const std::string& cursor) {
  ask(ScanKeys{share.id, cursor}, [this, id = share.id, epoch = share.epoch, cursor](Time now, StoreAnswer&& answer) {
    Share& owner = this->share(id);
    if (owner.core == nullptr || owner.epoch != epoch || owner.keys.given_up()) return;
    auto* page = std::get_if<KeysAnswer>(&answer);
    if (page == nullptr) {
      return ask_again(now, [this, id, epoch, cursor] {
        Share& later = this->share(id);
        if (later.core != nullptr && later.epoch == epoch) scan_keys(later, cursor);
      });
    }
    for (std::uint64_t fingerprint : page->fingerprints) owner.keys.add(fingerprint);
    if (page->next.empty()) owner.keys.complete();
    else scan_keys(owner, page->next);
  });
}

void Loop::State::on_page(Time now, Share& share, ActivePage& page) {
  for (const Error& damage : page.damaged) options.note(LoopNote::kError, "a run is not served: " + damage.what);
  std::ranges::move(page.runs, std::back_inserter(share.restoring));
  share.load_cursor = page.next;
  share.load_done = page.next.empty();
  if (!share.load_done) load(share);
  restore_known(now, share);
}

// Restores the runs whose definitions are here, asks for the others' definitions, serves when nothing is left.
void Loop::State::restore_known(Time now, Share& share) {
  std::set<Hash128> missing;
  std::vector<StoredRun> later;
  for (StoredRun& run : share.restoring) {
    const CachedPlan* plan = plans.find(run.info.definition);
    if (plan == nullptr) {
      missing.insert(run.info.definition);
      later.push_back(std::move(run));
      continue;
    }
    share.definitions_stored.insert(run.info.definition);
    auto info = std::make_shared<const RunInfo>(std::move(run.info));
    share.core->restore(now, RestoredRun{std::move(info), plan->plan, std::move(run.record), std::move(run.tasks)});
  }
  share.restoring = std::move(later);
  for (const Hash128& definition : missing) {
    ask(LoadDefinition{share.id, definition}, [this, id = share.id, epoch = share.epoch](Time at,
                                                                                         StoreAnswer&& answer) {
      Share& owner = this->share(id);
      if (owner.phase != Share::Phase::kLoading || owner.epoch != epoch) return;
      auto* found = std::get_if<DefinitionAnswer>(&answer);
      if (found == nullptr) {
        return ask_again(at, [this, id, epoch] {
          Share& later = this->share(id);
          if (later.phase == Share::Phase::kLoading && later.epoch == epoch) restore_known(clock.now(), later);
        });
      }
      if (found->bytes == nullptr || !plans.put(found->definition, found->bytes).ok()) {
        options.note(LoopNote::kError,
                     "definition " + to_string(found->definition) + " is gone from the store: its runs are not served");
        std::erase_if(owner.restoring, [&](const StoredRun& run) { return run.info.definition == found->definition; });
      }
      restore_known(at, owner);
    });
  }
  if (!share.load_done || !share.restoring.empty() || share.phase != Share::Phase::kLoading) return;
  share.phase = Share::Phase::kServing;
  scan_keys(share, "");
  share.adopting = true;
  share.adopt_until = share.core->runs_live() == 0 ? now : now + kAdoptionWait;
  share.awaited = fleet_stored;
  for (const auto& [worker, peer] : peers_by_worker) hello_wanted.insert(peer);  // what they hold of this partition
  if (!all_serving()) return;
  std::size_t live = 0;
  for (const Share& each : shares) live += each.core->runs_live();
  options.note(LoopNote::kInfo,
               "serving " + std::to_string(shares.size()) + " partitions, " + std::to_string(live) + " live runs");
}

// Tasks that may be running somewhere are held back until every worker of the stored fleet has spoken, or the time is
// over.
void Loop::State::close_adoption(Time now, Share& share) {
  if (!share.serving() || !share.adopting || !fleet_read || (now < share.adopt_until && !share.awaited.empty())) return;
  share.adopting = false;
  share.adopt_until = kNever;
  for (const std::string& name :
       std::exchange(share.awaited, {})) {  // not here any more: no need to wait for it next time
    if (!placement.find_name(name)) fleet_dirty |= fleet_stored.erase(name) > 0;
  }
  share.core->step(now, AdoptionClosed{});
}

// Somebody else owns it, or the store lost what we wrote: nothing of what is on its way may leave.
void Loop::State::drop(Time now, Share& share, const std::string& why) {
  if (share.core == nullptr) return;
  options.note(LoopNote::kError, "partition " + std::to_string(share.id.value) + " is dropped: " + why);
  for (PendingTurn& turn : turns) {
    std::erase_if(turn.outgoing, [&](const Outgoing& out) { return out.partition == share.id; });
    if (!turn.in_store && !turn.durable) {
      std::erase_if(turn.commit.partitions, [&](const PartitionCommit& part) { return part.partition == share.id; });
    }
  }
  for (const auto& [id, run] : share.core->runs()) {
    for (const auto& [task, attempt] : run->attempts) placement.freed(attempt.worker.id, run->plan->slot_class(task));
  }
  meter.gave_up(share.core->tally());
  share.core.reset();
  share.phase = Share::Phase::kWatching;
  share.asked = false;
  share.seen.reset();
  share.ask_at = now;
}

// Orderly: when nothing is on its way any more, the records say that nobody owns the partitions.
void Loop::State::release_all(Time now) {
  if (stop_until == Time{}) stop_until = now + kStopWithin;
  bool timed_out = now >= stop_until;
  if (!turns.empty() && !timed_out) return;
  bool open = false;
  for (Share& share : shares) {
    if (share.phase == Share::Phase::kServing || share.phase == Share::Phase::kLoading) {
      share.phase = Share::Phase::kReleased;
      share.asked = true;
      ask(ReleasePartition{share.id, share.epoch},
          [this, id = share.id](Time, StoreAnswer&&) { this->share(id).asked = false; });
    }
    open |= share.phase == Share::Phase::kReleased && share.asked;
  }
  released = !open || timed_out;
}

}  // namespace millrace
