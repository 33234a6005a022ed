// Scenarios: the work that millrace-bench measures. Each repeat starts a fresh cluster of real processes, warms it up,
// is measured, and checks every result.
//
// Threads: one. Fails: an Error says what was wrong, with the end of every process's log.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/processes.h"
#include "bench/raw_client.h"
#include "common/base/result.h"
#include "common/model/workflow.h"

namespace millrace::bench {

struct Options {
  std::string scenario = "single";
  std::uint32_t tasks = 0;  // 0: the scenario's own default
  std::uint32_t runs = 1;   // of the scenarios that are one run: one after the other
  std::uint32_t in_flight = 64;
  int repeats = 5;
  std::string isolation = "process";  // of python, javascript and shell tasks
  std::string of = "diamond";         // what load and burst submit: single | diamond
  double rate = 0;                    // submissions a second of an open loop; 0: the scenario's own default
  double seconds = 0;                 // that an open loop lasts; 0: the scenario's own default
  ClusterOptions cluster;
};

struct Measured {  // of one repeat
  std::uint32_t tasks = 0;
  std::uint32_t runs = 0;
  double total_s = 0;
  std::vector<double> latencies_ms;  // of runs or of acknowledgements, sorted; empty where one run is all
  double per_hop_ms = 0;             // of chains
  Usage coordinator, workers, redis;
  double client_cpu_s = 0;
  std::int64_t redis_bytes = 0;           // grown by
  std::map<std::string, double> figures;  // what only this scenario has; a dot in a name nests it in the report
};

class Scenario {
 public:
  virtual ~Scenario() = default;
  virtual void watch(const Cluster&) {}                        // what it runs on; before anything else
  virtual Status prepare(RawClient& client) = 0;               // warms up; not measured
  virtual Status run(RawClient& client, Measured& out) = 0;    // measured: fills in tasks, runs, total_s, latencies
  virtual Status check(RawClient& client, Measured& out) = 0;  // what is looked at afterwards; not measured
};

struct ScenarioKind {
  const char* name;
  const char* help;
  std::uint32_t tasks;     // default of --tasks; 0: it has none
  const char* latency_of;  // what p50_ms ... are of, where there are several runs
  std::unique_ptr<Scenario> (*make)(const Options& options);
  void (*adjust)(Options& options);  // its cluster and defaults; may be null
  bool runs_executor = false;        // which simulated workers do not have
};

const std::vector<ScenarioKind>& scenario_kinds();
const ScenarioKind* find_scenario(const std::string& name);
Result<Measured> measure(Options options);

// For scenarios.
constexpr const char* kToResult = "submission to result";
struct ClosedLoop {         // `runs` runs, at most `in_flight` at once, each checked
  std::uint32_t tasks = 1;  // of one run
  std::uint32_t runs = 1;
  std::uint32_t in_flight = 1;
};
Status drive(RawClient& client, const WorkflowSpec& spec, const ClosedLoop& loop, Measured& out);

// stream.cc: messages of a stream, each a run, or a hundred of them.
std::unique_ptr<Scenario> make_stream(const Options& options);
std::unique_ptr<Scenario> make_stream_batches(const Options& options);

// Runs of one graph; a smaller one of the same kind warms up.
class Graph : public Scenario {
 public:
  Graph(WorkflowSpec spec, ClosedLoop loop, WorkflowSpec warm, ClosedLoop warm_loop);
  Status prepare(RawClient& client) override;
  Status run(RawClient& client, Measured& out) override { return drive(client, spec_, loop_, out); }
  Status check(RawClient&, Measured&) override { return Done{}; }

 protected:
  std::uint32_t tasks() const { return loop_.tasks; }  // of one run

 private:
  WorkflowSpec spec_;
  ClosedLoop loop_;
  WorkflowSpec warm_;
  ClosedLoop warm_loop_;
};

void keep_all(Options& options);                                    // runs, for what is looked at afterwards
Status check_run(const OperatorReply& reply, std::uint32_t tasks);  // it has succeeded, and every task of it
Error failure(std::string what);

constexpr const char* kNotSustained = "not_sustained";  // name of the error of a rate that is too high

std::unique_ptr<Scenario> make_submit(const Options& options);
std::unique_ptr<Scenario> make_load(const Options& options);
std::unique_ptr<Scenario> make_burst(const Options& options);
const std::vector<ScenarioKind>& executor_scenarios();        // executor_scenarios.cc
std::unique_ptr<Scenario> make_soak(const Options& options);  // soak.cc
void adjust_soak(Options& options);

}  // namespace millrace::bench
