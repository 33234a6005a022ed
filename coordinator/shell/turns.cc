// Loop: turns. What comes in is stepped through the machines; what they ask for becomes one pending turn, which is
// committed once and released in order (release.cc).
#include <algorithm>
#include <cassert>

#include "coordinator/core/look_ahead.h"
#include "coordinator/shell/listing.h"
#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

constexpr std::size_t kCommitRecordsMax = 4'096;
constexpr std::size_t kCommitBytesMax = 1024 * 1024;
constexpr std::size_t kPollAtOnce = 64;
constexpr std::size_t kTurnsHeldMax = 64;  // nothing new is taken in while so many wait to be released
constexpr Duration kUnconfirmedEvery = 1s;
constexpr Duration kFleetWholeEvery = 60s;
constexpr std::size_t kHellosAsked = 32;  // of one worker, whose answers are known again

std::string cursor_of(const PartitionCommit& commit) {
  return std::to_string(commit.epoch.counter) + "-" + std::to_string(commit.number);
}

std::size_t messages_in(const Incoming& incoming) {
  const auto* beats = std::get_if<FromBeats>(&incoming);
  return beats == nullptr ? 1 : beats->beats.size();
}

}  // namespace

bool Loop::State::turn() {
  Time now = clock.now();
  Laps laps(clock, now);
  if (!store.ready()) store_wavered = now;
  bool busy = hear_store(now);
  busy |= release(now);
  finish_giving(now);
  ask_due(now);
  look_after_values(now);
  if (stopping && !released) release_all(now);  // also without the store: it waits for that only so long
  if (broken) {
    refuse_new_work();
    resend(now);
    return busy;
  }
  own(now);
  if (room_for_turn()) {
    for (Share* share : cores) share->core->live_events(bus.heard());
    laps.skip();
    if (turns.size() < kTurnsHeldMax) take_in(now);
    if (turns.size() < kTurnsHeldMax) busy |= follow_streams(now);
    laps.mark(Stage::kTakeIn);
    housekeeping(now);
    place(now);
    if (audit(now)) place(now);
    if (look_at_placement(now)) place(now);  // a task that cannot be placed may let others run
    laps.mark(Stage::kPlace);
    busy |= close_turn(now);
    laps.mark(Stage::kClose);
    busy |= hear_store(now);  // a store in memory has answered already
    busy |= release(now);
  } else {
    keep_beating(now);
  }
  if (busy) laps.keep(meter);
  return busy;
}

// Turns that wait for their commit are bounded. Those that only wait to be released are not counted: the beat that they
// may wait for must find room.
bool Loop::State::room_for_turn() const {
  auto uncommitted = [](const PendingTurn& turn) { return turn.needs_commit && !turn.durable && !turn.only_beats; };
  return std::ranges::count_if(turns, uncommitted) < static_cast<std::ptrdiff_t>(kTurnsInFlightMax);
}

// While turns wait for their commit (for replicas, for a slow store), our partitions still beat: one such turn at a
// time.
void Loop::State::keep_beating(Time now) {
  if (std::ranges::any_of(turns, [](const PendingTurn& turn) { return turn.only_beats && !turn.durable; })) return;
  PendingTurn turn;
  turn.begun = now;
  turn.needs_commit = turn.only_beats = true;
  for (Share* share : cores) {
    if (!share->ours() || now < share->beat_due) continue;
    share->beat_due = now + kBeatOwnership;
    turn.commit.partitions.push_back(beat_of(*share));
  }
  if (turn.commit.partitions.empty()) return;
  turns.push_back(std::move(turn));
  hand_over(turns.back());
}

// The store takes no writes: who brings new work is told so at once; everything else waits until it does.
void Loop::State::refuse_new_work() {
  if (!refuses()) return;
  std::vector<Incoming> more;
  gateway.poll(more, kPollAtOnce);
  for (Incoming& one : more) {
    const auto* client = std::get_if<FromClient>(&one);
    if (client != nullptr && std::holds_alternative<PingRequest>(client->body)) {
      gateway.reply(client->request, pong());
      continue;
    }
    if (client == nullptr || !std::holds_alternative<SubmitRun>(client->body)) {
      incoming.push_back(std::move(one));
      continue;
    }
    Error error{Code::kRefused, "store_full: the store takes no writes: " + store_refuses, {}, "store_full"};
    meter.refused(error);
    gateway.reply(client->request, ErrorReply{std::move(error)});
  }
}

