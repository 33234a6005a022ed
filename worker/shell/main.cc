// millrace-worker: settings, signals, exit codes. Exit: 0 drained, 1 failed, 2 usage, 5 no coordinator can be
// reached with the keys we have, 6 refused by a coordinator.
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/io/config.h"
#include "common/io/fault.h"
#include "common/io/log.h"
#include "common/io/operator_http.h"
#include "common/io/zmq_socket.h"
#include "common/model/workflow.h"
#include "worker/executors/plugin.h"
#include "worker/shell/worker.h"

namespace millrace {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitUnreachable = 5;
constexpr int kExitRefused = 6;
constexpr std::int64_t kSlotsMax = 4096;
constexpr std::int64_t kPrefetchMost = 16'384;

ConfigProgram program() {
  using enum OptionType;
  ConfigProgram p{"millrace-worker", "Runs the tasks that coordinators send to this machine.", kWorkerVersion, {}};
  p.options.push_back({.name = "coordinator",
                       .default_value = "tcp://127.0.0.1:5711",
                       .help = "coordinators to work for",
                       .metavar = "ENDPOINT[,...]",
                       .repeated = true});
  p.options.push_back({.name = "curve-key",
                       .default_value = "",
                       .help = "this worker's secret key, where coordinators require one (docs/security.md)",
                       .metavar = "FILE"});
  p.options.push_back({.name = "curve-server-key",
                       .default_value = "",
                       .help = "the coordinators' public key: a file, or the key itself",
                       .metavar = "FILE|KEY"});
  p.options.push_back(
      {.name = "slots", .type = kInteger, .default_value = "0", .help = "tasks at once; 0: one a core"});
  p.options.push_back({.name = "id",
                       .default_value = "",
                       .help = "name of this worker; default: host name and process id",
                       .metavar = "NAME"});
  p.options.push_back(
      {.name = "label", .type = kKeyValue, .default_value = "", .help = "label of this worker", .repeated = true});
  p.options.push_back({.name = "resource",
                       .type = kKeyValue,
                       .default_value = "",
                       .help = "what its tasks may take together: cpu=8, memory=32GiB, or tokens of any name; cpu and "
                               "memory are those of the machine unless given",
                       .metavar = "NAME=AMOUNT",
                       .repeated = true});
  p.options.push_back({.name = "queue",
                       .default_value = std::string(kDefaultQueue),
                       .help = "queues that it serves; *: all",
                       .metavar = "NAME[,...]",
                       .repeated = true});
  p.options.push_back(
      {.name = "python", .default_value = "python3", .help = "interpreter of python tasks", .metavar = "PATH"});
  p.options.push_back({.name = "requirements-dir",
                       .default_value = "",
                       .help = "where environments for `requirements` of python tasks are made; none are unless given",
                       .metavar = "DIR"});
  p.options.push_back({.name = "find-links",
                       .default_value = "",
                       .help = "directory or URL with wheels for them, besides pip's index",
                       .metavar = "DIR|URL",
                       .repeated = true});
  p.options.push_back({.name = "no-index",
                       .type = kBoolean,
                       .default_value = "false",
                       .help = "requirements come from --find-links only"});
  p.options.push_back({.name = "prefetch",
                       .type = kInteger,
                       .default_value = "1024",
                       .help = "tasks queued beyond the slots, at most"});
  p.options.push_back({.name = "drain-grace",
                       .type = kDuration,
                       .default_value = "30s",
                       .help = "how long running tasks may go on after SIGTERM"});
  p.options.push_back({.name = "http",
                       .default_value = "",
                       .help = "where operators find /livez, /readyz and /metrics; port 0: any; none unless given",
                       .metavar = "HOST:PORT"});
  p.options.push_back({.name = "http-token-file",
                       .default_value = "",
                       .help = "file with the bearer token that all but the probes need; or the token itself in "
                               "MILLRACE_HTTP_TOKEN",
                       .metavar = "FILE"});
  p.options.push_back({.name = "insecure-listen",
                       .type = kBoolean,
                       .default_value = "false",
                       .help = "http beyond loopback though nobody is authenticated; warns at each start"});
  p.options.push_back({.name = "plugin",
                       .default_value = "",
                       .help = "shared object with executors of your own (docs/sdk.md)",
                       .metavar = "FILE.so",
                       .repeated = true});
  p.options.push_back({.name = "isolation",
                       .default_value = "none",
                       .help = "the least isolation that tasks may ask for",
                       .choices = {"none", "process", "namespaces"}});
  p.options.push_back({.name = "runtime-class",
                       .default_value = "",
                       .help = "container runtime class that this worker runs in, for tasks that ask for the isolation "
                               "container",
                       .metavar = "NAME"});
  p.options.push_back({.name = "task-user",
                       .default_value = "auto",
                       .help =
                           "who tasks run as where the worker is root: a user each out of a range (auto), NAME, UID, "
                           "FIRST-LAST, or none",
                       .metavar = "USER"});
  p.options.push_back({.name = "limit",
                       .type = kKeyValue,
                       .default_value = "",
                       .help =
                           "what a task may use unless it says less: memory=1GiB, cpu=10m, processes=256, files=1024, "
                           "file_size=1GiB, output=16MiB",
                       .metavar = "NAME=VALUE",
                       .repeated = true});
  p.options.push_back({.name = "cgroup",
                       .default_value = "auto",
                       .help = "where control groups of tasks are made: below the worker's own where it is alone in it "
                               "(auto), at a path of the hierarchy, or none",
                       .metavar = "PATH"});
  p.options.push_back({.name = "pin",
                       .default_value = "",
                       .help = "processors that tasks run on, like 0-3,6; all unless given",
                       .metavar = "CPUS"});
  p.options.push_back({.name = "queues",
                       .type = kKeyValue,
                       .default_value = "",
                       .help = "settings of a queue's tasks, as JSON or in the file NAME: {pin: 0-3, cpu_weight: 50, "
                               "cgroup: batch}",
                       .metavar = "NAME=JSON",
                       .repeated = true,
                       .nested = true});
  p.options.push_back({.name = "allow-egress",
                       .default_value = "",
                       .help = "what http and llm tasks may reach besides public addresses: loopback, private, "
                               "link-local, metadata, any, an address, a block like 10.0.0.0/8, HOST:PORT",
                       .metavar = "RULE[,...]",
                       .repeated = true});
  p.options.push_back({.name = "secrets-dir",
                       .default_value = "",
                       .help = "directory whose files are secrets by name, besides MILLRACE_SECRET_<NAME>",
                       .metavar = "DIR",
                       .repeated = true});
  p.options.push_back(
      {.name = "secrets-file",
       .default_value = "",
       .help = "encrypted file of secrets (see `millrace secret`), besides those; read again when it changes",
       .metavar = "FILE"});
  p.options.push_back({.name = "secrets-key-file",
                       .default_value = "",
                       .help = "the key that opens it; default: the same with .key at its end",
                       .metavar = "FILE"});
  p.options.push_back(
      {.name = "providers",
       .type = kKeyValue,
       .default_value = "",
       .help = "language models: NAME=URL, or in the file NAME: {base_url, key, model, headers, prices}",
       .metavar = "NAME=URL",
       .repeated = true,
       .nested = true});
  p.options.push_back({.name = "log-format",
                       .default_value = "auto",
                       .help = "auto: text on a terminal, json elsewhere",
                       .choices = {"auto", "json", "text"}});
  p.options.push_back({.name = "log-level",
                       .default_value = "info",
                       .help = "the least important level that is logged",
                       .choices = {"error", "warn", "info", "debug"}});
  return p;
}

// The values of a repeated option; commas separate as well.
std::vector<std::string> split(const std::vector<std::string>& values) {
  std::vector<std::string> out;
  for (const std::string& value : values) {
    for (std::size_t at = 0; at <= value.size();) {
      const std::size_t comma = std::min(value.find(',', at), value.size());
      if (comma > at) out.push_back(value.substr(at, comma - at));
      at = comma + 1;
    }
  }
  return out;
}

int usage(const std::string& problem) {
  std::fprintf(stderr, "millrace-worker: %s\n", problem.c_str());
  return kExitUsage;
}

std::atomic<Worker*> g_worker = nullptr;

void on_signal(int) {
  if (Worker* worker = g_worker.load()) worker->drain();
}

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

// What a coordinator sends is run here, and without keys anybody on the way may be one.
void warn_of_strangers(const WorkerOptions& options) {
  for (const std::string& endpoint : options.coordinators) {
    if (options.curve || is_local_endpoint(endpoint)) continue;
    log_warn("this coordinator is not authenticated: --curve-key and --curve-server-key", {{"coordinator", endpoint}});
  }
}

int work(const Config& config) {
  const std::int64_t slots = config.integer("slots");
  if (slots < 0 || slots > kSlotsMax) return usage("--slots: expected 0 to " + std::to_string(kSlotsMax));
  const std::int64_t prefetch = config.integer("prefetch");
  if (prefetch < 0 || prefetch > kPrefetchMost) {
    return usage("--prefetch: expected 0 to " + std::to_string(kPrefetchMost));
  }
  WorkerOptions options;
  options.name = config.text("id");
  options.coordinators = split(config.list("coordinator"));
  options.slots = static_cast<std::uint32_t>(slots);
  options.labels = config.key_values("label");
  options.queues = split(config.list("queue"));
  for (const std::string& queue : options.queues) {
    if (queue != kAnyQueue && !is_node_id(queue)) return usage("--queue " + queue + ": expected a name like a node id");
  }
  for (const auto& [name, text] : config.key_values("resource")) {
    const Result<std::uint64_t> amount = parse_amount(name, text);
    if (!is_resource_name(name) || !amount.ok()) {
      return usage("--resource " + name + "=" + text + ": expected NAME=AMOUNT with " +
                   std::string(amount_expected(name)));
    }
    options.resources.push_back({name, *amount});
  }
  options.python = config.text("python");
  options.warm = true;
  options.requirements_dir = config.text("requirements-dir");
  options.find_links = config.list("find-links");
  options.no_index = config.boolean("no-index");
  options.prefetch_max = static_cast<std::uint32_t>(prefetch);
  options.drain_grace = config.duration("drain-grace");

  options.plugins = split(config.list("plugin"));
  options.isolation = config.text("isolation");
  options.runtime_class = config.text("runtime-class");
  options.task_user = config.text("task-user");
  options.limits = config.key_values("limit");
  options.cgroup = config.text("cgroup");
  options.pin = config.text("pin");
  options.queue_settings = config.key_values("queues");
  options.allow_egress = split(config.list("allow-egress"));
  options.secrets_dirs = split(config.list("secrets-dir"));
  options.secrets_file = config.text("secrets-file");
  options.secrets_key_file = config.text("secrets-key-file");
  options.providers = config.key_values("providers");

  Result<std::optional<CurveClient>> curve =
      read_curve_client(config.text("curve-key"), config.text("curve-server-key"));
  if (!curve.ok()) return usage(curve.error().what);
  options.curve = std::move(curve).value();
  warn_of_strangers(options);
  options.http = config.text("http");
  options.insecure_listen = config.boolean("insecure-listen");
  Result<std::string> token = read_http_token(config.text("http-token-file"));
  if (!token.ok()) return usage(token.error().what);
  options.http_token = std::move(token).value();

  ZmqContext context;
  Result<std::unique_ptr<Worker>> worker = Worker::create(context, std::move(options));
  if (!worker.ok()) return usage(worker.error().what);
  g_worker = worker->get();
  catch_signals();
  const Status done = (*worker)->run();
  g_worker = nullptr;
  if (done.ok()) return 0;
  log_error(done.error().what, {{"name", done.error().name}});
  if (done.error().code == Code::kUnavailable) return kExitUnreachable;
  return done.error().code == Code::kRefused ? kExitRefused : kExitFailed;
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  using namespace millrace;
  if (argc > 2 && argv[1] == std::string(kPluginHostWord)) return plugin_host({argv + 2, argv + argc});
  const Config config = read_config_or_exit(program(), argc, argv);
  LogOptions log;
  log.service = "worker";
  log.format = parse_log_format(config.text("log-format")).value_or(LogFormat::kAuto);
  log.level = parse_log_level(config.text("log-level")).value_or(LogLevel::kInfo);
  set_log(log);
  if (const Status armed = arm_faults(std::getenv("MILLRACE_FAULT")); !armed.ok()) return usage(armed.error().what);
  return work(config);
}
