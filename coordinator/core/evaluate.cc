// Partition: expressions that the core evaluates: value nodes and the run's outputs. Values held by reference are asked
// for first; the evaluation goes on when they have come.
#include <algorithm>

#include "coordinator/core/partition.h"
#include "coordinator/core/variables.h"

namespace millrace {
namespace {

// What an expression sees of a run: inputs, nodes (those that have ended), run. Values are parsed when asked for.
class RunScope : public expr::Scope {
 public:
  RunScope(const Run& run, const std::map<Hash128, std::shared_ptr<const std::string>>& fetched, Value error,
           std::optional<TaskIndex> task, const BoundItem* item)
      : run_(run), fetched_(fetched), task_(task), error_(std::move(error)), item_(item) {}

  bool has_root(std::string_view root) const override {
    return root == "inputs" || root == "nodes" || root == "run" || root == "error" || root == "vars" ||
           (item_ != nullptr && (root == "item" || root == "index"));
  }

  Value root(std::string_view root) const override {
    if (root == "inputs") return *parsed("inputs", run_.info->inputs);
    if (root == "item") return item_->item;
    if (root == "index") return item_->index;
    if (root == "vars") return variables();
    Value all = Value::Object{};
    if (root == "run") {
      all.set("id", to_string(run_.id()));
      all.set("workflow", run_.info->workflow);
      all.set("trace_id", run_.info->trace_id);
    } else {
      for (std::uint32_t task = 0; task < run_.tasks.size(); ++task) {
        if (!is_terminal(run_.states[task])) continue;
        const TaskIndex of{task};
        all.set(task_ ? run_.plan->name_from(*task_, of) : run_.plan->id(of), *node(of));
      }
    }
    return all;
  }

  const Value* member(std::string_view root, std::string_view head) const override {
    if (root == "inputs") return parsed("inputs", run_.info->inputs)->find(head);
    if (root == "nodes") {
      if (head == "round" && task_ && run_.plan->round_of(*task_) > 0) {
        round_ = Value(std::uint64_t{run_.plan->round_of(*task_)});
        return &round_;
      }
      const std::optional<TaskIndex> task = task_ ? run_.plan->find_from(*task_, head) : run_.plan->find(head);
      return task && is_terminal(run_.states[task->value]) ? node(*task) : nullptr;
    }
    if (root == "error") return error_.find(head);
    if (root == "vars") return variables().find(head);
    if (root == "item" || root == "index") return root == "item" ? item_->item.find(head) : nullptr;
    if (run_value_.is_null()) run_value_ = this->root("run");
    return run_value_.find(head);
  }

  const Value* borrow(std::string_view root) const override {
    if (root == "error") return &error_;
    if (root == "item") return &item_->item;
    if (root == "index") return &item_->index;
    if (root == "vars") return &variables();
    return root == "inputs" ? parsed("inputs", run_.info->inputs) : nullptr;
  }

  // References that were needed and are not here; the result does not count then.
  std::vector<Hash128> missing() const { return missing_; }
  const std::string& broken() const { return broken_; }

 private:
  const Value& variables() const {
    if (variables_.is_null()) variables_ = variables_json(run_.plan->setters(), record_of(run_.tasks));
    return variables_;
  }
  const Value* node(TaskIndex task) const { return parsed(run_.plan->id(task), run_.tasks[task.value].output); }

  const Value* parsed(const std::string& name, const Payload& payload) const {
    auto [it, fresh] = values_.try_emplace(name);
    if (!fresh) return &it->second;
    std::string_view json = payload.is_reference() ? std::string_view() : payload.json();
    if (payload.is_reference()) {
      auto found = fetched_.find(payload.hash());
      if (found == fetched_.end()) {
        missing_.push_back(payload.hash());
        return &it->second;
      }
      json = *found->second;
    }
    Result<Value> value = Value::parse(json);
    if (value.ok()) it->second = std::move(value).value();
    else broken_ = "the value of '" + name + "' cannot be read: " + value.error().what;
    return &it->second;
  }

