// Partition: nodes whose value is kept under a key, cluster-wide. A task asks the home of its key for the value
// (cache_home.h) by letter, and waits, durably, with the reason `cache`. The answer is the value, or that it is to
// compute it; then it runs as any, and tells the home what came of it. Its record keeps the claim meanwhile, so that a
// new owner goes on where the old one was.
#include "coordinator/core/home.h"
#include "coordinator/core/partition.h"

namespace millrace {

void Partition::include(std::string& text, std::string_view part) {
  text.append(std::to_string(part.size())).append(1, ':').append(part);
}

bool Partition::awaits_cache(const TaskRecord& record) {
  return record.state == TaskState::kWaiting && record.reason == Reason::kCache;
}

bool Partition::awaits_cache(const Run& run, TaskIndex task) {
  return run.states[task.value] == TaskState::kWaiting && run.tasks[task.value].reason == Reason::kCache;
}

// All that a task sees by which its value may differ: inputs, the outputs before it, the error that it handles, which
// round it is in.
std::string Partition::seen_by(const Run& run, TaskIndex task) const {
  std::string text;
  const auto include = [](std::string& into, std::string_view name, const Payload& value) {
    Partition::include(into, name);
    Partition::include(into, to_string(value.is_reference() ? value.hash() : hash128(value.json())));
  };
  if (!run.plan->reads_upstream(task)) return text;
  include(text, "inputs", run.info->inputs);
  for (std::uint32_t up : run.plan->dag().upstream().of(task.value)) {
    const bool ended = is_terminal(run.states[up]);
    include(text, run.plan->name_from(task, TaskIndex{up}), ended ? run.tasks[up].output : Payload());
  }
  if (run.plan->cleanup_of(task) != Cleanup::kNone || !run.plan->handled_by(task).empty() ||
      run.plan->stands_in_for(task))
    Partition::include(text, error_for(run, task).dump());
  const std::optional<TaskIndex> end = run.plan->round_end(task);
  if (!end) return text;
  Partition::include(text, std::to_string(run.plan->flow(*end)->round));
  if (const auto previous = run.plan->previous_end(*end)) include(text, "previous", run.tasks[previous->value].output);
  return text;
}

// Nothing: it waits for values, or has failed by it.
std::optional<Hash128> Partition::cache_key(Time now, Run& run, TaskIndex task, const Flow::Cache& cache) {
  std::string text = to_string(cache.does);
  include(text, run.info->tenant);
  if (!cache.key) return hash128(text + seen_by(run, task));
  const std::optional<Value> key = evaluate_for(now, run, task, *cache.key);
  if (!key) return std::nullopt;
  include(text, key->dump());
  return hash128(text);
}

void Partition::claim(Time now, Run& run, TaskIndex task, const Flow::Cache& cache) {
  const std::optional<Hash128> key = cache_key(now, run, task, cache);
  if (!key) return;
  run.value_waits.erase(task);
  note_start(now, run);
  if (run.states[task.value] != TaskState::kWaiting) move(run, task, TaskState::kWaiting);
  TaskRecord& record = run.tasks[task.value];
  record.reason = Reason::kCache;
  record.claim = std::make_shared<const CacheClaim>(CacheClaim{*key, false, {}});
  write(run, task);
  emit(now, run, EventType::kTaskWaiting, task, 0, Reason::kCache);
  ask_cache(now, run, task);
}

// Again in a while: should the answer be lost, or who computes.
void Partition::ask_cache(Time now, const Run& run, TaskIndex task) {
  const FlowSpec& flow = run.plan->spec(task).flow;
  const CacheName name = cache_name(run, task);
  const PartitionId home = cache_home(name);
  post(home, CacheAsked{name, run.id(), task, flow.cache->ttl, flow.fallback_cached});
  set_timer(now + kCacheAskAgain, run.id(), task);
}

CacheName Partition::cache_name(const Run& run, TaskIndex task) {
  return {run.info->tenant, run.tasks[task.value].claim->key};
}

PartitionId Partition::cache_home(const CacheName& name) const {
  return home_of(name.tenant, to_string(name.key), options_.partitions);
}

// It has ended, or stands aside: the home is told, unless it is where the value came from.
void Partition::give_up_claim(Run& run, TaskIndex task, TaskState state, Reason reason) {
  TaskRecord& record = run.tasks[task.value];
  if (record.claim == nullptr) return;
  if (reason != Reason::kCached) {
    CacheLeft left{cache_name(run, task), run.id(), task, run.plan->spec(task).flow.cache->ttl, {}};
    if (state == TaskState::kSucceeded && reason == Reason::kNone) left.value = record.output;
    const PartitionId home = cache_home(left.name);
    post(home, std::move(left));
  }
  record.claim = nullptr;
}

// ---------------------------------------------------------------- at the home

void Partition::take(Time now, LetterCame&, CacheAsked& asked) {
  if (options_.plant == TestPlant::kComputeTwice) {
    CacheAnswer answer{asked.name, asked.run, asked.task, CacheAnswer::Kind::kCompute, false, {}};
    return post(partition_of(asked.run), CacheTold{std::move(answer)});
  }
  cache_.asked(now, asked.name, asked.run, asked.task, asked.ttl, asked.wants_old);
}

void Partition::take(Time now, LetterCame&, CacheLeft& left) {
  if (left.value) cache_.given(now, left.name, left.run, left.task, left.ttl, std::move(*left.value));
  else cache_.left(now, left.name, left.run, left.task);
}

// What there is to answer, within the budget of one step, and what is too old.
void Partition::tend_cache(Time now) {
  cache_.expire(now);
  keep_cache();
  while (cache_.answering() && records_step_ < kRecordsPerStep) {
    cache_.answer_one();
    keep_cache();
  }
}

void Partition::keep_cache() {
  if (!cache_.has_effects()) return;
  CacheEffects said = cache_.take();
  effects_.cached.add(said.counts);
  for (auto& [field, entry] : said.entries) {
    if (entry && entry->value.is_reference()) effects_.needs.push_back({entry->value.hash(), {}, field});
    if (entry && entry->value.is_inline()) bytes_pending_ += entry->value.size();
    effects_.cache_entries.insert_or_assign(field, std::move(entry));
    count_mail();
  }
  for (auto& [field, asker] : said.askers) {
    effects_.cache_askers.insert_or_assign(field, std::move(asker));
    count_mail();
  }
  for (CacheAnswer& answer : said.answers) {
    // Whoever takes it may do so when it has gone from here.
    if (answer.value.is_reference()) effects_.needs.push_back({answer.value.hash(), answer.run, ""});
    if (answer.value.is_inline()) bytes_pending_ += answer.value.size();
    const PartitionId to = partition_of(answer.run);
    post(to, CacheTold{std::move(answer)});
  }
}

// ---------------------------------------------------------------- at who asks

void Partition::take(Time now, LetterCame&, CacheTold& told) {
  CacheAnswer& answer = told.answer;
  Run* run = live(answer.run);
  if (run != nullptr && run->plan->is_item(answer.task)) return item_cache_told(now, *run, answer);
  const bool claims = run != nullptr && answer.task.value < run->tasks.size() &&
                      run->tasks[answer.task.value].claim != nullptr &&
                      run->tasks[answer.task.value].claim->key == answer.name.key;
  if (!claims) {  // it has said so, unless its store has lost that
    if (answer.kind == CacheAnswer::Kind::kTake) return;
    return post(cache_home(answer.name), CacheLeft{answer.name, answer.run, answer.task, {}, {}});
  }
  if (!awaits_cache(*run, answer.task) || halted(*run, answer.task)) return;
  TaskRecord& record = run->tasks[answer.task.value];
  switch (answer.kind) {
    case CacheAnswer::Kind::kThere: return;
    case CacheAnswer::Kind::kTake:
      note_try(record, now);
      record.output = std::move(answer.value);
      return end_task(now, *run, answer.task, TaskState::kSucceeded, Reason::kCached, EventType::kTaskSucceeded);
    case CacheAnswer::Kind::kCompute:
      if (answer.has_value)
        record.claim = std::make_shared<const CacheClaim>(CacheClaim{record.claim->key, true, std::move(answer.value)});
      record.reason = Reason::kNone;
      move(*run, answer.task, TaskState::kReady);
      write(*run, answer.task);
      return offer(now, *run, answer.task);
  }
}

}  // namespace millrace
