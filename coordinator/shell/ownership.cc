// Loop: which partitions are ours: watched, taken, loaded, dropped, given back (DESIGN section 5, "Ownership").
#include <algorithm>

#include "coordinator/shell/loop_state.h"
#include "coordinator/shell/redis_keys.h"

namespace millrace {
namespace {

constexpr Duration kWatchEvery = 100ms;  // a partition of somebody else; more seldom where there are very many
constexpr Duration kWatchEveryMax = 500ms;
constexpr Duration kWatchOneEvery = 2ms;  // over all of them
constexpr Duration kWatchSoonest = 10ms;
constexpr Duration kStopWithin = 2s;
constexpr Duration kAnswerIsSlow = 250ms;

// Whether a run was accepted under this epoch: its id tells.
bool accepted_under(const Epoch& epoch, RunId run) {
  return make_run_id(partition_of(run), epoch.counter, static_cast<std::uint32_t>(run.value)) == run;
}

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
  meet(now);
  if (now >= watch_at) watch_owners(now);
  plan_ownership(now);
}

void Loop::State::look_at(Share& share, Time when) {
  share.ask_at = when;
  watch_at = std::min(watch_at, when);
}

void Loop::State::watch_owners(Time now) {
  watch_at = kNever;
  for (Share& share : shares) {
    if (share.phase != Share::Phase::kWatching || share.asked) continue;
    if (now < share.ask_at) {
      watch_at = std::min(watch_at, share.ask_at);
      continue;
    }
    share.asked = true;
    ask(ReadOwner{share.id}, [this, id = share.id, asked_at = now](Time at, StoreAnswer&& answer) {
      Share& watched = this->share(id);
      watched.asked = false;
      look_at(watched, at + watch_every());
      // While the store stands still its owner cannot beat: that time counts for nobody.
      if (at - asked_at >= kAnswerIsSlow) watched.seen_since += at - asked_at;
      if (auto* record = std::get_if<OwnerAnswer>(&answer)) on_owner(at, watched, *record);
      if (std::holds_alternative<ReadFailed>(answer)) {  // time without the store counts for nobody
        watched.seen.reset();
        watched.silent = false;
      }
    });
  }
}

Duration Loop::State::watch_every() const {
  const auto watched = static_cast<Duration::rep>(shares.size() - cores.size());
  return std::clamp<Duration>(kWatchOneEvery * watched, kWatchEvery, kWatchEveryMax);
}

void Loop::State::take(Time now, Share& share) {
  share.asked = true;
  share.phase = Share::Phase::kTaking;
  share.inherited = share.seen->owner.empty() && share.seen->heir == options.name;
  share.epoch = {std::max(share.epoch_highest, share.seen->epoch.counter) + 1, options.nonce};
  if (!share.past.epochs.empty()) share.past.epochs.push_back(share.epoch);
  ask(TakePartition{share.id, *share.seen, options.name, share.epoch, now},
      [this, id = share.id](Time at, StoreAnswer&& answer) {
        Share& wanted = this->share(id);
        wanted.asked = false;
        look_at(wanted, at);
        if (auto* record = std::get_if<OwnerAnswer>(&answer)) return on_owner(at, wanted, *record);
        if (wanted.phase == Share::Phase::kTaking) wanted.phase = Share::Phase::kWatching;
        wanted.seen.reset();
        wanted.silent = false;
      });
}

void Loop::State::on_owner(Time now, Share& share, const OwnerAnswer& answer) {
  const OwnerRecord& record = answer.record;
  share.epoch_highest = std::max(share.epoch_highest, record.epoch.counter);
  if (share.phase == Share::Phase::kTaking) {
    bool taken = answer.taken || (record.epoch == share.epoch && record.owner == options.name);
    if (taken) {
      share.beat = record.beat;
      share.beat_due = now;
      share.renewed = now;
      share.taken = record.since;
      share.silent = false;
      return after_take(now, share, share.seen.value_or(OwnerRecord{}), record.number);
    }
    share.phase = Share::Phase::kWatching;
    plan_dirty = true;
  }
  if (std::exchange(share.retake, false) && !stopping && record.owner == options.name &&
      std::ranges::find(share.past.epochs, record.epoch) != share.past.epochs.end()) {
    share.seen = record;
    return take(now, share);
  }
  look_for_loss(now, share, record);
  if (!share.seen || *share.seen != record) {
    const bool other = !share.seen || share.seen->owner != record.owner || share.seen->epoch != record.epoch;
    share.seen = record;
    share.seen_since = now;
    share.silent = false;
    if (other || record.owner.empty()) plan_dirty = routes_dirty = true;
  } else if (!share.silent && !record.owner.empty() && now >= share.seen_since + kTakeOverAfter) {
    share.silent = true;
    share.silent_since = now;
    plan_dirty = true;
  }
  if (!share.silent && !record.owner.empty())  // it is looked at when its silence may be over
    look_at(share, std::min(share.ask_at, std::max(now + kWatchSoonest, share.seen_since + kTakeOverAfter)));
}

void Loop::State::list_cores() {
  cores.clear();
  for (Share& share : shares) {
    if (share.core != nullptr) cores.push_back(&share);
  }
}

void Loop::State::begin_loading(Share& share) {
  share.phase = Share::Phase::kLoading;
  share.core = std::make_unique<Partition>(PartitionOptions{share.id, share.epoch, kInlineMaxDefault, true,
                                                            options.plant, options.run_tasks_max, options.partitions,
                                                            options.zones, wall_ahead, options.list_min});
  list_cores();
  share.load_cursor.clear();
  share.load_done = false;
  share.restoring.clear();
  share.mail = {};
  share.mail_loaded = false;
  share.mail_heard.clear();
  share.definitions_stored.clear();
  share.keys = KeyFilter();
  share.keys_anew.reset();
  share.adopting = false;
  share.house = ShareHouse();
  routes_dirty = news_dirty = true;
  if (stopping) return;  // it is released with the others
  load(share);
  load_mail(share, 0, "");
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
    if (owner.core == nullptr || owner.epoch != epoch) return;
    KeyFilter& filter = owner.keys_anew != nullptr ? *owner.keys_anew : owner.keys;
    if (filter.given_up()) return owner.keys_anew.reset();
    auto* page = std::get_if<KeysAnswer>(&answer);
    if (page == nullptr) {
      return ask_again(now, [this, id, epoch, cursor] {
        Share& later = this->share(id);
        if (later.core != nullptr && later.epoch == epoch) scan_keys(later, cursor);
      });
    }
    for (std::uint64_t fingerprint : page->fingerprints) filter.add(fingerprint);
    if (!page->next.empty()) return scan_keys(owner, page->next);
    filter.complete();
    if (owner.keys_anew != nullptr) owner.keys = std::move(*std::exchange(owner.keys_anew, nullptr));
  });
}

