// Housing: where tasks live: how each is kept apart, who it is, what it may use.
//
// Every executor that starts processes asks here: terms() for what a task has asked for and may have, then
// confinement() for a seat that was taken. Promises: nothing is weakened silently; what cannot be had is refused with
// the reason (an Error named "isolation"). Threads: the Reactor's. Owned by the ExecutorSet; outlives the executors.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/model/task_state.h"
#include "worker/executors/cgroups.h"
#include "worker/executors/sandbox.h"
#include "worker/executors/task_users.h"

namespace millrace {

struct TaskContext;

// What the operator gives to the tasks of a queue.
struct QueueSettings {
  std::vector<int> pin;          // processors they run on; none: all
  std::uint32_t cpu_weight = 0;  // 1 to 10,000, 100 is usual; 0: as it is
  std::string cgroup;            // a group of their own; empty: none
  bool asks_for_groups() const { return cpu_weight > 0 || !cgroup.empty(); }
};
// {pin: 0-3, cpu_weight: 200, cgroup: batch}, as JSON. Fails: kInvalid, names the key.
Result<QueueSettings> parse_queue_settings(const std::string& json);
Result<std::vector<int>> parse_processors(const std::string& text);  // "0-3,6": kInvalid

struct HousingOptions {
  std::vector<std::string> hidden = {};        // directories and files that confined tasks cannot read
  Isolation isolation_min = Isolation::kNone;  // less is refused
  std::string runtime_class = {};              // of the container that the worker runs in, as the operator vouches
  UserRange users = {};                        // who tasks run as; none: as the worker
  TaskLimits limits = {};                      // what tasks have that ask for none, and the most that they may ask for
  bool groups = false;                         // control groups may be made
  std::string cgroup = {};                     // where; empty: where the worker is
  QueueSettings all = {};                      // of queues without settings of their own
  std::map<std::string, QueueSettings> queues = {};
};

// What holds for one task.
struct Terms {
  Isolation tier = Isolation::kProcess;  // none, process or namespaces
  TaskLimits limits = {};
  bool network = false;
  std::vector<int> pin = {};
  std::shared_ptr<TaskGroup> group = {};  // null: none is needed
  bool memory_by_group = false;           // else by address space
  bool processes_by_group = false;        // else by user
};

class Housing {
 public:
  Housing(const HousingOptions& options, std::string work_dir, bool own_directories);

  // `own`: the task has a process of its own; else it lives in one that tasks share. `programs`: it may reserve far
  // more address space than it uses, and only a group can hold its memory.
  Result<Terms> terms(const TaskContext& task, bool programs = false);
  // Whether its task may live in a process that tasks share: nothing holds for it that holds for a process.
  bool may_share(const Terms& terms) const;
  // Whether a task is kept apart by `process`; one that would be refused, or that says nonsense, is not.
  bool is_confined(const TaskContext& task) const;
  // Of a task without a wish of its own, to have its process ready; and whether terms are those.
  Confinement usual(const TaskUser& user);
  bool is_usual(const Terms& terms) const;
  Confinement confinement(const TaskContext& task, const Terms& terms, const TaskUser& user,
                          const std::string& directory);

  Sandbox& sandbox() { return sandbox_; }
  TaskUsers& users() { return users_; }
  const Cgroups& groups() const { return *groups_; }
  Isolation least() const { return sandbox_.least(); }

 private:
  Status settle_limits(const TaskContext& task, Terms& terms) const;
  TaskLimits usual_limits() const;
  Status find_group(const TaskContext& task, Terms& terms, bool programs);

  HousingOptions options_;
  Sandbox sandbox_;
  TaskUsers users_;
  std::unique_ptr<Cgroups> groups_;
};

// Why a task failed, where a limit is the reason; what `said` holds is what it has printed last.
struct LimitReached {
  Reason reason = Reason::kNone;
  std::string message;
};
LimitReached limit_reached(const Terms& terms, int signal_number, std::string_view said);

// What a process that runs already gets of its terms from outside: its group and its processors.
Status place_process(const Terms& terms, pid_t pid);

}  // namespace millrace
