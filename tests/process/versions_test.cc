// What an earlier version has written is read and gone on with; what a later one has written is refused by name; a run
// keeps the definition that it began with. tests/data/record_store tells how the store was written down.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

#include "tests/process/workflows.h"
#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

// In tests/data/store-1.commands.
constexpr const char* kQuickRun = "jqxfmu3iamyxx";    // succeeded
constexpr const char* kLargeRun = "jcfefhhaymyxx";    // succeeded; a value of 70,000 characters by reference
constexpr const char* kFailedRun = "dbmgmiux4myxx";   // failed at its second try
constexpr const char* kHalfwayRun = "dp6htwi7emyxx";  // its first task has ended, its second was running
constexpr const char* kFreshRun = "edgtti3pxopjr";    // accepted, nothing began

const std::vector<std::string> kForEver = {"--partitions", "4", "--retention-age", "0s"};

TEST(Versions, AStoreOfFormat1IsReadAndItsLiveRunsEnd) {
  Cluster cluster({.coordinator_options = kForEver, .store = "store-1.commands"});
  for (const char* run : {kHalfwayRun, kFreshRun}) {
    const Value ended = cluster.wait(run);
    EXPECT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump_pretty();
    EXPECT_EQ(text_at(ended, {"outputs", "answer"}), "42") << ended.dump_pretty();
    EXPECT_EQ(problem_of_history(cluster.rows({"events", run})), "");
  }
  EXPECT_EQ(number_at(cluster.json({"status", kQuickRun}), {"outputs", "answer"}), 2);
  EXPECT_EQ(text_at(cluster.json({"status", kLargeRun}), {"nodes", "much", "outputs", "text"}).size(), 70'000U);
  EXPECT_EQ(text_at(cluster.json({"status", kFailedRun}), {"status"}), "failed");
  EXPECT_EQ(number_at(cluster.json({"status", kFailedRun}), {"nodes", "broken", "attempts"}), 2);
  for (const char* run : {kQuickRun, kLargeRun, kFailedRun})
    EXPECT_EQ(problem_of_history(cluster.rows({"events", run})), "") << run;
  EXPECT_NE(cluster.cli({"logs", kQuickRun}).out.find("working"), std::string::npos);
  EXPECT_EQ(cluster.rows({"list"}).size(), 5U);
  EXPECT_EQ(cluster.rows({"list", "--label", "team=data"}).size(), 2U);
  // The keys are known: another request under one is a conflict.
  EXPECT_EQ(cluster.cli({"submit", cluster.workflow("q.yaml", kQuick), "-k", "key-quick", "-i", "n=3"}).exit_code, 7);
}

TEST(Versions, RunsOfAnEarlierVersionAreDeletedLikeAllOthers) {
  Cluster cluster({.coordinator_options = {"--partitions", "4", "--retention-age", "1s", "--value-grace", "1s"},
                   .store = "store-1.commands"});
  for (const char* run : {kQuickRun, kLargeRun, kFailedRun})
    EXPECT_TRUE(eventually(20s, [&] { return cluster.cli({"status", run}).exit_code == 3; })) << run;
}

TEST(Versions, WhatANewerMillraceHasWrittenIsRefusedByName) {
  Cluster cluster({.workers = {}, .coordinator_options = kForEver, .store = "store-1.commands"});
  // The record of a finished run as a version 4 would have written it: behind four bytes of length stands the version.
  const std::string key = std::string("mr:{p3}:r:") + kQuickRun;
  const Finished set =
      run_program({"redis-cli", "-s", cluster.redis().path(), "EVAL",
                   "local v = redis.call('HGET', KEYS[1], '.m') "
                   "redis.call('HSET', KEYS[1], '.m', v:sub(1, 4) .. string.char(4) .. v:sub(6)) return 1",
                   "1", key});
  ASSERT_EQ(set.out, "1\n") << set.err;
  const Finished status = cluster.cli({"status", kQuickRun, "-o", "json"});
  EXPECT_EQ(status.exit_code, 6) << status.out;
  Result<Value> error = Value::parse(status.out);
  ASSERT_TRUE(error.ok());
  EXPECT_EQ(text_at(*error, {"error", "name"}), "newer_version");
  EXPECT_NE(
      text_at(*error, {"error", "message"}).find("written by a newer Millrace (version 4, this one reads up to 3)"),
      std::string::npos)
      << status.out;
  EXPECT_EQ(cluster.cli({"status", kLargeRun}).exit_code, 0) << "the others are served";
}

TEST(Versions, AStoreOfANewerFormatIsNotTouched) {
  Cluster cluster({.workers = {}});
  cluster.coordinator().kill();
  ASSERT_EQ(run_program({"redis-cli", "-s", cluster.redis().path(), "HSET", "mr:meta", "format", "2"}).exit_code, 0);
  cluster.start_coordinator();
  const std::optional<int> code = cluster.coordinator().wait(10s);
  ASSERT_TRUE(code.has_value());
  EXPECT_NE(*code, 0);
  EXPECT_NE((cluster.coordinator().err() + cluster.coordinator().out()).find("format 2"), std::string::npos);
}

TEST(Versions, ARunKeepsTheDefinitionItBeganWith) {
  Cluster cluster;
  const std::string marks = cluster.scratch().file("marks");
  const char* shape = R"yaml(
name: changing
inputs:
  marks: {type: string, required: true}
nodes:
  wait:
    executor: shell
    env: {MARKS: "{{ inputs.marks }}"}
    script: while [ ! -e "$MARKS" ]; do sleep 0.05; done
  answer: {executor: shell, depends_on: [wait], script: "echo NUMBER"}
outputs:
  answer: "{{ nodes.answer.stdout }}"
)yaml";
  auto numbered = [&](const std::string& number) {
    std::string text = shape;
    text.replace(text.find("NUMBER"), 6, number);
    return cluster.workflow("changing-" + number + ".yaml", text);
  };
  const std::string first = cluster.submit(numbered("1"), {"-i", "marks=" + marks});
  ASSERT_TRUE(eventually(10s, [&] { return cluster.node_status(first, "wait") == "running"; }));
  const std::string second = cluster.submit(numbered("2"), {"-i", "marks=" + marks});
  cluster.coordinator().kill();  // nor does a new owner mix them up
  cluster.start_coordinator();
  cluster.scratch().write("marks", "go");
  EXPECT_EQ(text_at(cluster.wait(first), {"outputs", "answer"}), "1");
  EXPECT_EQ(text_at(cluster.wait(second), {"outputs", "answer"}), "2");
}

