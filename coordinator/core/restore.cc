// Partition: a live run comes back from the store.
#include <algorithm>

#include "coordinator/core/partition.h"
#include "coordinator/core/tries.h"

namespace millrace {
namespace {

constexpr std::size_t kWholeRecordsMax = 4'096;
constexpr std::size_t kWholeBytesMax = 16 * 1024 * 1024;

}  // namespace

// Sums and counts tell whether these are the records that its header speaks of.
std::optional<RunWrite> Partition::whole(RunId id) const {
  const Run* run = find(id);
  if (run == nullptr || run->ended() || run->record.records_live > kWholeRecordsMax) return std::nullopt;
  RunWrite all{id, run->info, run->record, {}, run->plan->node_count(), run->done()};
  std::uint64_t sum = 0;
  std::size_t bytes = 0;
  for (std::uint32_t i = 0; i < run->tasks.size(); ++i) {
    const TaskRecord& record = run->tasks[i];
    if (record.version == 0) continue;
    sum += checksum(TaskIndex{i}, record);
    bytes += record.output.is_inline() ? record.output.size() : 0;
    all.tasks.emplace_back(TaskIndex{i}, record);
  }
  const bool is_all = all.tasks.size() == run->record.records_live && sum == run->record.records_sum;
  if (!is_all || bytes > kWholeBytesMax) return std::nullopt;
  return all;
}

void Partition::restore(Time now, const RestoredRun& restored) {
  stirred_ = true;
  records_step_ = 0;
  assert(!runs_.contains(restored.info->run));
  Run& run = add(restored.info, restored.plan);
  run.record = restored.record;
  ++tally_.restored;
  run.restored = true;
  for (const auto& [task, record] : restored.tasks) {
    if (run.plan->is_item(task)) continue;
    run.tasks[task.value] = record;
    run.artifact_bytes += bytes_of(record.artifacts);
    run.sums[task.value] = checksum(task, record);
    run.note_record(task);
    TaskState& state = run.states[task.value];  // not a move: this is what it was when it was written
    --run.by_state[static_cast<std::size_t>(state)];
    // A task that had lost an attempt was ready; it is pending here and opened below.
    if (record.state == TaskState::kSucceeded && record.reason == Reason::kFallback) ++run.fallbacks;
    if (record.state == TaskState::kSucceeded && ends_in_order(run, task))
      run.ordered_ended = std::max(run.ordered_ended, record.ended);
    const bool waits_on = awaits_event(record) || stands_aside(record) || awaits_cache(record);
    state = record.state == TaskState::kReady || (record.state == TaskState::kWaiting && !waits_on)
                ? TaskState::kPending
                : record.state;
    ++run.by_state[static_cast<std::size_t>(state)];
    --tally_.of(TaskState::kPending);
    ++tally_.of(state);
    if (is_terminal(state)) count_bytes(run, record.output);
    if (state == TaskState::kWaiting) restore_wait(now, run, task);
    if (awaits_cache(record)) set_timer(now + kCacheAskAgain, run.id(), task);
    if (is_terminal(state) && run.plan->cleanup_of(task) != Cleanup::kNone) {
      ++run.cleanup_done;
      if (state == TaskState::kFailed) ++run.cleanup_failed;
    }
    if (state != TaskState::kRetrying) continue;
    Time& due = run.tasks[task.value].due;
    due = due_by_our_clock(now, record.due, record.ended);
    set_timer(std::max(now, due), run.id(), task);
  }
  for (const auto& [task, record] : restored.tasks) {  // what they are worth depends on their nodes
    if (run.plan->is_item(task)) restore_items(now, run, task, record);
  }
  for (const auto& [task, record] : restored.tasks) {
    if (record.state == TaskState::kRetrying && !run.plan->is_item(task)) begin_limit(now, run, task);
  }
  const std::vector<std::uint32_t> opened = openable(run);
  if (run.stopping()) {
    run.sweeping = true;
    sweeps_.insert(run.id());
  } else {
    for (std::uint32_t task : opened) {
      if (run.states[task] == TaskState::kPending || stands_aside(run, TaskIndex{task}))
        opened_.emplace_back(run.id(), TaskIndex{task});
    }
    begin_run_limits(now, run);
    finish_if_done(now, run);
  }
  work(now);
}

}  // namespace millrace
