#include "bench/scenarios.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "bench/graphs.h"
#include "bench/raw_client.h"
#include "common/wire/codec.h"

namespace millrace::bench {
namespace {

using Steady = std::chrono::steady_clock;
constexpr Duration kReady = 30s;
constexpr Duration kRunMax = 300s;

double seconds(Steady::duration d) { return std::chrono::duration<double>(d).count(); }

double own_cpu() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

Status check(const OperatorReply& reply, std::uint32_t tasks) {
  auto* run = std::get_if<RunReply>(&reply);
  if (run == nullptr) {
    auto* refused = std::get_if<ErrorReply>(&reply);
    return Error{Code::kFailed, refused != nullptr ? refused->error.what : "an answer of another kind", {}, ""};
  }
  const RunView& view = run->view;
  if (view.record.state != RunState::kSucceeded) {
    return Error{Code::kFailed,
                 "run " + std::string(to_string(view.record.state)) +
                     (view.record.error ? ": " + view.record.error->message : ""),
                 {},
                 ""};
  }
  auto succeeded = view.by_state.find(TaskState::kSucceeded);
  if (view.nodes_total != tasks || succeeded == view.by_state.end() || succeeded->second != tasks) {
    return Error{Code::kFailed, "not every task has succeeded", {}, ""};
  }
  return Done{};
}

// `runs` runs of one definition, at most `in_flight` at once.
Status drive(RawClient& client, const std::string& definition, std::uint32_t tasks, std::uint32_t runs,
             std::uint32_t in_flight, Measured& out) {
  std::map<std::uint64_t, Steady::time_point> open;
  std::uint32_t submitted = 0;
  auto begin = Steady::now();
  while (submitted < runs || !open.empty()) {
    while (submitted < runs && open.size() < in_flight) {
      auto at = Steady::now();
      open.emplace(client.ask(client.submission(definition, true)), at);
      ++submitted;
    }
    auto reply = client.next(kRunMax);
    if (!reply.ok()) return reply.error();
    auto it = open.find(reply->first);
    if (it == open.end()) continue;
    out.latencies_ms.push_back(seconds(Steady::now() - it->second) * 1e3);
    open.erase(it);
    if (Status fine = check(reply->second, tasks); !fine.ok()) return fine;
  }
  out.total_s = seconds(Steady::now() - begin);
  out.runs = runs;
  out.tasks = runs * tasks;
  return Done{};
}

// Every result of the python tasks, read back node by node where the run is small enough to be shown whole.
Status check_python(RawClient& client, std::uint32_t tasks) {
  Result<OperatorReply> reply = client.call(GetRun{{"@latest", "bench"}, 2'000'000}, 60s);
  if (!reply.ok()) return reply.error();
  auto* run = std::get_if<RunReply>(&*reply);
  if (run == nullptr || run->view.nodes.size() != tasks + 1)
    return Error{Code::kFailed, "the run is not shown whole", {}, ""};
  std::string wanted = std::to_string(kSumOfSquares);
  for (std::uint32_t i = 0; i < tasks; ++i) {
    if (run->view.nodes[i].output.json() != wanted)
      return Error{Code::kFailed, "a python task gave " + std::string(run->view.nodes[i].output.json()), {}, ""};
  }
  return Done{};
}

Status run_scenario(const Options& o, RawClient& client, Measured& out) {
  std::uint32_t tasks = o.tasks > 0 ? o.tasks : default_tasks(o.scenario);
  auto one_run = [&](const WorkflowSpec& spec) {
    return drive(client, encode_definition(spec), spec.node_count(), 1, 1, out);
  };
  if (o.scenario == "single") return drive(client, encode_definition(single()), 1, tasks, 1, out);
  if (o.scenario == "diamond")
    return drive(client, encode_definition(diamond()), 4, std::max(1U, tasks / 4), o.in_flight, out);
  if (o.scenario == "fanout") return one_run(fan_in(tasks));
  if (o.scenario == "layered") return one_run(layered(std::max(1U, tasks / 100), 100));
  if (o.scenario == "random") return one_run(random_dag(tasks, 1));
  if (o.scenario == "chain") {
    Status done = one_run(chain(tasks));
    out.per_hop_ms = out.total_s * 1e3 / tasks;
    return done;
  }
  Status done = one_run(python_fan(tasks, o.isolation));
  return done.ok() ? check_python(client, tasks) : done;
}

}  // namespace

std::vector<std::string> scenario_names() {
  return {"single", "fanout", "chain", "diamond", "layered", "python", "random"};
}

std::uint32_t default_tasks(const std::string& scenario) {
  if (scenario == "single" || scenario == "chain" || scenario == "python") return 1'000;
  if (scenario == "diamond") return 40'000;
  if (scenario == "layered") return 2'000;
  return scenario == "random" ? 1'000'000 : 10'000;
}

Result<Measured> measure(const Options& options) {
  Cluster cluster(options.cluster);
  if (Status started = cluster.start(); !started.ok()) return started.error();
  RawClient client(cluster.endpoint());
  if (Status ready = client.wait_ready(static_cast<std::uint32_t>(options.cluster.workers), kReady); !ready.ok()) {
    return Error{ready.error().code, ready.error().what + "\n" + cluster.logs(), {}, ""};
  }
  // Warm: connections, interpreters, definitions. Not counted.
  Measured ignored;
  Options warm = options;
  warm.tasks = options.scenario == "python" ? 64 : 8;
  warm.in_flight = 1;
  if (Status warmed = run_scenario(warm, client, ignored); !warmed.ok()) {
    return Error{warmed.error().code, warmed.error().what + "\n" + cluster.logs(), {}, ""};
  }
  Measured out;
  Usage coordinator = cluster.coordinator(), workers = cluster.workers(), redis = cluster.redis();
  std::int64_t bytes = cluster.redis_bytes();
  double cpu = own_cpu();
  Status done = run_scenario(options, client, out);
  if (!done.ok()) return Error{done.error().code, done.error().what + "\n" + cluster.logs(), {}, ""};
  out.client_cpu_s = own_cpu() - cpu;
  auto grown = [](Usage after, const Usage& before) {
    after.cpu_s -= before.cpu_s;
    return after;
  };
  out.coordinator = grown(cluster.coordinator(), coordinator);
  out.workers = grown(cluster.workers(), workers);
  out.redis = grown(cluster.redis(), redis);
  out.redis_bytes = cluster.redis_bytes() - bytes;
  std::ranges::sort(out.latencies_ms);
  return out;
}

}  // namespace millrace::bench
