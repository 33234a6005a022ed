#include "coordinator/core/partition.h"

#include <algorithm>

#include "coordinator/core/tries.h"

namespace millrace {

Partition::Partition(PartitionOptions options)
    : options_(std::move(options)), triggers_(options_.zones), wall_ahead_(options_.wall_ahead) {}

void Partition::step(Time now, Input input) {
  stirred_ = true;
  records_step_ = 0;
  std::visit([&](auto& in) { on(now, in); }, input);
  work(now);
  tend_cache(now);
  fire_due(now);
  outbox_.due(now, effects_.mail);
}

Effects Partition::take() {
  for (RunWrite& write : effects_.writes) {  // headers as they are at the end of the turn
    const Run* run = find(write.run);
    write.record = run->record;
    write.tasks_total = run->plan->node_count();
    write.tasks_done = run->done();
  }
  while (!ended_kept_.empty() && ended_tasks_ > kKeptTasksMax) {
    if (auto it = runs_.find(ended_kept_.front()); it != runs_.end()) forget_ended(it);
    ended_kept_.pop_front();
  }
  ++turn_;
  stirred_ = false;
  records_pending_ = 0;
  bytes_pending_ = 0;
  return std::exchange(effects_, Effects{});
}

void Partition::forget_ended(std::map<RunId, std::unique_ptr<Run>>::iterator run) {
  ended_tasks_ -= run->second->plan->node_count();
  for (std::size_t i = 0; i < tally_.tasks.size(); ++i) {
    tally_.tasks[i] -= run->second->by_state[i];
    ended_states_[i] -= run->second->by_state[i];
  }
  keys_.erase(key_name(*run->second->info));
  runs_.erase(run);
}

// Not within a turn that has written it: its header is looked up when the turn is taken.
void Partition::forget(RunId run) {
  auto it = runs_.find(run);
  if (it != runs_.end() && it->second->ended() && it->second->write_turn != turn_) forget_ended(it);
  if (ended_kept_.size() > 2 * (runs_.size() - runs_live_) + 64)  // mostly of runs that are gone
    std::erase_if(ended_kept_, [&](RunId kept) { return !runs_.contains(kept); });
}

Load Partition::load_of(std::string_view tenant) const {
  auto it = tenants_.find(tenant);
  return it == tenants_.end() ? Load{} : it->second;
}

void Partition::take_placement(std::vector<Offer>& offers, std::vector<SlotChange>& slots) {
  offers.insert(offers.end(), std::make_move_iterator(effects_.offers.begin()),
                std::make_move_iterator(effects_.offers.end()));
  slots.insert(slots.end(), effects_.slots.begin(), effects_.slots.end());
  effects_.offers.clear();
  effects_.slots.clear();
}

void Partition::offer_again(RunId id, TaskIndex task) {
  if (!wants_place(id, task)) return;
  stirred_ = true;
  offer(Time{}, *live(id), task);
}

bool Partition::wants_place(RunId id, TaskIndex task) const {
  auto it = runs_.find(id);
  if (it == runs_.end() || it->second->ended() || halted(*it->second, task) || held_back(*it->second, task))
    return false;
  const Run& run = *it->second;
  if (run.plan->is_mapped(task) && run.states[task.value] == TaskState::kRunning) return true;  // for its next items
  return run.states[task.value] == TaskState::kReady || waits_for_place(run, task);
}

Time Partition::next_deadline() const {
  if (!opened_.empty() || !sweeps_.empty() || cache_.answering()) return Time{};  // work is left over: at once
  const Time mail = std::min(outbox_.next_deadline(), next_firing_due());
  return std::min({mail, cache_.next_expiry(), timers_.empty() ? kNever : std::get<Time>(*timers_.begin())});
}

const Run* Partition::find(RunId run) const {
  auto it = runs_.find(run);
  return it == runs_.end() ? nullptr : it->second.get();
}

Run* Partition::live(RunId run) {
  auto it = live_.find(run);
  return it == live_.end() ? nullptr : it->second;
}

std::optional<RunId> Partition::find_key(std::string_view tenant, std::string_view key) const {
  std::string name;
  name.reserve(tenant.size() + key.size() + 1);
  name.append(tenant).append(1, '\0').append(key);
  auto it = keys_.find(name);
  if (it == keys_.end()) return std::nullopt;
  return it->second;
}

std::vector<WorkerId> Partition::unconfirmed(Time now) const {
  std::vector<WorkerId> workers;
  for (const auto& [worker, run, task] : out_) {
    if (!workers.empty() && workers.back() == worker) continue;
    const Attempt& attempt = find(run)->attempts.at(task);
    const Time asked = std::max(attempt.dispatched, attempt.reclaimed);
    if (!attempt.confirmed && now - asked >= kConfirmWithin) workers.push_back(worker);
  }
  return workers;
}

void Partition::set_timer(Time when, RunId run, TaskIndex task) { timers_.emplace(when, run, task); }

void Partition::on(Time now, TimePassed&) {
  while (!timers_.empty() && records_step_ < kRecordsPerStep) {
    auto [when, run, task] = *timers_.begin();
    if (when > now) break;
    timers_.erase(timers_.begin());
    run_timer(now, run, task);
  }
}

// A timer is never taken back: what it was set for is looked at when it fires.
void Partition::run_timer(Time now, RunId id, TaskIndex task) {
  Run* run = live(id);
  if (run == nullptr) return;
  if (task == kRunTimer) {
    if (run->stopping()) {  // tell those again that have not stopped
      for (const auto& [index, attempt] : run->attempts) {
        if (!attempt.cancelling) continue;  // it cleans up
        effects_.cancels.push_back({attempt.worker.id, {attempt.id, reason_for_workers(run->record.reason)}});
      }
      set_timer(now + kConfirmWithin, id, kRunTimer);
      return;
    }
    return run_time_over(now, *run);
  }
  if (run->plan->is_item(task)) return item_due(now, *run, task);
  if (over_limit(now, *run, task)) return time_is_up(now, *run, task);
  if (run->states[task.value] == TaskState::kRetrying && run->tasks[task.value].due <= now && !halted(*run, task)) {
    run->tasks[task.value].ready = run->tasks[task.value].due;
    move(*run, task, TaskState::kReady);
    begin_try(now, *run, task);
  } else if (awaits_event(*run, task) && !halted(*run, task)) {
    const Time due = run->tasks[task.value].due;
    if (due != Time{} && due <= now && !run->value_waits.contains(task)) wait_over(now, *run, task);
  } else if (awaits_cache(*run, task) && !halted(*run, task)) {
    ask_cache(now, *run, task);
  }
}

}  // namespace millrace
