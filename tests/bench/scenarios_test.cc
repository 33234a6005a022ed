// millrace-bench against real processes, with loads so small that they say nothing about speed: what it promises to
// check, it checks.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/value.h"
#include "tests/support/process.h"

namespace millrace::test {
namespace {

constexpr Wait kPatience = 120s;

Finished bench(const std::vector<std::string>& options) {
  std::vector<std::string> words = {bin("millrace-bench"), "--repeats", "1", "-o", "json", "--store", "memory"};
  words.insert(words.end(), options.begin(), options.end());
  return run_program(words, {}, kPatience);
}

Value measured(const std::vector<std::string>& options) {
  const Finished finished = bench(options);
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  Result<Value> report = Value::parse(finished.out);
  EXPECT_TRUE(report.ok()) << finished.out;
  return report.ok() ? *report : Value(Value::Object{});
}

double number(const Value& report, const std::string& name) {
  const Value* found = report.find(name);
  return found != nullptr && found->is_number() ? found->to_double() : -1;
}

TEST(Bench, SubmitHasEverySubmissionAcknowledgedAndExecuted) {
  const Value report = measured({"--scenario", "submit", "--rate", "200", "--seconds", "1"});
  EXPECT_EQ(number(report, "tasks"), 200);
  EXPECT_EQ(number(report, "samples"), 200);
  EXPECT_GT(number(report, "acknowledged_per_s"), 150);
  EXPECT_GE(number(report, "backlog_s"), 0);
}

TEST(Bench, SubmitFailsWhereTheRateIsNotSustained) {
  const Finished finished = bench({"--scenario", "submit", "--rate", "20000", "--seconds", "0.5", "--runs-max", "8"});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_NE(finished.err.find("queue_full"), std::string::npos) << finished.err;
  EXPECT_EQ(finished.out, "");
}

TEST(Bench, LoadReportsBothShares) {
  const Value report = measured({"--scenario", "load", "--rate", "200", "--seconds", "0.5"});
  for (const char* share : {"at_50", "at_80"}) {
    ASSERT_NE(report.find(share), nullptr) << report.dump();
    EXPECT_GT(number(*report.find(share), "p50_ms"), 0);
    EXPECT_GE(number(*report.find(share), "p999_ms"), number(*report.find(share), "p50_ms"));
  }
  EXPECT_EQ(number(report, "runs_per_s") > 0, true);
}

TEST(Bench, ABurstIsAdmittedOrRefusedToTheLastSubmission) {
  const Value report = measured({"--scenario", "burst", "--rate", "1000", "--seconds", "0.2", "--runs-max", "20"});
  const Value* burst = report.find("burst");
  ASSERT_NE(burst, nullptr) << report.dump();
  EXPECT_EQ(number(*burst, "accepted") + number(*burst, "refused"), 10'000);
  EXPECT_GT(number(*burst, "refused"), 0);
  EXPECT_GT(number(*burst, "accepted"), 0);
}

TEST(Bench, SimulatedWorkersDoAsManyTasksAsRealOnes) {
  const Value report = measured({"--scenario", "fanout", "--tasks", "2000", "--simulated-workers", "20"});
  EXPECT_EQ(number(report, "tasks"), 2'001);
  EXPECT_EQ(number(report, "workers"), 20);
}

TEST(Bench, ManySmallRunsOfAScenarioWhoseOwnSizeIsLargeAreNotTooMany) {
  const Value report = measured({"--scenario", "random", "--tasks", "20", "--runs", "150"});
  EXPECT_EQ(number(report, "tasks"), 3'000);
}

TEST(Bench, ItemsOfAFanOutCountAsTasks) {
  const Value report = measured({"--scenario", "foreach", "--tasks", "5000"});
  EXPECT_EQ(number(report, "tasks"), 5'000);
  const Value items = measured({"--scenario", "items", "--tasks", "200"});
  EXPECT_EQ(number(items, "tasks"), 200);
  EXPECT_LT(number(items, "overhead_percent"), 100);
}

TEST(Bench, EachExecutorStandsBesideAPoolOfProgramsThatDoTheSame) {
  for (const char* executor : {"python", "javascript", "shell", "http", "llm"}) {
    SCOPED_TRACE(executor);
    if (std::string_view(executor) == "javascript" && run_program({"node", "--version"}).exit_code != 0) continue;
    const Value report = measured({"--scenario", executor, "--tasks", "20"});
    EXPECT_EQ(number(report, "tasks"), 21);
    EXPECT_GT(number(report, "times_pool"), 0);
    const Value* pool = report.find("pool");
    ASSERT_NE(pool, nullptr) << report.dump();
    EXPECT_GT(number(*pool, "tasks_per_s"), 0);
    EXPECT_GT(number(*pool, "cpu_us_per_task"), 0);
  }
}

TEST(Bench, RedisIsCountedWhereItIsUsed) {
  const Value report = measured({"--scenario", "single", "--tasks", "100", "--store", "redis"});
  EXPECT_GT(number(report, "redis_bytes_per_task"), 100);
  EXPECT_LT(number(report, "redis_bytes_per_task"), 5'000);
  EXPECT_GT(number(*report.find("cpu_us_per_task"), "redis"), 0);
}

TEST(Bench, WrongUsageIsExitTwo) {
  EXPECT_EQ(bench({"--scenario", "nothing"}).exit_code, 2);
  EXPECT_EQ(bench({"--scenario", "single", "--search"}).exit_code, 2);
  for (const char* executor : {"python", "llm"})
    EXPECT_EQ(bench({"--scenario", executor, "--simulated-workers", "2"}).exit_code, 2) << executor;
}

// The short form of `./dev bench soak`: ten times as many runs as are kept.
TEST(Bench, ASoakLeavesTheMemoryOfAllProcessesAndOfRedisFlat) {
  const Value report = measured({"--scenario", "soak", "--tasks", "40000", "--store", "redis"});
  EXPECT_EQ(number(report, "tasks"), 40'000);
  const Value* last = report.find("after_100_percent");
  ASSERT_NE(last, nullptr) << report.dump();
  for (const char* figure : {"coordinator_mb", "workers_mb", "redis_mb", "redis_used_mb"})
    EXPECT_GT(number(*last, figure), 0) << figure;
}

}  // namespace
}  // namespace millrace::test
