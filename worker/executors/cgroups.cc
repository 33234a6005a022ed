#include "worker/executors/cgroups.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "worker/executors/spawn.h"

namespace millrace {
namespace {

constexpr std::array<const char*, kControllers> kVersion2Names = {"memory", "pids", "cpu"};
constexpr const char* kPrefix = "millrace-";
constexpr const char* kLeaf = "millrace-worker";
constexpr int kRemoveTries = 200;

Status write_to(const std::string& file, const std::string& text) {
  const Fd fd(open(file.c_str(), O_WRONLY | O_CLOEXEC));
  if (fd && write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size())) return Done{};
  return Error{Code::kUnavailable, "cannot write " + text + " to " + file + ": " + std::strerror(errno), {}, ""};
}

std::string text_of_file(const std::string& file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

bool has_word(const std::string& text, const std::string& word) {
  std::istringstream words(text);
  for (std::string one; words >> one;) {
    if (one == word) return true;
  }
  return false;
}

// Of lines "name number".
std::uint64_t number_of(const std::string& file, const std::string& name) {
  std::ifstream in(file);
  std::string word;
  std::uint64_t number = 0;
  while (in >> word >> number) {
    if (word == name) return number;
  }
  return 0;
}

// Which group we are in, by hierarchy: "" is that of version 2.
std::map<std::string, std::string> own_groups(const std::string& root) {
  std::map<std::string, std::string> out;
  std::ifstream in(root + "/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::istringstream names(line.substr(first + 1, second - first - 1));
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    if (second == first + 1) out[""] = path;
    for (std::string name; std::getline(names, name, ',');) out[name] = path;
  }
  return out;
}

struct Mount {
  std::string directory, type, options;
};

std::vector<Mount> cgroup_mounts(const std::string& root) {
  std::vector<Mount> out;
  std::ifstream in(root + "/proc/self/mounts");
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string device;
    Mount mount;
    words >> device >> mount.directory >> mount.type >> mount.options;
    if (mount.type != "cgroup" && mount.type != "cgroup2") continue;
    mount.directory = root + mount.directory;
    out.push_back(std::move(mount));
  }
  return out;
}

bool make_group(const std::string& path) { return mkdir(path.c_str(), 0755) == 0 || errno == EEXIST; }

// "millrace-PID" of workers that have gone, with what is in them.
void remove_abandoned(const std::string& base) {
  std::error_code ignored;
  for (std::filesystem::directory_iterator it(base, ignored), end; !ignored && it != end; it.increment(ignored)) {
    const std::string name = it->path().filename().string();
    pid_t pid = 0;
    const char* digits = name.c_str() + std::min(name.size(), std::strlen(kPrefix));
    const auto [at, problem] = std::from_chars(digits, name.c_str() + name.size(), pid);
    if (!name.starts_with(kPrefix) || problem != std::errc() || *at != '\0' || ::kill(pid, 0) == 0 || errno != ESRCH)
      continue;
    std::vector<std::string> inside;
    std::error_code gone;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(it->path(), gone)) {
      if (entry.is_directory(gone)) inside.push_back(entry.path().string());
    }
    std::ranges::sort(inside, std::ranges::greater{}, &std::string::size);
    inside.push_back(it->path().string());
    for (const std::string& path : inside) {
      std::istringstream pids(text_of_file(path + "/cgroup.procs"));
      for (pid_t member = 0; pids >> member;) ::kill(member, SIGKILL);
      for (int i = 0; i < kRemoveTries && rmdir(path.c_str()) != 0 && errno == EBUSY; ++i) usleep(1000);
    }
  }
}

}  // namespace

// ---------------------------------------------------------------- a task's

TaskGroup::~TaskGroup() {
  for (const auto& [controller, path] : directories_) {
    for (int i = 0; i < kRemoveTries && rmdir(path.c_str()) != 0 && errno == EBUSY; ++i) {
      kill();
      usleep(500);
    }
  }
}

