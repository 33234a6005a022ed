#include "coordinator/core/resume.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <string>

#include "common/model/difference.h"

namespace millrace {
namespace {

Error refusal(Code code, std::string what, std::string name) { return {code, std::move(what), {}, std::move(name)}; }

std::optional<TaskIndex> find_node(const Plan& plan, const std::string& id) {
  if (!plan.workflow().ids.empty()) return plan.find(id);
  std::uint32_t number = 0;
  const auto [end, failure] = std::from_chars(id.data() + 1, id.data() + id.size(), number);
  if (id.size() < 2 || id[0] != 'n' || failure != std::errc() || end != id.data() + id.size()) return std::nullopt;
  return number < plan.node_count() ? std::optional(TaskIndex{number}) : std::nullopt;
}

Result<std::set<std::uint32_t>> named(const Plan& plan, const Resume& how) {
  std::set<std::uint32_t> nodes;
  for (const std::string& id : how.from) {
    const std::optional<TaskIndex> node = find_node(plan, id);
    if (!node)
      return refusal(Code::kInvalid,
                     "no node '" + id + "' in workflow '" + plan.workflow().name + "' to run again from",
                     "unknown_node");
    nodes.insert(node->value);
  }
  return nodes;
}

std::vector<std::optional<std::uint32_t>> counterparts(const Plan& before, const Plan& after) {
  if (before.definition() != after.definition()) return unchanged_nodes(before.workflow(), after.workflow());
  std::vector<std::optional<std::uint32_t>> same(after.node_count());
  for (std::uint32_t node = 0; node < after.node_count(); ++node) same[node] = node;
  return same;
}

bool has_result(const TaskRecord* record) {
  if (record == nullptr) return false;
  if (record->state == TaskState::kSucceeded) return record->reason != Reason::kFallback;
  return record->state == TaskState::kSkipped && record->reason != Reason::kUpstreamFailed;
}

// The nodes of the old run by their records, without those that hold no more since something undid them.
std::vector<const TaskRecord*> results_of(const RestoredRun& old) {
  const Plan& plan = *old.plan;
  std::vector<const TaskRecord*> records(plan.node_count(), nullptr);
  for (const auto& [task, record] : old.tasks) {
    if (!plan.is_item(task)) records[task.value] = &record;
  }
  std::set<std::uint32_t> undone;
  for (std::uint32_t task : plan.cleanups(Cleanup::kCompensate)) {
    const TaskRecord* record = records[task];
    if (record != nullptr && record->state != TaskState::kSkipped && record->state != TaskState::kPending)
      undone.insert(plan.undone_by(TaskIndex{task})->value);
  }
  for (std::uint32_t task = 0; task < records.size(); ++task) {
    const bool holds = has_result(records[task]) && plan.cleanup_of(TaskIndex{task}) == Cleanup::kNone;
    if (!holds || undone.contains(task)) records[task] = nullptr;
  }
  return records;
}

TaskRecord taken_over(const TaskRecord& before) {
  TaskRecord record = before;
  record.version = 0;
  record.due = Time{};
  if (record.state == TaskState::kSucceeded) record.reason = Reason::kShared;
  return record;
}

Status within_limits(const RestoredRun& old, const SharedResults& shared) {
  std::size_t bytes = 0;
  for (const auto& [task, record] : shared) {
    if (record.output.is_inline() && !record.output.is_null()) bytes += record.output.size();
  }
  if (shared.size() <= kSharedMax && bytes <= kSharedBytesMax) return Done{};
  return refusal(Code::kRefused,
                 "run " + to_string(old.info->run) + " has " + std::to_string(shared.size()) + " results (" +
                     std::to_string(bytes) + " bytes) to take over, and a run takes over at most " +
                     std::to_string(kSharedMax) + " (" + std::to_string(kSharedBytesMax) +
                     " bytes): run all of it again with `millrace rerun`",
                 "too_much_to_share");
}

}  // namespace

Result<SharedResults> shared_results(const RestoredRun& old, const Plan& plan, const Resume& how) {
  const std::string id = to_string(old.info->run);
  if (how.scope == ResumeScope::kAll) return SharedResults{};
  if (!is_terminal(old.record.state)) {
    return refusal(Code::kConflict,
                   "run " + id + " is still " + std::string(to_string(old.record.state)) +
                       ": wait for its end (millrace wait " + id + ") or cancel it (millrace cancel " + id + ")",
                   "run_live");
  }
  Result<std::set<std::uint32_t>> again = named(plan, how);
  if (!again.ok()) return std::move(again).error();
  const std::vector<const TaskRecord*> results = results_of(old);
  const std::vector<std::optional<std::uint32_t>> before = counterparts(*old.plan, plan);
  std::vector<bool> holds(plan.node_count());
  for (std::uint32_t task : plan.dag().order()) {
    holds[task] = before[task] && results[*before[task]] != nullptr && !again->contains(task) &&
                  plan.cleanup_of(TaskIndex{task}) == Cleanup::kNone &&
                  std::ranges::all_of(plan.dag().upstream().of(task), [&](std::uint32_t up) { return holds[up]; });
  }
  SharedResults shared;
  for (std::uint32_t task = 0; task < holds.size(); ++task) {
    if (holds[task]) shared.emplace_back(TaskIndex{task}, taken_over(*results[*before[task]]));
  }
  const bool all_hold = shared.size() + plan.cleanup_count() == plan.node_count();
  if (all_hold && old.record.state == RunState::kSucceeded && old.plan->definition() == plan.definition()) {
    return refusal(Code::kConflict,
                   "run " + id + " succeeded, there is nothing to run again: `millrace rerun " + id +
                       "` runs all of it, `millrace retry " + id + " --from NODE` a part",
                   "nothing_to_run");
  }
  if (Status fits = within_limits(old, shared); !fits.ok()) return fits.error();
  return shared;
}

RestoredRun as_stored(const Run& run) {
  RestoredRun stored{run.info, run.plan, run.record, {}};
  for (std::uint32_t task = 0; task < run.tasks.size(); ++task) {
    if (run.tasks[task].version > 0) stored.tasks.emplace_back(TaskIndex{task}, run.tasks[task]);
  }
  return stored;
}

// The new run begins with what it takes over: its records, as if they had just ended.
void Partition::take_over(Time now, Run& run, SharedResults shared) {
  std::size_t bytes = 0;
  for (auto& [task, record] : shared) {
    Payload& output = record.output;
    if (output.is_inline() && output.size() > kSharedSmall && (bytes += output.size()) > kSharedInlineMax) {
      const Hash128 hash = hash128(output.json());
      effects_.values.push_back({hash, output.json_text(), run.id()});
      bytes_pending_ += output.size();
      output = Payload::reference(hash, output.size());
    }
    const TaskState state = record.state;
    const EventType type = state == TaskState::kSkipped ? EventType::kTaskSkipped : EventType::kTaskSucceeded;
    run.tasks[task.value] = std::move(record);
    if (state == TaskState::kSucceeded && ends_in_order(run, task))
      run.ordered_ended = std::max(run.ordered_ended, run.tasks[task.value].ended);
    count_bytes(run, run.tasks[task.value].output);
    run.artifact_bytes += bytes_of(run.tasks[task.value].artifacts);
    move(run, task, state);
    write(run, task);
    emit(now, run, type, task, run.tasks[task.value].tries, run.tasks[task.value].reason);
  }
}

}  // namespace millrace
