// millrace-coordinator: accepts runs, splits them into ready tasks, hands them to workers, keeps their state in Redis.
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "common/base/units.h"
#include "common/base/version.h"
#include "common/io/config.h"
#include "common/io/fault.h"
#include "common/io/log.h"
#include "common/io/operator_http.h"
#include "common/io/zmq_socket.h"
#include "coordinator/shell/coordinator.h"

namespace {

using namespace millrace;

constexpr Duration kSpinMax = 10ms;

Coordinator* running = nullptr;  // for the signal handler

void on_signal(int) {
  if (running != nullptr) running->stop();
}
void on_hang_up(int) {
  if (running != nullptr) running->reload();
}

ConfigProgram program() {
  CoordinatorOptions defaults;
  ConfigProgram program{
      "millrace-coordinator", "Runs workflows: accepts runs, dispatches their tasks, keeps their state.", kVersion, {}};
  auto add = [&](std::string name, OptionType type, std::string value, std::string help, std::string metavar,
                 bool repeated = false) {
    ConfigOption option;
    option.name = std::move(name);
    option.type = type;
    option.default_value = std::move(value);
    option.help = std::move(help);
    option.metavar = std::move(metavar);
    option.repeated = repeated;
    program.options.push_back(std::move(option));
  };
  add("listen", OptionType::kString, defaults.listen[0],
      "where workers and clients connect; beyond loopback only with --curve-key", "ENDPOINT", true);
  add("events", OptionType::kString, defaults.events, "where live events are published", "ENDPOINT");
  add("advertise", OptionType::kString, "",
      "where workers, clients and other coordinators reach this one (default: the first --listen address)", "ENDPOINT");
  add("advertise-events", OptionType::kString, "", "the same for --events", "ENDPOINT");
  add("redis", OptionType::kString, defaults.redis,
      "redis://[USER:PASSWORD@]HOST:PORT/DB, unix:///PATH, sentinel://[USER:PASSWORD@]HOST:PORT,.../MASTER[/DB] or "
      "cluster://[USER:PASSWORD@]HOST:PORT,...; keep passwords in MILLRACE_REDIS or the file",
      "URL");
  program.options.back().secret = true;
  add("durability", OptionType::kString, std::string(to_string(defaults.durability.mode)),
      "what Redis is to keep of what was acknowledged; warns where it is configured weaker (docs/durability.md)",
      "MODE");
  program.options.back().choices = {"memory", "everysec", "always", "replicated"};
  add("durability-replicas", OptionType::kInteger, std::to_string(defaults.durability.replicas),
      "of replicated: how many replicas must have a turn before its effects leave", "N");
  add("durability-timeout", OptionType::kDuration, "500ms",
      "of replicated: how long one WAIT lasts (10ms to 1s); effects are held and it is asked again until enough have "
      "it",
      "DURATION");
  add("store", OptionType::kString, defaults.store, "where the state of runs is kept; memory is lost with the process",
      "redis|memory");
  program.options.back().choices = {"redis", "memory"};
  add("curve-key", OptionType::kString, "",
      "this coordinator's secret key: only keys of --curve-authorized may connect then (docs/security.md)", "FILE");
  add("curve-authorized", OptionType::kString, "",
      "the keys that may connect and their roles; read again when it changes and on SIGHUP", "FILE");
  add("http", OptionType::kString, "",
      "where operators find /livez, /readyz, /metrics and /v1/scale; port 0: any; none unless given", "HOST:PORT");
  add("http-token-file", OptionType::kString, "",
      "file with the bearer token that all but the probes need; or the token itself in MILLRACE_HTTP_TOKEN", "FILE");
  add("stream-redis", OptionType::kString, "",
      "where the streams are that triggers name: redis://[USER:PASSWORD@]HOST:PORT/DB or unix:///PATH; keep passwords "
      "in MILLRACE_STREAM_REDIS or the file",
      "NAME=URL", true);
  program.options.back().secret = true;
  add("hooks-per-second", OptionType::kInteger, std::to_string(defaults.hooks_per_second),
      "deliveries to webhooks that are taken at --http; further ones are refused (429)", "N");
  add("hook-per-second", OptionType::kInteger, std::to_string(defaults.hook_per_second),
      "of them, deliveries to one webhook", "N");
  add("secrets-file", OptionType::kString, "",
      "encrypted file of the secrets that webhooks name (see `millrace secret`); read again when it changes", "FILE");
  add("secrets-key-file", OptionType::kString, "", "the key that opens it; default: the same with .key at its end",
      "FILE");
  add("insecure-listen", OptionType::kBoolean, "false",
      "listen beyond loopback though nobody is authenticated; warns at each start", "");
  add("id", OptionType::kString, "", "this coordinator's name (default: host name and process id)", "NAME");
  add("partitions", OptionType::kInteger, std::to_string(defaults.partitions),
      "shares of all runs; fixed when the cluster's store is first used", "N");
  add("runs-max", OptionType::kInteger, std::to_string(defaults.runs_max),
      "live runs; beyond it submissions are refused (queue_full)", "N");
  add("tasks-max", OptionType::kInteger, std::to_string(defaults.tasks_max),
      "tasks of live runs; beyond it submissions are refused (queue_full)", "N");
  add("run-tasks-max", OptionType::kInteger, std::to_string(defaults.run_tasks_max),
      "nodes of one run together with the items of its fan-outs; a fan-out beyond it fails", "N");
  add("list-min", OptionType::kSize, "1MiB",
      "the output of a fan-out that is larger is a list reference; workers and clients of earlier versions cannot read "
      "it",
      "SIZE");
  add("spin", OptionType::kDuration, "400us",
      "how long an idle loop looks for what comes next before it sleeps, while at most one task runs; 0s: not at all",
      "DURATION");
  add("unplaceable-after", OptionType::kString, "never",
      "how long a task waits that no worker could run (labels, resources, executor) before it fails; 0s: not at all",
      "DURATION|never");
  add("bytes-max", OptionType::kSize, "8GiB",
      "inputs and recorded outputs of live runs; beyond it submissions are refused (queue_full)", "SIZE");
  add("tenant-runs-max", OptionType::kInteger, "0", "live runs of one tenant; 0: no limit of its own", "N");
  add("tenant-tasks-max", OptionType::kInteger, "0", "tasks of live runs of one tenant; 0: no limit of its own", "N");
  add("retention-age", OptionType::kDuration, "7d", "finished runs are deleted this long after their end; 0s: never",
      "DURATION");
  add("retention-count", OptionType::kInteger, std::to_string(defaults.retention.count),
      "finished runs kept of each workflow, the newest; 0: any number", "N");
  add("key-life", OptionType::kDuration, "24h",
      "an idempotency key is remembered at least this long, and as long as its run", "DURATION");
  add("value-grace", OptionType::kDuration, "10m", "a large value that no run needs and nobody uses stays this long",
      "DURATION");
  add("log-level", OptionType::kString, "info", "least severe level that is logged", "LEVEL");
  program.options.back().choices = {"error", "warn", "info", "debug"};
  add("log-format", OptionType::kString, "auto", "auto is text on a terminal, JSON elsewhere", "FORMAT");
  program.options.back().choices = {"auto", "json", "text"};
  return program;
}

}  // namespace

