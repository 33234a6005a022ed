// Workflows and queues that are paused, on a real cluster: whoever is asked, whoever owns their partitions, and
// whoever dies.
#include <gtest/gtest.h>

#include "tests/process/failover.h"
#include "tests/process/workflows.h"

namespace millrace::test {
namespace {

constexpr const char* kFlow = R"yaml(name: flow
nodes:
  a: {executor: noop}
  b: {executor: noop, depends_on: a, queue: gpu}
)yaml";

class Pauses : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(eventually(20s, [&] { return balanced(cluster_); }));
    ASSERT_EQ(cluster_.cli({"workflow", "apply", cluster_.workflow("flow", kFlow)}).exit_code, 0);
  }
  std::string submit(std::size_t coordinator, const std::string& name) {
    const Finished submitted = cluster_.cli_at(coordinator, {"submit", name, "-o", "name"});
    EXPECT_EQ(submitted.exit_code, 0) << submitted.err;
    return submitted.out.substr(0, 13);
  }
  // It waits, and the status says for what.
  bool waits_for(const std::string& run, const std::string& node, const std::string& text) {
    const Value status = cluster_.json({"status", run});
    return text_at(status, {"nodes", node, "wait_reason"}) == "paused" &&
           text_at(status, {"nodes", node, "wait_text"}).starts_with(text);
  }
  void kill_and_start(std::size_t coordinator) {
    cluster_.coordinator(coordinator).kill();
    ASSERT_TRUE(
        eventually(20s, [&] { return owners_in_store(cluster_).count(Cluster::name_of(1 - coordinator)) == 16; }));
    cluster_.start_coordinator(coordinator);
    ASSERT_TRUE(eventually(30s, [&] { return balanced(cluster_); }));
  }
  Cluster cluster_{{.workers = {"w1"}, .worker_options = {"--queue", "default,gpu"}, .coordinators = 2}};
};

TEST_F(Pauses, AWorkflowWaitsInAllPartitionsAndWithTheNextOwners) {
  EXPECT_EQ(cluster_.cli_at(0, {"pause", "--workflow", "flow", "--reason", "a new release"}).out,
            "workflow flow is paused\n");
  EXPECT_EQ(cluster_.cli_at(1, {"pause", "--workflow", "flow", "-o", "json"}).exit_code, 0) << "it is already";
  EXPECT_EQ(cluster_.cli_at(1, {"pause", "--workflow", "flaw"}).exit_code, 3) << "no such workflow";
  std::vector<std::string> runs;
  for (int i = 0; i < 24; ++i) runs.push_back(submit(static_cast<std::size_t>(i % 2), "flow"));  // in many partitions
  const std::string other = cluster_.submit(cluster_.workflow("quick", kQuick));
  EXPECT_EQ(text_at(cluster_.wait(other), {"status"}), "succeeded") << "another workflow does not wait";
  for (std::size_t killed : {std::size_t{0}, std::size_t{1}}) {
    kill_and_start(killed);
    for (const std::string& run : runs)
      ASSERT_TRUE(eventually(10s, [&] { return waits_for(run, "a", "workflow 'flow' is paused by "); })) << run;
  }
  const Value status = cluster_.json({"status", runs.front()});
  EXPECT_EQ(text_at(status, {"status"}), "accepted");
  EXPECT_EQ(text_at(at(status, {"pauses"}).as_array().at(0), {"reason"}), "a new release");
  const std::vector<Value> list = cluster_.rows({"workflow", "list"});
  EXPECT_EQ(text_at(list.at(0), {"pause", "reason"}), "a new release");
  EXPECT_NE(cluster_.cli({"doctor"}).out.find("workflow 'flow' is paused"), std::string::npos);
  EXPECT_EQ(cluster_.cli({"store", "check", "--redis", cluster_.redis().url()}).exit_code, 0);

  EXPECT_EQ(cluster_.cli_at(1, {"resume", "--workflow", "flow"}).out, "workflow flow goes on\n");
  for (const std::string& run : runs) EXPECT_EQ(text_at(cluster_.wait(run), {"status"}), "succeeded");
  EXPECT_TRUE(cluster_.rows({"pause", "--list"}).empty());
}

TEST_F(Pauses, AQueueWaitsWhoseverTasksTheyAre) {
  ASSERT_EQ(cluster_.cli_at(1, {"pause", "--queue", "gpu"}).exit_code, 0);
  std::vector<std::string> runs;
  for (int i = 0; i < 12; ++i) runs.push_back(submit(static_cast<std::size_t>(i % 2), "flow"));
  for (const std::string& run : runs) {
    ASSERT_TRUE(eventually(20s, [&] { return cluster_.node_status(run, "a") == "succeeded"; })) << "of another queue";
    ASSERT_TRUE(eventually(10s, [&] { return waits_for(run, "b", "queue 'gpu' is paused"); }));
  }
  kill_and_start(0);
  for (const std::string& run : runs)
    ASSERT_TRUE(eventually(10s, [&] { return waits_for(run, "b", "queue 'gpu' is paused"); }));
  EXPECT_EQ(text_at(cluster_.rows({"pause", "--list"}).at(0), {"name"}), "gpu");
  ASSERT_EQ(cluster_.cli_at(0, {"resume", "--queue", "gpu"}).exit_code, 0);
  for (const std::string& run : runs) EXPECT_EQ(text_at(cluster_.wait(run), {"status"}), "succeeded");
}

}  // namespace
}  // namespace millrace::test
