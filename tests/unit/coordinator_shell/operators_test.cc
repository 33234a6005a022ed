// What a coordinator tells its operators, from a snapshot.
#include "coordinator/shell/operators.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace millrace {
namespace {

std::string file_text(const std::string& path) {
  std::ifstream file(std::string(MILLRACE_SOURCE_DIR) + "/" + path);
  EXPECT_TRUE(file.is_open()) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

LoopSnapshot busy() {
  LoopSnapshot loop;
  loop.name = "c1";
  loop.store_ready = true;
  loop.partitions = 16;
  loop.partitions_serving = 2;
  loop.owned = {{PartitionId{3}, 7, true}, {PartitionId{9}, 8, true}};
  loop.tally.accepted = 10;
  loop.tally.restored = 3;
  loop.tally.of(RunState::kSucceeded) = 5;
  loop.tally.of(RunState::kDegraded) = 1;
  loop.tally.of(RunState::kFailed) = 2;
  loop.tally.of(RunState::kCancelled) = 1;
  loop.counts.runs_handed_over = 1;
  loop.runs_live = 3;
  loop.tally.of(TaskState::kReady) = 5;
  loop.tally.of(TaskState::kDispatched) = 1;
  loop.tally.of(TaskState::kRunning) = 3;
  loop.tally.of(TaskState::kSucceeded) = 100;
  loop.workers_ready = 2;
  loop.workers_draining = 1;
  loop.slots = 4;
  return loop;
}

// That it fits docs/http-schemas/scale.json is checked in tests/unit/spec/schema_test.cc.
TEST(Scale, IsWhatTheGoldenSays) {
  EXPECT_EQ(scale_json(busy()) + "\n", file_text("tests/unit/coordinator_shell/golden/scale.json"));
}

TEST(Scale, SuggestsAsManyWorkersAsHaveASlotForEverything) {
  EXPECT_EQ(workers_suggested(0, 8, 2), 0U);
  EXPECT_EQ(workers_suggested(1, 8, 2), 1U);
  EXPECT_EQ(workers_suggested(8, 8, 2), 2U);
  EXPECT_EQ(workers_suggested(9, 8, 2), 3U);
  EXPECT_EQ(workers_suggested(1'000, 8, 2), 250U);
  EXPECT_EQ(workers_suggested(10, 3, 2), 7U) << "workers differ: the mean counts";
  EXPECT_EQ(workers_suggested(1'000, 0, 0), 1U) << "one worker tells how many slots one has";
}

TEST(CoordinatorState, MetricsOfRunsAddUp) {
  MetricsPage page;
  CoordinatorState(busy(), 0).metrics(page);
  const std::string text = page.text();
  auto value = [&](const std::string& series) {
    const std::size_t at = text.find("\n" + series + " ");
    EXPECT_NE(at, std::string::npos) << series;
    return at == std::string::npos ? 0 : std::stoi(text.substr(at + series.size() + 2));
  };
  auto runs = [&](const std::string& outcome) { return value("millrace_runs_total{outcome=\"" + outcome + "\"}"); };

  EXPECT_EQ(runs("accepted") + runs("restored"), runs("succeeded") + runs("degraded") + runs("failed") +
                                                     runs("cancelled") + runs("handed_over") +
                                                     value("millrace_runs_live"));
  EXPECT_EQ(value("millrace_demand"), value("millrace_tasks_ready") + value("millrace_tasks_running"));
  EXPECT_EQ(value("millrace_demand"), 9);
  EXPECT_EQ(value("millrace_partition_epoch{partition=\"9\"}"), 8);
}

TEST(CheckSums, FindsARunThatIsNowhere) {
  LoopSnapshot loop = busy();
  EXPECT_EQ(check_sums(loop), "");
  --loop.runs_live;
  EXPECT_NE(check_sums(loop).find("2 live"), std::string::npos) << check_sums(loop);
}

TEST(CoordinatorState, SaysWhyItIsNotReady) {
  LoopSnapshot loop = busy();
  EXPECT_TRUE(CoordinatorState(loop, 0).readiness().ready);
  loop.store_ready = false;

  OperatorState::Readiness readiness = CoordinatorState(loop, 0).readiness();

  EXPECT_FALSE(readiness.ready);
  EXPECT_EQ(readiness.json,
            R"({"ready":false,"store":false,"stopping":false,"partitions":{"serving":2,"awaited":0,"all":16}})");
}

}  // namespace
}  // namespace millrace