void Loop::State::on_page(Time now, Share& share, ActivePage& page) {
  for (const Error& damage : page.damaged) options.note(LoopNote::kError, "a run is not served: " + damage.what);
  // A run that was accepted while the others came from the store is here already, or has come and gone.
  std::erase_if(page.runs, [&](const StoredRun& run) { return accepted_under(share.epoch, run.info.run); });
  std::ranges::move(page.runs, std::back_inserter(share.restoring));
  share.load_cursor = page.next;
  share.load_done = page.next.empty();
  if (!share.load_done) load(share);
  restore_known(now, share);
}

// Its runs cannot go on; all others do.
void Loop::State::without_definition(Share& share, const Hash128& definition, const std::string& why) {
  const auto needs_it = [&](const StoredRun& run) { return run.info.definition == definition; };
  for (const StoredRun& run : share.restoring) {
    if (needs_it(run))
      options.note(LoopNote::kError, "run " + to_string(run.info.run) + " is not served: definition " + why);
  }
  std::erase_if(share.restoring, needs_it);
}

// Restores the runs whose definitions are here, asks for the others' definitions, serves when nothing is left.
void Loop::State::restore_known(Time now, Share& share) {
  if (!share.mail_loaded) return;  // a run may end as soon as it is here, and whom that is told stands on a shelf
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
    compare_lost(share, *info, run.record);
    share.core->restore(now, RestoredRun{std::move(info), plan->plan, std::move(run.record), std::move(run.tasks)});
  }
  share.restoring = std::move(later);
  for (const Hash128& definition : missing) {
    ask(LoadDefinition{share.id, definition},
        [this, id = share.id, epoch = share.epoch, definition](Time at, StoreAnswer&& answer) {
          Share& owner = this->share(id);
          if (owner.phase != Share::Phase::kLoading || owner.epoch != epoch) return;
          auto* found = std::get_if<DefinitionAnswer>(&answer);
          const auto* failed = std::get_if<ReadFailed>(&answer);
          if (failed != nullptr && failed->error.name == "damaged") {
            without_definition(owner, definition, failed->error.what);
            return restore_known(at, owner);
          }
          if (found == nullptr) {
            return ask_again(at, [this, id, epoch] {
              Share& later = this->share(id);
              if (later.phase == Share::Phase::kLoading && later.epoch == epoch) restore_known(clock.now(), later);
            });
          }
          if (found->bytes == nullptr || !plans.put(found->definition, found->bytes).ok()) {
            without_definition(owner, definition,
                               definition_key(id, definition) + ": is not there, or cannot be read by this version");
          }
          restore_known(at, owner);
        });
  }
  if (!share.load_done || !share.mail_loaded || !share.restoring.empty() || share.phase != Share::Phase::kLoading)
    return;
  tell_lost(now, share);
  share.phase = Share::Phase::kServing;
  scan_keys(share, "");
  share.adopting = true;
  share.adopt_until = share.core->runs_live() == 0 ? now : now + kAdoptionWait;
  share.awaited = fleet_stored;
  if (now > began + kWorkerLostAfter)  // who has not come to us by now is not there
    std::erase_if(share.awaited, [&](const std::string& name) { return !placement.find_name(name); });
  routes_dirty = true;
  for (const auto& [worker, peer] : lines.all()) hello_wanted.insert(peer);  // what they hold of this partition
  const auto loading = [](const Share& each) { return each.phase == Share::Phase::kLoading; };
  if (std::ranges::any_of(shares, loading)) return;
  std::size_t live = 0;
  std::size_t serving = 0;
  for (const Share& each : shares) {
    serving += each.serving() ? 1 : 0;
    live += each.serving() ? each.core->runs_live() : 0;
  }
  options.note(LoopNote::kInfo,
               "serving " + std::to_string(serving) + " partitions, " + std::to_string(live) + " live runs");
}

