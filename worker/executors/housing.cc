#include "worker/executors/housing.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <tuple>

#include "common/base/units.h"
#include "common/model/workflow.h"
#include "worker/executors/executor.h"
#include "worker/executors/task_support.h"

namespace millrace {
namespace {

// What holds of itself where the kernel counts a task's processes alone: enough for every honest program.
constexpr std::uint64_t kProcessesUsual = 1024;
constexpr int kProcessorsMax = 1024;

Error refused(std::string why) { return {Code::kRefused, std::move(why), {}, "isolation"}; }

// The operator's limit holds for a task without one, and is the most that it may ask for.
Status settle(const char* name, std::uint64_t& asked, std::uint64_t most) {
  if (most == 0) return Done{};
  if (asked > most)
    return refused("`limits." + std::string(name) + "` is " + std::to_string(asked) + "; this worker gives at most " +
                   std::to_string(most));
  if (asked == 0) asked = most;
  return Done{};
}

bool says_any(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::any_of(words, [&](std::string_view word) { return text.find(word) != std::string_view::npos; });
}

bool same(const TaskLimits& a, const TaskLimits& b) {
  const auto all = [](const TaskLimits& one) {
    return std::tuple(one.memory, one.cpu, one.processes, one.files, one.file_size);
  };
  return all(a) == all(b);
}

std::string memory_text(std::uint64_t bytes) { return format_amount({"memory", bytes}); }

}  // namespace

Result<std::vector<int>> parse_processors(const std::string& text) {
  std::vector<int> out;
  const auto wrong = [&] { return Error{Code::kInvalid, "\"" + text + "\": expected processors like 0-3,6", {}, {}}; };
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const char *begin = text.data() + at, *end = text.data() + comma;
    int first = 0;
    auto [next, problem] = std::from_chars(begin, end, first);
    int last = first;
    if (problem == std::errc() && next != end && *next == '-') {
      const auto second = std::from_chars(next + 1, end, last);
      next = second.ptr;
      problem = second.ec;
    }
    if (problem != std::errc() || next != end || first < 0 || last < first || last >= kProcessorsMax) return wrong();
    for (int one = first; one <= last; ++one) out.push_back(one);
    at = comma + 1;
  }
  return out;
}

Result<QueueSettings> parse_queue_settings(const std::string& json) {
  const Result<Value> parsed = Value::parse(json);
  const auto wrong = [](const std::string& what) { return Error{Code::kInvalid, what, {}, {}}; };
  if (!parsed.ok() || !parsed->is_object()) return wrong("expected a mapping of pin, cpu_weight, cgroup");
  QueueSettings out;
  for (const auto& [key, value] : parsed->as_object()) {
    if (key == "pin") {
      std::string text = value.is_string() ? value.as_string() : value.dump();
      std::erase_if(text, [](char c) { return c == '[' || c == ']' || c == ' '; });
      Result<std::vector<int>> processors = parse_processors(text);
      if (!processors.ok()) return wrong("pin " + processors.error().what);
      out.pin = std::move(*processors);
    } else if (key == "cpu_weight") {
      if (!value.is_int() || value.as_int() < 1 || value.as_int() > kCpuWeightMax)
        return wrong("cpu_weight: expected 1 to 10000");
      out.cpu_weight = static_cast<std::uint32_t>(value.as_int());
    } else if (key == "cgroup") {
      if (!value.is_string() || !is_node_id(value.as_string())) return wrong("cgroup: expected a name like a node id");
      out.cgroup = value.as_string();
    } else {
      return wrong("unknown key '" + key + "'; expected pin, cpu_weight or cgroup");
    }
  }
  return out;
}

Housing::Housing(const HousingOptions& options, std::string work_dir, bool own_directories)
    : options_(options),
      sandbox_(options.hidden, options.isolation_min, options.runtime_class),
      users_(options.users, std::move(work_dir), own_directories),
      groups_(options.groups ? std::make_unique<Cgroups>(options.cgroup) : std::make_unique<Cgroups>("", "/dev/null")) {
}

