// Several coordinators: they share the partitions, any of them takes any request, and one can go in any way.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>

#include "tests/process/failover.h"
#include "tests/process/workflows.h"

namespace millrace::test {
namespace {

TEST(Coordinators, OneOfTwoIsKilledAndNothingIsLostOrDoneTwice) { kill_one_of_two(60, 20); }

class TwoCoordinators : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(eventually(20s, [&] { return balanced(cluster_); })) << "they do not share the partitions";
  }
  std::size_t owned_by(std::size_t coordinator) {
    return owners_in_store(cluster_).count(Cluster::name_of(coordinator));
  }
  Cluster cluster_{{.workers = {"w1"}, .coordinators = 2}};
};

TEST_F(TwoCoordinators, AnyOfThemTakesAnyRequest) {
  std::string file = cluster_.workflow("quick", kQuick);
  for (int i = 0; i < 12; ++i) {
    const std::size_t here = static_cast<std::size_t>(i % 2);
    const std::size_t there = 1 - here;
    Finished submitted = cluster_.cli_at(here, {"submit", file, "-i", "n=" + std::to_string(i), "-o", "name"});
    ASSERT_EQ(submitted.exit_code, 0) << submitted.err;
    std::string run = submitted.out.substr(0, 13);
    EXPECT_EQ(cluster_.cli_at(there, {"wait", run, "--no-progress"}).exit_code, 0);
    EXPECT_EQ(cluster_.cli_at(here, {"status", run}).exit_code, 0);
    EXPECT_EQ(cluster_.cli_at(there, {"status", run.substr(0, 8)}).exit_code, 0);
    EXPECT_EQ(cluster_.cli_at(there, {"events", run}).exit_code, 0);
    EXPECT_EQ(cluster_.cli_at(there, {"cancel", run}).exit_code, 7) << "it has succeeded";
  }
  Finished list = cluster_.cli_at(1, {"list", "-o", "name"});
  EXPECT_EQ(std::count(list.out.begin(), list.out.end(), '\n'), 12);
}

TEST_F(TwoCoordinators, AWorkerGivenOneAddressWorksForBoth) {
  for (std::size_t at : {std::size_t{0}, std::size_t{1}}) {
    Finished workers = cluster_.cli_at(at, {"workers", "-o", "name"});
    EXPECT_EQ(workers.out, "w1\n");
  }
}

TEST_F(TwoCoordinators, TheyAreListedWithWhatTheyOwn) {
  std::vector<Value> coordinators = cluster_.rows({"coordinators"});
  ASSERT_EQ(coordinators.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(text_at(coordinators[i], {"name"}), Cluster::name_of(i));
    EXPECT_EQ(text_at(coordinators[i], {"address"}), cluster_.address(i));
    EXPECT_EQ(text_at(coordinators[i], {"state"}), "ready");
    EXPECT_EQ(number_at(coordinators[i], {"partitions"}), 8);
  }
  std::vector<Value> partitions = cluster_.rows({"partitions"});
  ASSERT_EQ(partitions.size(), 16U);
  for (const Value& partition : partitions) {
    EXPECT_EQ(text_at(partition, {"state"}), "serving") << partition.dump();
    EXPECT_EQ(number_at(partition, {"live_runs"}), 0);
    EXPECT_FALSE(text_at(partition, {"since"}).empty());
  }
}

