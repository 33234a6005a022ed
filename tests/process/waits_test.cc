// Waits, signals, approvals and pauses on a real cluster, across kill -9 of its coordinator.
#include <gtest/gtest.h>

#include "tests/process/workflows.h"
#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

constexpr const char* kWaiting = R"yaml(
name: waiting
nodes:
  timer: {wait: {for: 2s}}
  go: {signal: go}
  late: {depends_on: [timer], signal: {name: late}}
  ask: {approval: {roles: [boss], message: "may we?"}}
  end:
    depends_on: [timer, go, late, ask]
    value: {go: "{{ nodes.go.n }}", late: "{{ nodes.late }}", by: "{{ nodes.ask.by }}", comment: "{{ nodes.ask.comment }}"}
outputs: {end: "{{ nodes.end }}"}
)yaml";

Value node_of(const Cluster& cluster, const std::string& run, std::string_view node) {
  return at(cluster.json({"status", run}), {"nodes", node});
}

TEST(Waits, OutliveTheirCoordinator) {
  Cluster cluster({.workers = {}});
  const std::string run = cluster.submit(cluster.workflow("waiting.yaml", kWaiting));
  ASSERT_TRUE(eventually(20s, [&] { return cluster.node_status(run, "ask") == "waiting"; }));
  EXPECT_EQ(text_at(node_of(cluster, run, "timer"), {"wait_reason"}), "timer");
  EXPECT_EQ(text_at(node_of(cluster, run, "go"), {"wait_reason"}), "signal");
  EXPECT_EQ(text_at(node_of(cluster, run, "ask"), {"wait_reason"}), "approval");
  EXPECT_EQ(text_at(node_of(cluster, run, "ask"), {"wait_text"}), "may we? (for boss)");
  EXPECT_EQ(cluster.cli({"signal", run, "late", "-d", "[1, 2]"}).exit_code, 0) << "it comes before its node waits";

  cluster.coordinator().kill();
  cluster.start_coordinator();
  ASSERT_TRUE(eventually(20s, [&] { return cluster.node_status(run, "go") == "waiting"; }));
  EXPECT_EQ(cluster.cli({"approve", run, "ask"}).exit_code, 6);
  EXPECT_EQ(cluster.cli({"signal", run, "stop"}).exit_code, 3);
  const Value done = cluster.json({"signal", run, "go", "-d", "{\"n\": 7}"});
  EXPECT_EQ(text_at(done, {"node"}), "go");
  EXPECT_EQ(text_at(done, {"node_status"}), "succeeded");
  EXPECT_EQ(cluster.cli({"signal", run, "go"}).exit_code, 7);
  EXPECT_EQ(cluster.cli({"approve", run, "ask", "--role", "boss", "--comment", "yes"}).exit_code, 0);

  const Value ended = cluster.wait(run);
  EXPECT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump_pretty();
  EXPECT_EQ(number_at(ended, {"outputs", "end", "go"}), 7);
  EXPECT_EQ(at(ended, {"outputs", "end", "late"}).dump(), "[1,2]");
  EXPECT_EQ(text_at(ended, {"outputs", "end", "comment"}), "yes");
  EXPECT_NE(text_at(ended, {"outputs", "end", "by"}).find('@'), std::string::npos);
  const std::vector<Value> events = cluster.rows({"events", run});
  EXPECT_EQ(problem_of_history(events), "");
  EXPECT_EQ(nodes_in_order(events, "task_waiting").size(), 3U) << "late had its signal by then";
  EXPECT_EQ(cluster.cli({"approve", run, "ask", "--reject", "--role", "boss"}).exit_code, 7) << "the run has ended";
}

TEST(Waits, ARejectedApprovalAndACancelledWait) {
  Cluster cluster({.workers = {}});
  const std::string file = cluster.workflow("waiting.yaml", kWaiting);
  const std::string rejected = cluster.submit(file);
  ASSERT_TRUE(eventually(20s, [&] { return cluster.node_status(rejected, "ask") == "waiting"; }));
  EXPECT_EQ(cluster.cli({"approve", rejected, "ask", "--reject", "--role", "boss", "--comment", "no"}).exit_code, 0);
  const Value ended = cluster.wait(rejected);
  EXPECT_EQ(text_at(ended, {"status"}), "failed");
  EXPECT_EQ(text_at(ended, {"error", "code"}), "rejected");
  EXPECT_EQ(text_at(ended, {"error", "node"}), "ask");

  const std::string cancelled = cluster.submit(file);
  ASSERT_TRUE(eventually(20s, [&] { return cluster.node_status(cancelled, "ask") == "waiting"; }));
  EXPECT_EQ(cluster.cli({"cancel", cancelled}).exit_code, 0);
  EXPECT_EQ(text_at(cluster.wait(cancelled), {"status"}), "cancelled");
  EXPECT_EQ(cluster.cli({"signal", cancelled, "go"}).exit_code, 7);
}