// MILLRACE_PREVIOUS_BIN: a directory with the programs of the version before.
TEST(Versions, CoordinatorsOfTwoVersionsRunSideBySide) {
  const char* previous = std::getenv("MILLRACE_PREVIOUS_BIN");
  if (previous == nullptr) GTEST_SKIP() << "MILLRACE_PREVIOUS_BIN names no programs of the version before";
  Cluster cluster({.coordinators = 2, .programs = previous});
  const std::string quick = cluster.workflow("quick.yaml", kQuick);
  std::vector<std::string> runs;
  const std::string both = cluster.address(0) + "," + cluster.address(1);
  auto submit_some = [&] {
    for (int i = 0; i < 10; ++i)
      runs.push_back(cluster.submit(quick, {"-i", "n=" + std::to_string(runs.size()), "-c", both}));
  };
  submit_some();
  cluster.upgrade();
  for (std::size_t which : {0U, 1U}) {
    cluster.coordinator(which).signal(SIGTERM);
    ASSERT_TRUE(cluster.coordinator(which).wait(15s).has_value());
    submit_some();  // by one that is left
    cluster.start_coordinator(which);
    submit_some();
    ASSERT_TRUE(eventually(10s, [&] { return cluster.rows({"coordinators"}).size() == 2; }));
    submit_some();
  }
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Value ended = cluster.wait(runs[i]);
    EXPECT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump_pretty();
    EXPECT_EQ(number_at(ended, {"outputs", "answer"}), static_cast<std::int64_t>(2 * i));
    EXPECT_EQ(problem_of_history(cluster.rows({"events", runs[i]})), "");
  }
}

}  // namespace
}  // namespace millrace::test