int main(int argc, char** argv) {
  Config config = read_config_or_exit(program(), argc, argv);
  LogOptions log;
  log.service = "coordinator";
  log.level = *parse_log_level(config.text("log-level"));
  log.format = *parse_log_format(config.text("log-format"));
  set_log(log);
  if (Status armed = arm_faults(std::getenv("MILLRACE_FAULT")); !armed.ok()) {
    log_error("cannot start: " + armed.error().what, {{"name", armed.error().name}});
    return 2;
  }

  CoordinatorOptions options;
  options.name = config.text("id");
  options.listen = config.list("listen");
  options.events = config.text("events");
  options.advertise = config.text("advertise");
  options.advertise_events = config.text("advertise-events");
  options.store = config.text("store");
  options.redis = config.text("redis");
  options.durability.mode = *parse_durability(config.text("durability"));
  options.durability.replicas =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(config.integer("durability-replicas"), 1, 100));
  options.durability.timeout = std::clamp(config.duration("durability-timeout"), kReplicaWaitMin, kReplicaWaitMax);
  options.curve_key = config.text("curve-key");
  options.curve_authorized = config.text("curve-authorized");
  options.insecure_listen = config.boolean("insecure-listen");
  options.http = config.text("http");
  Result<std::string> http_token = read_http_token(config.text("http-token-file"));
  if (!http_token.ok()) {
    log_error("cannot start: " + http_token.error().what);
    return 2;
  }
  options.http_token = std::move(http_token).value();
  options.stream_redis = config.list("stream-redis");
  std::erase(options.stream_redis, "");
  options.hooks_per_second =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(config.integer("hooks-per-second"), 1, 1'000'000));
  options.hook_per_second =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(config.integer("hook-per-second"), 1, 1'000'000));
  options.secrets_file = config.text("secrets-file");
  options.secrets_key_file = config.text("secrets-key-file");
  options.partitions = static_cast<std::uint16_t>(
      std::min<std::int64_t>(std::max<std::int64_t>(config.integer("partitions"), 0), 0xFFFF));
  options.runs_max = static_cast<std::uint32_t>(std::clamp<std::int64_t>(config.integer("runs-max"), 0, 0xFFFF'FFFF));
  options.tasks_max = static_cast<std::uint64_t>(std::max<std::int64_t>(config.integer("tasks-max"), 0));
  options.run_tasks_max = static_cast<std::uint64_t>(std::max<std::int64_t>(config.integer("run-tasks-max"), 1));
  options.list_min = std::max<std::uint64_t>(config.size("list-min"), 1);
  options.bytes_max = config.size("bytes-max");
  options.tenant_runs_max =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(config.integer("tenant-runs-max"), 0, 0xFFFF'FFFF));
  options.tenant_tasks_max = static_cast<std::uint64_t>(std::max<std::int64_t>(config.integer("tenant-tasks-max"), 0));
  options.retention.age = config.duration("retention-age");
  options.retention.count = static_cast<std::uint64_t>(std::max<std::int64_t>(config.integer("retention-count"), 0));
  options.key_life = config.duration("key-life");
  options.value_grace = config.duration("value-grace");

  options.spin =
      std::thread::hardware_concurrency() > 1 ? std::min(config.duration("spin"), kSpinMax) : Duration::zero();
  if (const std::string after = config.text("unplaceable-after"); after != "never") {
    Result<Duration> wait = parse_duration(after);
    if (!wait.ok()) {
      log_error("cannot start: --unplaceable-after: " + wait.error().what + ", or never");
      return 2;
    }
    options.unplaceable_after = *wait;
  }

  ZmqContext context;
  Result<std::unique_ptr<Coordinator>> coordinator = Coordinator::create(context, options);
  if (!coordinator.ok()) {
    log_error("cannot start: " + coordinator.error().what, {{"name", coordinator.error().name}});
    return coordinator.error().code == Code::kInvalid || coordinator.error().code == Code::kRefused ? 2 : 1;
  }
  running = coordinator->get();
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  action.sa_handler = on_hang_up;
  sigaction(SIGHUP, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  for (const std::string& endpoint : running->endpoints())
    log_info(
        "listening",
        {{"endpoint", endpoint}, {"events", running->events_endpoint()}, {"curve_server_key", running->public_key()}});
  Status ended = running->run();
  running = nullptr;
  if (!ended.ok()) {
    log_error("stopped: " + ended.error().what);
    return 1;
  }
  log_info("stopped");
  return 0;
}
