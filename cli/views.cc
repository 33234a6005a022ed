#include "cli/views.h"

#include <algorithm>

#include "cli/pauses.h"
#include "cli/text.h"

namespace millrace {
namespace {

Value text_or_null(std::string_view text) { return text.empty() ? Value() : Value(text); }
Value number_or_null(std::uint32_t number) { return number == 0 ? Value() : Value(std::uint64_t{number}); }

Value labels_json(const Labels& labels) {
  Value::Object object;
  for (const auto& [key, value] : labels) object.emplace_back(key, value);
  return object;
}

Value error_of(const RunError& error) {
  return Value::Object{{"code", error.code},
                       {"message", error.message},
                       {"node", text_or_null(error.node)},
                       {"attempt", number_or_null(error.attempt)},
                       {"traceback", text_or_null(error.traceback)}};
}

// With the attempts that were lost, where there are any.
Value error_of(const RunError& error, const std::shared_ptr<const ErrorInfo>& info) {
  Value json = error_of(error);
  if (info == nullptr || info->losses.empty()) return json;
  Value::Array losses;
  for (const LostAttempt& loss : info->losses)
    losses.push_back(Value::Object{{"attempt", std::uint64_t{loss.attempt}},
                                   {"worker", text_or_null(loss.worker)},
                                   {"dispatched", text_or_null(iso_time(loss.dispatched))},
                                   {"lost", text_or_null(iso_time(loss.lost))},
                                   {"how", loss.how}});
  json.set("losses", std::move(losses));
  return json;
}

// What happened to a node that has no error of its own.
std::string explanation(TaskState state, Reason reason) {
  if (reason == Reason::kUpstreamFailed) return "a node before it failed";
  if (reason == Reason::kCondition) return "its condition does not hold";
  if (reason == Reason::kNotChosen) return "no branch chose it";
  if (reason == Reason::kUpstreamSkipped) return "nothing that it waits for ran";
  if (reason == Reason::kFailFast) return "the run had failed by then, and nothing more was started";
  if (reason == Reason::kCancelRequested) return "the run was cancelled";
  return std::string(to_string(state));
}

// A node that ended otherwise than well says why, also where nothing of its own went wrong (skipped, cancelled).
Value error_of(const NodeView& node) {
  if (node.state == TaskState::kSucceeded || (node.error == nullptr && node.reason == Reason::kNone)) return nullptr;
  if (node.error == nullptr && !is_terminal(node.state)) return nullptr;
  RunError error{std::string(to_string(node.reason)), "", node.id, node.attempts, ""};
  if (error.code.empty()) error.code = "error";
  if (node.error != nullptr) error.message = node.error->message, error.traceback = node.error->traceback;
  if (error.message.empty()) error.message = explanation(node.state, node.reason);
  return error_of(error, node.error);
}

Value by_status_json(const RunView& view) {
  Value::Object by_status;
  for (const auto& [state, count] : view.by_state) by_status.emplace_back(to_string(state), std::uint64_t{count});
  return Value::Object{{"total", std::uint64_t{view.nodes_total}}, {"by_status", std::move(by_status)}};
}

// Of a fan-out: what its items came to, and the first of those that failed.
Value items_json(const NodeView& node) {
  const ItemsView& items = *node.items;
  Value::Array failed;
  for (const FailedItem& item : items.shown) {
    const RunError error{std::string(to_string(item.reason)), item.error == nullptr ? "" : item.error->message,
                         node.id + "[" + std::to_string(item.index) + "]", item.attempts,
                         item.error == nullptr ? "" : item.error->traceback};
    failed.push_back(Value::Object{{"index", std::uint64_t{item.index}},
                                   {"attempts", std::uint64_t{item.attempts}},
                                   {"error", error_of(error, item.error)}});
  }
  const std::uint64_t busy = std::uint64_t{items.done} + items.running + items.retrying;
  return Value::Object{{"total", std::uint64_t{items.total}},
                       {"done", std::uint64_t{items.done}},
                       {"failed", std::uint64_t{items.failed}},
                       {"running", std::uint64_t{items.running}},
                       {"retrying", std::uint64_t{items.retrying}},
                       {"waiting", std::uint64_t{items.total > busy ? items.total - busy : 0}},
                       {"failed_items", std::move(failed)}};
}

Result<Value> node_json(const NodeView& node, const ReadPayload& read, bool with_output) {
  Value output;
  if (with_output && !node.output.is_null()) {
    Result<Value> value = read(node.output);
    if (!value.ok())
      return Error{value.error().code, "output of node '" + node.id + "': " + value.error().what, {}, ""};
    output = std::move(*value);
  }
  Value::Object object{{"status", to_string(node.state)},     {"attempts", std::uint64_t{node.attempts}},
                       {"queued_ms", to_ms(node.queued)},     {"run_ms", to_ms(node.ran)},
                       {"worker", text_or_null(node.worker)}, {"error", error_of(node)},
                       {"outputs", std::move(output)}};
  if (node.wait_reason != WaitReason::kNone) {  // only while it waits: what has ended has the keys that it always had
    object.emplace_back("wait_reason", to_string(node.wait_reason));
    object.emplace_back("wait_text", text_or_null(node.wait_text));
  }
  if (!node.child.empty()) object.emplace_back("child", node.child);
  if (node.reason == Reason::kShared) object.emplace_back("shared", true);
  if (node.reason == Reason::kCached) object.emplace_back("cached", true);
  if (node.reason == Reason::kFallback && node.state == TaskState::kSucceeded) object.emplace_back("fallback", true);
  if (node.items) object.emplace_back("items", items_json(node));
  return Value(std::move(object));
}

}  // namespace

Result<Value> read_inline(const Payload& payload) {
  assert(payload.is_inline());
  return Value::parse(payload.json());
}

Duration elapsed(const RunView& view) {
  Time end = view.record.ended != Time{} ? view.record.ended : view.now;
  return end > view.info.accepted ? end - view.info.accepted : Duration::zero();
}

namespace {

Value variables_json(const std::vector<VariableView>& variables) {
  Value all = Value::Object{};
  for (const VariableView& variable : variables) {
    Result<Value> value = Value::parse(variable.value.json());
    all.set(variable.name, Value::Object{{"value", value.ok() ? std::move(*value) : Value()},
                                         {"version", std::uint64_t{variable.version}},
                                         {"node", variable.node}});
  }
  return all;
}

}  // namespace

Result<Value> run_json(const RunView& view, const ReadPayload& read, RunViewParts parts) {
  Value outputs;
  if (parts.outputs && !view.record.outputs.is_null()) {
    Result<Value> value = read(view.record.outputs);
    if (!value.ok()) return Error{value.error().code, "outputs of the run: " + value.error().what, {}, ""};
    outputs = std::move(*value);
  }
  bool left_out = view.nodes.empty() && view.nodes_total > 0;
  Value::Object nodes;
  nodes.reserve(view.nodes.size());
  for (const NodeView& node : view.nodes) {
    Result<Value> value = node_json(node, read, parts.node_outputs);
    if (!value.ok()) return std::move(value).error();
    nodes.emplace_back(node.id, std::move(*value));
  }
  Value run = Value::Object{{"run", to_string(view.info.run)},
                            {"workflow", view.info.workflow},
                            {"status", to_string(view.record.state)},
                            {"outputs", std::move(outputs)},
                            {"error", view.record.error == nullptr ? Value() : error_of(*view.record.error)},
                            {"elapsed_ms", to_ms(elapsed(view))},
                            {"trace_id", text_or_null(view.info.trace_id)},
                            {"labels", labels_json(view.info.labels)},
                            {"nodes", left_out ? Value() : Value(std::move(nodes))}};
  if (view.info.deadline != Time{}) run.set("deadline", iso_time(view.info.deadline));
  if (left_out) run.set("nodes_summary", by_status_json(view));
  if (!view.variables.empty()) run.set("vars", variables_json(view.variables));
  if (view.info.workflow_version != 0) run.set("version", std::uint64_t{view.info.workflow_version});
  if (view.info.parent.run != RunId{})
    run.set("parent", Value::Object{{"run", to_string(view.info.parent.run)}, {"node", view.info.parent.node}});
  if (view.info.retry_of != RunId{}) run.set("retry_of", to_string(view.info.retry_of));
  if (!view.record.why.empty()) run.set("reason", view.record.why);
  if (!view.pauses.empty()) {
    Value::Array pauses;
    for (const Pause& pause : view.pauses) pauses.push_back(pause_json(pause));
    run.set("pauses", std::move(pauses));
  }
  return run;
}

Value event_json(const Event& event) {
  bool owner = event.type == EventType::kOwnerChanged;
  Value json = Value::Object{{"seq", is_durable(event.type) ? Value(event.seq) : Value()},
                             {"cursor", text_or_null(event.cursor)},
                             {"time", text_or_null(iso_time(event.time))},
                             {"run", to_string(event.run)},
                             {"type", to_string(event.type)},
                             {"node", text_or_null(event.node)},
                             {"attempt", number_or_null(event.attempt)},
                             {"status", owner ? Value() : Value(status_word(event.type))},
                             {"reason", text_or_null(to_string(event.reason))}};
  if (!event.data.is_null()) {
    Result<Value> data = Value::parse(event.data.json());
    json.set("data", data.ok() ? std::move(*data) : Value());
  }
  return json;
}

Value summary_json(const RunSummary& run, Time now) {
  Time end = run.ended != Time{} ? run.ended : now;
  return Value::Object{
      {"run", to_string(run.run)},
      {"workflow", run.workflow},
      {"status", to_string(run.state)},
      {"tasks", Value::Object{{"total", std::uint64_t{run.tasks_total}}, {"done", std::uint64_t{run.tasks_done}}}},
      {"accepted", text_or_null(iso_time(run.accepted))},
      {"ended", text_or_null(iso_time(run.ended))},
      {"elapsed_ms", to_ms(std::max(end - run.accepted, Duration::zero()))},
      {"tenant", run.tenant},
      {"trace_id", text_or_null(run.trace_id)},
      {"labels", labels_json(run.labels)}};
}

Value coordinator_json(const CoordinatorView& coordinator) {
  return Value::Object{{"name", coordinator.name},
                       {"address", text_or_null(coordinator.endpoint)},
                       {"state", coordinator.state},
                       {"partitions", std::uint64_t{coordinator.partitions}},
                       {"epoch", number_or_null(coordinator.epoch)},
                       {"since", text_or_null(iso_time(coordinator.since))},
                       {"version", text_or_null(coordinator.version)},
                       {"events", text_or_null(coordinator.events)},
                       {"durability", text_or_null(coordinator.durability)},
                       {"weaker", text_or_null(coordinator.weaker)}};
}

Value partition_json(const PartitionView& partition) {
  return Value::Object{{"partition", std::uint64_t{partition.partition}},
                       {"owner", text_or_null(partition.owner)},
                       {"epoch", number_or_null(partition.epoch)},
                       {"since", text_or_null(iso_time(partition.since))},
                       {"live_runs", partition.runs_live ? Value(std::uint64_t{*partition.runs_live}) : Value()},
                       {"state", partition.state}};
}

namespace {

// Cores as a number, everything else as it is counted.
Value amount_json(const Resource& resource) {
  if (resource.name != "cpu" || resource.amount % 1000 == 0)
    return Value(resource.name == "cpu" ? resource.amount / 1000 : resource.amount);
  return Value(static_cast<double>(resource.amount) / 1000);
}

Value resources_json(const WorkerView& worker) {
  Value::Object out;
  for (const Resource& one : worker.resources) {
    const auto taken = std::ranges::find(worker.taken, one.name, &Resource::name);
    const std::uint64_t used = taken != worker.taken.end() ? taken->amount : 0;
    out.emplace_back(one.name, Value::Object{{"used", amount_json({one.name, used})}, {"total", amount_json(one)}});
  }
  return out;
}

}  // namespace

Value worker_json(const WorkerView& worker) {
  Value::Array executors(worker.executors.begin(), worker.executors.end());
  Value::Array queues(worker.queues.begin(), worker.queues.end());
  if (queues.empty()) queues.emplace_back(kDefaultQueue);
  return Value::Object{{"worker", worker.name},
                       {"status", worker.state},
                       {"slots", std::uint64_t{worker.slots}},
                       {"used", std::uint64_t{worker.used}},
                       {"running", std::uint64_t{worker.running}},
                       {"queued", std::uint64_t{worker.queued}},
                       {"host", text_or_null(worker.host)},
                       {"pid", number_or_null(worker.pid)},
                       {"version", text_or_null(worker.version)},
                       {"labels", labels_json(worker.labels)},
                       {"resources", resources_json(worker)},
                       {"queues", std::move(queues)},
                       {"executors", std::move(executors)},
                       {"joined", text_or_null(iso_time(worker.joined))},
                       {"heard", text_or_null(iso_time(worker.heard))}};
}

Value log_line_json(const LogLine& line) {
  return Value::Object{{"time", text_or_null(iso_time(line.time))},
                       {"node", text_or_null(line.node)},
                       {"attempt", number_or_null(line.attempt)},
                       {"stream", line.stderr_stream ? "stderr" : "stdout"},
                       {"text", line.text}};
}

Value problem_json(const Problem& problem) {
  return Value::Object{{"file", text_or_null(problem.file)},
                       {"line", problem.line > 0 ? Value(problem.line) : Value()},
                       {"column", problem.line > 0 ? Value(problem.column) : Value()},
                       {"expected", text_or_null(problem.expected)},
                       {"hint", text_or_null(problem.hint)},
                       {"message", problem.message}};
}

Value error_json(const Error& error) {
  Value::Array details;
  for (const Problem& problem : error.details) details.push_back(problem_json(problem));
  Value body = Value::Object{{"code", to_string(error.code)}, {"message", error.what}, {"details", std::move(details)}};
  if (!error.name.empty()) body.set("name", error.name);
  return Value::Object{{"error", std::move(body)}};
}

}  // namespace millrace
