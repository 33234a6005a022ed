// Partition: mapped nodes: what they go over, dealing it out, and their end. What becomes of items: fanout_ends.cc.
#include "coordinator/core/fanout.h"

#include <algorithm>
#include <cmath>

#include "coordinator/core/partition.h"

namespace millrace {

void Pace::learn(std::uint32_t items, Duration ran, Duration overhead) {
  static constexpr double kOverheadMax = 50'000;  // more is a coordinator that was busy, not what an attempt costs
  static constexpr double kNew = 0.25;
  const auto blend = [](double& average, double value) {
    average = average == 0 ? value : average * (1 - kNew) + value * kNew;
  };
  blend(item_us, std::max(0.05, static_cast<double>(ran.count()) / items));
  blend(overhead_us, std::clamp(static_cast<double>(overhead.count()), 1.0, kOverheadMax));
}

std::uint32_t Pace::chunk(std::uint64_t left, std::uint32_t slots) const {
  static constexpr double kWorth = 19;        // times the overhead: that is then below 5 %
  static constexpr std::uint64_t kShare = 4;  // chunks that each slot still gets
  if (item_us == 0) return 1;
  const double enough = std::ceil(kWorth * overhead_us / item_us);
  const double most = static_cast<double>(kChunkTarget.count()) / item_us;
  const auto fair = static_cast<double>(left / (std::max(slots, 1U) * kShare));
  return static_cast<std::uint32_t>(std::clamp(std::min({enough, most, fair}), 1.0, static_cast<double>(kChunkMax)));
}

ItemsView Mapped::view() const {
  return {total, static_cast<std::uint32_t>(done.count()), failed, running + children, waiting - children - asking,
          shown};
}

std::map<std::uint32_t, std::uint32_t>::const_iterator Mapped::next_here() const {
  if (!source.is_reference()) return todo.ranges().begin();
  return std::ranges::find_if(todo.ranges(), [&](const auto& range) { return source.has(range.first); });
}

void Mapped::show(const FailedItem& item) {
  const auto at = std::ranges::upper_bound(shown, item.index, {}, &FailedItem::index);
  shown.insert(at, item);
  if (shown.size() > kItemsShownMax) shown.pop_back();
}

void Mapped::fell_back(std::uint32_t item, const std::shared_ptr<const ErrorInfo>& why) {
  if (replaced_first && *replaced_first < item) return;
  replaced_first = item;
  replaced = why == nullptr ? nullptr : std::make_shared<const ErrorInfo>(of_item(item, *why));
}

ErrorInfo of_item(std::uint32_t item, const ErrorInfo& error) {
  return {clip("item " + std::to_string(item) + ": " + error.message, kErrorMessageMax), error.traceback};
}

Mapped* Partition::mapped_at(const Run& run, TaskIndex node) const {
  if (run.mapped.empty()) return nullptr;
  auto it = run.mapped.find(node);
  return it == run.mapped.end() ? nullptr : it->second.get();
}

Mapped& Partition::mapped_of(Run& run, TaskIndex node) {
  std::unique_ptr<Mapped>& mapped = run.mapped[node];
  if (mapped == nullptr) {
    mapped = std::make_unique<Mapped>();
    mapped->node = node;
    mapped->base = run.plan->base(node);
  }
  return *mapped;
}

// ---------------------------------------------------------------- what it goes over

// Nothing: it waits for values, or has failed. A list reference that is named as it is stays one.
std::optional<ItemSource> Partition::source_of(Time now, Run& run, TaskIndex node, const Flow& flow) {
  const expr::Reference* bare = flow.foreach->bare();
  const std::optional<TaskIndex> from =
      bare != nullptr && bare->root == "nodes" ? run.plan->find_from(node, bare->head) : std::nullopt;
  if (from && is_terminal(run.states[from->value]) && run.tasks[from->value].output.is_reference()) {
    const Hash128& hash = run.tasks[from->value].output.hash();
    const auto stored = fetched_.find(hash);
    if (stored == fetched_.end()) {
      await_values(run, node, {hash});
      return std::nullopt;
    }
    if (is_composed(*stored->second)) {
      Result<Composed> list = Composed::parse(*stored->second);
      if (list.ok() && list->list) return ItemSource::of(std::move(list).value());
    }
  }
  const std::optional<Value> over = evaluate_for(now, run, node, *flow.foreach);
  if (!over) return std::nullopt;
  const ForeachSpec& spec = *run.plan->spec(node).flow.foreach;
  Result<ItemSource> source = spec.kind == ForeachKind::kRange ? ItemSource::range(*over) : ItemSource::over(*over);
  if (source.ok()) return std::move(source).value();
  fail_expression(now, run, node, source.error().what);
  return std::nullopt;
}

void Partition::open_items(Time now, Run& run, TaskIndex node, const Flow& flow) {
  std::optional<ItemSource> source = source_of(now, run, node, flow);
  if (!source) return;
  run.value_waits.erase(node);
  const std::uint64_t tasks = run.plan->node_count() + run.items + source->count();
  if (tasks > options_.run_tasks_max || source->count() > run.plan->item_room()) {
    const std::uint64_t most = std::min<std::uint64_t>(options_.run_tasks_max, run.plan->item_room());
    return fail_expression(now, run, node,
                           "'foreach' gives " + std::to_string(source->count()) + " items: with them the run has " +
                               std::to_string(tasks) + " tasks, and a run may have " + std::to_string(most) +
                               " (--run-tasks-max of the coordinator)");
  }
  Mapped& m = mapped_of(run, node);
  m.source = *std::move(source);
  m.total = static_cast<std::uint32_t>(m.source.count());
  m.opened = true;
  run.items += m.total;
  if (const auto family = asks_children(run, node) ? link_of(run, node, m.total) : RunParent{}; !family.ok())
    return fail_wait(now, run, node, Reason::kRefused, family.error().what);
  const auto history = history_.find(run.info->definition);
  if (history != history_.end()) m.pace = history->second.paces[run.plan->workflow().spec_index(node.value)];
  // What is neither done nor out nor waits; items with a history of their own apart from the others.
  m.todo.clear();
  m.todo.add(0, m.total);
  for (const auto& [first, end] : m.done.ranges()) m.todo.remove(first, end);
  for (const auto& [first, count] : m.out) m.todo.remove(first, first + count);
  for (const auto& [item, past] : m.history) m.todo.remove(item, item + 1);
  if (caches_items(run, node)) m.unasked = std::exchange(m.todo, {});
  for (const auto& [item, past] : m.history) {
    if (m.out.contains(item)) continue;
    if (!past.waiting) m.todo.add_apart(item, item + 1);
  }
  if (run.states[node.value] != TaskState::kReady) move(run, node, TaskState::kReady);
  if (!m.out.empty() || m.waiting > 0 || (m.complete() && m.total > 0)) {
    move(run, node, TaskState::kDispatched);
    move(run, node, TaskState::kRunning);
  }
  advance_items(now, run, m);
}

// ---------------------------------------------------------------- the pieces of a list reference

// The next that are not here, in the order of what is to be dealt out; none while there is enough to go on with.
std::vector<std::size_t> Partition::pieces_lacking(const Mapped& m) const {
  static constexpr std::size_t kEnough = 2;
  static constexpr std::size_t kAtOnce = 4;
  std::vector<std::size_t> lacking;
  std::size_t here = 0;
  std::optional<std::size_t> latest;
  const auto look_at = [&](std::uint32_t first, std::uint32_t end) {
    for (std::size_t piece = m.source.piece_at(first); piece <= m.source.piece_at(end - 1); ++piece) {
      if (latest && piece <= *latest) continue;
      latest = piece;
      if (m.source.has_piece(piece)) ++here;
      else lacking.push_back(piece);
      if (here + lacking.size() >= kAtOnce) return false;
    }
    return true;
  };
  if (m.history.size() >= kHistoriesMax) {  // only they are dealt out
    for (const auto& [item, past] : m.history) {
      if (m.todo.contains(item) && !look_at(item, item + 1)) break;
    }
  } else {
    for (const ItemRanges* items : {&m.todo, &m.unasked}) {
      for (const auto& [first, end] : items->ranges()) {
        if (!look_at(first, end)) break;
      }
    }
  }
  if (here >= kEnough && m.can_deal()) lacking.clear();
  return lacking;
}

// Takes the pieces that have come and asks for the next, so that a few are here however long the list is.
void Partition::feed_items(Run& run, Mapped& m) {
  if (!m.opened || !m.source.is_reference() || m.failing || halted(run, m.node)) return;
  const std::vector<Piece>& pieces = m.source.list().pieces;
  const auto here = [&](std::size_t piece) { return fetched_.contains(pieces[piece].hash); };
  do {  // those that another waits for as well may be here already
    if (!std::ranges::all_of(m.feeding, here)) return;
    if (!m.feeding.empty()) run.value_waits.erase(m.node);
    for (const std::size_t piece : std::exchange(m.feeding, {})) {
      if (m.source.give(piece, fetched_.at(pieces[piece].hash))) continue;
      return fail_items(run, m, Reason::kInvalidInput,
                        {"a part of the list that it goes over is not what the list says", ""});
    }
    m.source.forget_but([&](std::uint32_t first, std::uint32_t end) {
      return m.todo.overlaps(first, end) || m.unasked.overlaps(first, end);
    });
    if (run.value_waits.contains(m.node)) return;
    m.feeding = pieces_lacking(m);
    for (const std::size_t piece : m.feeding) {
      run.value_waits[m.node].push_back(pieces[piece].hash);
      fetch(run, pieces[piece].hash);
    }
  } while (!m.feeding.empty());
}

// ---------------------------------------------------------------- dealing out

// Chunks are not offered one by one: an offer is for the node, and what it is given is decided when there is a slot.
void Partition::offer_items(Time now, Run& run, Mapped& m) {
  if (!m.opened || m.failing || halted(run, m.node) || (options_.adopting && run.restored)) return;
  const TaskState state = run.states[m.node.value];
  const bool held = held_back(run, m.node);
  if (held && state == TaskState::kReady) hold(run, m.node);
  if (held || (state != TaskState::kReady && state != TaskState::kRunning)) return;
  if (asks_children(run, m.node)) return;
  const ForeachSpec& spec = *run.plan->spec(m.node).flow.foreach;
  std::uint64_t wanted = std::min<std::uint64_t>(kOffersMax, m.todo.count());
  if (spec.parallel_max > 0)
    wanted =
        std::min<std::uint64_t>(wanted, spec.parallel_max - std::min<std::size_t>(spec.parallel_max, m.out.size()));
  if (m.pace.item_us == 0 && spec.chunk == 0) wanted = std::min<std::uint64_t>(wanted, m.slots);  // to learn by
  if (!m.can_deal()) wanted = 0;  // until pieces of its list have come
  for (; m.offers < wanted; ++m.offers) offer(now, run, m.node);
}

std::uint32_t Partition::take_items(const Run& run, Mapped& m, std::uint32_t& first, std::string& values) {
  if (m.todo.empty()) return 0;
  const NodeSpec& spec = run.plan->spec(m.node);
  const ForeachSpec& foreach = *spec.flow.foreach;
  auto range = m.todo.ranges().begin();
  if (m.history.size() >= kHistoriesMax) {  // no more of those that have none
    const auto tried = std::ranges::find_if(m.history, [&](const auto& one) { return m.todo.contains(one.first); });
    if (tried == m.history.end()) return 0;
    range = std::prev(m.todo.ranges().upper_bound(tried->first));
  }
  if (!m.source.has(range->first)) range = m.next_here();
  if (range == m.todo.ranges().end()) return 0;
  static constexpr std::uint32_t kNotRepeatedMax = 100;  // items that are given up together with their worker
  std::uint32_t most = foreach.chunk > 0 ? foreach.chunk : m.pace.chunk(m.todo.count(), m.slots);
  if (spec.on_loss == OnLoss::kFail) most = std::min(most, kNotRepeatedMax);
  if (m.history.contains(range->first)) most = 1;
  first = range->first;
  std::uint32_t taken = 0;
  values = m.source.slice(first, std::min(most, range->second - first), kChunkBytesMax, taken);
  return taken;
}

void Partition::deal_items(Time now, Run& run, SlotGranted& in) {
  Mapped* mapped = mapped_at(run, in.task);
  if (mapped != nullptr && mapped->offers > 0) --mapped->offers;
  const TaskState state = run.states[in.task.value];
  const bool open = mapped != nullptr && mapped->opened && !mapped->failing && !halted(run, in.task) &&
                    !held_back(run, in.task) && (!options_.adopting || !run.restored) &&
                    (state == TaskState::kReady || state == TaskState::kRunning);
  const NodeSpec& spec = run.plan->spec(in.task);
  const bool room =
      open && (spec.flow.foreach->parallel_max == 0 || mapped->out.size() < spec.flow.foreach->parallel_max);
  std::uint32_t first = 0;
  std::string values;
  if (room) mapped->slots = std::max(in.slots, 1U);
  const std::uint32_t count = room ? take_items(run, *mapped, first, values) : 0;
  if (count == 0) {
    effects_.slots.push_back({in.worker.id, in.slot_class, false, in.needs});
    return;
  }
  Mapped& m = *mapped;
  note_start(now, run);
  std::uint32_t& number = m.numbers[first];
  if (auto past = m.history.find(first); past != m.history.end()) number = std::max(number, past->second.record.tries);
  ++number;
  auto items = std::make_shared<AssignedItems>();
  items->first = first;
  items->count = count;
  items->values = values.size() > kChunkBytesMax ? make_payload(run.id(), std::move(values))
                                                 : Payload::inline_json(std::move(values));
  if (spec.flow.foreach->chunk == 0 && count > 1) items->budget = kChunkBudget;
  Attempt attempt;
  attempt.id = {run.id(), TaskIndex{m.base + first}, options_.epoch.counter, number};
  attempt.worker = in.worker;
  attempt.ready = run.tasks[in.task.value].ready;
  attempt.dispatched = now;
  Assignment a = assignment(run, in.task, number);
  a.task = attempt.id.task;
  a.items = std::move(items);
  effects_.assigns.push_back({in.worker.id, std::move(a)});
  emit(now, run, EventType::kTaskDispatched, attempt.id.task, number);
  if (m.dispatched == Time{}) m.dispatched = now;
  hold_items(run, m, first, count, std::move(attempt));
  if (state == TaskState::kReady) {
    move(run, in.task, TaskState::kDispatched);
    move(run, in.task, TaskState::kRunning);
    emit(now, run, EventType::kTaskRunning, in.task, 1);
  }
  feed_items(run, m);
  offer_items(now, run, m);
}

void Partition::hold_items(Run& run, Mapped& m, std::uint32_t first, std::uint32_t count, Attempt attempt) {
  m.todo.remove(first, first + count);
  m.out[first] = count;
  m.running += count;
  out_.emplace(attempt.worker.id, run.id(), attempt.id.task);
  run.attempts.emplace(attempt.id.task, std::move(attempt));
}

// A chunk that another epoch dispatched, or this one before its worker was given up: it is taken over if nobody else
// has any of its items. The range came with the report, since only its first item is in its name.
bool Partition::adopt_items(Time now, Run& run, const AttemptId& id, const WorkerRef& worker,
                            const std::vector<UpstreamVersion>& rests_on, bool started, std::uint32_t count) {
  if (run.ended() || halted(run, id.task) || count == 0 || count > kChunkMax || id.epoch > options_.epoch.counter)
    return false;
  const TaskIndex node = *run.plan->node_of(id.task);
  if (items_over(run, node)) return false;
  const TaskState state = run.states[node.value];
  const bool waits = state == TaskState::kWaiting;  // for values, or for a worker that could run it
  if (state != TaskState::kReady && state != TaskState::kRunning && !waits) return false;
  if (id.epoch != options_.epoch.counter && !rests_on_these(run, node, rests_on)) return false;
  Mapped& m = mapped_of(run, node);
  const std::uint32_t first = id.task.value - m.base;
  const std::uint64_t end = std::uint64_t{first} + count;
  if (m.failing || end > (m.opened ? m.total : run.plan->item_room()) || m.done.overlaps(first, first + count))
    return false;
  const auto next_out = m.out.lower_bound(first + count);
  if (next_out != m.out.begin() && std::prev(next_out)->first + std::prev(next_out)->second > first) return false;
  std::uint32_t& number = m.numbers[first];
  auto past = m.history.lower_bound(first);
  const bool tried = past != m.history.end() && past->first < first + count;
  if (tried && (count > 1 || id.number <= past->second.record.tries)) return false;
  if (id.number <= number) return false;
  number = id.number;
  if (tried && std::exchange(past->second.waiting, false)) {
    --m.waiting;
    if (awaits_cache(past->second.record)) --m.asking;
  }
  Attempt attempt;
  attempt.id = id;
  attempt.worker = worker;
  attempt.ready = run.tasks[node.value].ready == Time{} ? now : run.tasks[node.value].ready;
  attempt.dispatched = now;
  attempt.confirmed = true;
  attempt.started = started;
  note_start(now, run);
  if (m.dispatched == Time{}) m.dispatched = now;
  const std::shared_ptr<const Requirements>& needs = run.plan->needs(node);
  effects_.slots.push_back({worker.id, needs->slot_class, true, needs->resources.empty() ? nullptr : needs.get()});
  hold_items(run, m, first, count, std::move(attempt));
  if (!m.opened) return true;
  if (!let_go(run, node)) place_found(run, node);
  if (run.states[node.value] == TaskState::kReady) {
    move(run, node, TaskState::kDispatched);
    move(run, node, TaskState::kRunning);
  }
  return true;
}

// ---------------------------------------------------------------- its end

void Partition::advance_items(Time now, Run& run, Mapped& m) {
  if (items_over(run, m.node)) return;
  feed_items(run, m);
  if (asks_children(run, m.node)) ask_for_items(now, run, m);
  if (caches_items(run, m.node)) ask_for_cached(now, run, m);
  if (m.complete() && !m.failing) {
    finish_items(now, run, m);
    if (is_terminal(run.states[m.node.value]) || !halted(run, m.node)) return;  // else nobody waits for its values
  }
  if (m.out.empty() && m.failing) {
    TaskRecord& record = run.tasks[m.node.value];
    record.error = m.error;
    record.tries = 1;
    record.epoch = options_.epoch.counter;
    return end_task(now, run, m.node, TaskState::kFailed, m.reason, EventType::kTaskFailed);
  }
  if (m.out.empty() && halted(run, m.node)) return cancel_task(now, run, m.node);
  offer_items(now, run, m);
}

void Partition::finish_items(Time now, Run& run, Mapped& m) {
  const ForeachSpec& spec = *run.plan->spec(m.node).flow.foreach;
  TaskRecord& record = run.tasks[m.node.value];
  record.tries = 1;
  record.epoch = options_.epoch.counter;
  record.error = nullptr;
  if (spec.collect != Value(false)) {
    if (m.outputs.size() <= std::min(options_.list_min, kValueMax)) {
      if (!fetch_items(run, m)) return;
      record.output = make_payload(
          run.id(), m.outputs.list([&](const Hash128& hash) -> std::string_view { return *fetched_.at(hash); }));
    } else if (!give_list(run, m, record)) {
      return end_task(now, run, m.node, TaskState::kFailed, Reason::kInvalidOutput, EventType::kTaskFailed);
    }
    run.value_waits.erase(m.node);
  }
  if (!m.replaced_first)
    return end_task(now, run, m.node, TaskState::kSucceeded, Reason::kNone, EventType::kTaskSucceeded);
  record.error = m.replaced;
  ++run.fallbacks;
  end_task(now, run, m.node, TaskState::kSucceeded, Reason::kFallback, EventType::kTaskSucceeded);
}

// A list that is too large to be put together: what was stored stays as it is, and is named.
bool Partition::give_list(Run& run, Mapped& m, TaskRecord& record) {
  const RunId id = run.id();
  Composed list = m.outputs.composed([&](std::string json) { return store_value(id, std::move(json)).hash(); });
  const bool drops = run.plan->spec(m.node).flow.foreach->on_error == OnItemError::kDrop;
  (drops ? list.dropped : list.failed) = m.failed;
  if (list.pieces.size() <= kComposedPiecesMax && list.bytes <= kComposedMax) {
    record.output = store_value(id, list.store());
    return true;
  }
  record.error = std::make_shared<const ErrorInfo>(ErrorInfo{
      "the list of its outputs has " + std::to_string(list.bytes) + " bytes in " + std::to_string(list.pieces.size()) +
          " parts, and may have " + std::to_string(kComposedMax) + " in " + std::to_string(kComposedPiecesMax) +
          ": `collect` says what of each is kept, `chunk` how many come together",
      ""});
  return false;
}

// What has come so far is stored as far as it is enough for a part of a list.
void Partition::store_outputs(const Run& run, Mapped& m) {
  const RunId id = run.id();
  m.outputs.store_grown(std::min(options_.list_min, kListPart),
                        [&](std::string json) { return store_value(id, std::move(json)).hash(); });
}

// Whether the outputs that are stored by reference are here; if not, they are asked for, and the end waits for them.
bool Partition::fetch_items(Run& run, Mapped& m) {
  std::vector<Hash128> needed = m.outputs.references();
  const auto here = [&](const Hash128& hash) { return fetched_.contains(hash); };
  if (std::ranges::all_of(needed, here)) return true;
  if (run.value_waits.contains(m.node)) return false;
  for (const Hash128& hash : needed) fetch(run, hash);
  run.value_waits[m.node] = std::move(needed);
  return false;
}

// It has ended, or another node has taken its place.
bool Partition::items_over(const Run& run, TaskIndex node) {
  return is_terminal(run.states[node.value]) || stands_aside(run, node);
}

void Partition::close_items(Run& run, TaskIndex node) {
  Mapped* m = mapped_at(run, node);
  if (m == nullptr) return;
  leave_children(run, *m);
  leave_all_cached(run, *m);
  TaskRecord& record = run.tasks[node.value];
  record.items = m->total;
  record.items_failed = m->failed;
  record.dispatched = m->dispatched;
  record.ran = m->ran;
  run.value_waits.erase(node);
  m->source = {};
  m->feeding.clear();
  m->todo.clear();
  m->unasked.clear();
  m->history.clear();
  m->numbers.clear();
  m->outputs = {};
  m->waiting = 0;
}

}  // namespace millrace
