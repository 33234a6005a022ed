// Loop: what becomes of a turn once it is closed: handed to the store, sent again where its outcome is unknown, and
// released in commit order when it is durable: sends, then events.
#include <algorithm>

#include "common/io/fault.h"
#include "common/wire/codec.h"
#include "coordinator/shell/fault_turns.h"
#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

constexpr Duration kResendMax = 2s;

}  // namespace

void Loop::State::hand_over(PendingTurn& turn) {
  if (faults_armed()) fault_before_commit(turn.commit);
  turn.commit.turn = ++turns_made;
  turn.commit.now = turn.begun;
  turn.in_store = true;
  turn.handed = clock.now();
  meter.handed_over();
  store.commit(turn.commit);
}

bool Loop::State::hear_store(Time now) {
  StoreReplies replies;
  store.poll(replies);
  for (const CommitOutcome& outcome : replies.commits) on_commit(now, outcome);
  for (ReadOutcome& read : replies.reads) {
    auto it = asked.find(read.tag);
    if (it == asked.end()) continue;
    Continuation then = std::move(it->second);
    asked.erase(it);
    if (std::holds_alternative<ReadFailed>(read.answer)) store_wavered = now;
    then(now, std::move(read.answer));
  }
  return !replies.commits.empty() || !replies.reads.empty();
}

void Loop::State::on_commit(Time now, const CommitOutcome& outcome) {
  auto turn =
      std::ranges::find_if(turns, [&](const PendingTurn& t) { return t.in_store && t.commit.turn == outcome.turn; });
  if (turn == turns.end()) return;
  turn->in_store = false;
  meter.took(Stage::kCommit, clock.now() - turn->handed);
  std::vector<PartitionId> fenced;
  std::vector<PartitionId> behind;
  bool unknown = outcome.partitions.empty() && !turn->commit.partitions.empty();
  for (std::size_t i = 0; i < outcome.partitions.size(); ++i) {
    const auto& [partition, result] = outcome.partitions[i];
    meter.answered(result);
    // A commit of an epoch that was dropped since says nothing about the one of now.
    bool current = share(partition).core != nullptr && share(partition).epoch == turn->commit.partitions[i].epoch;
    if (!current && result != CommitResult::kUnknown) continue;
    switch (result) {
      case CommitResult::kApplied:
      case CommitResult::kAlready:
        share(partition).renewed = std::max(share(partition).renewed, turn->begun);
        share(partition).past.acked = std::max(share(partition).past.acked, turn->commit.partitions[i].number);
        break;
      case CommitResult::kGap: behind.push_back(partition); break;
      case CommitResult::kFenced: fenced.push_back(partition); break;
      case CommitResult::kUnknown: unknown = true; break;
    }
  }
  if (!outcome.error.empty() && outcome.partitions.empty() && turn->commit.partitions.empty()) unknown = true;
  if (unknown) {
    if (!broken) {
      resend_pause = kResendFirst;
      resend_at = now + resend_pause;
      options.note(LoopNote::kWarn, "a commit's outcome is unknown, it will be sent again: " + outcome.error);
    }
    broken = true;
    store_wavered = now;
    const bool full =
        outcome.error.find("OOM") != std::string::npos || outcome.error.find("MISCONF") != std::string::npos;
    if (full) store_refuses = outcome.error;
  } else {
    store_refuses.clear();
    turn->durable = true;
    for (const ValueWrite& value : turn->commit.values) values_kept.wrote(now, value);
  }
  for (const PartitionId partition : fenced) drop(now, share(partition), "another epoch owns it");
  for (const PartitionId partition : behind) fall_behind(now, share(partition));
}

// After an unknown outcome everything that is not known to be durable goes out again, in order.
void Loop::State::resend(Time now) {
  bool waiting = std::ranges::any_of(turns, [](const PendingTurn& turn) { return turn.in_store; });
  if (now < resend_at) return;
  if (waiting || !store.ready()) {
    resend_at = now + kResendFirst;  // not a reason to be called again and again
    return;
  }
  resend_pause = std::min(resend_pause * 2, kResendMax);
  resend_at = now + resend_pause;
  broken = false;
  for (PendingTurn& turn : turns) {
    if (turn.needs_commit && !turn.durable) hand_over(turn);
  }
}

