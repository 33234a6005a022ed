// What operators see of runs and workers: read-only answers, rendered by the CLI as tables and JSON.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/ids.h"
#include "common/base/time.h"
#include "common/model/pause.h"
#include "common/model/records.h"
#include "common/model/requirements.h"
#include "common/model/task_state.h"

namespace millrace {

// What a fan-out comes to. The failed ones that are shown are the first kItemsShownMax.
constexpr std::size_t kItemsShownMax = 20;
struct FailedItem {
  std::uint32_t index = 0;
  Reason reason = Reason::kNone;
  std::uint32_t attempts = 0;
  std::shared_ptr<const ErrorInfo> error;
  bool operator==(const FailedItem&) const;
};
struct ItemsView {
  std::uint32_t total = 0;
  std::uint32_t done = 0;    // ended, well or not
  std::uint32_t failed = 0;  // of these
  std::uint32_t running = 0;
  std::uint32_t retrying = 0;
  std::vector<FailedItem> shown;
  bool operator==(const ItemsView&) const = default;
};

struct NodeView {
  std::string id;
  TaskState state = TaskState::kPending;
  Reason reason = Reason::kNone;
  WaitReason wait_reason = WaitReason::kNone;
  std::uint32_t attempts = 0;  // all tries started
  Duration queued{};           // ready to start, summed
  Duration ran{};              // of the last attempt
  std::string worker;
  std::shared_ptr<const ErrorInfo> error;
  Payload output;                       // may be a reference: fetched by the client with GetValue
  std::string wait_text = {};           // what it requires and what the nearest workers lack, where none could run it
  std::string child = {};               // the run that it has started
  std::optional<ItemsView> items = {};  // of a mapped node that has begun
  Artifacts artifacts = {};
  bool operator==(const NodeView&) const;
};

// A variable of a run, as the latest `set` node that named it left it.
struct VariableView {
  std::string name;
  Payload value;              // inline
  std::uint32_t version = 0;  // how many times it was set
  std::string node;           // who did it last
  bool operator==(const VariableView&) const = default;
};

struct RunView {
  RunInfo info;
  RunRecord record;
  std::vector<NodeView>
      nodes;  // in the order of the workflow; left out (empty) when larger than `nodes_max` of the request
  std::uint32_t nodes_total = 0;
  std::map<TaskState, std::uint32_t> by_state;  // counts over all nodes
  Time now{};                                   // of the coordinator, for elapsed times of live runs
  std::vector<VariableView> variables = {};     // by name
  std::vector<Pause> pauses = {};               // that keep it, or some of its tasks, from going on
};

struct RunSummary {  // a row of `list`
  RunId run;
  std::string tenant;
  std::string workflow;
  Labels labels;
  RunState state = RunState::kAccepted;
  Time accepted{};
  Time ended{};  // zero: live
  std::uint32_t tasks_total = 0;
  std::uint32_t tasks_done = 0;
  std::string trace_id;
  bool operator==(const RunSummary&) const = default;
};

struct WorkerView {  // a row of `workers`
  std::string name;
  std::string host;
  std::uint32_t pid = 0;
  std::string version;
  std::string state;  // "ready", "draining", "silent"
  std::uint32_t slots = 0;
  std::uint32_t used = 0;  // attempts out
  Labels labels;
  std::vector<std::string> executors;
  Time joined{};
  Time heard{};
  std::uint32_t running = 0;  // attempts that have started and not ended, as it last said
  std::uint32_t queued = 0;   // attempts that it has and that have not started
  std::vector<std::string> queues = {};
  Resources resources = {};  // all it has
  Resources taken = {};      // of these, in step, by attempts that are out
  bool operator==(const WorkerView&) const = default;
};

struct CoordinatorView {  // a row of `coordinators`
  std::string name;
  std::string endpoint;
  std::string events;
  std::string state;  // "ready", "draining", "silent"
  std::uint32_t partitions = 0;
  std::uint32_t epoch = 0;  // the highest of its partitions
  Time since{};             // when its process began
  std::string version;
  std::string durability = {};  // as it was asked for; empty: nothing lasts, or its version does not say
  std::string weaker = {};      // why its store gives less; empty: it does not
  bool operator==(const CoordinatorView&) const = default;
};

struct PartitionView {  // a row of `partitions`
  std::uint32_t partition = 0;
  std::string owner;  // empty: nobody
  std::uint32_t epoch = 0;
  Time since{};                            // when it was taken
  std::optional<std::uint32_t> runs_live;  // nothing: its owner did not say
  std::string state;                       // "serving", "loading", "moving", "free", "silent"
  bool operator==(const PartitionView&) const = default;
};

}  // namespace millrace
