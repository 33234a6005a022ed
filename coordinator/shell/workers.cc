// Loop: what workers say.
#include <algorithm>

#include "coordinator/core/look_ahead.h"
#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

constexpr Duration kOlderOnItsWay = 2s;         // what an older worker was sent this recently it may not have seen
constexpr std::size_t kLogsPendingMax = 4'096;  // log chunks a turn; what lies beyond is dropped

}  // namespace

bool Loop::State::tell(WorkerId worker, const CoordinatorMessage& message) {
  const std::optional<PeerId> peer = lines.peer_of(worker);
  return peer && gateway.send(*peer, message);
}

void Loop::State::on_worker(Time now, PeerId peer, WorkerMessage& message) {
  if (auto* hello = std::get_if<WorkerHello>(&message)) return on_hello(now, peer, *hello);
  if (const auto* beat = std::get_if<WorkerBeat>(&message)) return on_beats(now, {{{peer, *beat}}});
  const std::optional<WorkerId> known = lines.worker_at(peer);
  if (!known) {  // we restarted, or gave it up: whatever it says is said again after its Hello
    hello_wanted.insert(peer);
    return;
  }
  placement.heard(now, *known);
  auto serving = [&](const AttemptId& attempt) {
    Share* share = share_of(attempt.run);
    // While runs are coming from the store, what is said of those that are not here yet is said again later.
    return share != nullptr && (share->serving() || share->has(attempt.run)) ? share->core.get() : nullptr;
  };
  if (auto* credit = std::get_if<CreditUpdate>(&message)) { return placement.credit(*known, *credit); }
  const WorkerRef ref = placement.find(*known)->ref;
  if (auto* started = std::get_if<AttemptsStarted>(&message)) {
    for (const AttemptId& attempt : started->attempts) {
      if (Partition* core = serving(attempt)) core->step(now, AttemptStarted{ref, attempt});
    }
  } else if (auto* reports = std::get_if<AttemptReports>(&message)) {
    std::vector<AttemptReport>& all = reports->reports;
    LookAhead ahead(LookAhead::To::kEnd);
    for (std::size_t i = 0; i < all.size(); ++i) {
      Partition* core = serving(all[i].attempt);
      if (core == nullptr) continue;
      ahead.before(i, all.size(), *core,
                   [&](std::size_t k) { return std::pair(all[k].attempt.run, all[k].attempt.task); });
      core->step(now, AttemptEnded{ref, std::move(all[i])});
    }
  } else if (auto* reclaimed = std::get_if<AttemptsReclaimed>(&message)) {
    for (const AttemptId& attempt : reclaimed->attempts) {
      if (Partition* core = serving(attempt)) core->step(now, AttemptReclaimed{ref, attempt});
    }
  } else if (auto* log = std::get_if<TaskLog>(&message)) {
    on_log(now, *log);
  } else if (auto* news = std::get_if<TaskNews>(&message)) {
    on_news(now, *news);
  } else if (auto* wanted = std::get_if<ValueRequest>(&message)) {
    give_value(peer, *wanted);
  } else if (auto* part = std::get_if<PutPart>(&message)) {
    take_part(now, peer, *part);
  } else if (std::holds_alternative<WorkerDraining>(message)) {
    placement.drain(ref.id);
  } else if (std::holds_alternative<WorkerBye>(message)) {
    if (fleet_stored.erase(*ref.name) > 0) fleet_come.erase(*ref.name), fleet_gone.insert(*ref.name);
    options.note(LoopNote::kInfo, "worker " + *ref.name + " has left");
    worker_gone(now, ref.id);
  }
}

void Loop::State::on_beats(Time now, const FromBeats& beats) {
  const bool alone = news_told.members.size() <= 1;
  placement.beats(now, beats.beats, alone, [this](PeerId peer) { hello_wanted.insert(peer); });
}

