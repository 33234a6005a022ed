// A coordinator that dies and comes back, and a Redis that does.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <set>

#include "tests/process/workflows.h"
#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

constexpr int kDepth = 4;
constexpr int kWidth = 6;

// Every node succeeded once, none before all of the layer before it, and the marks hold every id.
void expect_layers_ran(const Cluster& cluster, const std::string& run, const Value& ended) {
  EXPECT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump();
  EXPECT_EQ(text_at(ended, {"outputs", "seen"}), std::to_string(kDepth * kWidth));
  std::vector<Value> events = cluster.rows({"events", run});
  EXPECT_EQ(problem_of_history(events), "");
  std::vector<std::string> order = nodes_in_order(events, "task_succeeded");
  EXPECT_EQ(order.size(), static_cast<std::size_t>(kDepth * kWidth + 1));
  EXPECT_EQ(std::set<std::string>(order.begin(), order.end()).size(), order.size()) << "a node succeeded twice";
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end() - 1, [](const std::string& a, const std::string& b) {
    return a.substr(0, 2) < b.substr(0, 2);
  })) << "a node ran before what it depends on";
}

std::string submit_layers(const Cluster& cluster, const std::string& marks) {
  return cluster.submit(cluster.workflow("layers", layers(kDepth, kWidth, "0.3")), {"-i", "marks=" + marks});
}

TEST(CoordinatorLoss, ARunGoesOnAfterItsCoordinatorIsKilledAndStartedAgain) {
  Cluster cluster;
  std::string marks = cluster.scratch().file("marks");
  std::string run = submit_layers(cluster, marks);
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(marks) >= kWidth + 1; }));

  cluster.coordinator().kill();
  cluster.start_coordinator();

  expect_layers_ran(cluster, run, cluster.wait(run));
}

TEST(CoordinatorLoss, ARunSurvivesThreeCoordinatorsKilledAtDifferentPlaces) {
  Cluster cluster;
  std::string marks = cluster.scratch().file("marks");
  std::string run = submit_layers(cluster, marks);
  for (std::size_t place : {std::size_t{1}, std::size_t{9}, std::size_t{17}}) {
    ASSERT_TRUE(eventually(30s, [&] { return count_lines(marks) >= place; })) << "stuck before mark " << place;
    cluster.coordinator().kill();
    cluster.start_coordinator();
  }

  expect_layers_ran(cluster, run, cluster.wait(run));
}

TEST(CoordinatorLoss, ATaskThatRunsWhileTheCoordinatorIsAwayIsAdoptedAndNotRunAgain) {
  Cluster cluster;
  std::string marks = cluster.scratch().file("marks");
  std::string file = cluster.workflow("four-seconds", R"yaml(
inputs:
  marks: {type: string, required: true}
nodes:
  slow:
    executor: shell
    env: {MARKS: "{{ inputs.marks }}"}
    script: "echo here >> $MARKS; sleep 6; echo done"
outputs:
  answer: "{{ nodes.slow.stdout }}"
)yaml");
  std::string run = cluster.submit(file, {"-i", "marks=" + marks});
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(marks) == 1; }));

  cluster.coordinator().kill();
  cluster.start_coordinator();

  Value ended = cluster.wait(run);
  EXPECT_EQ(text_at(ended, {"outputs", "answer"}), "done") << ended.dump();
  EXPECT_EQ(number_at(ended, {"nodes", "slow", "attempts"}), 1);
  EXPECT_EQ(count_lines(marks), 1U);
}

TEST(CoordinatorLoss, WhatAWorkerFinishedWhileTheCoordinatorWasAwayCounts) {
  Cluster cluster({.workers = {"w1"}});
  std::string marks = cluster.scratch().file("marks");
  std::string file = cluster.workflow("short", R"yaml(
inputs:
  marks: {type: string, required: true}
nodes:
  task:
    executor: shell
    env: {MARKS: "{{ inputs.marks }}"}
    script: "echo begun >> $MARKS; sleep 1; echo ended >> $MARKS"
)yaml");
  std::string run = cluster.submit(file, {"-i", "marks=" + marks});
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(marks) == 1; }));

  cluster.coordinator().kill();
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(marks) == 2; }));
  cluster.start_coordinator();

  EXPECT_EQ(text_at(cluster.wait(run), {"status"}), "succeeded");
  EXPECT_EQ(count_lines(marks), 2U) << "it ran again";
}

