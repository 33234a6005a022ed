// Partition: how a run advances: the one door for task states, what a completion opens, stopping and ending.
#include <algorithm>

#include "coordinator/core/partition.h"
#include "coordinator/core/tries.h"

namespace millrace {
namespace {

constexpr std::size_t kRecordBytes = 96;  // roughly, of a record and its event, without its output and error

EventType end_event(RunState state) {
  switch (state) {
    case RunState::kSucceeded: return EventType::kRunSucceeded;
    case RunState::kDegraded: return EventType::kRunDegraded;
    case RunState::kCancelled: return EventType::kRunCancelled;
    case RunState::kFailed: return EventType::kRunFailed;
    case RunState::kAccepted:
    case RunState::kRunning:
    case RunState::kPaused:
    case RunState::kFailing:
    case RunState::kCancelling: break;
  }
  assert(false && "not an end");
  return EventType::kRunFailed;
}

}  // namespace

// The one door: every change of a task's state passes here and is held against the table.
void Partition::move(Run& run, TaskIndex task, TaskState to) {
  TaskState& state = run.states[task.value];
  assert(allowed(state, to));
  --run.by_state[static_cast<std::size_t>(state)];
  ++run.by_state[static_cast<std::size_t>(to)];
  --tally_.of(state);
  ++tally_.of(to);
  state = to;
  if (is_durable(to)) run.tasks[task.value].state = to;
}

void Partition::write(Run& run, TaskIndex task) {
  write_record(run, task, run.tasks[task.value], run.sums[task.value]);
  run.note_record(task);
}

void Partition::write_record(Run& run, TaskIndex task, TaskRecord& record, std::uint64_t& sum) {
  if (record.version++ == 0) ++run.record.records_live;
  run.record.records_sum -= sum;
  sum = checksum(task, record);
  run.record.records_sum += sum;
  touch(run).tasks.emplace_back(task, record);
  ++records_pending_;
  ++records_step_;
  bytes_pending_ += kRecordBytes + (record.output.is_inline() ? record.output.size() : 0) +
                    (record.error != nullptr ? record.error->message.size() + record.error->traceback.size() : 0);
}

RunWrite& Partition::touch(Run& run) {
  if (run.write_turn != turn_) {
    run.write_turn = turn_;
    run.write_index = effects_.writes.size();
    ++run.record.version;
    effects_.writes.push_back({run.id(), nullptr, {}, {}, 0, 0});
    ++records_pending_;
    bytes_pending_ += kRecordBytes;
  }
  return effects_.writes[run.write_index];
}

void Partition::note_start(Time now, Run& run) {
  if (run.record.state == RunState::kAccepted) run.record.state = RunState::kRunning;
  if (run.record.started == Time{}) run.record.started = now;
}

void Partition::emit(Time now, Run& run, EventType type, TaskIndex task, std::uint32_t attempt, Reason reason) {
  if (!live_events_ && !is_durable(type)) return;
  Event event;
  event.run = run.id();
  event.type = type;
  event.reason = reason;
  event.task = task;
  event.attempt = attempt;
  event.time = now;
  if (is_task_event(type)) event.node = run.plan->id(task);
  if (is_durable(type)) {
    touch(run);
    event.seq = ++run.record.seq;
  }
  effects_.events.push_back(std::move(event));
}

// A task ends: state, record, event, and what it opens.
void Partition::end_task(Time now, Run& run, TaskIndex task, TaskState state, Reason reason, EventType event) {
  if (state == TaskState::kFailed && !halted(run, task) && stand_aside(now, run, task, reason)) return;
  if (state == TaskState::kFailed && !halted(run, task) && fall_back(run, task)) {
    state = TaskState::kSucceeded;
    reason = Reason::kFallback;
    event = EventType::kTaskSucceeded;
  }
  if ((state == TaskState::kSkipped || state == TaskState::kCancelled) && run.plan->has_flow())
    leave_wait(now, run, task);
  TaskRecord& record = run.tasks[task.value];
  if (run.plan->is_mapped(task)) close_items(run, task);
  run.limits.erase(task);
  give_up_claim(run, task, state, reason);
  record.reason = reason;
  record.ended = state == TaskState::kSucceeded ? ordered_end(now, run, task) : now;
  count_bytes(run, record.output);
  move(run, task, state);
  write(run, task);
  emit(now, run, event, task, record.tries, reason);
  const bool cleans = run.plan->cleanup_of(task) != Cleanup::kNone;
  const std::optional<TaskIndex> aside = run.plan->stands_in_for(task);
  const bool told = aside && stands_aside(run, *aside);  // whom it stood in for fails now, and tells why
  if (state == TaskState::kFailed && !told && (!run.stopping() || cleans)) {
    RunError error;
    error.code = std::string(to_string(reason));
    error.node = run.plan->id(task);
    error.attempt = record.tries;
    if (record.error != nullptr) {
      error.message = record.error->message;
      error.traceback = record.error->traceback;
    }
    if (cleans) cleanup_failed(run, task, std::move(error));
    else if (run.plan->workflow().fail_fast && !failure_is_taken(run, task))
      fail_run(now, run, reason, std::move(error));
    else if (run.record.error == nullptr) run.record.error = std::make_shared<const RunError>(std::move(error));
  }
  complete(now, run, task);
}

void Partition::complete(Time now, Run& run, TaskIndex task) {
  if (run.plan->cleanup_of(task) != Cleanup::kNone) cleanup_ended(run, task);
  scratch_.clear();
  run.frontier.complete(task.value, scratch_);
  if (options_.plant == TestPlant::kOpenEarly) {
    std::span<const std::uint32_t> downstream = run.plan->dag().downstream().of(task.value);
    scratch_.assign(downstream.begin(), downstream.end());
  }
  if ((!run.stopping() || run.plan->has_cleanup()) && options_.plant != TestPlant::kForgetOpened) {
    for (std::uint32_t next : scratch_) opened_.emplace_back(run.id(), TaskIndex{next});
    if (run.plan->opens_early()) open_early(run, task);
  }
  finish_if_done(now, run);
}

// What earlier inputs left over, within the budget of one step.
void Partition::work(Time now) {
  do {
    open_some(now);
    while (!sweeps_.empty() && records_step_ < kRecordsPerStep) sweep(now, *runs_.at(*sweeps_.begin()));
  } while (!opened_.empty() && records_step_ < kRecordsPerStep);
}

void Partition::open_some(Time now) {
  while (!opened_.empty() && records_step_ < kRecordsPerStep) {
    auto [id, task] = opened_.front();
    opened_.pop_front();
    Run* run = live(id);
    if (run == nullptr || halted(*run, task)) continue;
    if (run->states[task.value] == TaskState::kPending) open(now, *run, task);
    else if (stands_aside(*run, task)) stood_in(now, *run, task);
    else if (is_held(*run, task) || waits_for_place(*run, task)) offer_anew(now, *run, task);
    else if (Mapped* mapped = mapped_at(*run, task)) advance_items(now, *run, *mapped);
  }
}

void Partition::fail_run(Time now, Run& run, Reason reason, RunError error) {
  run.record.error = std::make_shared<const RunError>(std::move(error));
  stop_run(now, run, RunState::kFailing, run.record.error->node.empty() ? reason : Reason::kFailFast);
}

// Nothing more is dispatched, running attempts are told to stop, the rest is swept up step by step.
void Partition::stop_run(Time now, Run& run, RunState state, Reason reason) {
  assert(allowed(run.record.state, state));
  const bool was_held = run.paused() || !pauses_.none();
  run.record.state = state;
  run.record.reason = reason;
  touch(run);
  run.sweeping = true;
  run.sweep_at = 0;
  sweeps_.insert(run.id());
  for (auto& [task, attempt] : run.attempts) {
    if (!halted(run, task)) continue;
    attempt.cancelling = true;
    effects_.cancels.push_back({attempt.worker.id, {attempt.id, reason_for_workers(reason)}});
  }
  if (!run.attempts.empty()) set_timer(now + kConfirmWithin, run.id(), kRunTimer);
  if (was_held && run.plan->has_cleanup()) go_on(now, run);
}

void Partition::cancel_task(Time now, Run& run, TaskIndex task) {
  const Reason reason = run.record.reason == Reason::kCancelRequested ? Reason::kCancelRequested : Reason::kFailFast;
  end_task(now, run, task, TaskState::kCancelled, reason, EventType::kTaskCancelled);
}

void Partition::sweep(Time now, Run& run) {
  while (run.sweep_at < run.states.size() && records_step_ < kRecordsPerStep) {
    TaskIndex task{run.sweep_at++};
    if (!halted(run, task)) continue;
    switch (run.states[task.value]) {
      case TaskState::kPending:
      case TaskState::kReady:
      case TaskState::kWaiting:
      case TaskState::kRetrying: cancel_task(now, run, task); break;
      case TaskState::kDispatched:
      case TaskState::kRunning:
        if (Mapped* mapped = mapped_at(run, task)) advance_items(now, run, *mapped);
        break;
      case TaskState::kSucceeded:
      case TaskState::kFailed:
      case TaskState::kSkipped:
      case TaskState::kCancelled: break;
    }
  }
  if (run.sweep_at < run.states.size()) return;
  run.sweeping = false;
  sweeps_.erase(run.id());
  finish_if_done(now, run);
}

void Partition::finish_if_done(Time now, Run& run) {
  if (run.ended()) return;
  if (run.stopping()) {
    if (run.sweeping || !run.work_done()) return;
    // Chunks may be out of a fan-out that has ended.
    if ((run.phase == Cleanup::kNone && !run.attempts.empty()) || clean_up(run) || !run.attempts.empty()) return;
    finish(now, run, run.record.state == RunState::kFailing ? RunState::kFailed : RunState::kCancelled);
    return;
  }
  if (!run.work_done() || run.paused()) return;
  if (run.plan->has_cleanup() && run.count(TaskState::kFailed) > run.cleanup_failed) {
    run.record.state = RunState::kFailing;  // until all is cleaned up
    touch(run);
    return finish_if_done(now, run);
  }
  if (clean_up(run)) return;
  if (run.count(TaskState::kFailed) > 0) finish(now, run, RunState::kFailed);
  else if (assemble_outputs(now, run)) finish(now, run, run.fallbacks > 0 ? RunState::kDegraded : RunState::kSucceeded);
}

void Partition::finish(Time now, Run& run, RunState state) {
  assert(allowed(run.record.state, state));
  run.record.state = state;
  run.record.ended = now;
  touch(run);
  emit(now, run, end_event(state), {}, 0, run.record.reason);
  for (const auto& [request, nodes_max] : run.waiters)
    effects_.replies.push_back({request, RunReply{view_of(run, now, nodes_max)}});
  run.waiters.clear();
  for (const auto& [task, hashes] : run.value_waits) {
    for (const Hash128& hash : hashes) fetches_[hash].erase(run.id());
  }
  run.value_waits.clear();
  learn(run);
  effects_.ended.push_back(run.info);
  tell_parent(run);
  tell_trigger(run.info->tenant, run.info->key);
  tell_watchers(run);
  if (options_.plant != TestPlant::kMiscount) --runs_live_;
  ++tally_.of(state);
  tasks_live_ -= run.states.size();
  bytes_live_ -= run.bytes;
  auto load = tenants_.find(run.info->tenant);
  load->second.tasks -= run.states.size();
  if (--load->second.runs == 0) tenants_.erase(load);
  keep_ended(run.id());
}

// Ended runs stay for a while, for late reports and questions; take() drops the oldest beyond kKeptTasksMax.
void Partition::keep_ended(RunId id) {
  const Run& run = *runs_.at(id);
  live_.erase(id);
  ended_kept_.push_back(id);
  ended_tasks_ += run.plan->node_count();
  for (std::size_t i = 0; i < ended_states_.size(); ++i) ended_states_[i] += run.by_state[i];
}

void Partition::count_bytes(Run& run, const Payload& payload) {
  if (payload.is_null()) return;
  run.bytes += payload.size();
  bytes_live_ += payload.size();
}

// What the run teaches about durations: the next runs of this definition take their longest remaining path by it.
void Partition::learn(Run& run) {
  static constexpr std::size_t kDefinitionsMax = 256;
  if (run.plan->node_count() > kYamlNodesMax || run.record.state != RunState::kSucceeded) return;
  if (history_.size() >= kDefinitionsMax && !history_.contains(run.info->definition)) history_.erase(history_.begin());
  DurationHistory& history = history_[run.info->definition];
  history.ran_us.resize(run.plan->workflow().specs.size());
  for (std::uint32_t task = 0; task < run.tasks.size(); ++task) {
    auto ran = static_cast<std::uint32_t>(std::clamp<Duration::rep>(run.tasks[task].ran.count(), 1, 0x7FFFFFFF));
    std::uint32_t& seen = history.ran_us[run.plan->workflow().spec_index(task)];
    seen = seen == 0 ? ran : static_cast<std::uint32_t>((std::uint64_t{seen} * 7 + ran) / 8);
  }
  for (const auto& [node, mapped] : run.mapped) {
    if (mapped->pace.item_us > 0) history.paces[run.plan->workflow().spec_index(node.value)] = mapped->pace;
  }
  ++history.runs;
  if ((history.runs & (history.runs - 1)) != 0) return;  // ranks are made anew after 1, 2, 4, 8 ... runs
  std::vector<std::uint32_t> weights(run.tasks.size());
  for (std::uint32_t task = 0; task < weights.size(); ++task)
    weights[task] = history.ran_us[run.plan->workflow().spec_index(task)];
  history.ranks = std::make_shared<const std::vector<std::uint32_t>>(run.plan->dag().ranks(weights));
}

}  // namespace millrace