TEST_F(TwoCoordinators, APartitionIsMovedWithItsRunningTasks) {
  std::string marks = cluster_.scratch().file("marks");
  std::string file = cluster_.workflow("two-seconds", R"yaml(
inputs:
  marks: {type: string, required: true}
nodes:
  task:
    executor: shell
    env: {MARKS: "{{ inputs.marks }}"}
    script: "echo begun >> $MARKS; sleep 2"
)yaml");
  std::string run = cluster_.submit(file, {"-i", "marks=" + marks});
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(marks) == 1; }));
  std::vector<Value> partitions = cluster_.rows({"partitions"});
  auto here = std::ranges::find_if(partitions, [](const Value& p) { return number_at(p, {"live_runs"}) == 1; });
  ASSERT_NE(here, partitions.end());
  const int partition = static_cast<int>(number_at(*here, {"partition"}));
  const std::string to = text_at(*here, {"owner"}) == Cluster::name_of(0) ? Cluster::name_of(1) : Cluster::name_of(0);

  Value moved = cluster_.json({"partitions", "move", std::to_string(partition), "--to", to});
  EXPECT_EQ(text_at(moved, {"to"}), to);
  EXPECT_TRUE(eventually(5s, [&] { return owner_in_store(cluster_, partition) == to; }));

  Value ended = cluster_.wait(run);
  EXPECT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump();
  EXPECT_EQ(number_at(ended, {"nodes", "task", "attempts"}), 1);
  EXPECT_EQ(count_lines(marks), 1U) << "it ran again";
  EXPECT_EQ(problem_of_history(cluster_.rows({"events", run})), "");
}

TEST_F(TwoCoordinators, WhatCannotBeMovedIsSaid) {
  EXPECT_EQ(cluster_.cli({"partitions", "move", "16", "--to", Cluster::name_of(1)}).exit_code, 3);
  EXPECT_EQ(cluster_.cli({"partitions", "move", "3", "--to", "nobody"}).exit_code, 3);
  EXPECT_EQ(cluster_.cli({"coordinators", "drain", "nobody"}).exit_code, 3);
}

TEST_F(TwoCoordinators, OneThatDrainsGivesUpEverythingAndGoesOnForwarding) {
  EXPECT_EQ(cluster_.cli({"coordinators", "drain", Cluster::name_of(0)}).exit_code, 0);
  EXPECT_TRUE(eventually(10s, [&] { return owned_by(1) == 16; }));
  EXPECT_EQ(cluster_.cli_at(0, {"submit", cluster_.workflow("quick", kQuick), "--wait", "--no-progress"}).exit_code, 0);
  EXPECT_EQ(text_at(cluster_.rows({"coordinators"})[0], {"state"}), "draining");
  EXPECT_EQ(cluster_.cli({"partitions", "move", "3", "--to", Cluster::name_of(0)}).exit_code, 6);
}

TEST_F(TwoCoordinators, AnOrderlyStopHandsOverAtOnceAndTheNextStartGetsItsShareBack) {
  std::string run = cluster_.submit(cluster_.workflow("quick", kQuick));
  cluster_.coordinator(0).signal(SIGTERM);
  EXPECT_EQ(cluster_.coordinator(0).wait(10s), 0);
  EXPECT_TRUE(eventually(1500ms, [&] { return owned_by(1) == 16; }));
  EXPECT_EQ(cluster_.cli_at(1, {"wait", run, "--no-progress"}).exit_code, 0);
  EXPECT_EQ(cluster_.cli_at(1, {"coordinators", "-o", "name"}).out, Cluster::name_of(1) + "\n");
  cluster_.start_coordinator(0);
  EXPECT_TRUE(eventually(20s, [&] { return balanced(cluster_); }));
}

TEST_F(TwoCoordinators, OneThatStoodStillIsFencedAndCannotHarm) {
  std::string marks = cluster_.scratch().file("marks");
  std::string run = cluster_.submit(cluster_.workflow("layers", layers(3, 3, "0.5")), {"-i", "marks=" + marks});
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(marks) >= 1; }));
  cluster_.coordinator(0).signal(SIGSTOP);
  EXPECT_TRUE(eventually(10s, [&] { return owned_by(1) == 16; }));
  cluster_.coordinator(0).signal(SIGCONT);
  Finished ended = cluster_.cli_at(1, {"wait", run, "--no-progress"});
  EXPECT_EQ(ended.exit_code, 0) << ended.err;
  EXPECT_EQ(problem_of_history(cluster_.rows({"events", run})), "");
  EXPECT_TRUE(eventually(20s, [&] { return balanced(cluster_); })) << "it does not get its share back";
}

}  // namespace
}  // namespace millrace::test
