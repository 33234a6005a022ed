// Partition: expressions that the core evaluates: value nodes and the run's outputs. Values held by reference are asked
// for first; the evaluation goes on when they have come.
#include <algorithm>

#include "common/model/composed.h"
#include "coordinator/core/partition.h"
#include "coordinator/core/run_scope.h"

namespace millrace {
Payload Partition::make_payload(RunId run, std::string json) {
  if (json.size() <= options_.inline_max) return Payload::inline_json(std::move(json));
  return store_value(run, std::move(json));
}

Payload Partition::store_value(RunId run, std::string json) {
  Hash128 hash = hash128(json);
  std::uint64_t size = json.size();
  bytes_pending_ += size;
  effects_.values.push_back({hash, std::make_shared<const std::string>(std::move(json)), run});
  return Payload::reference(hash, size);
}

Result<Value> Partition::evaluate(const Run& run, const expr::Template& what, std::vector<Hash128>& missing,
                                  std::optional<TaskIndex> task, const BoundItem* item) {
  const RunScope scope(run, fetched_, task ? error_for(run, *task) : Value(), task, item);
  Result<Value> value = what.render(scope);
  missing = scope.missing();
  if (!scope.broken().empty()) return Error{Code::kFailed, scope.broken(), {}, ""};
  return value;
}

// The core's own try, which takes no time.
void Partition::note_try(TaskRecord& record, Time now) const {
  record.tries = 1;
  record.epoch = options_.epoch.counter;
  record.dispatched = now;
}

void Partition::fail_expression(Time now, Run& run, TaskIndex task, std::string why) {
  run.value_waits.erase(task);
  TaskRecord& record = run.tasks[task.value];
  record.error = std::make_shared<const ErrorInfo>(ErrorInfo{clip(std::move(why), kErrorMessageMax), ""});
  ++record.failures;
  end_task(now, run, task, TaskState::kFailed, Reason::kExpression, EventType::kTaskFailed);
}

std::optional<Value> Partition::evaluate_for(Time now, Run& run, TaskIndex task, const expr::Template& what) {
  std::vector<Hash128> missing;
  Result<Value> value = evaluate(run, what, missing, task);
  if (missing.empty() && value.ok()) return std::move(value).value();
  if (missing.empty()) {
    if (run.plan->is_control_node(task)) note_try(run.tasks[task.value], now);
    fail_expression(now, run, task, value.error().what);
    return std::nullopt;
  }
  await_values(run, task, missing);
  return std::nullopt;
}

void Partition::await_values(Run& run, TaskIndex task, const std::vector<Hash128>& missing) {
  if (run.states[task.value] != TaskState::kWaiting) move(run, task, TaskState::kWaiting);
  std::vector<Hash128>& waits = run.value_waits[task];  // those of earlier tries stay: it needs all of them at once
  waits.insert(waits.end(), missing.begin(), missing.end());
  for (const Hash128& hash : missing) fetch(run, hash);
}

// The output of a loop is that of the last of its rounds that ran.
void Partition::end_loop(Time now, Run& run, TaskIndex task, const LoopSpec& loop) {
  TaskRecord& record = run.tasks[task.value];
  note_try(record, now);
  bool wants_more = false;  // its last round ran, and was not to be the last
  for (std::uint32_t up : run.plan->dag().upstream().of(task.value)) {
    if (run.states[up] != TaskState::kSucceeded) continue;
    const Flow* flow = run.plan->flow(TaskIndex{up});
    if (flow != nullptr && flow->round > 0) record.output = run.tasks[up].output;
    else wants_more = true;
  }
  if (!wants_more || !loop.fails)
    return end_task(now, run, task, TaskState::kSucceeded, Reason::kNone, EventType::kTaskSucceeded);
  ++record.failures;
  record.error = std::make_shared<const ErrorInfo>(
      ErrorInfo{"'until' did not hold after " + std::to_string(loop.rounds) + " rounds", ""});
  end_task(now, run, task, TaskState::kFailed, Reason::kRounds, EventType::kTaskFailed);
}

void Partition::evaluate_control_node(Time now, Run& run, TaskIndex task) {
  if (const Flow* flow = run.plan->flow(task); flow != nullptr && flow->loop) {
    run.value_waits.erase(task);
    return end_loop(now, run, task, *flow->loop);
  }
  const expr::Template* what = run.plan->value_template(task);
  std::optional<Value> value =
      what != nullptr ? evaluate_for(now, run, task, *what) : choose(now, run, task, *run.plan->flow(task));
  if (!value) return;
  run.value_waits.erase(task);
  TaskRecord& record = run.tasks[task.value];
  note_try(record, now);
  std::string json = value->dump();
  if (run.plan->spec(task).flow.sets && json.size() > options_.inline_max) {
    return fail_expression(now, run, task,
                           "what it sets has " + std::to_string(json.size()) + " bytes, more than " +
                               std::to_string(options_.inline_max) + ": variables are small, outputs may be large");
  }
  if (json.size() > kValueMax) {
    return fail_expression(now, run, task, "its value is larger than " + std::to_string(kValueMax) + " bytes");
  }
  record.output = make_payload(run.id(), std::move(json));
  end_task(now, run, task, TaskState::kSucceeded, Reason::kNone, EventType::kTaskSucceeded);
}

// The outputs of a run while they are put together: text, and between it lists that stay references.
class Partition::Outputs {
 public:
  Outputs(const Partition& partition, const Run& run)
      : fetched_(partition.fetched_), whole_(run.info->parent.run != RunId{}) {
    composed_.list = false;
  }