std::vector<std::string> TaskGroup::doors() const {
  std::vector<std::string> out;
  for (const auto& [controller, path] : directories_) out.push_back(path + "/cgroup.procs");
  return out;
}

Status TaskGroup::add(pid_t pid) const {
  for (const std::string& door : doors()) {
    if (Status in = write_to(door, std::to_string(pid)); !in.ok()) return in;
  }
  return Done{};
}

bool TaskGroup::ran_out_of_memory() const {
  return std::ranges::any_of(directories_, [&](const auto& one) {
    return number_of(one.second + (version2_ ? "/memory.events" : "/memory.oom_control"), "oom_kill") > 0;
  });
}

bool TaskGroup::ran_out_of_processes() const {
  return std::ranges::any_of(directories_,
                             [](const auto& one) { return number_of(one.second + "/pids.events", "max") > 0; });
}

void TaskGroup::kill() const {
  for (const auto& [controller, path] : directories_) {
    if (version2_ && write_to(path + "/cgroup.kill", "1").ok()) continue;
    std::istringstream pids(text_of_file(path + "/cgroup.procs"));
    for (pid_t pid = 0; pids >> pid;) ::kill(pid, SIGKILL);
  }
}

// ---------------------------------------------------------------- where they are made

Cgroups::Cgroups(std::string place, std::string root) : root_(std::move(root)) {
  if (!place.empty() && place.front() != '/') place.insert(place.begin(), '/');
  find_version2(place);
  if (!can(Controller::kMemory)) {
    if (made_.empty()) version2_ = false;
    if (!version2_) find_version1(place);
  }
  if (can_any()) missing_.clear();
  else if (missing_.empty()) missing_ = "no control groups are mounted here";
}

Cgroups::~Cgroups() {
  for (auto path = made_.rbegin(); path != made_.rend(); ++path) rmdir(path->c_str());
}

void Cgroups::find_version2(const std::string& place) {
  const std::vector<Mount> mounts = cgroup_mounts(root_);
  const auto mount = std::ranges::find(mounts, "cgroup2", &Mount::type);
  if (mount == mounts.end()) return;
  std::map<std::string, std::string> own = own_groups(root_);
  const std::string base = mount->directory + (place.empty() ? own[""] : place);
  const std::string offered = text_of_file(base + "/cgroup.controllers");
  std::vector<Controller> wanted;
  for (std::size_t i = 0; i < kControllers; ++i) {
    if (has_word(offered, kVersion2Names[i])) wanted.push_back(static_cast<Controller>(i));
  }
  if (wanted.empty()) {
    missing_ = "control groups of version 2 have no controllers at " + base;
    return;
  }
  // A group with processes in it cannot hand on its controllers, unless it is the root.
  const bool is_root = base == mount->directory;
  if (!is_root && place.empty()) {
    if (text_of_file(base + "/cgroup.procs") != std::to_string(getpid()) + "\n") {
      missing_ = "the control group " + base + " is not this worker's alone";
      return;
    }
    const std::string leaf = base + "/" + kLeaf;
    if (!make_group(leaf) || !write_to(leaf + "/cgroup.procs", "0").ok()) {
      missing_ = "the control group " + base + " cannot be written to";
      return;
    }
  }
  const std::string ours = base + "/" + kPrefix + std::to_string(getpid());
  remove_abandoned(base);
  if (!make_group(ours)) {
    missing_ = "the control group " + base + " cannot be written to: " + std::strerror(errno);
    return;
  }
  made_.push_back(ours);
  version2_ = true;
  for (const Controller controller : wanted) {
    const std::string word = std::string("+") + kVersion2Names[static_cast<std::size_t>(controller)];
    const Status handed = write_to(base + "/cgroup.subtree_control", word);
    if (handed.ok() && write_to(ours + "/cgroup.subtree_control", word).ok())
      bases_[static_cast<std::size_t>(controller)] = ours;
    else if (!handed.ok()) missing_ = handed.error().what;
  }
}