// Tasks that may be running somewhere are held back until every worker of the stored fleet has spoken, or the time is
// over.
void Loop::State::close_adoption(Time now, Share& share) {
  if (!share.serving() || !share.adopting || !fleet_read || (now < share.adopt_until && !share.awaited.empty())) return;
  share.adopting = false;
  share.adopt_until = kNever;
  for (const std::string& name :
       std::exchange(share.awaited, {})) {  // not here any more: no need to wait for it next time
    if (placement.find_name(name)) continue;
    if (fleet_stored.erase(name) > 0) fleet_come.erase(name), fleet_gone.insert(name);
    placement.expect(name, now);
  }
  share.core->step(now, AdoptionClosed{});
}

// Somebody else owns it, or the store lost what we wrote: nothing of what is on its way may leave. Who waits for an
// answer is told to ask again.
void Loop::State::drop(Time now, Share& share, const std::string& why) {
  if (share.core == nullptr) return;
  options.note(LoopNote::kError, "partition " + std::to_string(share.id.value) + " is dropped: " + why);
  std::vector<RequestId> unanswered;
  auto collect = [&](const Effects& effects) {
    for (const SendReply& send : effects.replies) unanswered.push_back(send.request);
  };
  for (PendingTurn& turn : turns) {
    for (const Outgoing& out : turn.outgoing) {
      if (out.partition == share.id) collect(out.effects);
    }
    std::erase_if(turn.outgoing, [&](const Outgoing& out) { return out.partition == share.id; });
    if (!turn.in_store && !turn.durable) {
      std::erase_if(turn.commit.partitions, [&](const PartitionCommit& part) { return part.partition == share.id; });
    }
  }
  // Nor may what was answered from memory in this turn: nothing renews the partition, and it would hold up all others.
  std::erase_if(replies_direct, [&](const Outgoing& out) {
    if (out.partition == share.id) collect(out.effects);
    return out.partition == share.id;
  });
  settle_slots(share);
  collect(share.core->take());
  std::map<RunId, std::uint32_t>& versions = share.past.runs.emplace();
  for (const auto& [id, run] : share.core->runs()) versions.emplace(id, run->record.version);
  for (const auto& [id, run] : share.core->runs()) {  // of runs that perhaps nobody will ever know
    for (const auto& [request, nodes_max] : run->waiters) unanswered.push_back(request);
  }
  forget_core(now, share);
  for (RequestId request : unanswered) refuse(request, not_serving(share.id));
}

