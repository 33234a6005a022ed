// What is true of a Partition between steps.
#include <functional>

#include "coordinator/core/partition.h"

namespace millrace {
namespace {

// An item is in exactly one place.
std::string check_items(const Run& run, const Mapped& m) {
  std::uint64_t out = 0;
  for (const auto& [first, count] : m.out) {
    out += count;
    if (!run.attempts.contains(TaskIndex{m.base + first})) return "has items out without an attempt";
    if (m.done.overlaps(first, first + count)) return "has items out that are done";
    if (m.todo.overlaps(first, first + count)) return "has items out that are to be dealt out";
  }
  if (out != m.running) return "counts its items out wrong";
  if (is_terminal(run.states[m.node.value]) || run.tasks[m.node.value].reason == Reason::kFallback) return "";
  if (m.done.count() > 0 && m.opened && m.done.count() > m.total) return "has done more than it has";
  std::uint64_t waiting = 0;
  for (const auto& [item, past] : m.history) {
    waiting += past.waiting ? 1 : 0;
    if (past.waiting && (m.todo.contains(item) || m.done.contains(item))) return "has an item that waits elsewhere too";
    if (m.done.contains(item)) return "remembers an item that is done";
  }
  if (waiting != m.waiting) return "counts its items that wait wrong";
  if (m.opened && m.todo.count() + m.unasked.count() + m.done.count() + out + waiting != m.total)
    return "has lost items";
  for (const auto& [first, end] : m.todo.ranges()) {
    if (m.done.overlaps(first, end)) return "would deal out items that are done";
  }
  return "";
}

// `held_back`: whether a node may not start now; nothing is known while what was let go is worked off.
std::string check_run(const Run& run, const std::function<bool(TaskIndex)>& held_back) {
  std::string name = "run " + to_string(run.id()) + ": ";
  std::array<std::uint32_t, 10> counted{};
  std::uint64_t sum = 0;
  std::uint32_t written = 0;
  for (std::uint32_t task = 0; task < run.states.size(); ++task) {
    TaskState state = run.states[task];
    const TaskRecord& record = run.tasks[task];
    std::string where = name + "task " + run.plan->id(TaskIndex{task}) + " ";
    ++counted[static_cast<std::size_t>(state)];
    sum += run.sums[task];
    written += record.version > 0 ? 1 : 0;
    bool out = state == TaskState::kDispatched || state == TaskState::kRunning;
    const bool mapped = run.plan->is_mapped(TaskIndex{task});
    if (mapped ? out && !run.mapped.contains(TaskIndex{task}) : out != run.attempts.contains(TaskIndex{task}))
      return where + "is " + std::string(to_string(state)) + " but its attempt is not in step";
    if (state == TaskState::kWaiting && record.reason == Reason::kPaused && !held_back(TaskIndex{task}) &&
        !Partition::halted(run, TaskIndex{task}))
      return where + "is held and nothing is paused";
    if (record.claim != nullptr ? is_terminal(state) : state == TaskState::kWaiting && record.reason == Reason::kCache)
      return where + "asks for a value of its key out of time";
    if (is_terminal(state) && (record.version == 0 || record.state != state))
      return where + "has ended without a record";
    const UpstreamSeen& seen = run.seen[task];
    if (seen.version != record.version || (is_terminal(state) && seen.has_output == record.output.is_null()))
      return where + "is not what its downstream sees of it";
    if (is_terminal(state) != run.frontier.completed(task)) return where + "and the frontier disagree";
    const bool cleans = run.plan->cleanup_of(TaskIndex{task}) != Cleanup::kNone;
    const bool handles = !run.plan->handled_by(TaskIndex{task}).empty();
    if (!cleans && !handles && (state == TaskState::kSucceeded || out || state == TaskState::kReady)) {
      const Flow* flow = run.plan->flow(TaskIndex{task});
      const bool early = flow != nullptr && flow->join > 0;
      for (std::uint32_t up : run.plan->dag().upstream().of(task)) {
        if (run.plan->stands_in_for(TaskIndex{task}) == TaskIndex{up}) continue;  // which has failed, and waits
        const bool ended = run.plan->has_flow() && is_terminal(run.states[up]);
        if (run.states[up] != TaskState::kSucceeded && !early && !ended)
          return where + "started before " + run.plan->id(TaskIndex{up}) + " succeeded";
      }
    }
  }
  if (counted != run.by_state) return name + "the counts by state are wrong";
  for (const auto& [node, mapped] : run.mapped) {
    if (std::string broken = check_items(run, *mapped); !broken.empty())
      return name + "task " + run.plan->id(node) + " " + broken;
  }
  if (!run.mapped.empty()) sum = run.record.records_sum, written = run.record.records_live;  // items' are not kept
  if (sum != run.record.records_sum) return name + "the checksum of its records is wrong";
  if (written != run.record.records_live) return name + "the number of its records is wrong";
  if (run.ended() && !run.attempts.empty()) return name + "has ended with attempts out";
  if (run.ended() && run.done() != run.states.size()) return name + "has ended with open tasks";
  if (run.ended() && !run.waiters.empty()) return name + "has ended and somebody still waits";
  return "";
}

}  // namespace

std::string check_invariants(const Partition& partition) {
  if (!partition.stirred_ && !partition.effects_.empty()) return "effects of a turn in which nothing was stirred";
  std::uint32_t live = 0;
  std::uint64_t tasks = 0;
  std::size_t attempts = 0;
  std::uint64_t bytes = 0;
  std::map<std::string, Load, std::less<>> tenants;
  std::array<std::uint64_t, 10> by_state{};
  std::array<std::uint64_t, 10> ended{};
  for (const auto& [id, run] : partition.runs_) {
    const Run& one = *run;
    const auto held_back = [&](TaskIndex node) { return !partition.opened_.empty() || partition.held_back(one, node); };
    if (std::string broken = check_run(one, held_back); !broken.empty()) return broken;
    attempts += run->attempts.size();
    for (std::size_t i = 0; i < by_state.size(); ++i) by_state[i] += run->by_state[i];
    if (run->ended() == partition.live_.contains(id)) return "the index of live runs is wrong";
    if (run->ended()) {
      for (std::size_t i = 0; i < ended.size(); ++i) ended[i] += run->by_state[i];
      continue;
    }
    ++live;
    tasks += run->states.size();
    bytes += run->bytes;
    Load& load = tenants[run->info->tenant];
    ++load.runs;
    load.tasks += run->states.size();
  }
  if (ended != partition.ended_states_ || live != partition.live_.size()) return "the count of ended tasks is wrong";
  if (live != partition.runs_live_ || tasks != partition.tasks_live_)
    return "the counts of live runs and tasks are wrong";
  if (bytes != partition.bytes_live_ || tenants != partition.tenants_)
    return "the counts of bytes and of tenants' runs are wrong";
  if (by_state != partition.tally_.tasks) return "the tally of tasks is wrong";
  if (partition.tally_.live() != partition.runs_live_) return "accepted and restored runs are not ended and live ones";
  if (attempts != partition.out_.size()) return "the index of attempts by worker is wrong";
  for (const auto& [worker, run, task] : partition.out_) {
    auto it = partition.runs_.find(run);
    if (it == partition.runs_.end() || !it->second->attempts.contains(task))
      return "the index of attempts names one that is not there";
    if (it->second->attempts.at(task).worker.id != worker) return "the index of attempts names another worker";
  }
  return "";
}

}  // namespace millrace