  void add(const std::string& name, std::string_view json) {
    begin(name);
    text_ += json;
  }
  // What a node has given, as it is held.
  void add(const std::string& name, const Payload& output) {
    if (output.is_inline()) return add(name, output.json());
    const auto stored = fetched_.find(output.hash());
    if (stored == fetched_.end()) return lacks({output.hash()});
    if (is_composed(*stored->second) && !whole_) return add_list(name, output.hash(), *stored->second);
    const auto find = [&](const Hash128& hash) -> const std::string* {
      const auto found = fetched_.find(hash);
      return found == fetched_.end() ? nullptr : found->second.get();
    };
    const Whole whole = whole_of(*stored->second, find, kValueMax);
    lacks(whole.missing);
    if (!whole.problem.empty()) fail(name, whole.problem);
    else if (whole.missing.empty()) add(name, whole.json);
  }
  void lacks(const std::vector<Hash128>& hashes) {
    for (const Hash128& hash : hashes) {
      if (std::ranges::find(missing, hash) == missing.end()) missing.push_back(hash);
    }
  }
  void fail(const std::string& name, const std::string& why) {
    if (error.empty()) error = "output '" + name + "': " + why;
  }
  // All of it, when nothing is missing.
  Payload take(Partition& partition, RunId run) {
    text_ += '}';
    if (composed_.pieces.empty()) {
      if (text_.size() > kValueMax) error = "the outputs are larger than " + std::to_string(kValueMax) + " bytes";
      return error.empty() ? partition.make_payload(run, std::move(text_)) : Payload();
    }
    end_text();
    return partition.store_value(run, composed_.store());
  }

  std::vector<Hash128> missing;
  std::string error;

 private:
  void begin(const std::string& name) {
    text_ += std::exchange(any_, true) ? "," : "";
    append_json_string(text_, name);
    text_ += ':';
  }
  void add_list(const std::string& name, const Hash128& hash, std::string_view stored) {
    const Result<Composed> list = Composed::parse(stored);
    if (!list.ok()) return fail(name, list.error().what);
    begin(name);
    end_text();
    composed_.add({Piece::Kind::kValue, {}, hash, 0, list->bytes});
  }
  void end_text() {
    const std::uint64_t bytes = text_.size();
    composed_.add({Piece::Kind::kText, std::exchange(text_, {}), {}, 0, bytes});
  }

