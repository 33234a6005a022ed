#include "bench/report.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace millrace::bench {
namespace {

// What callers of `-o json` rely on, in this order.
const std::vector<std::string> kFixed = {"scenario",    "tasks",           "workers",     "store",
                                         "appendfsync", "repeats",         "tasks_per_s", "runs_per_s",
                                         "p50_ms",      "p95_ms",          "p99_ms",      "per_hop_ms",
                                         "total_s",     "cpu_us_per_task", "rss_mb",      "redis_bytes_per_task"};

Measured measured(std::uint32_t runs, double total_s) {
  Measured m;
  m.tasks = m.runs = runs;
  m.total_s = total_s;
  for (std::uint32_t i = 1; i <= runs; ++i) m.latencies_ms.push_back(i);
  m.coordinator = {.cpu_s = 0.5, .rss_mb = 20};
  m.redis_bytes = 500 * runs;
  return m;
}

Options options_of(const std::string& scenario) {
  Options options;
  options.scenario = scenario;
  return options;
}

double number(const Value& report, const std::string& name) { return report.find(name)->to_double(); }

TEST(Report, BeginsWithTheFixedKeysInTheirOrder) {
  const Value out = report(options_of("single"), {measured(10, 1)});
  std::vector<std::string> names;
  for (const auto& [name, value] : out.as_object()) names.push_back(name);
  names.resize(kFixed.size());
  EXPECT_EQ(names, kFixed);
  EXPECT_EQ(out.find("cpu_us_per_task")->as_object().size(), 4U);
  EXPECT_EQ(out.find("rss_mb")->as_object().size(), 3U);
}

TEST(Report, FiguresAreMediansOverTheRepeatsAndTheirRangeStandsInSpread) {
  const Value out = report(options_of("single"), {measured(100, 1), measured(100, 4), measured(100, 2)});
  EXPECT_EQ(number(out, "repeats"), 3);
  EXPECT_EQ(number(out, "tasks_per_s"), 50);
  EXPECT_EQ(out.find("spread")->find("tasks_per_s")->dump(), "[25.0,100.0]");
  EXPECT_EQ(number(out, "p50_ms"), 50);
  EXPECT_EQ(number(out, "p99_ms"), 99);
  EXPECT_EQ(number(out, "redis_bytes_per_task"), 500);
  EXPECT_EQ(out.find("spread")->find("cpu_us_per_task.coordinator")->dump(), "[5000.0,5000.0]");
}

TEST(Report, WhatDoesNotApplyIsNull) {
  Options fanout = options_of("fanout");
  fanout.cluster.store = "memory";
  const Value out = report(fanout, {measured(1, 1)});
  for (const char* name :
       {"appendfsync", "runs_per_s", "p50_ms", "p95_ms", "p99_ms", "p999_ms", "per_hop_ms", "redis_bytes_per_task"}) {
    ASSERT_NE(out.find(name), nullptr) << name;
    EXPECT_TRUE(out.find(name)->is_null()) << name;
  }
  EXPECT_TRUE(out.find("cpu_us_per_task")->find("redis")->is_null());
  EXPECT_TRUE(out.find("rss_mb")->find("redis")->is_null());
}

TEST(Report, APercentileOnTooFewSamplesIsNamed) {
  const Value few = report(options_of("single"), {measured(200, 1)});
  EXPECT_EQ(few.find("notes")->dump(),
            R"(["p99_ms rests on 2 samples beyond it","p999_ms rests on 0 samples beyond it"])");
  const Value enough = report(options_of("single"), {measured(10'000, 1)});
  EXPECT_EQ(enough.find("notes")->dump(), "[]");
}

TEST(Report, AFigureWithADotStandsInAnObjectOfItsOwn) {
  Measured one = measured(10, 1);
  one.figures = {{"at_50.p99_ms", 2}, {"at_50.rate", 5}, {"at_80.p99_ms", 3}, {"capacity_runs_per_s", 10}};
  const Value out = report(options_of("load"), {one});
  EXPECT_EQ(out.find("at_50")->dump(), R"({"p99_ms":2.0,"rate":5.0})");
  EXPECT_EQ(out.find("at_80")->dump(), R"({"p99_ms":3.0})");
  EXPECT_EQ(number(out, "capacity_runs_per_s"), 10);
  EXPECT_EQ(out.find("spread")->find("at_80.p99_ms")->dump(), "[3.0,3.0]");
}

TEST(Report, EveryScenarioHasHelpAndAMaker) {
  for (const ScenarioKind& kind : scenario_kinds()) {
    EXPECT_EQ(find_scenario(kind.name), &kind);
    EXPECT_NE(kind.make, nullptr);
    EXPECT_NE(std::string(kind.help), "");
  }
  EXPECT_EQ(find_scenario("nothing"), nullptr);
}

}  // namespace
}  // namespace millrace::bench