void Loop::State::on_hello(Time now, PeerId peer, WorkerHello& hello) {
  bool was_known = placement.find_incarnation(hello.incarnation).has_value();
  std::optional<WorkerId> given_up;
  Result<WorkerRef> joined = placement.join(now, hello, given_up);
  if (!joined.ok()) {
    options.note(LoopNote::kWarn, joined.error().what);
    meter.refused(joined.error());
    sends_direct.emplace_back(peer, WorkerRefused{joined.error().name, joined.error().what});
    return;
  }
  if (given_up) worker_gone(now, *given_up);
  const bool new_line = lines.set(joined->id, peer);
  if (fleet_stored.insert(hello.name).second) fleet_dirty = true, fleet_come.insert(hello.name);
  fleet_gone.erase(hello.name);
  if (!was_known)
    options.note(LoopNote::kInfo,
                 "worker " + hello.name + " has joined with " + std::to_string(hello.slots) + " slots");

  // What was dispatched before this and is not named has not reached the worker. A line keeps the order, so a Hello
  // that names our question speaks of all that left before that; one that comes over a new line of all that left at
  // all. One that comes by itself may have been under way for long, over a line that bulk data fills: it speaks of
  // nothing. An older worker names no question.
  Time said_after = new_line ? now : hello.answers == 0 ? now - kOlderOnItsWay : Time::min();
  auto& asked = asked_hello[peer];
  if (auto one = std::ranges::find(asked, hello.answers, &std::pair<std::uint64_t, Time>::first); one != asked.end()) {
    said_after = one->second;
    asked.erase(asked.begin(), one + 1);
  }
  if (asked.empty()) asked_hello.erase(peer);
  const bool too_long_ago = said_after < now - kOnItsWay;
  const Time exempt_after = !was_known ? kNever : too_long_ago ? Time::min() : first_dispatch_left_after(said_after);
  hear_epochs(now, hello);
  for (Share* share : cores) {
    if (!share->serving()) continue;  // it asks for a Hello of its own when it serves
    WorkerReported reported{*joined, {}, exempt_after};
    for (const HeldAttempt& held : hello.held) {
      if (partition_of(held.attempt.run) == share->id) reported.held.push_back(held);
    }
    share->core->step(now, std::move(reported));
    share->awaited.erase(hello.name);
  }
  sends_direct.emplace_back(peer, WorkerWelcome{joined->id, options.name, news(), true});
}

// Workers remember the highest epochs they have heard of and refuse lower ones: an owner that learns of a higher one
// (the store has lost a take-over) takes its partition again, above it.
void Loop::State::hear_epochs(Time now, const WorkerHello& hello) {
  for (const PartitionEpoch& heard : hello.epochs) {
    if (heard.partition.value >= shares.size()) continue;
    Share& share = this->share(heard.partition);
    share.epoch_highest = std::max(share.epoch_highest, heard.epoch);
    if (!share.ours() || heard.epoch <= share.epoch.counter) continue;
    take_above(now, share, "worker " + hello.name + " has heard of epoch " + std::to_string(heard.epoch));
  }
}

// It is dropped and taken again, above the highest epoch that anybody has told of.
void Loop::State::take_above(Time now, Share& share, const std::string& heard) {
  const Epoch epoch = share.epoch;
  drop(now, share, heard + ", this is " + std::to_string(epoch.counter));
  ask(ReleasePartition{share.id, epoch, options.name}, [](Time, StoreAnswer&&) {});
}

// When the oldest turn with assignments began that has not left, or left at or after `when`.
Time Loop::State::first_dispatch_left_after(Time when) const {
  auto left = std::ranges::lower_bound(dispatches_left, when, {}, &std::pair<Time, Time>::first);
  if (left != dispatches_left.end()) return left->second;
  return turns.empty() ? clock.now() : turns.front().begun;
}

// Silent for too long, replaced, or gone in an orderly way.
void Loop::State::worker_gone(Time now, WorkerId worker) {
  for (Share* share : cores) {
    if (share->open()) share->core->step(now, WorkerLost{worker});
    else if (share->ours()) share->gone.push_back(worker);  // if it is kept, it is told
  }
  if (const auto peer = lines.drop(worker)) asked_hello.erase(*peer);
  placement.leave(worker, now);
}

void Loop::State::on_log(Time now, TaskLog& log) {
  Share* share = share_of(log.attempt.run);
  if (share == nullptr || !share->open() || logs_pending.size() >= kLogsPendingMax) return;
  const Run* run = share->core->find(log.attempt.run);
  const auto node = run == nullptr ? std::nullopt : run->plan->node_of(log.attempt.task);
  if (!node) return;
  std::string name = run->plan->id(*node);
  if (log.item && run->plan->is_mapped(*node)) name += "[" + std::to_string(*log.item) + "]";
  logs_pending.push_back(
      {log.attempt.run, {std::move(name), log.attempt.number, log.stderr_stream, now, std::move(log.text)}});
}

// Ephemeral: it rests on nothing that this turn writes, is never stored, and nobody waits for it.
void Loop::State::on_news(Time now, TaskNews& news) {
  if (!bus.heard() || (news.type != EventType::kTaskProgress && news.type != EventType::kTaskTokens)) return;
  Share* share = share_of(news.attempt.run);
  const Run* run = share != nullptr && share->open() ? share->core->find(news.attempt.run) : nullptr;
  if (run == nullptr) return;
  const auto attempt = run->attempts.find(news.attempt.task);
  if (attempt == run->attempts.end() || attempt->second.id != news.attempt) return;
  Event event;
  event.run = news.attempt.run;
  event.type = news.type;
  event.task = news.attempt.task;
  event.attempt = news.attempt.number;
  event.time = now;
  event.node = run->plan->id(news.attempt.task);
  event.data = Payload::inline_json(std::move(news.json));
  bus.publish({&event, 1});
}

}  // namespace millrace