void Cgroups::find_version1(const std::string& place) {
  std::map<std::string, std::string> own = own_groups(root_);
  for (const Mount& mount : cgroup_mounts(root_)) {
    if (mount.type != "cgroup") continue;
    for (std::size_t i = 0; i < kControllers; ++i) {
      if (("," + mount.options + ",").find(std::string(",") + kVersion2Names[i] + ",") == std::string::npos) continue;
      const std::string base = mount.directory + (place.empty() ? own[kVersion2Names[i]] : place);
      const std::string ours = base + "/" + kPrefix + std::to_string(getpid());
      remove_abandoned(base);
      if (!make_group(ours)) {
        missing_ = "the control group " + base + " cannot be written to: " + std::strerror(errno);
        continue;
      }
      made_.push_back(ours);
      bases_[i] = ours;
    }
  }
}

Result<std::string> Cgroups::directory(Controller controller, const std::string& below) {
  std::string path = bases_[static_cast<std::size_t>(controller)];
  if (below.empty()) return path;
  path += "/" + below;
  if (std::ranges::find(made_, path) != made_.end()) return path;
  if (!make_group(path))
    return Error{Code::kUnavailable, "cannot make the control group " + path + ": " + std::strerror(errno), {}, ""};
  if (version2_) {
    for (const char* name : kVersion2Names)
      static_cast<void>(write_to(path + "/cgroup.subtree_control", std::string("+") + name));
  }
  made_.push_back(path);
  return path;
}

Result<std::unique_ptr<TaskGroup>> Cgroups::make(const TaskLimits& limits, std::uint32_t weight,
                                                 const std::string& below) {
  auto group = std::make_unique<TaskGroup>(version2_);
  const std::string name = std::to_string(++number_);
  const auto open_group = [&](Controller controller) -> Result<std::string> {
    if (!can(controller)) return Error{Code::kUnavailable, missing_, {}, ""};
    Result<std::string> base = directory(controller, below);
    if (!base.ok()) return base;
    std::string path = *base + "/" + name;
    const auto same = [&](const auto& one) { return one.second == path; };
    if (std::ranges::any_of(group->directories_, same)) return path;
    if (!make_group(path))
      return Error{Code::kUnavailable, "cannot make the control group " + path + ": " + std::strerror(errno), {}, ""};
    group->directories_.emplace_back(controller, path);
    return path;
  };
  const auto set = [&](Controller controller, const char* of_two, const char* of_one, std::uint64_t value) -> Status {
    const Result<std::string> path = open_group(controller);
    if (!path.ok()) return path.error();
    return write_to(*path + (version2_ ? of_two : of_one), std::to_string(value));
  };
  Status done = Done{};
  if (limits.memory > 0 && can(Controller::kMemory)) {
    done = set(Controller::kMemory, "/memory.max", "/memory.limit_in_bytes", limits.memory);
    if (done.ok()) {  // what is swapped out counts, where that is counted at all
      static_cast<void>(
          set(Controller::kMemory, "/memory.swap.max", "/memory.memsw.limit_in_bytes", version2_ ? 0 : limits.memory));
      if (version2_) static_cast<void>(set(Controller::kMemory, "/memory.oom.group", "", 1));
    }
  }
  if (done.ok() && limits.processes > 0 && can(Controller::kProcesses))
    done = set(Controller::kProcesses, "/pids.max", "/pids.max", limits.processes);
  if (done.ok() && weight > 0)
    done = set(Controller::kCpu, "/cpu.weight", "/cpu.shares",
               version2_ ? weight : std::max<std::uint64_t>(2, std::uint64_t{weight} * 1024 / kCpuWeightUsual));
  if (done.ok() && group->directories_.empty() && !below.empty()) {
    for (std::size_t i = 0; i < kControllers && done.ok(); ++i) {
      if (!can(static_cast<Controller>(i))) continue;
      if (const Result<std::string> path = open_group(static_cast<Controller>(i)); !path.ok()) done = path.error();
    }
  }
  if (!done.ok()) return done.error();
  return group;
}

}  // namespace millrace