Status Housing::settle_limits(const TaskContext& task, Terms& terms) const {
  if (const Value* limits = task.fields.find("limits"); limits != nullptr && !limits->is_null()) {
    Result<TaskLimits> read = TaskLimits::read(*limits);
    if (!read.ok()) return read.error();
    terms.limits = *read;
  }
  TaskLimits& limits = terms.limits;
  const TaskLimits& most = options_.limits;
  if (most.cpu > Duration::zero()) {
    if (limits.cpu > most.cpu)
      return refused("`limits.cpu` is " + format_duration(limits.cpu) + "; this worker gives at most " +
                     format_duration(most.cpu));
    if (limits.cpu == Duration::zero()) limits.cpu = most.cpu;
  }
  for (const auto& [name, asked, allowed] :
       {std::tuple("memory", &limits.memory, most.memory), std::tuple("processes", &limits.processes, most.processes),
        std::tuple("files", &limits.files, most.files), std::tuple("file_size", &limits.file_size, most.file_size),
        std::tuple("output", &limits.output, most.output)}) {
    if (Status settled = settle(name, *asked, allowed); !settled.ok()) return settled;
  }
  return Done{};
}

// Only where a limit or the queue asks for it: to make one costs as much as a small task.
Status Housing::find_group(const TaskContext& task, Terms& terms, bool programs) {
  const auto queue = options_.queues.find(std::string(queue_or_default(task.queue)));
  const QueueSettings& settings = queue == options_.queues.end() ? options_.all : queue->second;
  terms.pin = settings.pin.empty() ? options_.all.pin : settings.pin;
  terms.memory_by_group = terms.limits.memory > 0 && groups_->can(Controller::kMemory);
  terms.processes_by_group = terms.limits.processes > 0 && groups_->can(Controller::kProcesses);
  const bool root = geteuid() == 0 && !users_.change();
  if (terms.limits.processes > 0 && !terms.processes_by_group && root)
    return refused(
        "`limits.processes` cannot be had here: the kernel does not hold root to it; the worker must run as another "
        "user, or its tasks (--task-user)");
  if (programs && terms.limits.memory > 0 && !terms.memory_by_group)
    return refused("`limits.memory` cannot be had here for node, which reserves more address space than it uses: " +
                   groups_->missing());
  if (terms.memory_by_group || terms.processes_by_group || settings.asks_for_groups()) {
    Result<std::unique_ptr<TaskGroup>> made = groups_->make(terms.limits, settings.cpu_weight, settings.cgroup);
    if (!made.ok()) return refused(made.error().what);
    terms.group = std::move(*made);
  }
  const bool counted_alone = users_.each_alone() || (terms.tier == Isolation::kNamespaces && !root);
  if (terms.limits.processes == 0 && terms.tier != Isolation::kNone && counted_alone)
    terms.limits.processes = kProcessesUsual;
  return Done{};
}

Result<Terms> Housing::terms(const TaskContext& task, bool programs) {
  Terms terms;
  if (Status settled = settle_limits(task, terms); !settled.ok()) return settled.error();
  const Result<Isolation> tier = sandbox_.tier(string_field(task, "isolation"), users_.shared());
  if (!tier.ok()) return tier.error();
  terms.tier = *tier;
  const Value* network = task.fields.find("network");
  terms.network = network != nullptr && network->is_bool() && network->as_bool();
  if (network != nullptr && network->is_bool() && !terms.network && terms.tier != Isolation::kNamespaces)
    return refused("`network: false` needs `isolation: namespaces`, which alone can keep the network away");
  if (Status found = find_group(task, terms, programs); !found.ok()) return found.error();
  return terms;
}

bool Housing::is_confined(const TaskContext& task) const {
  if (!check_string(task, "isolation").empty()) return false;
  const Result<Isolation> tier = sandbox_.tier(string_field(task, "isolation"), users_.shared());
  return tier.ok() && *tier == Isolation::kProcess;
}

