// Partition: mapped nodes whose items are runs of another workflow. An item waits for its child as a node does: with a
// record of its own, so that another owner knows whom it has asked. No worker and no chunk has a part in it.
#include <algorithm>

#include "coordinator/core/partition.h"
#include "coordinator/core/tries.h"

namespace millrace {

bool Partition::asks_children(const Run& run, TaskIndex node) {
  const Flow* flow = run.plan->flow(node);
  return flow != nullptr && flow->wait && run.plan->is_mapped(node);
}

// As many as may be at once.
void Partition::ask_for_items(Time now, Run& run, Mapped& m) {
  const TaskState state = run.states[m.node.value];
  const bool open = m.opened && !halted(run, m.node) && !held_back(run, m.node) && !m.todo.empty() &&
                    (state == TaskState::kReady || state == TaskState::kRunning);
  if (!open) return;
  if (const auto waits = run.value_waits.find(m.node); waits != run.value_waits.end()) {
    if (!std::ranges::all_of(waits->second, [&](const Hash128& hash) { return fetched_.contains(hash); })) return;
    run.value_waits.erase(waits);
  }
  const std::uint32_t wish = run.plan->spec(m.node).flow.foreach->parallel_max;
  const std::uint32_t most = wish == 0 ? kChildrenUsual : std::min(wish, kChildrenMax);
  while (m.children < most && !m.todo.empty() && !m.failing) {
    if (records_step_ >= kRecordsPerStep) return void(opened_.emplace_back(run.id(), m.node));  // the next step's
    if (!m.can_deal()) feed_items(run, m);
    if (!m.can_deal() || !ask_for_item(now, run, m, m.next_here()->first)) return;
  }
}

bool Partition::ask_for_item(Time now, Run& run, Mapped& m, std::uint32_t item) {
  const Flow::Wait& wait = *run.plan->flow(m.node)->wait;
  if (run.states[m.node.value] == TaskState::kReady) {
    move(run, m.node, TaskState::kDispatched);
    move(run, m.node, TaskState::kRunning);
    emit(now, run, EventType::kTaskRunning, m.node, 1);
    note_start(now, run);
  }
  if (m.dispatched == Time{}) m.dispatched = now;
  std::uint32_t taken = 0;
  Result<Value> slice = Value::parse(m.source.slice(item, 1, kChunkBytesMax, taken));
  const BoundItem bound{slice.ok() ? slice->as_array().front() : Value(), Value(std::uint64_t{item})};
  std::vector<Hash128> missing;
  const auto rendered = [&](const std::optional<expr::Template>& what, Value otherwise) -> Result<Value> {
    if (!what) return otherwise;
    std::vector<Hash128> more;
    Result<Value> value = evaluate(run, *what, more, m.node, &bound);
    missing.insert(missing.end(), more.begin(), more.end());
    return value;
  };
  const Result<Value> inputs = rendered(wait.with, Value::Object{});
  const Result<Value> limit = rendered(wait.limit, Value());
  if (!missing.empty()) {
    for (const Hash128& hash : missing) fetch(run, hash);
    run.value_waits[m.node] = std::move(missing);
    return false;
  }
  m.todo.remove(item, item + 1);
  TaskRecord& record = m.history[item].record;
  record.items = 1;
  record.ready = now;
  note_child_try(record, now);
  const auto fails = [&](Reason reason, std::string why) {
    item_child_failed(now, run, m, item, reason, std::move(why));
    return true;
  };
  for (const Result<Value>* value : {&inputs, &limit}) {
    if (!value->ok()) return fails(Reason::kExpression, value->error().what);
  }
  Time due{};
  if (!limit->is_null()) {
    const Result<Time> at = moment_of(*limit, now, wait.spec.until);
    if (!at.ok()) return fails(Reason::kExpression, at.error().what);
    due = *at;
  }
  const TaskIndex task{m.base + item};
  if (std::optional<NoChild> none = order_child(run, task, wait.spec, *inputs, m.total, record.tries))
    return fails(none->reason, std::move(none->why));
  ItemHistory& past = m.history[item];
  record.state = TaskState::kWaiting;
  record.reason = Reason::kChild;
  record.due = due;
  write_record(run, task, record, past.sum);
  past.waiting = true;
  ++m.waiting;
  ++m.children;
  if (due != Time{} && options_.plant != TestPlant::kForgetTimer) set_timer(due, run.id(), task);
  return true;
}

// Its child has not come to be, or did not end well; it does not wait (any more).
void Partition::item_child_failed(Time now, Run& run, Mapped& m, std::uint32_t item, Reason reason, std::string why) {
  ItemHistory& past = m.history.at(item);
  past.record.due = Time{};
  ++past.record.failures;
  note_error(past.record, {clip(std::move(why), kErrorMessageMax), ""});
  item_ended_badly(now, run, m, item, reason);
}

void Partition::item_told(Time now, Run& run, ChildTold& told) {
  const std::optional<TaskIndex> node = run.plan->node_of(told.task);
  if (!node || items_over(run, *node)) return;
  Mapped* m = mapped_at(run, *node);
  if (m == nullptr) return;
  const std::uint32_t item = told.task.value - m->base;
  const auto past = m->history.find(item);
  if (past == m->history.end() || !past->second.waiting || !awaits_child(past->second.record)) return;
  TaskRecord& record = past->second.record;
  if (told.attempt != record.tries) return;  // of a try that was given up
  if (told.child != RunId{}) record.worker = std::make_shared<const std::string>(to_string(told.child));
  if (!is_terminal(told.state)) return write_record(run, told.task, record, past->second.sum);
  past->second.waiting = false;
  --m->waiting;
  --m->children;
  record.ran = now - record.dispatched;
  m->ran += record.ran;
  if (told.state != RunState::kSucceeded && told.state != RunState::kDegraded) {
    item_child_failed(now, run, *m, item, Reason::kChild, end_of_child(told));
  } else {
    ItemHistory kept = std::move(past->second);
    m->history.erase(past);
    kept.record.state = TaskState::kSucceeded;
    kept.record.reason = Reason::kNone;
    kept.record.error = nullptr;
    kept.record.ended = now;
    kept.record.due = Time{};
    if (run.plan->spec(*node).flow.foreach->collect != Value(false)) {
      kept.record.output = std::move(told.outputs);
      m->outputs.add_one(item, kept.record.output);
      store_outputs(run, *m);
      count_bytes(run, kept.record.output);
    }
    write_record(run, told.task, kept.record, kept.sum);
    m->done.add(item, item + 1);
  }
  tell_progress(now, run, *m);
  advance_items(now, run, *m);
  finish_if_done(now, run);
}

void Partition::item_waited_enough(Time now, Run& run, Mapped& m, std::uint32_t item) {
  ItemHistory& past = m.history.at(item);
  if (past.record.due == Time{}) return;
  past.waiting = false;
  --m.waiting;
  --m.children;
  cancel_child(run, TaskIndex{m.base + item}, past.record.tries);
  item_child_failed(now, run, m, item, Reason::kTimeout, "its child run did not end in time");
  advance_items(now, run, m);
  finish_if_done(now, run);
}

// As of a node that waits: no longer than it had to.
void Partition::await_again(Time now, Run& run, Mapped& m, std::uint32_t item) {
  ItemHistory& past = m.history.at(item);
  past.waiting = true;
  ++m.waiting;
  ++m.children;
  TaskRecord& record = past.record;
  if (record.due == Time{}) return;
  record.due = due_by_our_clock(now, record.due, record.ready);
  set_timer(std::max(now, record.due), run.id(), TaskIndex{m.base + item});
}

void Partition::leave_children(Run& run, Mapped& m) {
  if (m.children == 0) return;
  for (auto past = m.history.begin(); past != m.history.end();) {
    if (!past->second.waiting || !awaits_child(past->second.record)) {
      ++past;
      continue;
    }
    cancel_child(run, TaskIndex{m.base + past->first}, past->second.record.tries);
    m.todo.add_apart(past->first, past->first + 1);
    past = m.history.erase(past);
    --m.waiting;
  }
  m.children = 0;
}

}  // namespace millrace
