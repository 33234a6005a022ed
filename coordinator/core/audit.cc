#include "coordinator/core/audit.h"

#include <algorithm>
#include <set>

namespace millrace {
namespace {

std::string name_of(const Run& run, TaskIndex task) {
  return "task " + run.plan->id(task) + " of run " + to_string(run.id());
}

}  // namespace

std::string_view to_string(AuditKind kind) {
  switch (kind) {
    case AuditKind::kOwner: return "owner";
    case AuditKind::kOffer: return "offer";
    case AuditKind::kTimer: return "timer";
    case AuditKind::kOpened: return "opened";
    case AuditKind::kValue: return "value";
    case AuditKind::kEnd: return "end";
    case AuditKind::kCounts: return "counts";
    case AuditKind::kPartition: return "partition";
  }
  return "";
}

void Audit::found(std::vector<AuditFinding>& findings, AuditKind kind, const Run& run, TaskIndex task,
                  const char* what) {
  findings.push_back({kind, run.id(), task, name_of(run, task) + " " + what, true});
}

Audit::Place Audit::look(Time now, Place from, std::size_t tasks, const World& world,
                         std::vector<AuditFinding>& findings) {
  partition_.records_step_ = 0;
  const std::map<RunId, Run*>& live = partition_.live_;
  auto it = live.lower_bound(from.run);
  if (it != live.end() && it->first != from.run) from.task = 0;
  std::size_t left = tasks;
  while (it != live.end() && left > 0 && findings.size() < kFindingsMax) {
    Run& run = *it->second;  // stays in memory until the turn is taken, though it may end here
    if (from.task == 0) look_at_counts(run, findings);
    const auto size = static_cast<std::uint32_t>(run.states.size());
    for (; from.task < size && left > 0 && findings.size() < kFindingsMax && !run.ended(); ++from.task, --left) {
      ++looked_;
      const TaskState state = run.states[from.task];
      const bool out = state == TaskState::kDispatched || state == TaskState::kRunning;
      if (is_terminal(state) || (Partition::halted(run, TaskIndex{from.task}) && !out)) continue;
      look_at(now, run, TaskIndex{from.task}, world, findings);
    }
    if (from.task < size && !run.ended()) {
      from.run = run.id();
      partition_.work(now);
      return from;
    }
    if (!run.ended()) look_at_end(now, run, findings);
    it = live.upper_bound(run.id());
    from.task = 0;
  }
  from.run = it == live.end() ? RunId{} : it->first;
  partition_.work(now);
  return from;
}

void Audit::look_at_counts(Run& run, std::vector<AuditFinding>& findings) {
  std::array<std::uint32_t, 10> counted{};
  for (TaskState state : run.states) ++counted[static_cast<std::size_t>(state)];
  if (counted == run.by_state) return;
  findings.push_back({AuditKind::kCounts, run.id(), {}, "the tasks of run " + to_string(run.id()) + " by state", true});
  for (std::size_t i = 0; i < counted.size(); ++i) partition_.tally_.tasks[i] += counted[i] - run.by_state[i];
  run.by_state = counted;
}

void Audit::look_at(Time now, Run& run, TaskIndex task, const World& world, std::vector<AuditFinding>& findings) {
  Partition& p = partition_;
  switch (run.states[task.value]) {
    case TaskState::kDispatched:
    case TaskState::kRunning: {
      if (Mapped* mapped = p.mapped_at(run, task)) return look_at_items(now, run, *mapped, world, findings);
      auto attempt = run.attempts.find(task);
      if (attempt == run.attempts.end()) {
        found(findings, AuditKind::kOwner, run, task, "is out and nobody knows where: tried again");
        run.numbers[task] = p.next_number(run, task);  // whoever may have it has a name of its own
        return p.lost(now, run, task, "nobody knew where it was");
      }
      const WorkerId worker = attempt->second.worker.id;
      if (!p.out_.contains({worker, run.id(), task})) {
        found(findings, AuditKind::kOwner, run, task, "is not among those of its worker: put there");
        p.out_.emplace(worker, run.id(), task);
      }
      if (!world.knows || world.knows(worker)) return;
      found(findings, AuditKind::kOwner, run, task, "is at a worker that is not there: tried again");
      return p.lose_attempt(now, run, task, "its worker was not there");
    }
    case TaskState::kReady: return;  // see ready()
    case TaskState::kRetrying: {
      const Time due = run.tasks[task.value].due;
      if (p.timers_.contains({due, run.id(), task})) return;
      // What came from the store late was set to ring at once.
      if (rings(run, task)) return;
      found(findings, AuditKind::kTimer, run, task, "waits for its next try and has no timer: set");
      return p.set_timer(std::max(now, due), run.id(), task);
    }
    case TaskState::kPending:
      if (run.frontier.unmet(task.value) > 0 || !p.opened_.empty() || run.plan->cleanup_of(task) != Cleanup::kNone)
        return;
      found(findings, AuditKind::kOpened, run, task, "has nothing left to wait for and is not looked at: opened");
      p.opened_.emplace_back(run.id(), task);
      return;
    case TaskState::kWaiting: {
      auto waits = run.value_waits.find(task);
      if (waits == run.value_waits.end()) return look_at_wait(now, run, task, findings);
      for (const Hash128& hash : waits->second) {
        auto fetch = p.fetches_.find(hash);
        if (p.fetched_.contains(hash) || (fetch != p.fetches_.end() && fetch->second.contains(run.id()))) continue;
        found(findings, AuditKind::kValue, run, task, "waits for a value that nobody fetches: fetched");
        p.fetch(run, hash);
      }
      return;
    }
    case TaskState::kSucceeded:
    case TaskState::kFailed:
    case TaskState::kSkipped:
    case TaskState::kCancelled: return;
  }
}

// Tasks that wait for something else than a value: a place, a timer, a signal, an approval, the end of a pause.
void Audit::look_at_wait(Time now, Run& run, TaskIndex task, std::vector<AuditFinding>& findings) {
  Partition& p = partition_;
  if (p.waits_for_place(run, task)) return;
  if (Partition::is_held(run, task) && (p.held_back(run, task) || !p.opened_.empty())) return;
  if (const auto next = run.plan->stand_in(task); next && Partition::stands_aside(run, task)) {
    const bool over = is_terminal(run.states[next->value]);
    const bool wanted = run.states[next->value] == TaskState::kPending && p.may_stand_in(run, *next);
    if ((!over && !wanted) || !p.opened_.empty()) return;
    found(findings, AuditKind::kOpened, run, task, "has failed, and nobody looks at what stands in for it: opened");
    p.opened_.emplace_back(run.id(), over ? task : *next);
    return;
  }
  if (Partition::awaits_cache(run, task)) {
    if (rings(run, task)) return;
    found(findings, AuditKind::kTimer, run, task, "waits for a value of its key and does not ask again: asked");
    return p.ask_cache(now, run, task);
  }
  if (Partition::awaits_event(run, task)) {
    const Time due = run.tasks[task.value].due;
    if (due == Time{} || rings(run, task)) return;
    found(findings, AuditKind::kTimer, run, task, "waits until its time and has no timer: set");
    return p.set_timer(std::max(now, due), run.id(), task);
  }
  found(findings, AuditKind::kOpened, run, task, "waits, and nobody knows for what: looked at again");
  if (p.let_go(run, task)) return p.begin_try(now, run, task);
  p.decide(now, run, task);
}

bool Audit::rings(const Run& run, TaskIndex task) const {
  return std::ranges::any_of(partition_.timers_, [&](const auto& timer) {
    return std::get<RunId>(timer) == run.id() && std::get<TaskIndex>(timer) == task;
  });
}

// Every chunk that is out is at a worker that is there; and while there is something to do, something is out, offered
// or waits for its time.
void Audit::look_at_items(Time now, Run& run, Mapped& mapped, const World& world, std::vector<AuditFinding>& findings) {
  Partition& p = partition_;
  std::vector<TaskIndex> homeless;
  for (const auto& [first, count] : mapped.out) {
    const TaskIndex chunk{mapped.base + first};
    const WorkerId worker = run.attempts.at(chunk).worker.id;
    if (!p.out_.contains({worker, run.id(), chunk})) {
      found(findings, AuditKind::kOwner, run, chunk, "is not among those of its worker: put there");
      p.out_.emplace(worker, run.id(), chunk);
    }
    if (world.knows && !world.knows(worker)) homeless.push_back(chunk);
  }
  for (TaskIndex chunk : homeless) {
    if (!run.attempts.contains(chunk)) continue;  // its node has ended meanwhile
    found(findings, AuditKind::kOwner, run, chunk, "is at a worker that is not there: tried again");
    p.lose_attempt(now, run, chunk, "its worker was not there");
  }
  if (Partition::halted(run, mapped.node) || run.ended() || p.held_back(run, mapped.node) ||
      is_terminal(run.states[mapped.node.value]))
    return;
  if (p.options_.adopting) return;
  if (mapped.waiting > 0 || !mapped.out.empty() || mapped.offers > 0 || run.value_waits.contains(mapped.node)) return;
  found(findings, AuditKind::kOffer, run, mapped.node, "has items left and none is offered: offered");
  p.advance_items(now, run, mapped);
}

void Audit::look_at_end(Time now, Run& run, std::vector<AuditFinding>& findings) {
  Partition& p = partition_;
  auto tell = [&](const char* what) {
    findings.push_back({AuditKind::kEnd, run.id(), {}, "run " + to_string(run.id()) + " " + what, true});
  };
  // Something that cleans up is on its way, or looked at in the next step; what has just begun is not yet.
  const bool cleaning = run.plan->has_cleanup() && run.phase_open > 0 &&
                        (!p.opened_.empty() || std::ranges::any_of(run.states, [](TaskState state) {
                          return state != TaskState::kPending && !is_terminal(state);
                        }));
  if (run.stopping()) {
    if (run.sweeping && !p.sweeps_.contains(run.id())) {
      tell("is being stopped and nobody goes on with it: gone on");
      p.sweeps_.insert(run.id());
    } else if (!run.sweeping && run.attempts.empty() && !cleaning) {
      tell("has stopped and does not end: ended");
      p.finish_if_done(now, run);
    }
    return;
  }
  if (run.done() < run.states.size() || run.paused()) return;
  const bool fetched =
      std::ranges::all_of(run.output_waits, [&](const Hash128& hash) { return p.fetched_.contains(hash); });
  const bool waits = !run.output_waits.empty() && !fetched;
  if (waits) {
    for (const Hash128& hash : run.output_waits) {
      auto fetch = p.fetches_.find(hash);
      if (fetch != p.fetches_.end() && fetch->second.contains(run.id())) continue;
      tell("waits for a value of its outputs that nobody fetches: fetched");
      p.fetch(run, hash);
    }
    return;
  }
  tell("has no open task and does not end: ended");
  p.finish_if_done(now, run);
}

std::uint64_t Audit::ready() const {
  if (partition_.options_.adopting) return 0;
  std::uint64_t ready = partition_.tally_.of(TaskState::kReady);
  std::set<RunId> waiting;  // a fan-out that has nothing to deal out before parts of its list have come
  for (const auto& [hash, runs] : partition_.fetches_) waiting.insert(runs.begin(), runs.end());
  for (const RunId id : waiting) {
    const Run* run = partition_.find(id);
    if (run == nullptr || run->ended()) continue;
    for (const auto& [task, hashes] : run->value_waits) ready -= run->states[task.value] == TaskState::kReady ? 1 : 0;
  }
  return ready;
}

void Audit::offer_all(Time now) {
  if (!partition_.options_.adopting) partition_.offer_ready(now, /*restored_only=*/false);
}

void Audit::count(std::vector<AuditFinding>& findings) {
  Partition& p = partition_;
  std::uint32_t live = 0;
  std::uint64_t tasks = 0;
  std::uint64_t bytes = 0;
  std::array<std::uint64_t, 10> by_state = p.ended_states_;
  std::map<std::string, Load, std::less<>> tenants;
  for (const auto& [id, run] : p.live_) {
    for (std::size_t i = 0; i < by_state.size(); ++i) by_state[i] += run->by_state[i];
    ++live;
    tasks += run->states.size();
    bytes += run->bytes;
    Load& load = tenants[run->info->tenant];
    ++load.runs;
    load.tasks += run->states.size();
  }
  const std::string where = "partition " + std::to_string(p.options_.partition.value) + ": ";
  auto differ = [&](const char* what, std::uint64_t has, std::uint64_t is) {
    findings.push_back({AuditKind::kCounts,
                        {},
                        {},
                        where + what + ": " + std::to_string(has) + " counted, " + std::to_string(is) + " there",
                        true});
  };
  if (p.runs_live_ != live) differ("live runs", p.runs_live_, live);
  if (p.tasks_live_ != tasks) differ("tasks of live runs", p.tasks_live_, tasks);
  if (p.bytes_live_ != bytes) differ("bytes of live runs", p.bytes_live_, bytes);
  if (p.tenants_ != tenants) differ("tenants with live runs", p.tenants_.size(), tenants.size());
  if (p.tally_.tasks != by_state) differ("tasks in memory by state", 0, 0);
  p.runs_live_ = live;
  p.tasks_live_ = tasks;
  p.bytes_live_ = bytes;
  p.tenants_ = std::move(tenants);
  p.tally_.tasks = by_state;
  if (p.tally_.live() == live) return;
  differ("runs that came in and have not ended", p.tally_.live(), live);
  p.tally_.restored += live - p.tally_.live();  // modulo 2^64: the ends stand, the beginnings follow
}

}  // namespace millrace