// Turns leave in order, each when it is durable. What a turn says of a partition that it did not write leaves only
// while we surely own it.
bool Loop::State::release(Time now) {
  while (!dispatches_left.empty() && dispatches_left.front().first < now - kOnItsWay) dispatches_left.pop_front();
  bool any = false;
  while (!turns.empty()) {
    PendingTurn& turn = turns.front();
    if (turn.needs_commit && !turn.durable) break;
    auto stale = [&](const Outgoing& out) {
      return out.partition.value < shares.size() && now - share(out.partition).renewed > kServeWithoutBeat &&
             std::ranges::none_of(turn.commit.partitions,
                                  [&](const PartitionCommit& part) { return part.partition == out.partition; });
    };
    if (std::ranges::any_of(turn.outgoing, stale)) break;
    std::vector<Outgoing> outgoing = std::move(turn.outgoing);
    if (faults_armed()) fault_when_durable(turn.commit);
    if (std::ranges::any_of(outgoing, [](const Outgoing& out) { return !out.effects.assigns.empty(); })) {
      dispatches_left.emplace_back(now, turn.begun);
    }
    turns.pop_front();
    for (const Outgoing& out : outgoing) {
      // Only now: the value may have been written by this very turn.
      for (const Hash128& hash : out.effects.fetches) fetch(share(out.partition), hash);
    }
    const Time begun = clock.now();
    for (const Outgoing& out : outgoing) meter.leaves(out.effects, begun);
    perform(outgoing);
    if (!outgoing.empty()) meter.took(Stage::kRelease, clock.now() - begun);
    any = true;
  }
  return any;
}

// Sends, then events, of a whole turn: what one worker is told by several partitions goes in one message.
void Loop::State::perform(std::vector<Outgoing>& outgoing) {
  if (faults_armed()) fault_before_sends(outgoing);
  std::map<WorkerId, ToWorker> workers;
  for (Outgoing& out : outgoing) {
    for (SendAnswer& send : out.effects.answers) workers[send.worker].answers.answers.push_back(std::move(send.answer));
    for (SendCancel& send : out.effects.cancels) workers[send.worker].cancels.cancels.push_back(send.cancel);
    for (SendReclaim& send : out.effects.reclaims) workers[send.worker].reclaims.attempts.push_back(send.attempt);
    for (SendAssign& send : out.effects.assigns) {
      ToWorker& to = workers[send.worker];
      to.assign_bytes += wire_size(send.assignment);
      to.assigns.assignments.push_back(std::move(send.assignment));
      if (to.assign_bytes > kBatchBytesTarget || to.assigns.assignments.size() >= kBatchMax / 2)
        send_assigns(send.worker, to);
    }
  }
  for (auto& [worker, to] : workers) {
    if (!to.answers.answers.empty()) tell(worker, std::move(to.answers));  // lost ones are resent by their worker
    if (!to.cancels.cancels.empty()) tell(worker, std::move(to.cancels));
    if (!to.assigns.assignments.empty()) send_assigns(worker, to);
    if (!to.reclaims.attempts.empty()) tell(worker, std::move(to.reclaims));  // unanswered, it is asked what it has
  }
  for (Outgoing& out : outgoing) {
    for (const SendReply& send : out.effects.replies) gateway.reply(send.request, send.reply);
  }
  for (const Outgoing& out : outgoing) carry(clock.now(), out);
  if (faults_armed()) fault_after_sends(outgoing);
  for (Outgoing& out : outgoing) {
    if (out.effects.events.empty()) continue;
    bus.publish(out.effects.events);
    if (options.on_event) tell_of(out.effects.events);
  }
}

void Loop::State::send_assigns(WorkerId worker, ToWorker& to) {
  to.assign_bytes = 0;
  const std::optional<PeerId> peer = lines.peer_of(worker);
  CoordinatorMessage message = std::exchange(to.assigns, {});
  if (peer && gateway.send(*peer, message)) return;
  const FleetWorker* known = placement.find(worker);
  WorkerRef ref = known != nullptr ? known->ref : WorkerRef{worker, nullptr};
  for (const Assignment& assignment : std::get<AssignBatch>(message).assignments)
    unsent.emplace_back(ref, assignment.attempt());
}

// The log hears of runs, and of tasks that failed.
void Loop::State::tell_of(const std::vector<Event>& events) {
  for (const Event& event : events) {
    if (is_durable(event.type) && (!is_task_event(event.type) || event.type == EventType::kTaskFailed)) {
      Share* share = share_of(event.run);
      const Run* run = share != nullptr && share->core != nullptr ? share->core->find(event.run) : nullptr;
      options.on_event(event, run);
    }
  }
}

}  // namespace millrace
