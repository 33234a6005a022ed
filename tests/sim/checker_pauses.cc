// Checker: what is paused.
#include "common/model/requirements.h"
#include "coordinator/shell/pause_codec.h"
#include "tests/sim/checker.h"

namespace millrace::sim {

// By the commits of each partition, and the clock of who made them.
void Checker::note_pauses(const PartitionCommit& commit) {
  for (const ShelfWrite& write : commit.shelves) {
    if (write.shelf != Shelf::kPauses) continue;
    std::vector<Paused>& pauses = pauses_[{commit.partition, write.field}];
    const bool lasts = !pauses.empty() && pauses.back().end_epoch == 0;
    if (write.bytes.empty()) {
      if (!lasts) continue;  // it began and ended in one turn
      pauses.back().end_epoch = commit.epoch.counter;
      pauses.back().end = turn_.value_or(Time::min());
      continue;
    }
    const Result<Pause> pause = decode_pause(commit.partition, write.field, write.bytes);
    if (!pause.ok()) return fail("pauses: " + pause.error().what);
    if (!lasts) pauses.push_back({pause->what, commit.epoch.counter, turn_.value_or(kNever), 0, {}});
  }
}

// What a partition has committed that it is paused, it does not start until it has committed the end: nor any owner
// after it. What was adopted has the time of that, and a mapped node that of its first item, by whatever clock: these
// are not looked at; nor what cleans up, which the pause of a workflow does not keep.
void Checker::check_paused(const PartitionCommit& commit, const Seen& run, const std::string& where, TaskIndex task,
                           const TaskRecord& record) {
  const TaskIndex node = *run.plan->node_of(task);
  const NodeSpec& spec = run.plan->spec(node);
  const bool adopted = record.losses > 0 || record.epoch != commit.epoch.counter || run.plan->is_mapped(task) ||
                       (run.plan->is_item(task) && !nothing_is_lost_);
  const bool taken = record.reason == Reason::kShared || record.reason == Reason::kCached;
  if (spec.executor.empty() || record.dispatched == Time{} || adopted || taken) return;
  const bool cleans = run.plan->cleanup_of(node) != Cleanup::kNone;
  const std::string_view queue = queue_or_default(spec.queue);
  for (auto at = pauses_.lower_bound({commit.partition, ""});
       at != pauses_.end() && at->first.first == commit.partition; ++at) {
    for (const Paused& pause : at->second) {
      const bool of_workflow = pause.what.kind == PauseKind::kWorkflow;
      if (of_workflow ? cleans || pause.what.name != run.plan->workflow().name : pause.what.name != queue) continue;
      const bool begun = record.epoch > pause.epoch || (record.epoch == pause.epoch && record.dispatched > pause.since);
      const bool over = pause.end_epoch != 0 && (record.epoch > pause.end_epoch ||
                                                 (record.epoch == pause.end_epoch && record.dispatched >= pause.end));
      if (begun && !over)
        return fail("pauses: " + where + " was started while " + describe(pause.what) + " was paused");
    }
  }
}

// In the end everything goes on, and all partitions know it.
void Checker::check_pauses() {
  for (const auto& [partition, log] : log_) {
    if (!cluster_.shelf(partition, Shelf::kPauses).empty())
      fail("pauses: partition " + std::to_string(partition.value) + " takes something for paused that goes on");
  }
}

}  // namespace millrace::sim