bool Loop::State::room_in_turn() const {
  std::size_t records = 0;
  std::size_t bytes = 0;
  for (const Share* share : cores) {
    records = std::max(records, share->core->pending_records());
    bytes = std::max(bytes, share->core->pending_bytes());
  }
  return records < kCommitRecordsMax - kRecordsPerStep && bytes < kCommitBytesMax / 2;
}

void Loop::State::take_in(Time now) {
  if (stopping) return;
  look_at_routes(now);
  for (const auto& [worker, attempt] : std::exchange(unsent, {})) {
    if (Share* share = share_of(attempt.run); share != nullptr && share->open())
      share->core->step(now, AttemptReclaimed{worker, attempt});
  }
  std::uint32_t taken = 0;
  while (taken < options.inputs_per_turn && room_in_turn()) {
    if (incoming.empty()) {
      std::vector<Incoming> more;
      const Time asked_at = clock.now();
      gateway.poll(more, kPollAtOnce);
      if (more.empty()) return;
      meter.took(Stage::kDecode, clock.now() - asked_at);
      for (const Incoming& one : more) meter.heard(messages_in(one));
      std::ranges::move(more, std::back_inserter(incoming));
    }
    ++taken;
    if (auto* client = std::get_if<FromClient>(&incoming.front())) {
      FromClient one = std::move(*client);
      incoming.pop_front();
      on_request(now, one);
      continue;
    }
    if (auto* peer = std::get_if<FromPeer>(&incoming.front())) {
      FromPeer one = std::move(*peer);
      incoming.pop_front();
      on_peer(now, one);
      continue;
    }
    if (const auto* beats = std::get_if<FromBeats>(&incoming.front())) {
      on_beats(now, *beats);
      incoming.pop_front();
      continue;
    }
    // A batch of reports may be larger than a turn: it is taken in as far as there is room.
    FromWorker& from = std::get<FromWorker>(incoming.front());
    auto* batch = std::get_if<AttemptReports>(&from.message);
    static constexpr std::size_t kReportsAtOnce = 256;
    if (batch != nullptr && batch->reports.size() > kReportsAtOnce) {
      AttemptReports part;
      auto end = batch->reports.end();
      part.reports.assign(std::make_move_iterator(end - kReportsAtOnce), std::make_move_iterator(end));
      batch->reports.resize(batch->reports.size() - kReportsAtOnce);
      WorkerMessage message = std::move(part);
      on_worker(now, from.peer, message);
      continue;
    }
    FromWorker one = std::move(from);
    incoming.pop_front();
    on_worker(now, one.peer, one.message);
  }
}

void Loop::State::housekeeping(Time now) {
  for (WorkerId worker : placement.watch(now)) {
    options.note(LoopNote::kWarn, "worker " + *placement.find(worker)->ref.name + " is lost: silent for 5 s");
    meter.lost_worker();
    worker_gone(now, worker);
  }
  for (Share* share : cores) {
    close_adoption(now, *share);
    if (share->open() && share->core->next_deadline() <= now && room_in_turn()) share->core->step(now, TimePassed{});
  }
  watch_wall(now);
  close_gathers(now);
  tell_news(now);
  keep_house(now);
  if (now < unconfirmed_at) return;
  unconfirmed_at = now + kUnconfirmedEvery;
  std::set<WorkerId> quiet;
  for (Share* share : cores) {
    if (!share->serving()) continue;
    for (WorkerId worker : share->core->unconfirmed(now)) quiet.insert(worker);
  }
  for (WorkerId worker : quiet) {
    if (const auto peer = lines.peer_of(worker)) hello_wanted.insert(*peer);
  }
}

