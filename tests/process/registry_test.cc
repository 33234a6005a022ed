// Registered workflows on a real cluster: any coordinator takes what is asked of a name, and versions outlive their
// owner.
#include <gtest/gtest.h>

#include "tests/process/failover.h"
#include "tests/process/workflows.h"

namespace millrace::test {
namespace {

std::string answers(int n) {
  return "name: flow\nnodes:\n  a: {value: " + std::to_string(n) + "}\noutputs: {answer: \"{{ nodes.a }}\"}\n";
}

TEST(Registered, AnyCoordinatorTakesThemAndTheyOutliveTheirOwner) {
  Cluster cluster({.workers = {}, .coordinators = 2});
  ASSERT_TRUE(eventually(20s, [&] { return balanced(cluster); }));
  for (int version = 1; version <= 3; ++version) {
    const std::string file = cluster.workflow("flow", answers(version));
    const std::size_t at = static_cast<std::size_t>(version % 2);
    Finished applied = cluster.cli_at(at, {"workflow", "apply", file});
    EXPECT_EQ(applied.out, "flow version " + std::to_string(version) + "\n") << applied.err;
    EXPECT_EQ(cluster.cli_at(1 - at, {"workflow", "apply", file}).out,
              "flow version " + std::to_string(version) + " (unchanged)\n");
  }
  for (int i = 0; i < 20; ++i) {  // in the home partitions of both
    const std::string name = "other-" + std::to_string(i);
    const std::string file = cluster.workflow(name, "name: " + name + "\nnodes: {a: {value: 1}}\n");
    ASSERT_EQ(cluster.cli_at(static_cast<std::size_t>(i % 2), {"workflow", "apply", file}).exit_code, 0);
  }
  const auto answer_of = [&](const std::string& name) {
    Finished submitted = cluster.cli({"submit", name, "-o", "name"});
    EXPECT_EQ(submitted.exit_code, 0) << submitted.err;
    return number_at(cluster.wait(submitted.out.substr(0, 13)), {"outputs", "answer"});
  };
  EXPECT_EQ(answer_of("flow"), 3);
  EXPECT_EQ(answer_of("flow@1"), 1);
  EXPECT_EQ(cluster.cli({"submit", "flow@9"}).exit_code, 3);
  EXPECT_EQ(cluster.cli({"submit", "nothing"}).exit_code, 3);

  for (std::size_t killed : {std::size_t{0}, std::size_t{1}}) {  // one of them had it
    cluster.coordinator(killed).kill();
    ASSERT_TRUE(eventually(20s, [&] {
      return cluster.cli_at(1 - killed, {"workflow", "show", "flow"}).exit_code == 0;
    }));
    cluster.start_coordinator(killed);
    ASSERT_TRUE(eventually(30s, [&] { return balanced(cluster); }));
  }
  const Value versions = cluster.json({"workflow", "versions", "flow"});
  EXPECT_EQ(at(versions, {"versions"}).as_array().size(), 3U);
  ASSERT_TRUE(eventually(10s, [&] { return cluster.rows({"workflow", "list"}).size() == 21; }));
  EXPECT_EQ(cluster.cli({"workflow", "rollback", "flow", "2"}).out, "flow version 4 (as version 2)\n");
  EXPECT_EQ(answer_of("flow"), 2);
  EXPECT_EQ(cluster.cli({"workflow", "diff", "flow@2"}).out, "no difference\n");
  EXPECT_NE(cluster.cli({"workflow", "diff", "flow@1", "flow@3"}).out.find("~ node a: value"), std::string::npos);
  EXPECT_EQ(cluster.cli({"store", "check", "--redis", cluster.redis().url()}).exit_code, 0);
}

TEST(Registered, ARunIsRunAgainAsItsVersionAndIsToldWhichOneIsCurrent) {
  Cluster cluster({.workers = {}});
  ASSERT_EQ(cluster.cli({"workflow", "apply", cluster.workflow("flow", answers(1))}).exit_code, 0);
  const std::string run = cluster.cli({"submit", "flow", "-o", "name"}).out.substr(0, 13);
  EXPECT_EQ(number_at(cluster.wait(run), {"outputs", "answer"}), 1);
  EXPECT_EQ(at(cluster.json({"rerun", run}), {"current"}), Value()) << "it is current";
  ASSERT_EQ(cluster.cli({"workflow", "apply", cluster.workflow("flow", answers(2))}).exit_code, 0);
  const Finished again = cluster.cli({"rerun", run});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  for (const char* told : {"it runs as flow version 1", "version 2 is current, and differs:", "~ node a: value",
                           "-f flow@2 runs it under that"})
    EXPECT_NE(again.err.find(told), std::string::npos) << told << "\n" << again.err;
  const Value ended = cluster.wait(again.out.substr(0, 13));
  EXPECT_EQ(number_at(ended, {"version"}), 1);
  EXPECT_EQ(number_at(ended, {"outputs", "answer"}), 1);
  const Value with = cluster.json({"rerun", run, "-f", "flow@2"});
  EXPECT_EQ(number_at(with, {"version"}), 2);
  EXPECT_EQ(at(with, {"difference", "changed"}).as_array().size(), 1U);
  EXPECT_EQ(number_at(cluster.wait(text_at(with, {"run"})), {"outputs", "answer"}), 2);
  EXPECT_EQ(cluster.cli({"rerun", run, "-f", "flow@9"}).exit_code, 3);
}

TEST(Registered, ANameWithLiveRunsIsDeletedOnlyByForceAndItsRunsGoOn) {
  Cluster cluster({.workers = {}});
  const std::string waits = "name: waits\nnodes: {go: {signal: go}}\n";
  ASSERT_EQ(cluster.cli({"workflow", "apply", cluster.workflow("waits", waits)}).exit_code, 0);
  const std::string run = cluster.cli({"submit", "waits", "-o", "name"}).out.substr(0, 13);
  ASSERT_TRUE(eventually(20s, [&] { return cluster.node_status(run, "go") == "waiting"; }));
  Finished refused = cluster.cli({"workflow", "delete", "waits"});
  EXPECT_EQ(refused.exit_code, 7);
  EXPECT_NE(refused.err.find(run), std::string::npos) << refused.err;
  EXPECT_EQ(cluster.cli({"workflow", "delete", "waits", "--force"}).exit_code, 0);
  EXPECT_EQ(cluster.cli({"submit", "waits"}).exit_code, 3);
  EXPECT_EQ(cluster.cli({"signal", run, "go"}).exit_code, 0);
  EXPECT_EQ(text_at(cluster.wait(run), {"status"}), "succeeded");
  EXPECT_EQ(cluster.cli({"workflow", "apply", cluster.workflow("waits", waits)}).out, "waits version 2\n");
  EXPECT_EQ(cluster.cli({"workflow", "delete", "waits"}).exit_code, 0);
}

TEST(Registered, RetentionLeavesTheirDefinitions) {
  Cluster cluster({.workers = {}, .coordinator_options = {"--retention-count", "1", "--retention-age", "1s"}});
  ASSERT_EQ(cluster.cli({"workflow", "apply", cluster.workflow("flow", answers(7))}).exit_code, 0);
  for (int i = 0; i < 8; ++i) ASSERT_EQ(cluster.cli({"submit", "flow", "--wait"}).exit_code, 0);
  ASSERT_TRUE(eventually(30s, [&] { return cluster.rows({"list"}).empty(); })) << "runs go by age";
  cluster.coordinator().kill();  // nothing is in its memory any more
  cluster.start_coordinator();
  EXPECT_EQ(cluster.cli({"submit", "flow", "--wait"}).exit_code, 0);
  EXPECT_EQ(cluster.cli({"store", "check", "--redis", cluster.redis().url()}).exit_code, 0);
}

}  // namespace
}  // namespace millrace::test