TaskLimits Housing::usual_limits() const {
  TaskLimits limits = options_.limits;
  limits.memory = 0;  // a group's, or what a process that is ready cannot be told any more
  if (limits.processes == 0 && users_.each_alone()) limits.processes = kProcessesUsual;
  return limits;
}

bool Housing::may_share(const Terms& terms) const {
  return terms.tier == Isolation::kNone && terms.group == nullptr && same(terms.limits, {}) &&
         terms.pin == options_.all.pin;
}

Confinement Housing::usual(const TaskUser& user) {
  Confinement out = sandbox_.confinement({users_.work_dir()}, usual_limits());
  out.user = user;
  out.pin = options_.all.pin;
  return out;
}

bool Housing::is_usual(const Terms& terms) const {
  return terms.tier == Isolation::kProcess && terms.group == nullptr && same(terms.limits, usual_limits()) &&
         terms.pin == options_.all.pin;
}

Confinement Housing::confinement(const TaskContext& task, const Terms& terms, const TaskUser& user,
                                 const std::string& directory) {
  Confinement out;
  std::string cwd = string_field(task, "cwd");
  if (terms.tier == Isolation::kNone) {
    out.limits = terms.limits;
  } else if (terms.tier == Isolation::kNamespaces) {
    JailPlaces places;
    places.scratch = users_.work_dir();
    places.writable = {directory};
    if (!cwd.empty()) places.writable.push_back(std::move(cwd));
    if (std::string venv = string_field(task, "venv"); !venv.empty()) places.readable.push_back(std::move(venv));
    out = sandbox_.jailed(std::move(places), terms.network, user, terms.limits);
  } else {
    std::vector<std::string> writable = {users_.work_dir()};
    if (!cwd.empty()) writable.push_back(std::move(cwd));
    out = sandbox_.confinement(writable, terms.limits);
  }
  out.user = user;
  out.pin = terms.pin;
  if (terms.group != nullptr) out.cgroups = terms.group->doors();
  if (terms.memory_by_group) out.limits.memory = 0;
  if (terms.processes_by_group) out.limits.processes = 0;
  return out;
}

LimitReached limit_reached(const Terms& terms, int signal_number, std::string_view said) {
  const TaskLimits& limits = terms.limits;
  const auto memory = [&] {
    return LimitReached{Reason::kOutOfMemory, "oom: it used more than " + memory_text(limits.memory) + " of memory"};
  };
  const auto processes = [&] {
    return LimitReached{Reason::kProcesses,
                        "processes: it wanted more than " + std::to_string(limits.processes) + " processes at once"};
  };
  if (limits.memory > 0 && terms.group != nullptr && terms.group->ran_out_of_memory()) return memory();
  if (limits.processes > 0 && terms.group != nullptr && terms.group->ran_out_of_processes()) return processes();
  if (limits.cpu > Duration::zero() && (signal_number == SIGXCPU || signal_number == SIGKILL))
    return {Reason::kCpu, "cpu: it used more than " + format_duration(limits.cpu) + " of cpu time"};
  if (signal_number == SIGXFSZ && limits.file_size > 0)
    return {Reason::kCrashed,
            "file_size: it wrote more than " + std::to_string(limits.file_size) + " bytes to one file"};
  if (limits.memory > 0 && !terms.memory_by_group &&
      says_any(said, {"memory exhausted", "Cannot allocate memory", "out of memory", "Out of memory", "MemoryError",
                      "bad_alloc", "OutOfMemory"}))
    return memory();
  if (limits.processes > 0 && !terms.processes_by_group &&
      says_any(said, {"Cannot fork", "Resource temporarily unavailable", "can't start new thread", "EAGAIN"}))
    return processes();
  return {};
}

Status place_process(const Terms& terms, pid_t pid) {
  if (terms.group != nullptr) {
    if (Status in = terms.group->add(pid); !in.ok()) return in;
  }
  if (!terms.pin.empty() && !pin_to(terms.pin, pid))
    return Error{Code::kUnavailable, std::string("cannot pin to the processors: ") + std::strerror(errno), {}, ""};
  return Done{};
}

}  // namespace millrace