constexpr const char* kSteps = R"yaml(
name: steps
nodes:
  one: {executor: shell, script: sleep 1; echo 1}
  two: {executor: shell, depends_on: [one], script: echo 2}
)yaml";

TEST(Pause, StartsNothingMoreAlsoUnderANewCoordinator) {
  Cluster cluster({.workers = {"w1"}});
  const std::string run = cluster.submit(cluster.workflow("steps.yaml", kSteps));
  ASSERT_TRUE(eventually(20s, [&] { return cluster.node_status(run, "one") == "running"; }));
  EXPECT_EQ(text_at(cluster.json({"pause", run}), {"status"}), "paused");
  EXPECT_TRUE(at(cluster.json({"pause", run}), {"repeated"}).as_bool());
  ASSERT_TRUE(eventually(20s, [&] { return cluster.node_status(run, "one") == "succeeded"; })) << "what runs ends";
  cluster.coordinator().kill();
  cluster.start_coordinator();
  ASSERT_TRUE(eventually(20s, [&] { return text_at(node_of(cluster, run, "two"), {"wait_reason"}) == "paused"; }))
      << cluster.json({"status", run}).dump_pretty();
  EXPECT_EQ(text_at(cluster.json({"status", run}), {"status"}), "paused");
  EXPECT_EQ(cluster.cli({"doctor"}).out.find("audit"), std::string::npos) << cluster.cli({"doctor"}).out;
  EXPECT_EQ(text_at(cluster.json({"resume", run}), {"status"}), "running");
  EXPECT_EQ(text_at(cluster.wait(run), {"status"}), "succeeded");
  EXPECT_EQ(problem_of_history(cluster.rows({"events", run})), "");
  EXPECT_EQ(cluster.cli({"pause", run}).exit_code, 7);
}

constexpr const char* kCleaning = R"yaml(
name: cleaning
nodes:
  book: {executor: shell, script: echo booked, compensate: unbook}
  long: {executor: shell, depends_on: [book], script: sleep 60}
  unbook: {executor: shell, env: {WHY: "{{ error.code }}"}, script: 'sleep 1; echo "undone: $WHY"'}
finally:
  close: {executor: shell, script: sleep 1; echo closed}
)yaml";

TEST(CleanUp, OfACancelledRunOutlivesTheCoordinator) {
  Cluster cluster({.workers = {"w1"}});
  const std::string run = cluster.submit(cluster.workflow("cleaning.yaml", kCleaning));
  ASSERT_TRUE(eventually(20s, [&] { return cluster.node_status(run, "long") == "running"; }));
  EXPECT_EQ(cluster.cli({"cancel", run}).exit_code, 0);
  ASSERT_TRUE(eventually(20s, [&] { return cluster.node_status(run, "unbook") == "running"; }));
  EXPECT_EQ(text_at(cluster.json({"status", run}), {"status"}), "cancelling");
  cluster.coordinator().kill();
  cluster.start_coordinator();
  const Value ended = cluster.wait(run);
  EXPECT_EQ(text_at(ended, {"status"}), "cancelled") << ended.dump_pretty();
  EXPECT_EQ(text_at(ended, {"nodes", "long", "status"}), "cancelled");
  EXPECT_EQ(text_at(ended, {"nodes", "unbook", "outputs", "stdout"}), "undone: cancel_requested");
  EXPECT_EQ(text_at(ended, {"nodes", "close", "outputs", "stdout"}), "closed");
  EXPECT_EQ(problem_of_history(cluster.rows({"events", run})), "");
  EXPECT_EQ(cluster.cli({"doctor"}).out.find("audit"), std::string::npos);
}

}  // namespace
}  // namespace millrace::test
