// Cgroups: groups of processes that the kernel counts together: memory, processes, share of the processor.
//
// Version 2 where its controllers are, else version 1 (its hierarchies one by one). Groups are made below a place that
// the operator names, or below our own group where that is ours alone; we then move to a leaf of it, as version 2
// demands. Promises: what can() says is enforced; everything made is removed, at the latest by the next worker's start.
// Threads: the Reactor's. Fails: can() is false, and missing() says why; make() with a sentence.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/model/task_limits.h"

namespace millrace {

enum class Controller : std::uint8_t { kMemory, kProcesses, kCpu };
constexpr std::size_t kControllers = 3;

constexpr std::uint32_t kCpuWeightUsual = 100;
constexpr std::uint32_t kCpuWeightMax = 10'000;

// Of one task. Removed with it, when its processes have gone.
class TaskGroup {
 public:
  explicit TaskGroup(bool version2) : version2_(version2) {}
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  std::vector<std::string> doors() const;  // files that take the process ids of its members
  Status add(pid_t pid) const;
  bool ran_out_of_memory() const;     // something in it was killed for that
  bool ran_out_of_processes() const;  // it wanted more than it may have
  void kill() const;

 private:
  friend class Cgroups;
  bool version2_;
  std::vector<std::pair<Controller, std::string>> directories_;  // version 2: one, named by the first controller
};

class Cgroups {
 public:
  // `place`: where, below the mounted hierarchies; empty: where we are. `root`: of the file system, for tests.
  explicit Cgroups(std::string place = {}, std::string root = {});
  ~Cgroups();
  Cgroups(const Cgroups&) = delete;
  Cgroups& operator=(const Cgroups&) = delete;

  bool can(Controller controller) const { return !bases_[static_cast<std::size_t>(controller)].empty(); }
  bool can_any() const { return can(Controller::kMemory) || can(Controller::kProcesses) || can(Controller::kCpu); }
  const std::string& missing() const { return missing_; }
  // Of the limits, memory and processes; `weight` 0: the usual; `below`: a further group in between; empty: none.
  Result<std::unique_ptr<TaskGroup>> make(const TaskLimits& limits, std::uint32_t weight, const std::string& below);

 private:
  void find_version2(const std::string& place);
  void find_version1(const std::string& place);
  Result<std::string> directory(Controller controller, const std::string& below);

  std::string root_, missing_;
  bool version2_ = false;
  std::string bases_[kControllers];  // by controller; empty: it is not ours
  std::vector<std::string> made_;    // directories that are ours, deepest last
  std::uint64_t number_ = 0;
};

}  // namespace millrace