// What attempts have taken and freed in this turn counts, though the turn does not.
void Loop::State::settle_slots(Share& share) {
  std::vector<Offer> offers;
  std::vector<SlotChange> slots;
  share.core->take_placement(offers, slots);
  for (const SlotChange& slot : slots) placement.change(slot);
}

// Its runs leave our memory.
void Loop::State::forget_core(Time now, Share& share) {
  settle_slots(share);
  for (const auto& [id, run] : share.core->runs()) {
    for (const auto& [task, attempt] : run->attempts)
      placement.freed(attempt.worker.id, run->plan->slot_class(*run->plan->node_of(task)),
                      run->plan->needs(*run->plan->node_of(task)).get());
  }
  meter.gave_up(share.core->tally());
  share.core.reset();
  list_cores();
  share.phase = Share::Phase::kWatching;
  share.asked = false;
  share.seen.reset();
  share.silent = false;
  share.giving.reset();
  share.look.reset();
  share.to_write_anew.clear();
  share.stays_until = Time{};
  share.postponed.clear();
  share.gone.clear();
  share.inherited = false;
  share.restoring.clear();
  share.adopting = false;
  share.adopt_until = kNever;
  share.house = ShareHouse();
  look_at(share, now);
  plan_dirty = routes_dirty = news_dirty = true;
}

// Orderly: when nothing is on its way any more, the records say that nobody owns the partitions.
void Loop::State::release_all(Time now) {
  if (stop_until == Time{}) stop_until = now + kStopWithin;
  bool timed_out = now >= stop_until;
  if (!turns.empty() && !timed_out) return;
  std::map<PartitionId, std::string> heirs;
  for (auto& [id, heir] : heirs_of(balance_view())) heirs[id] = std::move(heir);
  bool open = false;
  for (Share& share : shares) {
    if (share.ours()) {
      std::string heir = share.giving ? *share.giving : heirs[share.id];
      share.phase = Share::Phase::kReleased;
      share.asked = true;
      ask(ReleasePartition{share.id, share.epoch, std::move(heir), share.past.acked},
          [this, id = share.id](Time, StoreAnswer&&) { this->share(id).asked = false; });
    }
    open |= share.asked && (share.phase == Share::Phase::kReleased || share.phase == Share::Phase::kTaking);
    open |= share.phase == Share::Phase::kRepairing;
  }
  if (!forgotten) {
    forgotten = true;
    ask(ForgetMember{options.name}, [](Time, StoreAnswer&&) {});
  }
  released = !open || timed_out;
}

}  // namespace millrace
