// Partition: what becomes of the items of mapped nodes: reported, failed, lost, given back, tried again, restored.
#include <algorithm>

#include "common/base/json_scan.h"
#include "coordinator/core/partition.h"
#include "coordinator/core/tries.h"

namespace millrace {

std::uint32_t Partition::release_items(Run& run, Mapped& m, TaskIndex chunk) {
  const auto out = m.out.find(chunk.value - m.base);
  const std::uint32_t count = out->second;
  m.running -= count;
  m.out.erase(out);
  close_attempt(run, chunk);
  return count;
}

void Partition::items_ended(Time now, Run& run, AttemptEnded& in) {
  const AttemptId& id = in.report.attempt;
  Outcome& outcome = in.report.outcome;
  const TaskIndex node = *run.plan->node_of(id.task);
  const bool over = items_over(run, node);
  auto it = run.attempts.find(id.task);
  bool known = it != run.attempts.end() && it->second.id == id;
  if (!known && it == run.attempts.end() && !over && outcome.items != nullptr)
    known = adopt_items(now, run, id, in.worker, in.report.rests_on, true, outcome.items->count);
  Mapped* m = mapped_at(run, node);
  if (!known || over) {
    const bool done = over || (m != nullptr && m->done.contains(id.task.value - m->base));
    if (!known && !done && m != nullptr && id.task.value - m->base < (m->opened ? m->total : run.plan->item_room())) {
      std::uint32_t& number = m->numbers[id.task.value - m->base];  // as of other tasks: it does not come back
      number = std::max(number, id.number);
    }
    answer(in.worker, id, Answer::kRefused, done ? "the items have results" : "the attempt was given up");
    if (known) release_items(run, *m, id.task);
    return finish_if_done(now, run);
  }
  const Attempt attempt = run.attempts.at(id.task);
  const std::uint32_t count = release_items(run, *m, id.task);
  answer(in.worker, id, Answer::kRecorded);
  settle_items(now, run, *m, attempt, count, outcome);
  tell_progress(now, run, *m);
  advance_items(now, run, *m);
  finish_if_done(now, run);
}

void Partition::settle_items(Time now, Run& run, Mapped& m, const Attempt& attempt, std::uint32_t count,
                             Outcome& outcome) {
  static const ItemsOutcome kNone;
  const ItemsOutcome& items = outcome.items != nullptr ? *outcome.items : kNone;
  const std::uint32_t first = attempt.id.task.value - m.base;
  const std::uint32_t done = std::min(items.done, count);
  m.ran += outcome.ran;
  if (done > 0) {
    m.pace.learn(done, outcome.ran, now - attempt.dispatched - outcome.waited - outcome.ran);
    std::string_view outputs = outcome.output.is_inline() ? outcome.output.json() : std::string_view();
    ElementCursor cursor(outputs);
    std::size_t from = cursor.at();
    std::uint32_t begun = 0;  // of the outputs that were not kept yet
    const auto keep = [&](std::uint32_t end, std::size_t to) {
      if (end == begun) return;
      std::string_view part = outputs.substr(std::min(from, outputs.size()), to - from);
      if (part.ends_with(',')) part.remove_suffix(1);
      keep_items(now, run, m, attempt, outcome, first + begun, end - begun, part);
    };
    std::uint32_t at = 0;
    std::string_view element;
    for (const ItemFailure& failure : items.failures) {
      for (; at < failure.offset; ++at) cursor.next(element);
      keep(at, cursor.at());
      cursor.next(element);
      begun = ++at;
      from = cursor.at();
      item_failed(now, run, m, attempt, outcome, first + failure.offset, failure.reason, failure.error);
    }
    keep(done, outputs.empty() ? from : outputs.find_last_of(']'));
  }
  if (done == count) return;
  const std::uint32_t rest = first + done;
  if (outcome.success && outcome.items == nullptr) {  // what it ran was not an item
    m.todo.add_apart(rest + 1, first + count);
    return item_failed(now, run, m, attempt, outcome, rest, Reason::kRefused,
                       {"its worker does not know of items: a worker of this version or later is needed", ""});
  }
  if (outcome.success || m.failing || halted(run, m.node)) {
    m.todo.add_apart(rest, first + count);  // its budget was spent, or nobody wants them any more
  } else if (is_cancellation(outcome.reason) || outcome.reason == Reason::kLost) {
    items_lost(now, run, m, attempt, rest, count - done, "its worker gave it up");
  } else {  // the chunk could not go on
    m.todo.add_apart(rest + 1, first + count);
    item_failed(now, run, m, attempt, outcome, rest, outcome.reason, std::move(outcome.error));
  }
}

// `outputs`: the elements, joined by commas.
void Partition::keep_items(Time now, Run& run, Mapped& m, const Attempt& attempt, const Outcome& outcome,
                           std::uint32_t first, std::uint32_t count, std::string_view outputs) {
  TaskRecord record;
  std::uint64_t sum = 0;
  if (auto past = m.history.find(first); past != m.history.end()) {
    record = past->second.record;
    sum = past->second.sum;
    m.history.erase(past);
  }
  note(record, attempt, outcome);
  record.state = TaskState::kSucceeded;
  record.reason = Reason::kNone;
  record.error = nullptr;
  record.ended = now;
  record.due = Time{};
  record.items = count;
  const bool kept = run.plan->spec(m.node).flow.foreach->collect != Value(false);
  if (kept) {
    record.output = make_payload(run.id(), "[" + std::string(outputs) + "]");
    m.outputs.add(first, count, record.output);
    store_outputs(run, m);
    count_bytes(run, record.output);
  }
  leave_cached(run, m, first, record);
  write_record(run, TaskIndex{m.base + first}, record, sum);
  m.done.add(first, first + count);
  m.numbers.erase(m.numbers.lower_bound(first), m.numbers.lower_bound(first + count));
}

void Partition::item_failed(Time now, Run& run, Mapped& m, const Attempt& attempt, const Outcome& outcome,
                            std::uint32_t item, Reason reason, ErrorInfo error) {
  TaskRecord& record = m.history[item].record;
  note(record, attempt, outcome);
  record.items = 1;
  note_error(record, std::move(error));
  ++record.failures;
  item_ended_badly(now, run, m, item, reason);
}

// Its record says why and how often. It is tried again later, or has failed for good.
void Partition::item_ended_badly(Time now, Run& run, Mapped& m, std::uint32_t item, Reason reason) {
  const TaskIndex task{m.base + item};
  ItemHistory& past = m.history.at(item);
  TaskRecord& record = past.record;
  const RetryPolicy& retry = run.plan->spec(m.node).retry;
  if (halted(run, m.node) || m.failing || !wants_retry(retry, reason, record.error->message) ||
      record.failures >= retry.attempts_max)
    return item_failed_for_good(now, run, m, item, reason);
  const Time due = now + backoff_of(retry, record.failures, {run.id(), task, record.epoch, record.tries});
  if (ErrorInfo why = *record.error; too_late(run, m.node, due, why, reason)) {
    record.error = std::make_shared<const ErrorInfo>(std::move(why));
    return item_failed_for_good(now, run, m, item, reason);
  }
  record.state = TaskState::kRetrying;
  record.reason = reason;
  record.ended = now;
  record.due = due;
  write_record(run, task, record, past.sum);
  emit(now, run, EventType::kTaskRetrying, task, record.tries, reason);
  past.waiting = true;
  ++m.waiting;
  if (options_.plant != TestPlant::kForgetTimer) set_timer(record.due, run.id(), task);
}

// Its history has the error.
void Partition::item_failed_for_good(Time now, Run& run, Mapped& m, std::uint32_t item, Reason reason) {
  if (item_falls_back(now, run, m, item)) return;
  ItemHistory past = std::move(m.history.at(item));
  m.history.erase(item);
  TaskRecord& record = past.record;
  record.state = TaskState::kFailed;
  record.reason = reason;
  record.ended = now;
  leave_cached(run, m, item, record);
  write_record(run, TaskIndex{m.base + item}, record, past.sum);
  emit(now, run, EventType::kTaskFailed, TaskIndex{m.base + item}, record.tries, reason);
  ++m.failed;
  m.done.add(item, item + 1);
  m.numbers.erase(item);
  m.show({item, reason, record.tries, record.error});
  const ForeachSpec& spec = *run.plan->spec(m.node).flow.foreach;
  switch (spec.on_error) {
    case OnItemError::kContinue: return m.outputs.add_null(item);
    case OnItemError::kDrop: return m.outputs.add_nothing(item);
    case OnItemError::kFail: break;
  }
  if (!m.failing) fail_items(run, m, reason, of_item(item, *record.error));
}

void Partition::fail_items(Run& run, Mapped& m, Reason reason, ErrorInfo error) {
  if (!std::exchange(m.failing, true)) {
    m.reason = reason;
    m.error = std::make_shared<const ErrorInfo>(std::move(error));
  }
  leave_children(run, m);
  for (const auto& [first, count] : m.out) {
    Attempt& other = run.attempts.at(TaskIndex{m.base + first});
    other.cancelling = true;
    effects_.cancels.push_back({other.worker.id, {other.id, Reason::kFailFast}});
  }
}

// Whoever had them went away. Only an item that was lost alone can be what killed its worker: a chunk is halved, and
// its halves are tried apart.
void Partition::items_lost(Time now, Run& run, Mapped& m, const Attempt& attempt, std::uint32_t first,
                           std::uint32_t count, std::string_view why) {
  if (halted(run, m.node) || m.failing) return m.todo.add_apart(first, first + count);
  const NodeSpec& spec = run.plan->spec(m.node);
  if (spec.on_loss == OnLoss::kFail) {
    for (std::uint32_t item = first; item < first + count; ++item) {
      ItemHistory& past = m.history[item];
      note(past.record, attempt, Outcome{});
      past.record.items = 1;
      note_loss(past.record, now, why);
      note_error(past.record, {"its worker was lost (" + std::string(why) + ") and the node says on_loss: fail", ""});
      item_failed_for_good(now, run, m, item, Reason::kLost);
    }
    return;
  }
  if (count > 1) {
    m.todo.add_apart(first, first + count / 2);
    m.todo.add_apart(first + count / 2, first + count);
    return;
  }
  const TaskIndex task{m.base + first};
  ItemHistory& past = m.history[first];
  TaskRecord& record = past.record;
  note(record, attempt, Outcome{});
  record.items = 1;
  note_loss(record, now, why);
  if (record.losses >= spec.retry.losses_max) {
    note_error(record,
               {"lost " + std::to_string(record.losses) + " times (" + std::string(why) + "): not tried again", ""});
    return item_failed_for_good(now, run, m, first, Reason::kPoisoned);
  }
  record.state = TaskState::kReady;
  record.reason = Reason::kLost;
  record.ready = now;
  write_record(run, task, record, past.sum);
  emit(now, run, EventType::kTaskRetrying, task, record.tries, Reason::kLost);
  m.todo.add_apart(first, first + 1);
}

void Partition::lose_items(Time now, Run& run, TaskIndex chunk, std::string_view why) {
  Mapped& m = *mapped_at(run, *run.plan->node_of(chunk));
  const Attempt attempt = run.attempts.at(chunk);
  const std::uint32_t count = release_items(run, m, chunk);
  if (items_over(run, m.node)) return finish_if_done(now, run);
  items_lost(now, run, m, attempt, chunk.value - m.base, count, why);
  advance_items(now, run, m);
  finish_if_done(now, run);
}

void Partition::items_reclaimed(Time now, Run& run, TaskIndex chunk) {
  Mapped& m = *mapped_at(run, *run.plan->node_of(chunk));
  const std::uint32_t count = release_items(run, m, chunk);
  if (items_over(run, m.node)) return finish_if_done(now, run);
  const std::uint32_t first = chunk.value - m.base;
  m.todo.add_apart(first, first + count);
  advance_items(now, run, m);
  finish_if_done(now, run);
}

void Partition::item_due(Time now, Run& run, TaskIndex task) {
  Mapped* m = mapped_at(run, *run.plan->node_of(task));
  if (m == nullptr || halted(run, task) || m->failing) return;
  const std::uint32_t item = task.value - m->base;
  auto past = m->history.find(item);
  if (past == m->history.end() || !past->second.waiting || past->second.record.due > now) return;
  if (awaits_cache(past->second)) return ask_cache_again(now, run, *m, item);
  if (awaits_child(past->second.record)) return item_waited_enough(now, run, *m, item);
  past->second.waiting = false;
  past->second.record.ready = past->second.record.due;
  --m->waiting;
  if (!m->opened) return;  // it finds it
  m->todo.add_apart(item, item + 1);
  advance_items(now, run, *m);
}

void Partition::restore_items(Time now, Run& run, TaskIndex chunk, const TaskRecord& record) {
  const std::optional<TaskIndex> node = run.plan->node_of(chunk);
  if (!node) return;
  Mapped& m = mapped_of(run, *node);
  const std::uint32_t first = chunk.value - m.base;
  const std::uint32_t count = std::max(record.items, 1U);
  const bool over = items_over(run, *node);
  const ForeachSpec& spec = *run.plan->spec(*node).flow.foreach;
  if (m.dispatched == Time{} || (record.dispatched != Time{} && record.dispatched < m.dispatched))
    m.dispatched = record.dispatched;
  if (over) m.total = run.tasks[node->value].items;
  if (record.state == TaskState::kSucceeded) {
    m.done.add(first, first + count);
    m.ran += record.ran;
    count_bytes(run, record.output);
    if (record.reason == Reason::kFallback) m.fell_back(first, record.error);
    if (!over && asks_children(run, *node) && spec.collect != Value(false)) m.outputs.add_one(first, record.output);
    if (!over && !record.output.is_null() && !asks_children(run, *node)) m.outputs.add(first, count, record.output);
    if (!over) store_outputs(run, m);
    return;
  }
  if (record.state == TaskState::kFailed) {
    m.done.add(first, first + 1);
    ++m.failed;
    m.show({first, record.reason, record.tries, record.error});
    if (over) return;
    if (spec.on_error == OnItemError::kContinue) m.outputs.add_null(first);
    if (spec.on_error == OnItemError::kDrop) m.outputs.add_nothing(first);
    if (spec.on_error != OnItemError::kFail || std::exchange(m.failing, true)) return;
    static const ErrorInfo kUnknown;
    const ErrorInfo& error = record.error != nullptr ? *record.error : kUnknown;
    m.reason = record.reason;
    m.error = std::make_shared<const ErrorInfo>(of_item(first, error));
    return;
  }
  if (over) return;
  ItemHistory& past = m.history[first];
  past.record = record;
  past.sum = checksum(chunk, record);
  if (awaits_child(record)) return await_again(now, run, m, first);
  if (awaits_cache(record)) {
    past.waiting = true;
    ++m.waiting;
    ++m.asking;
    return set_timer(now + kCacheAskAgain, run.id(), chunk);
  }
  if (record.state != TaskState::kRetrying) return;
  past.record.due = due_by_our_clock(now, record.due, record.ended);
  past.waiting = true;
  ++m.waiting;
  set_timer(std::max(now, past.record.due), run.id(), chunk);
}

// Ephemeral, and not often.
void Partition::tell_progress(Time now, Run& run, Mapped& m) {
  if (!live_events_ || !m.opened || now - m.progress < kProgressEvery) return;
  m.progress = now;
  Event event;
  event.run = run.id();
  event.type = EventType::kTaskProgress;
  event.task = m.node;
  event.time = now;
  event.node = run.plan->id(m.node);
  event.data =
      Payload::inline_json("{\"done\":" + std::to_string(m.done.count()) + ",\"total\":" + std::to_string(m.total) +
                           ",\"failed\":" + std::to_string(m.failed) + "}");
  effects_.events.push_back(std::move(event));
}

}  // namespace millrace