// Ready tasks meet free slots, until nothing fits any more.
void Loop::State::place(Time now) {
  std::vector<Offer> offers;
  std::vector<SlotChange> slots;
  std::vector<Grant> grants;
  while (true) {
    offers.clear();
    slots.clear();
    grants.clear();
    for (Share* share : cores) {
      if (share->ours() && share->core->stirred()) share->core->take_placement(offers, slots);
    }
    for (const SlotChange& slot : slots) placement.change(slot);
    for (Offer& offer : offers) placement.offer(std::move(offer));
    placement.place(grants);
    if (grants.empty()) break;
    LookAhead ahead(LookAhead::To::kGrant);
    for (std::size_t i = 0; i < grants.size(); ++i) {
      Grant& grant = grants[i];
      Share* share = share_of(grant.run);
      if (share != nullptr && share->open()) {
        ahead.before(i, grants.size(), *share->core,
                     [&](std::size_t k) { return std::pair(grants[k].run, grants[k].task); });
        share->core->step(now, SlotGranted{grant.run, grant.task, std::move(grant.worker), grant.slot_class,
                                           grant.needs, placement.slots(grant.slot_class)});
      } else {
        placement.freed(grant.worker.id, grant.slot_class, grant.needs);
        if (share != nullptr && share->ours()) share->postponed.emplace_back(grant.run, grant.task);
      }
    }
  }
}

PartitionCommit Loop::State::beat_of(Share& share) {
  PartitionCommit part;
  part.partition = share.id;
  part.epoch = share.epoch;
  part.beat = ++share.beat;
  part.expects = share.past.acked;
  return part;
}

// Names that have come and gone; now and then all of them, as others may have taken for gone who is here.
void Loop::State::write_fleet(Time now, TurnCommit& commit) {
  if (fleet_dirty && now >= fleet_whole_at) {
    fleet_dirty = false;
    fleet_whole_at = now + kFleetWholeEvery;
    commit.fleet.assign(fleet_stored.begin(), fleet_stored.end());
  } else {
    commit.fleet.assign(fleet_come.begin(), fleet_come.end());
  }
  commit.fleet_gone.assign(fleet_gone.begin(), fleet_gone.end());
  fleet_come.clear();
  fleet_gone.clear();
}

// Everything that the machines asked for since the last turn becomes one pending turn.
bool Loop::State::close_turn(Time now) {
  PendingTurn turn;
  turn.begun = now;
  TurnCommit& commit = turn.commit;
  for (Share* one : cores) {
    Share& share = *one;
    if (!share.ours()) continue;
    share.giving_closed = share.giving.has_value();
    const bool beats = now >= share.beat_due;
    const bool house = house_writes(share, now);
    if (!share.core->stirred() && share.to_write_anew.empty() && !house && !beats) continue;
    Effects effects = share.core->take();
    meter.closed(effects);
    for (const auto& info : effects.ended) share.house.kept.ended(*info);
    for (const RunWrite& write : effects.writes) {
      if (write.info != nullptr) share.house.kept.accepted(*write.info);
    }
    const bool writes = !effects.writes.empty() || effects.writes_shelves() || house || !share.to_write_anew.empty();
    if (writes || beats) {
      PartitionCommit part = beat_of(share);
      if (writes) part.number = ++share.number;
      share.beat_due = now + kBeatOwnership;
      for (RunWrite& write : effects.writes) {
        if (write.info == nullptr || share.definitions_stored.contains(write.info->definition)) continue;
        const CachedPlan* plan = plans.find(write.info->definition);
        assert(plan != nullptr);
        part.definitions.emplace_back(write.info->definition, plan->bytes);
        share.definitions_stored.insert(write.info->definition);
      }
      for (auto& [hash, bytes] : effects.definitions) {
        if (share.definitions_stored.insert(hash).second) part.definitions.emplace_back(hash, std::move(bytes));
      }
      std::ranges::copy(effects.definitions_dropped, std::back_inserter(share.house.dropped));
      part.shelves = shelf_writes(share.id, effects);
      part.needs = std::move(effects.needs);
      part.runs = std::move(effects.writes);
      write_anew(share, part);
      if (writes) add_house(now, share, part);
      std::string cursor = writes ? cursor_of(part) : std::string();
      for (Event& event : effects.events) {
        if (!is_durable(event.type)) continue;
        event.cursor = cursor;
        part.events.push_back(event);
      }
      commit.partitions.push_back(std::move(part));
    }
    std::ranges::move(effects.values, std::back_inserter(commit.values));
    effects.writes.clear();
    effects.workflows.clear();
    effects.definitions.clear();
    effects.definitions_dropped.clear();
    effects.letters.clear();
    effects.letters_gone.clear();
    effects.marks.clear();
    effects.triggers.clear();
    effects.watchers.clear();
    effects.cache_entries.clear();
    effects.cache_askers.clear();
    effects.pauses.clear();
    effects.needs.clear();
    effects.firings = {};
    effects.cached = {};
    effects.values.clear();
    effects.ended.clear();
    if (!effects.empty()) turn.outgoing.push_back({share.id, std::move(effects)});
  }
  commit.keys_beyond = std::max(Duration::zero(), options.key_life - kKeyLife);
  commit.logs = std::exchange(logs_pending, {});
  if (!commit.partitions.empty()) write_fleet(now, commit);
  std::ranges::move(std::exchange(replies_direct, {}), std::back_inserter(turn.outgoing));
  for (PeerId peer : std::exchange(hello_wanted, {})) {
    auto& asked = asked_hello[peer];
    asked.emplace_back(++hellos_asked, now);
    if (asked.size() > kHellosAsked) asked.pop_front();
    sends_direct.emplace_back(peer, SayHello{hellos_asked});
  }
  for (auto& [peer, message] : std::exchange(sends_direct, {})) (void)gateway.send(peer, message);
  for (const Announcement& said : std::exchange(announcements, {})) gateway.announce(said.peers, said.message);
  turn.needs_commit = !commit.partitions.empty() || !commit.values.empty() || !commit.logs.empty();
  if (!turn.needs_commit && turn.outgoing.empty()) return false;
  turns.push_back(std::move(turn));
  if (turns.back().needs_commit) hand_over(turns.back());
  return true;
}

