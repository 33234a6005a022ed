// millrace-bench: measures whole clusters of real processes (Redis, coordinator, workers, client) and prints one JSON
// object. Exit status: 0, 1 a result was wrong or a rate not sustained, 2 usage.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "bench/arithmetic.h"
#include "bench/report.h"
#include "bench/scenarios.h"
#include "common/base/version.h"

namespace {

using namespace millrace;
using namespace millrace::bench;

constexpr double kSearchPrecision = 0.05;
constexpr int kSearchRetries = 5;

std::string scenario_help() {
  std::string text = "\nScenarios (default of --tasks):\n";
  for (const ScenarioKind& kind : scenario_kinds()) {
    std::string name = std::string("  ") + kind.name;
    name.resize(12, ' ');
    text += name + kind.help + (kind.tasks > 0 ? " (" + std::to_string(kind.tasks) + ")" : "") + "\n";
  }
  return text +
         "\nEvery repeat has a fresh cluster. Latencies of open loops (submit, load, burst) count from when a "
         "submission\n"
         "was due. Percentiles are nearest rank, of each repeat; figures are medians over repeats, `spread` their "
         "range.\n";
}

Result<std::vector<Measured>> measure_all(const Options& options) {
  std::vector<Measured> repeats;
  for (int i = 0; i < options.repeats; ++i) {
    Result<Measured> one = measure(options);
    if (!one.ok()) return one.error();
    std::fprintf(stderr, "repeat %d of %d: %u tasks in %.3f s\n", i + 1, options.repeats, one->tasks, one->total_s);
    repeats.push_back(std::move(one).value());
  }
  return repeats;
}

// The highest rate that is sustained, measured as often as asked: a rate that was sustained once and then is not is
// lowered a little.
Result<std::vector<Measured>> search(Options& options) {
  RateSearch search(options.rate > 0 ? options.rate : 10'000, kSearchPrecision);
  while (!search.done()) {
    options.rate = search.rate();
    Result<Measured> one = measure(options);
    if (!one.ok() && one.error().name != kNotSustained) return one.error();
    std::fprintf(stderr, "%.0f a second: %s\n", options.rate,
                 one.ok() ? "sustained" : one.error().what.substr(0, one.error().what.find('\n')).c_str());
    search.tell(one.ok());
  }
  options.rate = search.best();
  if (options.rate == 0) return Error{Code::kFailed, "no rate is sustained", {}, kNotSustained};
  for (int retry = 0;; ++retry) {
    auto repeats = measure_all(options);
    if (repeats.ok() || repeats.error().name != kNotSustained || retry == kSearchRetries) return repeats;
    options.rate *= 1 - kSearchPrecision;
    std::fprintf(stderr, "not each time: %.0f a second\n", options.rate);
  }
}

std::vector<std::string> scenario_names() {
  std::vector<std::string> names;
  for (const ScenarioKind& kind : scenario_kinds()) names.emplace_back(kind.name);
  return names;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  std::string output = "table";
  bool find_rate = false;
  CLI::App app{"Measures clusters of real processes: Redis, a coordinator, workers and this client."};
  app.footer(scenario_help());
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.set_version_flag("--version", kVersion);
  app.add_option("--scenario", options.scenario, "what is run")->check(CLI::IsMember(scenario_names()))->required();
  app.add_option("--tasks", options.tasks, "tasks, all told (default: the scenario's)")
      ->check(CLI::Range(1U, 2'000'000U));
  app.add_option("--runs", options.runs, "of the scenarios that are one run: so many, one after the other")
      ->default_val(1)
      ->check(CLI::Range(1U, 1'000'000U));
  app.add_option("--in-flight", options.in_flight, "diamond: runs at once")
      ->default_val(64)
      ->check(CLI::Range(1U, 100'000U));
  app.add_option("--rate", options.rate,
                 "submit: submissions a second (default 25000), or where --search begins (10000); load, burst: the "
                 "capacity in runs a second (default: measured)")
      ->check(CLI::Range(1.0, 1e7));
  app.add_option("--seconds", options.seconds, "of each open loop (default: submit 10, load 5, burst 2)")
      ->check(CLI::Range(0.1, 3600.0));
  app.add_flag("--search", find_rate, "submit: look for the highest rate that is sustained");
  app.add_option("--of", options.of, "load, burst: the runs that arrive")
      ->default_val("diamond")
      ->check(CLI::IsMember({"single", "diamond"}));
  app.add_option("--workers", options.cluster.workers, "worker processes")->default_val(2)->check(CLI::Range(1, 256));
  auto* simulated =
      app.add_option("--simulated-workers", "so many workers that run nothing, in one process, instead of --workers")
          ->check(CLI::Range(1, 10'000));
  app.add_option("--slots", options.cluster.slots, "slots of each worker (default: cores)")
      ->check(CLI::Range(0, 4'096));
  app.add_option("--runs-max", options.cluster.runs_max,
                 "live runs that the coordinator admits (default: its own; burst 10000)");
  app.add_option("--repeats", options.repeats, "measurements, each on a fresh cluster; medians are printed")
      ->default_val(5)
      ->check(CLI::Range(1, 100));
  app.add_option("--store", options.cluster.store)->default_val("redis")->check(CLI::IsMember({"redis", "memory"}));
  app.add_option("--appendfsync", options.cluster.appendfsync)
      ->default_val("everysec")
      ->check(CLI::IsMember({"everysec", "always", "no"}));
  app.add_option("--transport", options.cluster.transport, "between workers, client and coordinator")
      ->default_val("tcp")
      ->check(CLI::IsMember({"tcp", "ipc"}));
  app.add_option("--isolation", options.isolation, "of python, javascript and shell tasks; shell has process only")
      ->default_val("process")
      ->check(CLI::IsMember({"none", "process"}));
  app.add_flag("--curve", options.cluster.curve, "everybody has a key, and everything is encrypted");
  app.add_option("--bin-dir", options.cluster.bin_dir,
                 "where millrace-coordinator and millrace-worker are (default: beside this program)")
      ->check(CLI::ExistingDirectory);
  app.add_option("-o,--output", output)->default_val("table")->check(CLI::IsMember({"json", "table"}));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) { return app.exit(error) == 0 ? 0 : 2; }
  if (find_rate && options.scenario != "submit") {
    std::fprintf(stderr, "millrace-bench: --search is for --scenario submit\n");
    return 2;
  }
  const std::uint64_t tasks = options.tasks > 0 ? options.tasks : find_scenario(options.scenario)->tasks;
  if (options.runs * tasks > 100'000'000) {
    std::fprintf(stderr, "millrace-bench: --runs times --tasks is more than 100,000,000\n");
    return 2;
  }
  if (simulated->count() > 0) {
    options.cluster.workers = simulated->as<int>();
    options.cluster.simulated = true;
  }
  if (options.cluster.simulated && options.cluster.curve) {
    std::fprintf(stderr, "millrace-bench: simulated workers have no keys: --curve goes without --simulated-workers\n");
    return 2;
  }
  if (options.cluster.simulated && find_scenario(options.scenario)->runs_executor) {
    std::fprintf(stderr, "millrace-bench: simulated workers run no %s\n", options.scenario.c_str());
    return 2;
  }
  if (options.cluster.bin_dir.empty())
    options.cluster.bin_dir = std::filesystem::read_symlink("/proc/self/exe").parent_path().string();

  auto repeats = find_rate ? search(options) : measure_all(options);
  if (!repeats.ok()) {
    std::fprintf(stderr, "millrace-bench: %s\n", repeats.error().what.c_str());
    return 1;
  }
  const Value result = report(options, *repeats);
  std::fputs(output == "json" ? (result.dump() + "\n").c_str() : table_of(result).c_str(), stdout);
  return 0;
}
