#include "coordinator/shell/meter.h"

#include "coordinator/shell/loop_state.h"

namespace millrace {

std::string_view to_string(Stage stage) {
  switch (stage) {
    case Stage::kTurn: return "turn";
    case Stage::kDecode: return "decode";
    case Stage::kTakeIn: return "take_in";
    case Stage::kPlace: return "place";
    case Stage::kClose: return "close";
    case Stage::kRelease: return "release";
    case Stage::kCommit: return "commit";
    case Stage::kSubmitToAck: return "submit_to_ack";
    case Stage::kReadyToDispatch: return "ready_to_dispatch";
    case Stage::kDispatchToEnd: return "dispatch_to_end";
    case Stage::kTaskRun: return "task_run";
    case Stage::kRun: return "run";
    case Stage::kTriggerLag: return "trigger_lag";
  }
  return "";
}

void Meter::refused(const Error& error) {
  std::string_view name = error.name.empty() ? std::string_view(to_string(error.code)) : std::string_view(error.name);
  auto known = counts_.refusals.find(name);
  if (known == counts_.refusals.end()) {
    if (counts_.refusals.size() >= kRefusalsMax) name = "other";
    known = counts_.refusals.try_emplace(std::string(name)).first;
  }
  ++known->second;
}

void Meter::gave_up(const Tally& tally) {
  Tally kept = tally;
  kept.tasks = {};  // they are not here any more
  counts_.gone.add(kept);
  counts_.runs_handed_over += tally.live();
}

std::string check_sums(const LoopSnapshot& loop) {
  const std::uint64_t left = loop.counts.runs_handed_over + loop.runs_live;
  if (loop.tally.live() == left) return "";
  return std::to_string(loop.tally.accepted) + " runs accepted and " + std::to_string(loop.tally.restored) +
         " restored, " + std::to_string(loop.tally.live()) + " of them not ended, but " +
         std::to_string(loop.runs_live) + " live and " + std::to_string(loop.counts.runs_handed_over) + " handed over";
}

LoopSnapshot Loop::State::snapshot() const {
  LoopSnapshot out;
  out.name = options.name;
  out.now = clock.now();
  out.store_ready = store.ready();
  out.store = store.health();
  out.stopping = stopping;
  out.partitions = static_cast<std::uint32_t>(shares.size());
  out.runs_max = options.runs_max;
  out.tasks_max = options.tasks_max;
  out.bytes_max = options.bytes_max;
  out.house = house.counts;
  out.counts = meter.counts();
  out.tally = out.counts.gone;
  for (const Share& share : shares) {
    const bool served = share.serving() && out.now - share.renewed <= kReadyWithin;
    const bool others = share.served_elsewhere() && membership.alive(share.seen->owner) != nullptr &&
                        out.now - share.seen_since <= kReadyWithin;
    if (served) ++out.partitions_serving;
    else if (!others) ++out.partitions_awaited;
    if (share.core == nullptr) continue;
    out.owned.push_back({share.id, share.epoch.counter, share.serving()});
    out.tally.add(share.core->tally());
    out.runs_live += share.core->runs_live();
    out.tasks_live += share.core->tasks_live();
    out.bytes_live += share.core->bytes_live();
    out.triggers += share.core->triggers_here();
    out.events_waiting += share.core->events_waiting();
    out.cache_entries += share.core->cache().entries();
    out.cache_waiting += share.core->cache().askers();
    for (const Pause& pause : share.core->pauses_decided())
      ++(pause.what.kind == PauseKind::kWorkflow ? out.paused_workflows : out.paused_queues);
  }
  placement.measure(out.now, [&](const FleetWorker& worker, bool silent) {
    out.attempts_out += std::uint64_t{worker.used.cpu} + worker.used.io;
    if (silent) ++out.workers_silent;
    else if (worker.draining) ++out.workers_draining;
    else {
      ++out.workers_ready;
      out.slots += worker.hello.slots;
      out.credit += std::uint64_t{worker.credit.cpu} + worker.credit.io;
    }
  });
  out.offers = placement.offers();
  out.unplaceable = placement.unplaceable();
  out.turns_in_flight = turns.size();
  out.requests_held = held.size();
  out.store_reads_open = asked.size();
  out.definitions = plans.size();
  return out;
}

}  // namespace millrace