// A value for the core: asked for until there is an answer, or the partition has another epoch.
void Loop::State::fetch(Share& share, const Hash128& hash) {
  load_value({hash}, [this, id = share.id, epoch = share.epoch, hash](Time now, ValueAnswer* value) {
    Share& owner = this->share(id);
    if (!owner.ours() || owner.epoch != epoch) return;
    if (value != nullptr && owner.open())  // one that is being given up takes it if it is kept after all
      owner.core->step(now, ValueFetched{hash, std::move(value->json)});
    else
      ask_again(now, [this, id, epoch, hash] {
        Share& later = this->share(id);
        if (later.ours() && later.epoch == epoch) fetch(later, hash);
      });
  });
}

Time Loop::State::next_wake() const {
  Time wake = asks_at;
  if (broken) return std::min(resend_at, asks_at);
  if (!room_for_turn()) {  // the store's answers come first
    if (std::ranges::any_of(turns, [](const PendingTurn& turn) { return turn.only_beats && !turn.durable; }))
      return asks_at;
    for (const Share* share : cores) {
      if (share->ours()) wake = std::min(wake, share->beat_due);
    }
    return wake;
  }
  const Time store_there = store.ready() ? Time{} : clock.now() + kResendFirst;  // looked at again then
  wake = std::min(wake, std::max(watch_at, store_there));
  for (const Share* share : cores) {
    if (share->phase == Share::Phase::kReleased || share->phase == Share::Phase::kReleasing) continue;
    wake = std::min({wake, share->beat_due, share->adopt_until});
    if (share->open()) wake = std::min(wake, share->core->next_deadline());
  }
  wake = std::min({wake, placement.next_deadline(), stealing.next_deadline()});
  if (placement.workers() > 0) wake = std::min(wake, unconfirmed_at);
  if (!stopping) {
    if (!meeting) wake = std::min(wake, std::max(meet_at, store_there));
    wake = std::min(wake, std::max(plan_at, store_there));
    if (placement.workers() > 0) wake = std::min(wake, news_at);
    if (house.at_work) wake = std::min(wake, std::max(house.next, store_there));
    for (const auto& [id, gather] : gathers) wake = std::min(wake, gather.until);
  }
  if (turns.size() >= kTurnsHeldMax) return wake;
  if (!held.empty()) wake = std::min(wake, held_at);
  if (options.streams != nullptr && !stopping) wake = std::min({wake, follow_at, entries_at});
  if (!unsent.empty() || !incoming.empty()) wake = Time{};
  return wake;
}

}  // namespace millrace