  const FetchedValues& fetched_;
  const bool whole_;  // who waits for it takes JSON
  bool any_ = false;
  std::string text_ = "{";
  Composed composed_;
};

// The run's outputs, when every task has ended well.
bool Partition::assemble_outputs(Time now, Run& run) {
  Outputs all(*this, run);
  const WorkflowSpec& workflow = run.plan->workflow();
  if (workflow.outputs_declared) {
    for (const auto& [name, output] : run.plan->outputs()) {
      const expr::Reference* bare = output.bare();
      const std::optional<TaskIndex> node =
          bare != nullptr && bare->root == "nodes" ? run.plan->find(bare->head) : std::nullopt;
      if (node && run.tasks[node->value].output.is_reference()) {
        all.add(name, run.tasks[node->value].output);
        continue;
      }
      std::vector<Hash128> needed;
      Result<Value> value = evaluate(run, output, needed);
      all.lacks(needed);
      if (!needed.empty()) continue;
      if (value.ok()) all.add(name, value->dump());
      else all.fail(name, value.error().what);
    }
  } else if (!workflow.ids.empty()) {  // generated graphs have outputs only where they declare them
    for (std::uint32_t sink : run.plan->sinks()) all.add(workflow.ids[sink], run.tasks[sink].output);
  }
  if (!all.missing.empty()) {
    for (const Hash128& hash : all.missing) fetch(run, hash);
    run.output_waits.insert(run.output_waits.end(), all.missing.begin(), all.missing.end());
    return false;
  }
  run.output_waits.clear();
  Payload outputs = all.error.empty() ? all.take(*this, run.id()) : Payload();
  if (!all.error.empty()) {
    run.record.error = std::make_shared<const RunError>(
        RunError{std::string(to_string(Reason::kExpression)), clip(std::move(all.error), kErrorMessageMax), "", 0, ""});
    run.record.reason = Reason::kExpression;
    finish(now, run, RunState::kFailed);
    return false;
  }
  run.record.outputs = std::move(outputs);
  return true;
}

void Partition::fetch(const Run& run, const Hash128& hash) {
  fetches_[hash].insert(run.id());
  if (!fetched_.contains(hash)) effects_.fetches.push_back(hash);
}

void Partition::on(Time now, ValueFetched& in) {
  auto waiting = fetches_.find(in.hash);
  if (waiting == fetches_.end()) return;
  std::set<RunId> runs = waiting->second;
  bool gone = !in.json.has_value();
  if (!gone) fetched_[in.hash] = std::make_shared<const std::string>(std::move(*in.json));
  auto all_here = [&](const std::vector<Hash128>& hashes) {
    return std::ranges::all_of(hashes, [&](const Hash128& hash) { return fetched_.contains(hash); });
  };
  for (RunId id : runs) {
    Run* run = live(id);
    if (run == nullptr || (run->stopping() && !run->plan->has_cleanup())) continue;
    std::vector<TaskIndex> due;
    for (const auto& [task, hashes] : run->value_waits) {
      bool concerned = std::ranges::find(hashes, in.hash) != hashes.end();
      if (concerned && (gone || all_here(hashes))) due.push_back(task);
    }
    for (TaskIndex task : due) {
      Mapped* mapped = mapped_at(*run, task);
      const TaskState state = run->states[task.value];
      const bool mapping =
          mapped != nullptr && mapped->opened && (state == TaskState::kRunning || state == TaskState::kReady);
      if (halted(*run, task) || (state != TaskState::kWaiting && !mapping)) continue;
      if (!gone) {
        if (mapping) advance_items(now, *run, *mapped);
        else decide(now, *run, task);
        continue;
      }
      run->value_waits.erase(task);
      if (mapping && !mapped->out.empty()) {  // it ends when nothing is out
        if (!mapped->failing)
          fail_items(*run, *mapped, Reason::kMissingValue,
                     {"value " + to_string(in.hash) + " is not in the store", ""});
        continue;
      }
      run->tasks[task.value].error =
          std::make_shared<const ErrorInfo>(ErrorInfo{"value " + to_string(in.hash) + " is not in the store", ""});
      end_task(now, *run, task, TaskState::kFailed, Reason::kMissingValue, EventType::kTaskFailed);
    }
    bool outputs = std::ranges::find(run->output_waits, in.hash) != run->output_waits.end();
    if (!outputs || run->ended() || run->stopping()) continue;
    if (gone) {
      run->record.error = std::make_shared<const RunError>(
          RunError{std::string(to_string(Reason::kMissingValue)),
                   "value " + to_string(in.hash) + " of the outputs is not in the store", "", 0, ""});
      run->record.reason = Reason::kMissingValue;
      finish(now, *run, RunState::kFailed);
    } else if (all_here(run->output_waits)) {
      finish_if_done(now, *run);
    }
  }
  // Values stay while anybody waits for more than has come.
  for (auto it = fetches_.begin(); it != fetches_.end();) {
    std::erase_if(it->second, [&](RunId id) {
      Run* run = live(id);
      if (run == nullptr || (run->stopping() && !run->plan->has_cleanup())) return true;
      auto needs = [&](const std::vector<Hash128>& hashes) {
        return std::ranges::find(hashes, it->first) != hashes.end();
      };
      return !needs(run->output_waits) &&
             std::ranges::none_of(run->value_waits, [&](const auto& wait) { return needs(wait.second); });
    });
    if (it->second.empty()) {
      fetched_.erase(it->first);
      it = fetches_.erase(it);
    } else {
      ++it;
    }
  }
}

}  // namespace millrace
