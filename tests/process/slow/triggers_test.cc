// A trigger of each minute on a real cluster whose coordinators are killed one after the other: each minute starts one
// run.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/process/failover.h"
#include "tests/process/workflows.h"

namespace millrace::test {
namespace {

TEST(Triggers, FireEachMinuteOnceWhileTheirOwnersAreKilled) {
  Cluster cluster({.workers = {}, .coordinators = 2});
  ASSERT_TRUE(eventually(20s, [&] { return balanced(cluster); }));
  const std::string file = cluster.workflow("minutely",
                                            "name: minutely\n"
                                            "inputs: {at: string}\n"
                                            "triggers: {t: {schedule: {cron: '* * * * *', catch_up: all, overlap: "
                                            "allow}, inputs: {at: \"{{ event.time }}\"}}}\n"
                                            "nodes: {a: {value: \"{{ inputs.at }}\"}}\n"
                                            "outputs: {at: \"{{ nodes.a }}\"}\n");
  ASSERT_EQ(cluster.cli({"workflow", "apply", file}).exit_code, 0);
  const auto runs_at = [&](std::size_t alive) {  // one line each
    const Finished listed = cluster.cli_at(alive, {"list", "-l", "trigger=t", "-o", "name"});
    return static_cast<std::size_t>(std::ranges::count(listed.out, '\n'));
  };
  std::size_t killed = 0;
  for (std::size_t fired = 1; fired <= 3; ++fired, killed = 1 - killed) {
    cluster.coordinator(killed).kill();
    ASSERT_TRUE(eventually(100s, [&] { return runs_at(1 - killed) >= fired; })) << fired;
    cluster.start_coordinator(killed);
    ASSERT_TRUE(eventually(30s, [&] { return balanced(cluster); }));
  }
  ASSERT_TRUE(eventually(10s, [&] { return cluster.cli({"trigger", "pause", "minutely"}).exit_code == 0; }));
  std::set<std::string> minutes;
  const std::vector<Value> all = cluster.rows({"list", "-l", "trigger=t"});
  for (const Value& row : all) minutes.insert(text_at(cluster.wait(text_at(row, {"run"})), {"outputs", "at"}));
  EXPECT_EQ(minutes.size(), all.size()) << "a minute has started two runs";
  EXPECT_GE(minutes.size(), 3U);
  const Value state = cluster.rows({"trigger", "list"}).at(0);
  EXPECT_EQ(number_at(state, {"started"}), std::ssize(all));
  EXPECT_EQ(number_at(state, {"failed"}), 0);
}

}  // namespace
}  // namespace millrace::test
