#include "bench/scenarios.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <unordered_map>

#include "bench/graphs.h"
#include "common/wire/codec.h"

namespace millrace::bench {
namespace {

using Steady = std::chrono::steady_clock;
constexpr Duration kReady = 30s;
constexpr Duration kRunMax = 300s;
constexpr const char* kDueToResult = "submission due to result";

double seconds(Steady::duration d) { return std::chrono::duration<double>(d).count(); }

double own_cpu() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

// ---------------------------------------------------------------- closed loops

class Chain : public Graph {
 public:
  Chain(std::uint32_t tasks, std::uint32_t runs) : Graph(chain(tasks), {1, runs, 1}, chain(8), {}) {}
  Status check(RawClient&, Measured& out) override {
    out.per_hop_ms = out.total_s * 1e3 / out.tasks;
    return Done{};
  }
};

// One mapped node over a range, its chunks sized by the coordinator; each item counts as a task.
class Foreach : public Scenario {
 public:
  Foreach(WorkflowSpec (*over)(std::uint32_t items), std::uint32_t items, std::uint32_t runs)
      : over_(over), items_(items), runs_(runs) {}
  Status prepare(RawClient& client) override {
    Measured ignored;
    return drive(client, over_(std::min(1'000U, items_)), {}, ignored);
  }
  Status run(RawClient& client, Measured& out) override {
    Status done = drive(client, over_(items_), {1, runs_, 1}, out);
    out.tasks = items_ * runs_;
    return done;
  }
  Status check(RawClient& client, Measured& out) override {
    Result<OperatorReply> reply = client.call(GetRun{{"@latest", "bench"}, 10}, 60s);
    if (!reply.ok()) return reply.error();
    auto* run = std::get_if<RunReply>(&*reply);
    if (run == nullptr || run->view.nodes.size() != 1 || !run->view.nodes[0].items)
      return failure("the run does not show its items");
    const NodeView& node = run->view.nodes[0];
    if (node.items->done != items_ || node.items->failed != 0) return failure("not every item has a result");
    ran_ = node.ran;
    return look(out);
  }

 protected:
  virtual Status look(Measured&) { return Done{}; }
  double ran_s() const { return static_cast<double>(ran_.count()) / 1e6; }  // of all chunks of the last run

 private:
  WorkflowSpec (*over_)(std::uint32_t items);
  std::uint32_t items_;
  std::uint32_t runs_;
  Duration ran_{};
};

// Items that sleep: whatever of the slots' time is not spent in attempts is what the coordinator's chunks cost.
class Items : public Foreach {
 public:
  Items(std::uint32_t items, int slots) : Foreach(sleeping_items, items, 1), slots_(slots) {}

 protected:
  Status look(Measured& out) override {
    out.figures["overhead_percent"] = 100 * (1 - ran_s() / (out.total_s * slots_));
    return Done{};
  }

 private:
  int slots_;
};

// --runs of them, one after the other.
std::unique_ptr<Scenario> runs_of(const Options& o, WorkflowSpec spec, WorkflowSpec warm) {
  return std::make_unique<Graph>(std::move(spec), ClosedLoop{1, o.runs, 1}, std::move(warm), ClosedLoop{});
}

std::unique_ptr<Scenario> make_single(const Options& o) {
  return std::make_unique<Graph>(single(), ClosedLoop{1, o.tasks, 1}, single(), ClosedLoop{1, 200, 1});
}
std::unique_ptr<Scenario> make_diamond(const Options& o) {
  return std::make_unique<Graph>(diamond(), ClosedLoop{4, std::max(1U, o.tasks / 4), o.in_flight}, diamond(),
                                 ClosedLoop{4, 200, std::min(8U, o.in_flight)});
}
std::unique_ptr<Scenario> make_fanout(const Options& o) { return runs_of(o, fan_in(o.tasks), fan_in(8)); }
std::unique_ptr<Scenario> make_foreach(const Options& o) {
  return std::make_unique<Foreach>(no_op_items, o.tasks, o.runs);
}
std::unique_ptr<Scenario> make_items(const Options& o) {
  return std::make_unique<Items>(o.tasks, o.cluster.workers * o.cluster.slots);
}
std::unique_ptr<Scenario> make_layered(const Options& o) {
  return runs_of(o, layered(std::max(1U, o.tasks / 100), 100), layered(2, 100));
}
std::unique_ptr<Scenario> make_random(const Options& o) { return runs_of(o, random_dag(o.tasks, 1), random_dag(8, 1)); }
std::unique_ptr<Scenario> make_chain(const Options& o) { return std::make_unique<Chain>(o.tasks, o.runs); }
// ---------------------------------------------------------------- open loops: defaults

void set_default(double& value, double wanted) {
  if (value == 0) value = wanted;
}
void adjust_items(Options& o) {
  keep_all(o);
  if (o.cluster.slots == 0) o.cluster.slots = 4;
}
void adjust_stream(Options& o) {
  keep_all(o);
  o.cluster.streams = true;
}
void adjust_submit(Options& o) {
  keep_all(o);
  set_default(o.rate, 25'000);
  set_default(o.seconds, 10);
}
void adjust_load(Options& o) {
  keep_all(o);
  set_default(o.seconds, 5);
}
void adjust_burst(Options& o) {
  keep_all(o);
  set_default(o.seconds, 2);
  if (o.cluster.runs_max == 0) o.cluster.runs_max = 10'000;  // so that there is something to refuse
}

// ---------------------------------------------------------------- measuring

// What processes have used up since it was made.
class Meter {
 public:
  explicit Meter(const Cluster& cluster)
      : cluster_(cluster),
        coordinator_(cluster.coordinator()),
        workers_(cluster.workers()),
        redis_(cluster.redis()),
        bytes_(cluster.redis_bytes()),
        cpu_(own_cpu()) {}
  void read(Measured& out) const {
    out.client_cpu_s = own_cpu() - cpu_;
    out.coordinator = grown(cluster_.coordinator(), coordinator_);
    out.workers = grown(cluster_.workers(), workers_);
    out.redis = grown(cluster_.redis(), redis_);
    out.redis_bytes = cluster_.redis_bytes() - bytes_;
  }

 private:
  static Usage grown(Usage after, const Usage& before) {
    after.cpu_s -= before.cpu_s;
    return after;
  }
  const Cluster& cluster_;
  Usage coordinator_, workers_, redis_;
  std::int64_t bytes_;
  double cpu_;
};

// Workers import their interpreters' modules for a while after they have joined: what is measured begins when they have
// nothing to do, at the latest after kSettleMax.
void settle(const Cluster& cluster) {
  constexpr auto kSettleMax = 5s;
  constexpr auto kLook = 100ms;
  constexpr double kIdle = 0.005;  // seconds of processor time within kLook
  const auto until = Steady::now() + kSettleMax;
  for (double used = cluster.workers().cpu_s; Steady::now() < until;) {
    std::this_thread::sleep_for(kLook);
    const double now = cluster.workers().cpu_s;
    if (now - used < kIdle) return;
    used = now;
  }
}

Status measure_on(const Cluster& cluster, Scenario& scenario, std::uint32_t workers, Measured& out) {
  RawClient client(cluster.endpoint(), cluster.client_keys());
  if (Status ready = client.wait_ready(workers, kReady); !ready.ok()) return ready;
  scenario.watch(cluster);
  if (Status warmed = scenario.prepare(client); !warmed.ok()) return warmed;
  settle(cluster);
  Meter meter(cluster);
  if (Status done = scenario.run(client, out); !done.ok()) return done;
  meter.read(out);
  std::ranges::sort(out.latencies_ms);
  return scenario.check(client, out);
}

}  // namespace

// All runs are looked at afterwards. As a variable: an earlier version does not know the option.
void keep_all(Options& o) {
  o.cluster.settings = {{"MILLRACE_RETENTION_COUNT", "0"}, {"MILLRACE_RETENTION_AGE", "0s"}};
}

Error failure(std::string what) { return Error{Code::kFailed, std::move(what), {}, ""}; }

Status check_run(const OperatorReply& reply, std::uint32_t tasks) {
  auto* run = std::get_if<RunReply>(&reply);
  if (run == nullptr) {
    auto* refused = std::get_if<ErrorReply>(&reply);
    return refused != nullptr ? refused->error : failure("an answer of another kind");
  }
  const RunView& view = run->view;
  if (view.record.state != RunState::kSucceeded) {
    return failure("run " + std::string(to_string(view.record.state)) +
                   (view.record.error ? ": " + view.record.error->message : ""));
  }
  auto succeeded = view.by_state.find(TaskState::kSucceeded);
  if (view.nodes_total != tasks || succeeded == view.by_state.end() || succeeded->second != tasks) {
    return failure("not every task has succeeded");
  }
  return Done{};
}

Graph::Graph(WorkflowSpec spec, ClosedLoop loop, WorkflowSpec warm, ClosedLoop warm_loop)
    : spec_(std::move(spec)), loop_(loop), warm_(std::move(warm)), warm_loop_(warm_loop) {
  loop_.tasks = spec_.node_count();
  warm_loop_.tasks = warm_.node_count();
}

Status Graph::prepare(RawClient& client) {
  Measured ignored;
  return drive(client, warm_, warm_loop_, ignored);
}

Status drive(RawClient& client, const WorkflowSpec& spec, const ClosedLoop& loop, Measured& out) {
  std::unordered_map<std::uint64_t, Steady::time_point> open;
  std::uint32_t submitted = 0;
  std::string definition = encode_definition(spec);
  out.latencies_ms.reserve(loop.runs);
  const auto begin = Steady::now();
  client.use(std::move(definition));
  while (submitted < loop.runs || !open.empty()) {
    while (submitted < loop.runs && open.size() < loop.in_flight) {
      const auto at = Steady::now();
      open.emplace(client.ask(client.submission(true)), at);
      ++submitted;
    }
    auto reply = client.next(kRunMax);
    if (!reply.ok()) return reply.error();
    auto it = open.find(reply->first);
    if (it == open.end()) continue;
    out.latencies_ms.push_back(seconds(Steady::now() - it->second) * 1e3);
    open.erase(it);
    if (Status fine = check_run(reply->second, loop.tasks); !fine.ok()) return fine;
  }
  out.total_s = seconds(Steady::now() - begin);
  out.runs = loop.runs;
  out.tasks = loop.runs * loop.tasks;
  return Done{};
}

const std::vector<ScenarioKind>& scenario_kinds() {
  static const std::vector<ScenarioKind> own = {
      {"single", "one-task runs, one after the other", 5'000, kToResult, make_single, nullptr},
      {"fanout", "one run: no-op tasks without upstream, and a join over all", 100'000, kToResult, make_fanout,
       nullptr},
      {"foreach", "one run: one no-op node over a range, in chunks sized by the coordinator; items count as tasks",
       100'000, kToResult, make_foreach, nullptr},
      {"items", "one run: one python node over a range; each item sleeps 1 ms: what sizing chunks leaves of the slots",
       20'000, kToResult, make_items, adjust_items},
      {"chain", "one run: each task has the one before as upstream", 1'000, kToResult, make_chain, nullptr},
      {"diamond", "runs a -> (b, c) -> d, --in-flight at once", 40'000, kToResult, make_diamond, nullptr},
      {"layered", "one run: layers of 100, three parents each in the layer before", 2'000, kToResult, make_layered,
       nullptr},
      {"random", "one run: three random earlier parents each, seed 1", 1'000'000, kToResult, make_random, nullptr},
      {"submit", "one-task runs at --rate for --seconds, acknowledged when durable, all executed", 0,
       "submission due to acknowledgement", make_submit, adjust_submit},
      {"load", "runs arrive at 50 % and 80 % of the measured capacity, for --seconds each", 0, kDueToResult, make_load,
       adjust_load},
      {"burst", "ten times the measured capacity for a second, --seconds of half of it before and after", 0,
       kDueToResult, make_burst, adjust_burst},
      {"stream", "messages that wait in a Redis stream: each is taken by a trigger and starts a one-task run", 60'000,
       nullptr, make_stream, adjust_stream},
      {"stream-batches", "the same, a hundred messages a run", 300'000, nullptr, make_stream_batches, adjust_stream},
      {"soak", "diamonds, --in-flight at once, a thousand finished runs kept: memory after each tenth stays flat",
       1'000'000, kToResult, make_soak, adjust_soak},
  };
  static const std::vector<ScenarioKind> kinds = [] {
    std::vector<ScenarioKind> all = own;
    all.insert(all.end(), executor_scenarios().begin(), executor_scenarios().end());
    return all;
  }();
  return kinds;
}

const ScenarioKind* find_scenario(const std::string& name) {
  const auto& kinds = scenario_kinds();
  auto it = std::ranges::find_if(kinds, [&](const ScenarioKind& kind) { return name == kind.name; });
  return it == kinds.end() ? nullptr : &*it;
}

Result<Measured> measure(Options options) {
  const ScenarioKind* kind = find_scenario(options.scenario);
  assert(kind != nullptr);
  if (options.tasks == 0) options.tasks = kind->tasks;
  if (kind->adjust != nullptr) kind->adjust(options);
  else keep_all(options);
  std::unique_ptr<Scenario> scenario = kind->make(options);
  if (scenario == nullptr) return failure("no port of loopback can be had");
  Cluster cluster(options.cluster);
  if (Status started = cluster.start(); !started.ok()) return started.error();
  Measured out;
  Status done = measure_on(cluster, *scenario, static_cast<std::uint32_t>(options.cluster.workers), out);
  if (done.ok()) return out;
  if (done.error().name == kNotSustained) return done.error();  // nothing is broken
  return Error{done.error().code, done.error().what + "\n" + cluster.logs(), {}, done.error().name};
}

}  // namespace millrace::bench