TEST(CoordinatorLoss, AFinishedRunIsStillThereWithItsOutputs) {
  Cluster cluster;
  std::string run = cluster.submit(cluster.workflow("quick", kQuick), {"-i", "n=5"});
  ASSERT_EQ(text_at(cluster.wait(run), {"status"}), "succeeded");

  cluster.coordinator().kill();
  cluster.start_coordinator();
  ASSERT_TRUE(cluster.wait_for_workers(2));

  Value again = cluster.json({"status", run});
  EXPECT_EQ(number_at(again, {"outputs", "answer"}), 10);
  EXPECT_EQ(problem_of_history(cluster.rows({"events", run})), "");
}

TEST(CoordinatorLoss, AnIdempotencyKeyStillNamesItsRun) {
  Cluster cluster;
  std::string file = cluster.workflow("quick", kQuick);
  std::string run = cluster.submit(file, {"--idempotency-key", "order-1"});
  cluster.wait(run);

  cluster.coordinator().kill();
  cluster.start_coordinator();
  ASSERT_TRUE(cluster.wait_for_workers(2));

  Value again = cluster.json({"submit", file, "--idempotency-key", "order-1"});
  EXPECT_EQ(text_at(again, {"run"}), run);
  EXPECT_TRUE(at(again, {"existing"}) == Value(true)) << again.dump();
}

TEST(CoordinatorLoss, AFollowerOfEventsMissesNothingAcrossARestart) {
  Cluster cluster;
  std::string marks = cluster.scratch().file("marks");
  std::string run = submit_layers(cluster, marks);
  Program follower = cluster.start_cli({"events", run, "-f", "-o", "jsonl"}, "follower");
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(marks) >= kWidth + 1; }));

  cluster.coordinator().kill();
  cluster.start_coordinator();

  EXPECT_EQ(follower.wait(60s), 0) << follower.err();
  std::vector<Value> durable;
  std::string out = follower.out();
  for (std::size_t begin = 0, end; (end = out.find('\n', begin)) != std::string::npos; begin = end + 1) {
    Result<Value> event = Value::parse(out.substr(begin, end - begin));
    ASSERT_TRUE(event.ok()) << out;
    if (number_at(*event, {"seq"}) > 0) durable.push_back(*event);
  }
  EXPECT_EQ(problem_of_history(durable), "") << out;
}

TEST(CoordinatorLoss, AnOrderlyStopHandsOverWithoutTheWait) {
  Cluster cluster;
  cluster.coordinator().signal(SIGTERM);
  EXPECT_EQ(cluster.coordinator().wait(20s), 0) << cluster.coordinator().err();
  auto begun = std::chrono::steady_clock::now();
  cluster.start_coordinator();

  EXPECT_EQ(cluster.cli({"submit", cluster.workflow("quick", kQuick), "--wait"}).exit_code, 0);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 8s);
}

TEST(RedisLoss, ARunGoesOnAfterRedisIsKilledAndHasReadItsLogAgain) {
  Cluster cluster({.append = Append::kAlways});
  std::string marks = cluster.scratch().file("marks");
  std::string run = submit_layers(cluster, marks);
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(marks) >= kWidth + 1; }));

  cluster.redis().kill_now();
  eventually(1s, [] { return false; });
  cluster.start_redis();

  expect_layers_ran(cluster, run, cluster.wait(run));
}

TEST(RedisLoss, ARunGoesOnWhenRedisAndCoordinatorAreKilledTogether) {
  Cluster cluster({.append = Append::kAlways});
  std::string marks = cluster.scratch().file("marks");
  std::string run = submit_layers(cluster, marks);
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(marks) >= kWidth + 1; }));

  cluster.coordinator().kill();
  cluster.redis().kill_now();
  cluster.start_redis();
  cluster.start_coordinator();

  expect_layers_ran(cluster, run, cluster.wait(run));
}

}  // namespace
}  // namespace millrace::test
