#include "worker/shell/settings.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <utility>

#include "common/io/log.h"
#include "common/vault/secret_file.h"
#include "worker/executors/plugin.h"
#include "worker/executors/sandbox.h"
#include "worker/executors/spawn.h"
#include "worker/executors/task_users.h"

namespace millrace {
namespace {

Error wrong_option(const std::string& option, const Error& error) {
  return Error{Code::kInvalid, "--" + option + " " + error.what, {}, {}};
}

Result<HousingOptions> housing_options(const WorkerOptions& options) {
  HousingOptions out;
  if (options.hides_secrets) {
    out.hidden = options.secrets_dirs;
    if (const SecretPaths paths = SecretPaths::of(options.secrets_file, options.secrets_key_file); !paths.file.empty())
      out.hidden.insert(out.hidden.end(), {paths.file, paths.key_file});
  }
  const Result<Isolation> least = parse_isolation(options.isolation);
  if (!least.ok() || *least == Isolation::kContainer)
    return Error{Code::kInvalid, "--isolation " + options.isolation + ": expected none, process or namespaces", {}, {}};
  out.isolation_min = *least;
  out.runtime_class = options.runtime_class;
  Result<UserRange> users = parse_task_user(options.task_user);
  if (!users.ok()) return users.error();
  out.users = *users;
  Value limits = Value::Object{};
  for (const auto& [name, text] : options.limits) {
    const bool number = name == "processes" || name == "files";
    Result<Value> value = number ? Value::parse(text) : Result<Value>(Value(text));
    limits.set(name, value.ok() ? *value : Value(text));
  }
  Result<TaskLimits> read = TaskLimits::read(limits);
  if (!read.ok()) return wrong_option("limit", read.error());
  out.limits = *read;
  out.groups = options.cgroup != "none";
  if (options.cgroup != "auto" && out.groups) out.cgroup = options.cgroup;
  if (!options.pin.empty()) {
    Result<std::vector<int>> processors = parse_processors(options.pin);
    if (!processors.ok()) return wrong_option("pin", processors.error());
    out.all.pin = std::move(*processors);
  }
  for (const auto& [queue, json] : options.queue_settings) {
    Result<QueueSettings> settings = parse_queue_settings(json);
    if (!settings.ok())
      return wrong_option("queues", Error{Code::kInvalid, queue + ": " + settings.error().what, {}, {}});
    out.queues.emplace(queue, std::move(*settings));
  }
  return out;
}

Result<Secrets> secrets_of(const WorkerOptions& options) {
  if (options.secrets_file.empty() && !options.secrets_key_file.empty())
    return Error{Code::kInvalid, "--secrets-key-file needs --secrets-file", {}, {}};
  if (options.secrets_file.empty()) return Secrets(options.secrets_dirs);
  Result<SecretFile> opened = SecretFile::open(SecretPaths::of(options.secrets_file, options.secrets_key_file));
  if (!opened.ok()) return opened.error();
  const auto file = std::make_shared<SecretFile>(std::move(*opened));
  return Secrets(options.secrets_dirs,
                 SecretSource{options.secrets_file, [file](std::string_view name) { return file->find(name); }});
}

Status check_groups(const HousingOptions& asked, const Housing& housing) {
  const Cgroups& groups = housing.groups();
  bool weight = false, group = !asked.cgroup.empty();
  for (const auto& [queue, settings] : asked.queues) {
    weight = weight || settings.cpu_weight > 0;
    group = group || settings.asks_for_groups();
  }
  if ((group && !groups.can_any()) || (weight && !groups.can(Controller::kCpu)))
    return Error{Code::kRefused, "control groups cannot be had here: " + groups.missing(), {}, "cgroup"};
  return Done{};
}

// Processors that are there, and that this worker may use.
Status check_processors(const HousingOptions& asked) {
  cpu_set_t ours;
  CPU_ZERO(&ours);
  if (sched_getaffinity(0, sizeof ours, &ours) != 0) return Done{};
  const auto check = [&](const std::string& where, const QueueSettings& settings) -> Status {
    for (const int one : settings.pin) {
      if (one < CPU_SETSIZE && CPU_ISSET(static_cast<std::size_t>(one), &ours)) continue;
      return Error{Code::kRefused,
                   where + ": processor " + std::to_string(one) + " is not there, or not for this worker",
                   {},
                   "pin"};
    }
    return Done{};
  };
  Status good = check("--pin", asked.all);
  for (const auto& [queue, settings] : asked.queues) {
    if (good.ok()) good = check("--queues " + queue, settings);
  }
  return good;
}

}  // namespace

namespace {

// Who tasks run as is a label, too. What is root's alone they cannot run then: that another interpreter is taken must
// not stay unseen.
void tell_users(WorkerOptions& options, const HousingOptions& housing) {
  const bool root = geteuid() == 0;
  const std::uint32_t count = housing.users.count;
  options.labels["task_user"] = count > 1 ? "own" : count == 1 ? "shared" : root ? "root" : "worker";
  if (!root) return;
  if (count == 0) {
    const bool wanted = options.task_user != "none";
    log_warn(wanted ? "tasks run as root: this worker may not give them users of their own"
                    : "tasks run as root: see --task-user",
             {{"worker", options.name}});
    return;
  }
  const char* path = std::getenv("PATH");
  const TaskUser user{housing.users.first, housing.users.gid != 0 ? housing.users.gid : housing.users.first, true};
  const std::string python = find_program(options.python, path == nullptr ? "" : path);
  const std::string taken = find_program_for(user, options.python, path == nullptr ? "" : path);
  if (!python.empty() && python != taken)
    log_warn("tasks have users of their own, which cannot run this python: see --task-user and --python",
             {{"worker", options.name}, {"python", python}, {"instead", taken.empty() ? "none" : taken}});
}

}  // namespace

// What tasks can be kept apart by here is a label of the worker, where operators and `millrace workers` see it, and
// placement, too.
Status tell_isolation(WorkerOptions& options, const HousingOptions& housing) {
  const std::string missing = Sandbox().missing();
  TaskUser user;
  if (housing.users.count > 0) user = {housing.users.first, housing.users.first, true, false};
  const std::string& no_namespaces = Sandbox::namespaces_missing(user);
  const bool namespaces = no_namespaces.empty() && Sandbox().filter() != nullptr;
  options.labels[std::string(kIsolationLabel)] = namespaces ? "namespaces" : missing.empty() ? "process" : "none";
  if (!options.runtime_class.empty()) options.labels[std::string(kRuntimeClassLabel)] = options.runtime_class;
  if (housing.isolation_min == Isolation::kNamespaces && !namespaces)
    return Error{Code::kRefused, "the isolation `namespaces` cannot be had here: " + no_namespaces, {}, "isolation"};
  if (housing.isolation_min == Isolation::kProcess && !missing.empty())
    return Error{Code::kRefused, "the isolation `process` cannot be had here: " + missing, {}, "isolation"};
  if (!missing.empty()) log_warn("tasks are not fully confined here", {{"worker", options.name}, {"missing", missing}});
  if (!namespaces)
    log_info("tasks cannot have namespaces of their own here", {{"worker", options.name}, {"why", no_namespaces}});
  tell_users(options, housing);
  return Done{};
}

Status check_housing(const HousingOptions& asked, const Housing& housing) {
  if (Status groups = check_groups(asked, housing); !groups.ok()) return groups;
  return check_processors(asked);
}

Result<ExecutorOptions> executor_options(const WorkerOptions& options) {
  ExecutorOptions out;
  out.slots = static_cast<int>(options.slots);
  out.python = options.python;
  out.warm = options.warm;
  Result<EgressRules> egress = EgressRules::parse(options.allow_egress);
  if (!egress.ok()) return Error{Code::kInvalid, "--allow-egress " + egress.error().what, {}, {}};
  out.egress = std::move(*egress);
  Result<LlmProviders> providers =
      parse_providers(options.providers, std::getenv("OPENAI_BASE_URL"), std::getenv("OPENAI_API_KEY"));
  if (!providers.ok()) return providers.error();
  out.providers = std::move(*providers);
  Result<Secrets> secrets = secrets_of(options);
  if (!secrets.ok()) return secrets.error();
  out.secrets = std::move(*secrets);
  out.requirements.no_index = options.no_index;
  if (!options.requirements_dir.empty())
    out.requirements.directory = std::filesystem::absolute(options.requirements_dir).string();
  for (const std::string& place : options.find_links) {
    const bool url = place.find("://") != std::string::npos;
    out.requirements.find_links.push_back(url ? place : std::filesystem::absolute(place).string());
  }
  Result<HousingOptions> housing = housing_options(options);
  if (!housing.ok()) return housing.error();
  out.housing = std::move(*housing);
  for (const std::string& written : options.plugins) {
    const std::string file = std::filesystem::absolute(written).string();  // tasks run elsewhere
    Result<std::vector<std::string>> names = describe_plugin(file);
    if (!names.ok()) return names.error();
    for (std::string& name : *names) {
      if (std::ranges::find(out.plugins, name, &std::pair<std::string, std::string>::first) != out.plugins.end())
        return Error{
            Code::kInvalid, "plug-in " + file + ": the executor '" + name + "' is there already", {}, "plugin"};
      out.plugins.emplace_back(std::move(name), file);
    }
  }
  return out;
}

}  // namespace millrace
