// millrace-bench: measures whole clusters of real processes (Redis, coordinator, workers, client) and prints one JSON
// object.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "bench/scenarios.h"
#include "common/base/value.h"
#include "common/base/version.h"

namespace {

using namespace millrace;
using namespace millrace::bench;

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double percentile(const std::vector<double>& sorted, double p) {
  auto at = static_cast<std::size_t>(p * static_cast<double>(sorted.size()));
  return sorted[std::min(at, sorted.size() - 1)];
}

double rounded(double value) { return std::round(value * 10'000) / 10'000; }

template <class Of>
double over(const std::vector<Measured>& repeats, Of of) {
  std::vector<double> values;
  for (const Measured& one : repeats) values.push_back(of(one));
  return rounded(median(values));
}

Value report(const Options& o, const std::vector<Measured>& r) {
  bool many_runs = r[0].runs > 1;
  bool redis = o.cluster.store == "redis";
  Value out = Value::Object{};
  out.set("scenario", o.scenario);
  out.set("tasks", std::uint64_t{r[0].tasks});
  out.set("workers", o.cluster.workers);
  out.set("store", o.cluster.store);
  out.set("appendfsync", redis ? Value(o.cluster.appendfsync) : Value());
  out.set("repeats", o.repeats);
  out.set("tasks_per_s", over(r, [](const Measured& m) { return m.tasks / m.total_s; }));
  out.set("runs_per_s", many_runs ? Value(over(r, [](const Measured& m) { return m.runs / m.total_s; })) : Value());
  for (auto [name, p] : {std::pair{"p50_ms", 0.5}, std::pair{"p95_ms", 0.95}, std::pair{"p99_ms", 0.99}}) {
    out.set(name,
            many_runs ? Value(over(r, [p = p](const Measured& m) { return percentile(m.latencies_ms, p); })) : Value());
  }
  out.set("per_hop_ms",
          o.scenario == "chain" ? Value(over(r, [](const Measured& m) { return m.per_hop_ms; })) : Value());
  out.set("total_s", over(r, [](const Measured& m) { return m.total_s; }));
  Value cpu = Value::Object{};
  cpu.set("coordinator", over(r, [](const Measured& m) { return m.coordinator.cpu_s * 1e6 / m.tasks; }));
  cpu.set("workers", over(r, [](const Measured& m) { return m.workers.cpu_s * 1e6 / m.tasks; }));
  cpu.set("redis", redis ? Value(over(r, [](const Measured& m) { return m.redis.cpu_s * 1e6 / m.tasks; })) : Value());
  cpu.set("client", over(r, [](const Measured& m) { return m.client_cpu_s * 1e6 / m.tasks; }));
  out.set("cpu_us_per_task", std::move(cpu));
  Value rss = Value::Object{};
  rss.set("coordinator", over(r, [](const Measured& m) { return m.coordinator.rss_mb; }));
  rss.set("workers", over(r, [](const Measured& m) { return m.workers.rss_mb; }));
  rss.set("redis", redis ? Value(over(r, [](const Measured& m) { return m.redis.rss_mb; })) : Value());
  out.set("rss_mb", std::move(rss));
  out.set(
      "redis_bytes_per_task",
      redis ? Value(over(r, [](const Measured& m) { return static_cast<double>(m.redis_bytes) / m.tasks; })) : Value());
  return out;
}

void print_table(const Value& result) {
  for (const auto& [name, value] : result.as_object()) {
    if (!value.is_object()) {
      std::printf("%-22s %s\n", name.c_str(), value.is_string() ? value.as_string().c_str() : value.dump().c_str());
      continue;
    }
    for (const auto& [part, number] : value.as_object())
      std::printf("%-22s %s\n", (name + "." + part).c_str(), number.dump().c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  std::string output = "table";
  CLI::App app{"Measures clusters of real processes: Redis, a coordinator, workers and this client."};
  app.set_version_flag("--version", kVersion);
  app.add_option("--scenario", options.scenario, "what is run")->check(CLI::IsMember(scenario_names()))->required();
  app.add_option("--tasks", options.tasks, "tasks, all told (default: the scenario's)")
      ->check(CLI::Range(1U, 2'000'000U));
  app.add_option("--in-flight", options.in_flight, "runs at once (diamond)")->check(CLI::Range(1U, 100'000U));
  app.add_option("--workers", options.cluster.workers, "worker processes")->default_val(2)->check(CLI::Range(1, 256));
  app.add_option("--slots", options.cluster.slots, "slots of each worker (default: cores)")
      ->check(CLI::Range(0, 4'096));
  app.add_option("--repeats", options.repeats, "measurements, each on a fresh cluster; medians are printed")
      ->default_val(3)
      ->check(CLI::Range(1, 100));
  app.add_option("--store", options.cluster.store)->check(CLI::IsMember({"redis", "memory"}));
  app.add_option("--appendfsync", options.cluster.appendfsync)->check(CLI::IsMember({"everysec", "always", "no"}));
  app.add_option("--isolation", options.isolation, "of python tasks")->check(CLI::IsMember({"none", "process"}));
  app.add_option("-o,--output", output)->check(CLI::IsMember({"json", "table"}));
  CLI11_PARSE(app, argc, argv);
  options.cluster.bin_dir = std::filesystem::read_symlink("/proc/self/exe").parent_path().string();

  std::vector<Measured> repeats;
  for (int i = 0; i < options.repeats; ++i) {
    Result<Measured> one = measure(options);
    if (!one.ok()) {
      std::fprintf(stderr, "millrace-bench: %s\n", one.error().what.c_str());
      return 1;
    }
    std::fprintf(stderr, "repeat %d of %d: %u tasks in %.3f s\n", i + 1, options.repeats, one->tasks, one->total_s);
    repeats.push_back(std::move(one).value());
  }
  Value result = report(options, repeats);
  if (output == "json") std::printf("%s\n", result.dump().c_str());
  else print_table(result);
  return 0;
}
