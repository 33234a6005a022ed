// Partition: attempts: dispatched, reported, lost, adopted, retried.
#include <algorithm>

#include "coordinator/core/partition.h"
#include "coordinator/core/tries.h"
#include "coordinator/core/variables.h"

namespace millrace {
namespace {

// Whether what a join over very many would get together is more than one value may be.
std::string inputs_too_large(const Run& run, TaskIndex task) {
  std::span<const std::uint32_t> upstream = run.plan->dag().upstream().of(task.value);
  if (upstream.size() <= kVisibleMax || !run.plan->reads_upstream(task)) return "";
  std::uint64_t bytes = 0;
  for (std::uint32_t up : upstream)
    bytes += run.tasks[up].output.is_inline() ? run.tasks[up].output.size() + kNodePathMax : 0;
  if (bytes <= kValueMax) return "";
  return "the outputs of its " + std::to_string(upstream.size()) + " upstream tasks are larger than " +
         std::to_string(kValueMax) + " bytes together";
}

}  // namespace

void Partition::offer(Time, Run& run, TaskIndex task) {
  if (held_back(run, task)) return hold(run, task);
  if (options_.adopting && run.restored) return;  // AdoptionClosed offers whatever is ready then
  const std::shared_ptr<const Requirements>& needs = run.plan->needs(task);
  effects_.offers.push_back({run.id(), task, run.info->priority + run.plan->spec(task).priority, run.info->accepted,
                             run.ranks ? (*run.ranks)[task.value] : run.plan->rank(task), needs,
                             needs->hinted ? hints(run, task) : nullptr});
}

void Partition::begin_try(Time now, Run& run, TaskIndex task) {
  if (const Flow* flow = run.plan->flow(task); flow != nullptr && flow->wait) begin_wait(now, run, task, *flow);
  else offer(now, run, task);
}

std::uint32_t Partition::next_number(const Run& run, TaskIndex task) const {
  std::uint32_t number = run.tasks[task.value].tries;
  if (auto it = run.numbers.find(task); it != run.numbers.end()) number = std::max(number, it->second);
  return number + 1;
}

void Partition::on(Time now, SlotGranted& in) {
  Run* run = live(in.run);
  if (run != nullptr && !halted(*run, in.task) && !held_back(*run, in.task)) place_found(*run, in.task);
  if (run != nullptr && run->plan->is_mapped(in.task)) return deal_items(now, *run, in);
  if (run == nullptr || halted(*run, in.task) || held_back(*run, in.task) || (options_.adopting && run->restored) ||
      run->states[in.task.value] != TaskState::kReady) {
    effects_.slots.push_back({in.worker.id, in.slot_class, false, in.needs});
    return;
  }
  if (std::string too_much = inputs_too_large(*run, in.task); !too_much.empty()) {
    slot_freed(*run, in.task, in.worker.id);
    note_error(run->tasks[in.task.value], {std::move(too_much), ""});
    end_task(now, *run, in.task, TaskState::kFailed, Reason::kInvalidInput, EventType::kTaskFailed);
    return;
  }
  note_start(now, *run);  // goes into the header with the run's next write
  Attempt attempt;
  attempt.id = {run->id(), in.task, options_.epoch.counter, next_number(*run, in.task)};
  attempt.worker = in.worker;
  attempt.ready = run->tasks[in.task.value].ready;
  attempt.dispatched = now;
  effects_.assigns.push_back({in.worker.id, assignment(*run, in.task, attempt.id.number)});
  move(*run, in.task, TaskState::kDispatched);
  emit(now, *run, EventType::kTaskDispatched, in.task, attempt.id.number);
  out_.emplace(in.worker.id, run->id(), in.task);
  run->attempts.emplace(in.task, std::move(attempt));
}

Assignment Partition::assignment(Run& run, TaskIndex task, std::uint32_t number) {
  Assignment a;
  a.context = run.context;
  a.task = task;
  a.number = number;
  a.spec = run.plan->workflow().spec_index(task.value);
  a.node_spec = run.plan->shared_spec(a.spec);
  a.node = run.plan->id(task);
  a.priority = run.info->priority + a.node_spec->priority;
  a.age = run.info->accepted;
  std::span<const std::uint32_t> upstream = run.plan->dag().upstream().of(task.value);
  const bool told = run.plan->cleanup_of(task) != Cleanup::kNone || !run.plan->handled_by(task).empty() ||
                    run.plan->stands_in_for(task).has_value();
  const std::optional<TaskIndex> end = run.plan->round_end(task);
  const bool variables = run.plan->reads_variables(task);
  if ((told || end || variables) && upstream.size() <= kVisibleMax) {  // beside the outputs, under names of no node
    Value beside = Value::Object{};
    if (variables) beside.set("vars", variables_json(run.plan->setters(), record_of(run.tasks)));
    if (told) beside.set("error", error_for(run, task));
    if (end) beside.set("round", std::uint64_t{run.plan->flow(*end)->round});
    if (end && !run.plan->previous_end(*end)) beside.set("previous", nullptr);
    a.bundle = Payload::inline_json(beside.dump());
  }
  if (upstream.size() > kVisibleMax) {
    if (run.plan->reads_upstream(task)) bundle(run, upstream, a);
    return a;
  }
  std::size_t bytes = 0;
  a.bindings.reserve(upstream.size());
  a.names.reserve(upstream.size());
  for (std::uint32_t up : upstream) {
    const UpstreamSeen& seen = run.seen[up];
    Payload value = seen.has_output ? run.tasks[up].output : Payload();
    bytes += value.is_inline() ? value.size() : 0;
    if (bytes > kAssignmentMax && value.is_inline() &&
        !value.is_null()) {  // too much together: the rest goes by reference
      bytes -= value.size();
      Hash128 hash = hash128(value.json());
      effects_.values.push_back({hash, std::make_shared<const std::string>(value.json()), run.id()});
      value = Payload::reference(hash, value.size());
    }
    a.bindings.push_back({TaskIndex{up}, seen.version, std::move(value)});
    a.names.push_back(run.plan->name_from(task, TaskIndex{up}));
  }
  if (const auto previous = end ? run.plan->previous_end(*end) : std::nullopt) {
    a.bindings.push_back({*previous, run.seen[previous->value].version, run.tasks[previous->value].output});
    a.names.push_back("previous");
  }
  return a;
}

// The outputs of very many upstream tasks as one value, stored once and named by its content.
void Partition::bundle(Run& run, std::span<const std::uint32_t> upstream, Assignment& a) {
  std::string json = "{";
  if (run.plan->reads_variables(a.task))
    json += "\"vars\":" + variables_json(run.plan->setters(), record_of(run.tasks)).dump();
  for (std::uint32_t up : upstream) {
    const TaskRecord& record = run.tasks[up];
    if (record.output.is_reference()) {
      a.bindings.push_back({TaskIndex{up}, record.version, record.output});
      a.names.push_back(run.plan->name_from(a.task, TaskIndex{up}));
      continue;
    }
    if (json.size() > 1) json += ',';
    append_json_string(json, run.plan->name_from(a.task, TaskIndex{up}));
    json += ':';
    json += record.output.json();
  }
  json += '}';
  Hash128 hash = hash128(json);
  std::uint64_t size = json.size();
  bytes_pending_ += size;
  effects_.values.push_back({hash, std::make_shared<const std::string>(std::move(json)), run.id()});
  a.bundle = Payload::reference(hash, size);
}

void Partition::on(Time now, AttemptStarted& in) {
  Run* run = live(in.attempt.run);
  if (run == nullptr) return;
  auto it = run->attempts.find(in.attempt.task);
  if (it == run->attempts.end() || it->second.id != in.attempt) return;
  it->second.confirmed = it->second.started = true;
  if (run->plan->is_item(in.attempt.task) || run->states[in.attempt.task.value] != TaskState::kDispatched) return;
  move(*run, in.attempt.task, TaskState::kRunning);
  emit(now, *run, EventType::kTaskRunning, in.attempt.task, in.attempt.number);
}

void Partition::answer(const WorkerRef& worker, const AttemptId& attempt, Answer answer, std::string why) {
  effects_.answers.push_back({worker.id, {attempt, answer, std::move(why)}});
}

void Partition::on(Time now, AttemptEnded& in) {
  const AttemptId& id = in.report.attempt;
  auto found = runs_.find(id.run);
  if (found == runs_.end()) return answer(in.worker, id, Answer::kRefused, "no such live run");
  Run& run = *found->second;
  if (run.plan->is_item(id.task) && run.plan->node_of(id.task)) return items_ended(now, run, in);
  if (id.task.value >= run.tasks.size()) return answer(in.worker, id, Answer::kRefused, "no such task");
  const TaskRecord& record = run.tasks[id.task.value];
  if (is_terminal(run.states[id.task.value])) {
    bool same = record.tries == id.number && record.epoch == id.epoch;
    return answer(in.worker, id, same ? Answer::kDuplicate : Answer::kRefused, same ? "" : "the task has a result");
  }
  auto it = run.attempts.find(id.task);
  bool known = it != run.attempts.end() && it->second.id == id;
  if (!known && it == run.attempts.end()) known = adopt(now, run, id, in.worker, in.report.rests_on, true);
  if (!known) {  // its worker forgets it now: a Hello that it said before does not bring it back
    std::uint32_t& number = run.numbers[id.task];
    number = std::max(number, id.number);
    return answer(in.worker, id, Answer::kRefused, "the attempt was given up");
  }
  Attempt attempt = run.attempts.at(id.task);
  close_attempt(run, id.task);
  answer(in.worker, id, Answer::kRecorded);
  settle(now, run, attempt, in.report.outcome);
}

void Partition::close_attempt(Run& run, TaskIndex task) {
  auto it = run.attempts.find(task);
  WorkerId worker = it->second.worker.id;
  out_.erase({worker, run.id(), task});
  slot_freed(run, task, worker);
  run.attempts.erase(it);
}

void Partition::slot_freed(const Run& run, TaskIndex task, WorkerId worker) {
  const std::shared_ptr<const Requirements>& needs = run.plan->needs(*run.plan->node_of(task));
  effects_.slots.push_back({worker, needs->slot_class, false, needs->resources.empty() ? nullptr : needs.get()});
}

// Those of the attempt before are not its task's any more. A run that would hold too much fails where it does.
void Partition::take_artifacts(Run& run, TaskRecord& record, Outcome& outcome) {
  run.artifact_bytes -= bytes_of(std::exchange(record.artifacts, nullptr));
  const std::uint64_t more = bytes_of(outcome.artifacts);
  if (run.artifact_bytes + more > kArtifactsRunMax) {
    outcome.success = false;
    outcome.reason = Reason::kInvalidOutput;
    outcome.error = {"the artifacts of the run would have " + std::to_string(run.artifact_bytes + more) +
                         " bytes together; at most " + std::to_string(kArtifactsRunMax) + " are kept",
                     ""};
    return;
  }
  run.artifact_bytes += more;
  record.artifacts = std::move(outcome.artifacts);
}

void Partition::settle(Time now, Run& run, const Attempt& attempt, Outcome& outcome) {
  TaskIndex task = attempt.id.task;
  TaskRecord& record = run.tasks[task.value];
  note(record, attempt, outcome);
  if (outcome.output.is_inline() && outcome.output.size() > options_.inline_max) {
    outcome.output = make_payload(run.id(), std::string(outcome.output.json()));
  }
  record.output = std::move(outcome.output);
  take_artifacts(run, record, outcome);
  if (outcome.success) {
    record.error = nullptr;
    end_task(now, run, task, TaskState::kSucceeded, Reason::kNone, EventType::kTaskSucceeded);
    return;
  }
  const bool gave_up = is_cancellation(outcome.reason) || outcome.reason == Reason::kLost;
  const bool out_of_time = attempt.cancelling && outcome.reason == Reason::kTimeout;
  if (over_limit(now, run, task) && (gave_up || out_of_time))
    return fail_by_limit(now, run, task);  // how it was stopped says nothing: its error is that of the try before
  if (out_of_time && reason_for_workers(run.record.reason) == Reason::kTimeout && run.record.error != nullptr)
    outcome.error = {clip("stopped: " + run.record.error->message, kErrorMessageMax), ""};  // its worker knows no more
  note_error(record, std::move(outcome.error));
  if (halted(run, task) && (attempt.cancelling || is_cancellation(outcome.reason) || outcome.reason == Reason::kLost))
    return cancel_task(now, run, task);
  // Given up there, and nobody here asked for it: a loss, not a failure.
  if (gave_up) {
    lost(now, run, task, "its worker gave it up");
    return;
  }
  ++record.failures;
  failed(now, run, task, outcome.reason);
}

// It has failed; the record says why and how often. It is tried again later, or has ended.
void Partition::failed(Time now, Run& run, TaskIndex task, Reason reason) {
  TaskRecord& record = run.tasks[task.value];
  const RetryPolicy& retry = run.plan->spec(task).retry;
  const std::string& message = record.error == nullptr ? std::string() : record.error->message;
  if (!halted(run, task) && wants_retry(retry, reason, message) && record.failures < retry.attempts_max) {
    const AttemptId id{run.id(), task, record.epoch, record.tries};
    const Time due = now + backoff_of(retry, record.failures, id);
    ErrorInfo why = record.error == nullptr ? ErrorInfo{} : *record.error;
    if (Reason whose = reason; too_late(run, task, due, why, whose)) {
      note_error(record, std::move(why));
      return end_task(now, run, task, TaskState::kFailed, whose, EventType::kTaskFailed);
    }
    record.reason = reason;
    record.ended = now;
    record.due = due;
    move(run, task, TaskState::kRetrying);
    write(run, task);
    emit(now, run, EventType::kTaskRetrying, task, record.tries, reason);
    if (options_.plant != TestPlant::kForgetTimer) set_timer(record.due, run.id(), task);
    return;
  }
  end_task(now, run, task, TaskState::kFailed, reason, EventType::kTaskFailed);
}

// Its worker, or its owner, went away. The attempt is already closed.
void Partition::lost(Time now, Run& run, TaskIndex task, std::string_view why) {
  TaskRecord& record = run.tasks[task.value];
  if (halted(run, task)) return cancel_task(now, run, task);
  note_loss(record, now, why);
  if (over_limit(now, run, task)) return fail_by_limit(now, run, task);
  const NodeSpec& spec = run.plan->spec(task);
  if (spec.on_loss == OnLoss::kFail || record.losses >= spec.retry.losses_max) {
    bool poisoned = spec.on_loss != OnLoss::kFail;
    std::string message =
        poisoned ? "lost " + std::to_string(record.losses) + " times (" + std::string(why) + "): not tried again"
                 : "its worker was lost (" + std::string(why) + ") and the node says on_loss: fail";
    note_error(record, {std::move(message), ""});
    end_task(now, run, task, TaskState::kFailed, poisoned ? Reason::kPoisoned : Reason::kLost, EventType::kTaskFailed);
    return;
  }
  record.reason = Reason::kLost;
  record.ready = now;
  move(run, task, TaskState::kReady);
  write(run, task);
  emit(now, run, EventType::kTaskRetrying, task, record.tries, Reason::kLost);
  if (options_.plant == TestPlant::kForgetLost) return;
  offer(now, run, task);
}

void Partition::lose_attempt(Time now, Run& run, TaskIndex task, std::string_view why) {
  if (run.plan->is_item(task)) return lose_items(now, run, task, why);
  const Attempt attempt = run.attempts.at(task);
  close_attempt(run, task);
  note(run.tasks[task.value], attempt, Outcome{});
  lost(now, run, task, why);
}

void Partition::on(Time now, AttemptReclaimed& in) {
  Run* run = live(in.attempt.run);
  if (run == nullptr) return;
  auto it = run->attempts.find(in.attempt.task);
  if (it == run->attempts.end() || it->second.id != in.attempt) return;
  TaskIndex task = in.attempt.task;
  if (run->plan->is_item(task)) return items_reclaimed(now, *run, task);
  run->numbers[task] = in.attempt.number;
  close_attempt(*run, task);
  if (halted(*run, task)) return cancel_task(now, *run, task);
  if (over_limit(now, *run, task)) return fail_by_limit(now, *run, task);
  move(*run, task, TaskState::kReady);
  if (options_.plant == TestPlant::kForgetReclaimed) return;
  offer(now, *run, task);
}

void Partition::on(Time now, WorkerLost& in) {
  std::vector<std::pair<RunId, TaskIndex>> gone;
  for (auto it = out_.lower_bound({in.worker, RunId{}, TaskIndex{}});
       it != out_.end() && std::get<WorkerId>(*it) == in.worker; ++it) {
    gone.emplace_back(std::get<RunId>(*it), std::get<TaskIndex>(*it));
  }
  for (const auto& [id, task] : gone) {
    Run& run = *runs_.at(id);
    const SharedName name = run.attempts.at(task).worker.name;
    lose_attempt(now, run, task, "worker '" + (name ? *name : std::string("?")) + "' went silent");
  }
}

void Partition::on(Time now, WorkerReported& in) {
  std::set<std::pair<RunId, TaskIndex>> spoken_of;
  for (const HeldAttempt& held : in.held) {
    Run* run = live(held.attempt.run);
    bool ours = false;
    if (run != nullptr && run->plan->node_of(held.attempt.task)) {
      auto it = run->attempts.find(held.attempt.task);
      if (it != run->attempts.end() && it->second.id == held.attempt && it->second.worker.id == in.worker.id) {
        it->second.confirmed = true;
        it->second.started |= held.started;
        if (held.started && !run->plan->is_item(held.attempt.task) &&
            run->states[held.attempt.task.value] == TaskState::kDispatched) {
          move(*run, held.attempt.task, TaskState::kRunning);
          emit(now, *run, EventType::kTaskRunning, held.attempt.task, held.attempt.number);
        }
        ours = true;
      } else if (it == run->attempts.end()) {
        ours = run->plan->is_item(held.attempt.task)
                   ? adopt_items(now, *run, held.attempt, in.worker, held.rests_on, held.started, held.items)
                   : adopt(now, *run, held.attempt, in.worker, held.rests_on, held.started);
      }
    }
    if (ours) spoken_of.emplace(held.attempt.run, held.attempt.task);
    else effects_.cancels.push_back({in.worker.id, {held.attempt, Reason::kLost}});
  }
  std::vector<std::pair<RunId, TaskIndex>> missing;
  for (auto it = out_.lower_bound({in.worker.id, RunId{}, TaskIndex{}});
       it != out_.end() && std::get<WorkerId>(*it) == in.worker.id; ++it) {
    std::pair<RunId, TaskIndex> place{std::get<RunId>(*it), std::get<TaskIndex>(*it)};
    if (!spoken_of.contains(place) && runs_.at(place.first)->attempts.at(place.second).dispatched < in.exempt_after)
      missing.push_back(place);
  }
  for (const auto& [id, task] : missing) { lose_attempt(now, *runs_.at(id), task, "its worker does not have it"); }
}

// An attempt that another epoch dispatched (or this one, before the worker was given up and nothing was recorded of
// it).
bool Partition::adopt(Time now, Run& run, const AttemptId& id, const WorkerRef& worker,
                      const std::vector<UpstreamVersion>& rests_on, bool started) {
  if (run.ended() || halted(run, id.task) || id.number < next_number(run, id.task) || id.epoch > options_.epoch.counter)
    return false;
  const bool waits = waits_for_place(run, id.task) || is_held(run, id.task);
  TaskState state = run.states[id.task.value];
  if (state != TaskState::kReady && state != TaskState::kRetrying && !waits) return false;
  if (id.epoch != options_.epoch.counter && !rests_on_these(run, id.task, rests_on)) return false;
  TaskRecord& record = run.tasks[id.task.value];
  Attempt attempt{id, worker, record.ready == Time{} ? now : record.ready, now, true, false};
  if (state == TaskState::kRetrying) move(run, id.task, TaskState::kReady);
  if (!let_go(run, id.task)) place_found(run, id.task);
  move(run, id.task, TaskState::kDispatched);
  if (started) move(run, id.task, TaskState::kRunning);
  note_start(now, run);
  out_.emplace(worker.id, run.id(), id.task);
  const std::shared_ptr<const Requirements>& needs = run.plan->needs(id.task);
  effects_.slots.push_back({worker.id, needs->slot_class, true, needs->resources.empty() ? nullptr : needs.get()});
  run.attempts.emplace(id.task, std::move(attempt));
  return true;
}

// Whether what an attempt was given of the upstream is what is recorded there now.
bool Partition::rests_on_these(const Run& run, TaskIndex node, const std::vector<UpstreamVersion>& rests_on) const {
  std::span<const std::uint32_t> upstream = run.plan->dag().upstream().of(node.value);
  const std::optional<TaskIndex> end = run.plan->round_end(node);
  const std::optional<TaskIndex> previous = end ? run.plan->previous_end(*end) : std::nullopt;
  const std::size_t expected = upstream.size() + (previous && upstream.size() <= kVisibleMax ? 1 : 0);
  return rests_on.size() == expected && std::ranges::all_of(rests_on, [&](const UpstreamVersion& up) {
           return (up.task == previous || std::ranges::binary_search(upstream, up.task.value)) &&
                  run.tasks[up.task.value].version == up.version;
         });
}

void Partition::on(Time now, AdoptionClosed&) {
  if (!options_.adopting) return;
  options_.adopting = false;
  offer_ready(now, /*restored_only=*/true);
}

void Partition::offer_ready(Time now, bool restored_only) {
  each_live([&](Run& run) {
    if (restored_only && !run.restored) return;
    for (const auto& [node, mapped] : run.mapped) {
      mapped->offers = 0;
      offer_items(now, run, *mapped);
    }
    if (run.count(TaskState::kReady) == 0) return;
    for (std::uint32_t task = 0; task < run.states.size(); ++task) {
      if (run.states[task] == TaskState::kReady && !halted(run, TaskIndex{task}) &&
          !run.plan->is_mapped(TaskIndex{task}))
        offer(now, run, TaskIndex{task});
    }
  });
}

}  // namespace millrace
