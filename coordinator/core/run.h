// Run: one execution of a workflow as its partition holds it in memory: the durable truth and what lives only here.
//
// Promises: task states move only through Partition::move(). `tasks[i]` is what is, or in this turn becomes, durable;
// an attempt that is out stands in `attempts` and touches the record when it ends. Owned by one Partition.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/graph/frontier.h"
#include "common/model/records.h"
#include "common/model/worker_messages.h"
#include "coordinator/core/fanout.h"
#include "coordinator/core/input.h"
#include "coordinator/core/plan.h"

namespace millrace {

// An attempt that is out: dispatched, perhaps running.
struct Attempt {
  AttemptId id;
  WorkerRef worker;
  Time ready{};
  Time dispatched{};
  bool confirmed = false;   // the worker has spoken of it
  bool cancelling = false;  // told to stop
  bool started = false;     // of items: the worker said so
  Time reclaimed{};         // when it was asked back; zero: never
};

// Of a task's record, kept apart: what lies upstream of a task lies anywhere, and a record fills two cache lines.
struct UpstreamSeen {
  std::uint32_t version = 0;
  bool has_output = false;  // other than null
};

// How soon it comes: looks that are taken in this order.
enum class Glance : std::uint8_t { kFar, kNear, kNext, kNow };

struct Run {
  std::shared_ptr<const RunInfo> info;
  std::shared_ptr<const Plan> plan;
  std::shared_ptr<const RunContext> context;                // what its assignments share, under this epoch
  std::shared_ptr<const std::vector<std::uint32_t>> ranks;  // remaining path by observed durations; null: the plan's
  RunRecord record;
  Frontier frontier;
  std::vector<TaskState> states;                             // by task; dispatched and running included
  std::vector<TaskRecord> tasks;                             // by task
  std::vector<std::uint64_t> sums;                           // by task: checksum of its durable record
  std::vector<UpstreamSeen> seen;                            // by task: what assignments downstream need of its record
  std::array<std::uint32_t, 10> by_state{};                  // counts over `states`
  std::map<TaskIndex, Attempt> attempts;                     // that are out
  std::map<TaskIndex, std::unique_ptr<Mapped>> mapped;       // nodes whose items run, or have run
  std::uint32_t items = 0;                                   // of these, all told
  std::map<TaskIndex, Time> limits;                          // until when nodes with one that have begun must end
  std::map<TaskIndex, std::uint32_t> numbers;                // attempt numbers used without a record (reclaimed)
  std::map<TaskIndex, std::vector<Hash128>> value_waits;     // value nodes that wait for values held by reference
  std::vector<Hash128> output_waits;                         // the same for the run's outputs
  std::vector<std::pair<RequestId, std::uint32_t>> waiters;  // who is told when it ends, and nodes_max of each
  std::uint32_t fallbacks = 0;                               // tasks whose fallback was used
  std::uint64_t artifact_bytes = 0;                          // of what its tasks have handed over
  std::uint64_t bytes = 0;     // of its inputs and of the outputs recorded so far, wherever they are
  std::uint32_t sweep_at = 0;  // next task to look at while failing or cancelling
  bool sweeping = false;
  Cleanup phase = Cleanup::kNone;    // that it is in, when everything else has ended
  std::uint32_t phase_open = 0;      // tasks of it that have not ended
  std::vector<std::uint32_t> undo;   // compensations that wait for their turn; the next is the last
  Time ordered_ended = Time::min();  // the latest end of a success that has a place in an order
  std::uint32_t cleanup_done = 0;    // clean-up tasks that have ended, in any phase
  std::uint32_t cleanup_failed = 0;  // of these
  bool restored = false;             // accepted by an earlier epoch: its tasks may be running somewhere
  std::uint64_t write_turn = 0;      // the turn for which `write_index` is valid
  std::size_t write_index = 0;

  Run(std::shared_ptr<const RunInfo> i, std::shared_ptr<const Plan> p);
  std::uint32_t done() const {
    return by_state[static_cast<std::size_t>(TaskState::kSucceeded)] +
           by_state[static_cast<std::size_t>(TaskState::kFailed)] +
           by_state[static_cast<std::size_t>(TaskState::kSkipped)] +
           by_state[static_cast<std::size_t>(TaskState::kCancelled)];
  }
  std::uint32_t count(TaskState state) const { return by_state[static_cast<std::size_t>(state)]; }
  // After each change of a task's record.
  void note_record(TaskIndex task) {
    const TaskRecord& record = tasks[task.value];
    seen[task.value] = {record.version, !record.output.is_null() && is_terminal(record.state)};
  }
  // A step about the task comes soon: what it will touch of a run that is larger than the caches is fetched meanwhile,
  // one remove further at each closer look. Nothing changes by it.
  void look_ahead_to_end(TaskIndex task, Glance glance) const;
  void look_ahead_to_grant(TaskIndex task, Glance glance) const;
  bool work_done() const { return done() - cleanup_done == states.size() - plan->cleanup_count(); }
  RunId id() const { return info->run; }
  bool ended() const { return is_terminal(record.state); }
  bool paused() const { return record.state == RunState::kPaused; }
  bool stopping() const { return record.state == RunState::kFailing || record.state == RunState::kCancelling; }
};

// How a partition indexes idempotency keys: tenant and key.
std::string key_name(const RunInfo& info);

}  // namespace millrace