  const Run& run_;
  const std::map<Hash128, std::shared_ptr<const std::string>>& fetched_;
  mutable std::map<std::string, Value> values_;
  mutable std::vector<Hash128> missing_;
  mutable std::string broken_;
  mutable Value run_value_;
  mutable Value round_;
  mutable Value variables_;
  std::optional<TaskIndex> task_;  // whose expression it is; nothing: the run's
  Value error_;                    // what the task handles; null: nothing
  const BoundItem* item_;          // null: it is of no item
};

}  // namespace

Payload Partition::make_payload(RunId run, std::string json) {
  if (json.size() <= options_.inline_max) return Payload::inline_json(std::move(json));
  Hash128 hash = hash128(json);
  std::uint64_t size = json.size();
  bytes_pending_ += size;
  effects_.values.push_back({hash, std::make_shared<const std::string>(std::move(json)), run});
  return Payload::reference(hash, size);
}

Result<Value> Partition::evaluate(const Run& run, const expr::Template& what, std::vector<Hash128>& missing,
                                  std::optional<TaskIndex> task, const BoundItem* item) {
  RunScope scope(run, fetched_, task ? error_for(run, *task) : Value(), task, item);
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
  if (run.states[task.value] != TaskState::kWaiting) move(run, task, TaskState::kWaiting);
  std::vector<Hash128>& waits = run.value_waits[task];  // those of earlier tries stay: it needs all of them at once
  waits.insert(waits.end(), missing.begin(), missing.end());
  for (const Hash128& hash : missing) fetch(run, hash);
  return std::nullopt;
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

// The run's outputs, when every task has ended well.
bool Partition::assemble_outputs(Time now, Run& run) {
  std::vector<Hash128> missing;
  std::string error;
  std::string json = "{";
  auto add = [&](const std::string& name, std::string_view value) {
    if (json.size() > 1) json += ',';
    append_json_string(json, name);
    json += ':';
    json += value;
  };
  const WorkflowSpec& workflow = run.plan->workflow();
  if (workflow.outputs_declared) {
    for (const auto& [name, output] : run.plan->outputs()) {
      std::vector<Hash128> needed;
      Result<Value> value = evaluate(run, output, needed);
      missing.insert(missing.end(), needed.begin(), needed.end());
      if (!needed.empty()) continue;
      if (value.ok()) add(name, value->dump());
      else if (error.empty()) error = "output '" + name + "': " + value.error().what;
    }
  } else if (!workflow.ids.empty()) {  // generated graphs have outputs only where they declare them
    for (std::uint32_t sink : run.plan->sinks()) {
      const Payload& output = run.tasks[sink].output;
      if (output.is_inline()) {
        add(workflow.ids[sink], output.json());
      } else if (auto it = fetched_.find(output.hash()); it != fetched_.end()) {
        add(workflow.ids[sink], *it->second);
      } else {
        missing.push_back(output.hash());
      }
    }
  }
  json += '}';
  if (!missing.empty()) {
    for (const Hash128& hash : missing) fetch(run, hash);
    run.output_waits.insert(run.output_waits.end(), missing.begin(), missing.end());
    return false;
  }
  run.output_waits.clear();
  if (error.empty() && json.size() > kValueMax)
    error = "the outputs are larger than " + std::to_string(kValueMax) + " bytes";
  if (!error.empty()) {
    run.record.error = std::make_shared<const RunError>(
        RunError{std::string(to_string(Reason::kExpression)), clip(std::move(error), kErrorMessageMax), "", 0, ""});
    run.record.reason = Reason::kExpression;
    finish(now, run, RunState::kFailed);
    return false;
  }
  run.record.outputs = make_payload(run.id(), std::move(json));
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
      const bool collecting = run->plan->is_mapped(task) && run->states[task.value] == TaskState::kRunning;
      if (halted(*run, task) || (run->states[task.value] != TaskState::kWaiting && !collecting)) continue;
      if (!gone) {
        if (collecting) advance_items(now, *run, *mapped_at(*run, task));
        else decide(now, *run, task);
        continue;
      }
      run->value_waits.erase(task);
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
