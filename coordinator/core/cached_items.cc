// Partition: mapped nodes with a `cache`: each item asks the home of its own key for the value before it is dealt out,
// as a node does (caching.cc), with a record of its own. What is kept is an array with the item's output, as its record
// has it. Such items travel alone, since each has a key.
#include <algorithm>

#include "coordinator/core/partition.h"
#include "coordinator/core/tries.h"

namespace millrace {

bool Partition::caches_items(const Run& run, TaskIndex node) {
  const Flow* flow = run.plan->flow(node);
  return flow != nullptr && flow->cache && run.plan->is_mapped(node);
}

bool Partition::awaits_cache(const ItemHistory& past) { return past.waiting && awaits_cache(past.record); }

// So many are asked for at once as may be in one place; the others are not looked at.
void Partition::ask_for_cached(Time now, Run& run, Mapped& m) {
  const TaskState state = run.states[m.node.value];
  const bool open = m.opened && !m.failing && !halted(run, m.node) && !held_back(run, m.node) && !m.unasked.empty() &&
                    (state == TaskState::kReady || state == TaskState::kRunning || waits_for_place(run, m.node));
  if (!open) return;
  if (const auto waits = run.value_waits.find(m.node); waits != run.value_waits.end()) {
    if (!std::ranges::all_of(waits->second, [&](const Hash128& hash) { return fetched_.contains(hash); })) return;
    run.value_waits.erase(waits);
  }
  while (m.history.size() < kCachedItemsMax && !m.unasked.empty() && !m.failing) {
    if (records_step_ >= kRecordsPerStep) return void(opened_.emplace_back(run.id(), m.node));  // the next step's
    const std::uint32_t next = m.unasked.ranges().begin()->first;
    if (!m.source.has(next)) feed_items(run, m);
    if (!m.source.has(next) || !ask_for_cached(now, run, m, next)) return;
  }
}

// False: it waits for values.
bool Partition::ask_for_cached(Time now, Run& run, Mapped& m, std::uint32_t item) {
  const Flow::Cache& cache = *run.plan->flow(m.node)->cache;
  std::uint32_t taken = 0;
  const std::string slice = m.source.slice(item, 1, kChunkBytesMax, taken);
  std::string text = to_string(cache.does);
  include(text, run.info->tenant);
  std::optional<Error> wrong;
  if (cache.key) {
    const Result<Value> value = Value::parse(slice);
    const BoundItem bound{value.ok() ? value->as_array().front() : Value(), Value(std::uint64_t{item})};
    std::vector<Hash128> missing;
    const Result<Value> key = evaluate(run, *cache.key, missing, m.node, &bound);
    if (!missing.empty()) {
      for (const Hash128& hash : missing) fetch(run, hash);
      run.value_waits[m.node] = std::move(missing);
      return false;
    }
    if (key.ok()) include(text, key->dump());
    else wrong = key.error();
  } else {
    text += seen_by(run, m.node);
    include(text, slice);
    if (cache.index) include(text, std::to_string(item));
  }
  if (run.states[m.node.value] == TaskState::kReady) {
    move(run, m.node, TaskState::kDispatched);
    move(run, m.node, TaskState::kRunning);
    emit(now, run, EventType::kTaskRunning, m.node, 1);
    note_start(now, run);
  }
  if (m.dispatched == Time{}) m.dispatched = now;
  m.unasked.remove(item, item + 1);
  ItemHistory& past = m.history[item];
  TaskRecord& record = past.record;
  record.items = 1;
  record.ready = now;
  if (wrong) {
    note_error(record, {clip(std::move(wrong->what), kErrorMessageMax), ""});
    ++record.failures;
    item_ended_badly(now, run, m, item, Reason::kExpression);
    return true;
  }
  record.state = TaskState::kWaiting;
  record.reason = Reason::kCache;
  record.claim = std::make_shared<const CacheClaim>(CacheClaim{hash128(text), false, {}});
  write_record(run, TaskIndex{m.base + item}, record, past.sum);
  past.waiting = true;
  ++m.waiting;
  ++m.asking;
  ask_cache_again(now, run, m, item);
  return true;
}

void Partition::ask_cache_again(Time now, const Run& run, const Mapped& m, std::uint32_t item) {
  const CacheName name{run.info->tenant, m.history.at(item).record.claim->key};
  const TaskIndex task{m.base + item};
  const FlowSpec& flow = run.plan->spec(m.node).flow;
  const PartitionId home = cache_home(name);
  post(home, CacheAsked{name, run.id(), task, flow.cache->ttl, flow.fallback_cached});
  set_timer(now + kCacheAskAgain, run.id(), task);
}

// It has ended, with a value or without; the home is told.
void Partition::leave_cached(const Run& run, const Mapped& m, std::uint32_t item, TaskRecord& record) {
  if (record.claim == nullptr) return;
  CacheLeft left{{run.info->tenant, record.claim->key}, run.id(), TaskIndex{m.base + item}, {}, {}};
  if (record.state == TaskState::kSucceeded) {
    left.ttl = run.plan->spec(m.node).flow.cache->ttl;
    left.value = record.output;
  }
  record.claim = nullptr;
  const PartitionId home = cache_home(left.name);
  post(home, std::move(left));
}

// The latest value of its key, however old, takes the place of what an item finally failed to give. False: there is
// none, or nobody wants it any more.
bool Partition::item_falls_back(Time now, Run& run, Mapped& m, std::uint32_t item) {
  TaskRecord& record = m.history.at(item).record;
  const std::shared_ptr<const CacheClaim> claim = record.claim;
  if (claim == nullptr || !claim->has_old || m.failing || halted(run, m.node)) return false;
  leave_cached(run, m, item, record);
  m.fell_back(item, record.error);
  end_with_kept(now, run, m, item, Reason::kFallback, claim->old);
  return true;
}

// An item ends with a value that was kept.
void Partition::end_with_kept(Time now, Run& run, Mapped& m, std::uint32_t item, Reason reason, Payload value) {
  const auto found = m.history.find(item);
  ItemHistory past = std::move(found->second);
  m.history.erase(found);
  TaskRecord& record = past.record;
  record.state = TaskState::kSucceeded;
  record.reason = reason;
  record.ended = now;
  record.due = Time{};
  record.claim = nullptr;
  record.output = std::move(value);
  m.outputs.add(item, 1, record.output);
  store_outputs(run, m);
  count_bytes(run, record.output);
  write_record(run, TaskIndex{m.base + item}, record, past.sum);
  m.done.add(item, item + 1);
  m.numbers.erase(item);
}

// The node has ended without them.
void Partition::leave_all_cached(const Run& run, Mapped& m) {
  for (auto& [item, past] : m.history) leave_cached(run, m, item, past.record);
  m.asking = 0;
}

void Partition::item_cache_told(Time now, Run& run, CacheAnswer& answer) {
  const std::optional<TaskIndex> node = run.plan->node_of(answer.task);
  Mapped* mapped = node ? mapped_at(run, *node) : nullptr;
  const std::uint32_t item = mapped == nullptr ? 0 : answer.task.value - mapped->base;
  const auto found = mapped == nullptr ? std::map<std::uint32_t, ItemHistory>::iterator() : mapped->history.find(item);
  const bool claims = mapped != nullptr && found != mapped->history.end() && found->second.record.claim != nullptr &&
                      found->second.record.claim->key == answer.name.key;
  if (!claims) {
    if (answer.kind == CacheAnswer::Kind::kTake) return;
    return post(cache_home(answer.name), CacheLeft{answer.name, answer.run, answer.task, {}, {}});
  }
  Mapped& m = *mapped;
  if (answer.kind == CacheAnswer::Kind::kThere || !awaits_cache(found->second) || halted(run, m.node)) return;
  found->second.waiting = false;
  --m.waiting;
  --m.asking;
  if (answer.kind == CacheAnswer::Kind::kCompute) {
    TaskRecord& record = found->second.record;
    record.state = TaskState::kReady;
    record.reason = Reason::kNone;
    if (answer.has_value)
      record.claim = std::make_shared<const CacheClaim>(CacheClaim{record.claim->key, true, std::move(answer.value)});
    write_record(run, answer.task, record, found->second.sum);
    if (m.opened) m.todo.add_apart(item, item + 1);
  } else {
    end_with_kept(now, run, m, item, Reason::kCached, std::move(answer.value));
    tell_progress(now, run, m);
  }
  advance_items(now, run, m);
  finish_if_done(now, run);
}

}  // namespace millrace
