#include "common/wire/view_codec.h"

#include <memory>
#include <string>
#include <utility>

#include "common/wire/pause_codec.h"

namespace millrace {
namespace {

void write(const RunInfo& info, pb::RunInfo* out) {
  out->set_run(info.run.value);
  out->set_tenant(info.tenant);
  out->set_workflow(info.workflow);
  millrace::write(info.definition, out->mutable_definition());
  write_labels(info.labels, out->mutable_labels());
  out->set_key(info.key);
  millrace::write(info.request, out->mutable_request());
  out->set_trace_id(info.trace_id);
  out->set_caller(info.caller);
  out->set_priority(info.priority);
  out->set_retry_of(info.retry_of.value);
  out->set_workflow_version(info.workflow_version);
  if (info.parent.run != RunId{}) {
    pb::RunParent* parent = out->mutable_parent();
    parent->set_run(info.parent.run.value);
    parent->set_task(info.parent.task.value);
    parent->set_node(info.parent.node);
    parent->set_depth(info.parent.depth);
    parent->set_room(info.parent.room);
  }
  millrace::write(info.inputs, out->mutable_inputs());
  out->set_accepted_us(to_us(info.accepted));
  if (info.deadline != Time{}) out->set_deadline_us(to_us(info.deadline));
}

RunInfo read(Reader& in, pb::RunInfo* info) {
  RunInfo out;
  out.run = RunId{info->run()};
  out.tenant = info->tenant();
  out.workflow = info->workflow();
  out.definition = read_hash(info->definition());
  out.labels = read_labels(info->labels());
  out.key = info->key();
  out.request = read_hash(info->request());
  out.trace_id = info->trace_id();
  out.caller = info->caller();
  out.priority = info->priority();
  out.retry_of = RunId{info->retry_of()};
  out.workflow_version = info->workflow_version();
  if (info->has_parent()) {
    pb::RunParent* parent = info->mutable_parent();
    out.parent = {RunId{parent->run()}, TaskIndex{parent->task()}, std::move(*parent->mutable_node()), parent->depth(),
                  parent->room()};
  }
  out.inputs = read_payload(in, info->mutable_inputs());
  out.accepted = from_us(info->accepted_us());
  out.deadline = from_us(info->deadline_us());
  return out;
}

void write(const RunError& error, pb::RunError* out) {
  out->set_code(error.code);
  out->set_message(error.message);
  out->set_node(error.node);
  out->set_attempt(error.attempt);
  out->set_traceback(error.traceback);
}

void write(const RunRecord& record, pb::RunRecord* out) {
  out->set_state(static_cast<std::uint32_t>(record.state));
  out->set_reason(static_cast<std::uint32_t>(record.reason));
  out->set_version(record.version);
  out->set_seq(record.seq);
  out->set_records_sum(record.records_sum);
  out->set_records_live(record.records_live);
  out->set_started_us(to_us(record.started));
  out->set_ended_us(to_us(record.ended));
  millrace::write(record.outputs, out->mutable_outputs());
  if (record.error != nullptr) write(*record.error, out->mutable_error());
  out->set_why(record.why);
}

RunRecord read(Reader& in, pb::RunRecord* record) {
  RunRecord out;
  out.state = in.to_enum(record->state(), kRunStateLast, "unknown run state");
  out.reason = in.to_enum(record->reason(), kReasonLast, "unknown reason");
  out.version = record->version();
  out.seq = record->seq();
  out.records_sum = record->records_sum();
  out.records_live = record->records_live();
  out.started = from_us(record->started_us());
  out.ended = from_us(record->ended_us());
  out.outputs = read_payload(in, record->mutable_outputs());
  if (record->has_error()) {
    const pb::RunError& e = record->error();
    out.error = std::make_shared<const RunError>(RunError{e.code(), e.message(), e.node(), e.attempt(), e.traceback()});
  }
  out.why = record->why();
  return out;
}

void write(const ErrorInfo& error, pb::ErrorInfo* out) {
  out->set_message(error.message);
  out->set_traceback(error.traceback);
  for (const LostAttempt& loss : error.losses) {
    pb::Loss* one = out->add_losses();
    one->set_attempt(loss.attempt);
    one->set_worker(loss.worker);
    one->set_dispatched_us(to_us(loss.dispatched));
    one->set_lost_us(to_us(loss.lost));
    one->set_how(loss.how);
  }
}

std::shared_ptr<const ErrorInfo> read(Reader& in, pb::ErrorInfo* error) {
  ErrorInfo out{std::move(*error->mutable_message()), std::move(*error->mutable_traceback())};
  in.require(static_cast<std::size_t>(error->losses_size()) <= kLostAttemptsKept, "too many losses");
  if (!in.ok()) return nullptr;
  for (pb::Loss& loss : *error->mutable_losses())
    out.losses.push_back({loss.attempt(), std::move(*loss.mutable_worker()), from_us(loss.dispatched_us()),
                          from_us(loss.lost_us()), std::move(*loss.mutable_how())});
  return std::make_shared<const ErrorInfo>(std::move(out));
}

void write(const ItemsView& items, pb::ItemsView* out) {
  out->set_total(items.total);
  out->set_done(items.done);
  out->set_failed(items.failed);
  out->set_running(items.running);
  out->set_retrying(items.retrying);
  for (const FailedItem& item : items.shown) {
    pb::FailedItem* one = out->add_shown();
    one->set_index(item.index);
    one->set_reason(static_cast<std::uint32_t>(item.reason));
    one->set_attempts(item.attempts);
    if (item.error == nullptr) continue;
    write(*item.error, one->mutable_error());
  }
}

ItemsView read(Reader& in, pb::ItemsView* items) {
  ItemsView out{items->total(), items->done(), items->failed(), items->running(), items->retrying(), {}};
  in.require(static_cast<std::size_t>(items->shown_size()) <= kItemsShownMax, "too many failed items");
  if (!in.ok()) return out;
  for (pb::FailedItem& item : *items->mutable_shown()) {
    FailedItem& one = out.shown.emplace_back();
    one.index = item.index();
    one.reason = in.to_enum(item.reason(), kReasonLast, "unknown reason");
    one.attempts = item.attempts();
    if (!item.has_error()) continue;
    one.error = read(in, item.mutable_error());
  }
  return out;
}

void write(const NodeView& node, pb::NodeView* out) {
  out->set_id(node.id);
  out->set_state(static_cast<std::uint32_t>(node.state));
  out->set_reason(static_cast<std::uint32_t>(node.reason));
  out->set_wait_reason(static_cast<std::uint32_t>(node.wait_reason));
  out->set_attempts(node.attempts);
  out->set_queued_us(node.queued.count());
  out->set_ran_us(node.ran.count());
  out->set_worker(node.worker);
  if (node.error != nullptr) write(*node.error, out->mutable_error());
  if (!node.output.is_null()) millrace::write(node.output, out->mutable_output());
  if (!node.wait_text.empty()) out->set_wait_text(node.wait_text);
  if (!node.child.empty()) out->set_child(node.child);
  if (node.items) write(*node.items, out->mutable_items());
  if (node.artifacts == nullptr) return;
  for (const Artifact& one : *node.artifacts) millrace::write(one, out->add_artifacts());
}

NodeView read(Reader& in, pb::NodeView* node) {
  NodeView out;
  out.id = std::move(*node->mutable_id());
  out.state = in.to_enum(node->state(), kTaskStateLast, "unknown task state");
  out.reason = in.to_enum(node->reason(), kReasonLast, "unknown reason");
  out.wait_reason = in.to_enum(node->wait_reason(), kWaitReasonLast, "unknown wait reason");
  out.attempts = node->attempts();
  out.queued = Duration{node->queued_us()};
  out.ran = Duration{node->ran_us()};
  out.worker = std::move(*node->mutable_worker());
  if (node->has_error()) out.error = read(in, node->mutable_error());
  if (node->has_output()) out.output = read_payload(in, node->mutable_output());
  out.wait_text = std::move(*node->mutable_wait_text());
  out.child = std::move(*node->mutable_child());
  if (node->has_items()) out.items = read(in, node->mutable_items());
  if (node->artifacts_size() == 0) return out;
  std::vector<Artifact> artifacts;
  in.require(static_cast<std::size_t>(node->artifacts_size()) <= kArtifactsMax, "too many artifacts");
  for (pb::Artifact& one : *node->mutable_artifacts()) artifacts.push_back(read_artifact(in, &one));
  out.artifacts = std::make_shared<const std::vector<Artifact>>(std::move(artifacts));
  return out;
}

}  // namespace

void write(const RunView& view, pb::RunView* out) {
  write(view.info, out->mutable_info());
  write(view.record, out->mutable_record());
  for (const NodeView& node : view.nodes) write(node, out->add_nodes());
  out->set_nodes_total(view.nodes_total);
  for (const auto& [state, count] : view.by_state) {
    pb::StateCount* entry = out->add_by_state();
    entry->set_state(static_cast<std::uint32_t>(state));
    entry->set_count(count);
  }
  out->set_now_us(to_us(view.now));
  for (const VariableView& variable : view.variables) {
    pb::VariableView* entry = out->add_variables();
    entry->set_name(variable.name);
    entry->set_json(std::string(variable.value.json()));
    entry->set_version(variable.version);
    entry->set_node(variable.node);
  }
  for (const Pause& pause : view.pauses) write(pause, out->add_pauses());
}

RunView read_view(Reader& in, pb::RunView* view) {
  RunView out;
  out.info = read(in, view->mutable_info());
  out.record = read(in, view->mutable_record());
  in.require(view->nodes_size() <= static_cast<int>(kTasksMax), "too many nodes");
  if (!in.ok()) return out;
  out.nodes.reserve(static_cast<std::size_t>(view->nodes_size()));
  for (pb::NodeView& node : *view->mutable_nodes()) out.nodes.push_back(read(in, &node));
  out.nodes_total = view->nodes_total();
  for (const pb::StateCount& entry : view->by_state()) {
    out.by_state[in.to_enum(entry.state(), kTaskStateLast, "unknown task state")] = entry.count();
  }
  out.now = from_us(view->now_us());
  in.require(view->variables_size() <= static_cast<int>(kVariablesMax), "too many variables");
  if (!in.ok()) return out;
  for (pb::VariableView& entry : *view->mutable_variables())
    out.variables.push_back({std::move(*entry.mutable_name()), Payload::inline_json(std::move(*entry.mutable_json())),
                             entry.version(), std::move(*entry.mutable_node())});
  for (const pb::Pause& pause : view->pauses()) out.pauses.push_back(read_pause(in, pause));
  return out;
}

void write(const RunSummary& summary, pb::RunSummary* out) {
  out->set_run(summary.run.value);
  out->set_tenant(summary.tenant);
  out->set_workflow(summary.workflow);
  write_labels(summary.labels, out->mutable_labels());
  out->set_state(static_cast<std::uint32_t>(summary.state));
  out->set_accepted_us(to_us(summary.accepted));
  out->set_ended_us(to_us(summary.ended));
  out->set_tasks_total(summary.tasks_total);
  out->set_tasks_done(summary.tasks_done);
  out->set_trace_id(summary.trace_id);
}

RunSummary read_summary(Reader& in, const pb::RunSummary& summary) {
  RunSummary out;
  out.run = RunId{summary.run()};
  out.tenant = summary.tenant();
  out.workflow = summary.workflow();
  out.labels = read_labels(summary.labels());
  out.state = in.to_enum(summary.state(), kRunStateLast, "unknown run state");
  out.accepted = from_us(summary.accepted_us());
  out.ended = from_us(summary.ended_us());
  out.tasks_total = summary.tasks_total();
  out.tasks_done = summary.tasks_done();
  out.trace_id = summary.trace_id();
  return out;
}

void write(const WorkerView& worker, pb::WorkerView* out) {
  out->set_name(worker.name);
  out->set_host(worker.host);
  out->set_pid(worker.pid);
  out->set_version(worker.version);
  out->set_state(worker.state);
  out->set_slots(worker.slots);
  out->set_used(worker.used);
  write_labels(worker.labels, out->mutable_labels());
  for (const std::string& executor : worker.executors) *out->add_executors() = executor;
  out->set_joined_us(to_us(worker.joined));
  out->set_heard_us(to_us(worker.heard));
  out->set_running(worker.running);
  out->set_queued(worker.queued);
  for (const std::string& queue : worker.queues) *out->add_queues() = queue;
  write_resources(worker.resources, out->mutable_resources());
  write_resources(worker.taken, out->mutable_taken());
}

WorkerView read_worker(const pb::WorkerView& worker) {
  WorkerView out;
  out.name = worker.name();
  out.host = worker.host();
  out.pid = worker.pid();
  out.version = worker.version();
  out.state = worker.state();
  out.slots = worker.slots();
  out.used = worker.used();
  out.labels = read_labels(worker.labels());
  out.executors.assign(worker.executors().begin(), worker.executors().end());
  out.joined = from_us(worker.joined_us());
  out.heard = from_us(worker.heard_us());
  out.running = worker.running();
  out.queued = worker.queued();
  out.queues.assign(worker.queues().begin(), worker.queues().end());
  for (const pb::Resource& one : worker.resources()) out.resources.push_back({one.name(), one.amount()});
  for (const pb::Resource& one : worker.taken()) out.taken.push_back({one.name(), one.amount()});
  return out;
}

}  // namespace millrace
