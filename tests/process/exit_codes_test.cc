// The exit codes of `millrace`: a contract with scripts (docs/cli.md).
#include <gtest/gtest.h>

#include "tests/process/workflows.h"
#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

// With `-o json` standard output holds one JSON value; returns the error in it.
Value error_in(const Finished& finished) {
  Result<Value> value = Value::parse(finished.out);
  EXPECT_TRUE(value.ok()) << "not one JSON value:\n" << finished.out;
  return value.ok() ? at(*value, {"error"}) : Value();
}

class LocalExitCodes : public ::testing::Test {
 protected:
  Finished millrace(std::vector<std::string> words) const {
    words.insert(words.begin(), bin("millrace"));
    return run_program(words);
  }
  std::string workflow(std::string_view text) const { return scratch_.write("workflow.yaml", text); }
  ScratchDirectory scratch_;
};

TEST_F(LocalExitCodes, ZeroOfARunThatSucceeded) {
  EXPECT_EQ(millrace({"run", workflow(kQuick)}).exit_code, 0);
  EXPECT_EQ(millrace({"validate", workflow(kQuick)}).exit_code, 0);
  EXPECT_EQ(millrace({"version"}).exit_code, 0);
  EXPECT_EQ(millrace({"--help"}).exit_code, 0);
}

TEST_F(LocalExitCodes, OneOfARunThatFailedOrRanOutOfItsOwnTime) {
  EXPECT_EQ(millrace({"run", workflow(kFailing)}).exit_code, 1);
  EXPECT_EQ(millrace({"run", workflow("timeout: 200ms\nnodes:\n  a: {executor: shell, script: sleep 60}\n")}).exit_code,
            1);
}

TEST_F(LocalExitCodes, TwoOfAnUnknownVerbOrOption) {
  EXPECT_EQ(millrace({"walk"}).exit_code, 2);
  EXPECT_EQ(millrace({"run"}).exit_code, 2);
  EXPECT_EQ(millrace({"run", workflow(kQuick), "--sideways"}).exit_code, 2);
  EXPECT_EQ(millrace({"list", "--limit", "many"}).exit_code, 2);
}

TEST_F(LocalExitCodes, TwoOfAnInvalidWorkflowWithEveryProblemAndItsPlace) {
  std::string file = workflow("nodes:\n  a: {executor: pyhton, script: x}\n  b: {depends_on: [c], executor: noop}\n");

  Finished finished = millrace({"validate", file, "-o", "json"});

  EXPECT_EQ(finished.exit_code, 2) << finished.err;
  const Value error = error_in(finished);
  ASSERT_TRUE(at(error, {"details"}).is_array()) << finished.out;
  const Value::Array& details = at(error, {"details"}).as_array();
  ASSERT_EQ(details.size(), 2U) << finished.out;
  EXPECT_EQ(number_at(details[0], {"line"}), 2);
  EXPECT_EQ(number_at(details[1], {"line"}), 3);
}

TEST_F(LocalExitCodes, TwoOfInputsThatAreMissingUnknownOrMistypedAllAtOnce) {
  std::string file = workflow(R"yaml(
inputs:
  text: {type: string, required: true}
  n: {type: integer}
nodes:
  a: {executor: noop}
)yaml");

  Finished finished = millrace({"run", file, "-i", "n=many", "-i", "other=1", "-o", "json"});

  EXPECT_EQ(finished.exit_code, 2) << finished.err;
  const Value error = error_in(finished);
  ASSERT_TRUE(at(error, {"details"}).is_array()) << finished.out;
  EXPECT_EQ(at(error, {"details"}).as_array().size(), 3U) << finished.out;
}

TEST_F(LocalExitCodes, TwoOfAFileThatIsNotThere) {
  EXPECT_EQ(millrace({"run", scratch_.file("nowhere.yaml")}).exit_code, 2);
}

TEST_F(LocalExitCodes, FiveOfACoordinatorThatCannotBeReached) {
  std::string nobody = "tcp://127.0.0.1:" + std::to_string(free_port());

  Finished finished = millrace({"list", "--coordinator", nobody, "-o", "json"});

  EXPECT_EQ(finished.exit_code, 5) << finished.err;
  EXPECT_EQ(text_at(error_in(finished), {"code"}), "unavailable") << finished.out;
}

class ClusterExitCodes : public ::testing::Test {
 protected:
  Finished millrace(const std::vector<std::string>& words) const { return cluster_.cli(words); }
  std::string marks() const { return cluster_.scratch().file("marks"); }
  Cluster cluster_{{.workers = {"w1"}}};
};

TEST_F(ClusterExitCodes, OfAWaitAreThoseOfHowTheRunEnded) {
  EXPECT_EQ(millrace({"submit", cluster_.workflow("quick", kQuick), "--wait"}).exit_code, 0);
  EXPECT_EQ(millrace({"submit", cluster_.workflow("failing", kFailing), "--wait"}).exit_code, 1);
  EXPECT_EQ(millrace({"wait", "@latest"}).exit_code, 1);
  EXPECT_EQ(millrace({"status", "@latest"}).exit_code, 0) << "asking was done, whatever the answer is";
}

TEST_F(ClusterExitCodes, ThreeOfARunThatIsNotThere) {
  for (const char* verb : {"status", "wait", "cancel", "events", "logs"}) {
    Finished finished = millrace({verb, "aaaaaaaaaaaaa", "-o", "json"});
    EXPECT_EQ(finished.exit_code, 3) << verb << "\n" << finished.out << finished.err;
    EXPECT_EQ(text_at(error_in(finished), {"code"}), "not_found") << verb;
  }
}

TEST_F(ClusterExitCodes, FourOfAWaitThatTookTooLongAndTheRunGoesOn) {
  std::string run = cluster_.submit(cluster_.workflow("endless", kEndless), {"-i", "marks=" + marks()});

  EXPECT_EQ(millrace({"wait", run, "--timeout", "300ms"}).exit_code, 4);

  EXPECT_EQ(text_at(cluster_.json({"status", run}), {"status"}), "running");
  EXPECT_EQ(millrace({"cancel", run}).exit_code, 0);
  EXPECT_EQ(millrace({"wait", run}).exit_code, 8);
}

TEST(ExitCodes, SixOfASubmissionThatALimitRefuses) {
  Cluster cluster({.workers = {}, .coordinator_options = {"--runs-max", "1"}});
  std::string file = cluster.workflow("quick", kQuick);
  cluster.submit(file);

  Finished finished = cluster.cli({"submit", file, "-o", "json"});

  EXPECT_EQ(finished.exit_code, 6) << finished.out << finished.err;
  EXPECT_EQ(text_at(error_in(finished), {"name"}), "queue_full") << finished.out;
}

TEST(ExitCodes, TwoOfADaemonWithAnOptionItDoesNotKnow) {
  for (const char* daemon : {"millrace-coordinator", "millrace-worker"}) {
    EXPECT_EQ(run_program({bin(daemon), "--no-such-option"}).exit_code, 2) << daemon;
    EXPECT_EQ(run_program({bin(daemon), "--help"}).exit_code, 0) << daemon;
    Finished printed = run_program({bin(daemon), "--print-config"});
    EXPECT_EQ(printed.exit_code, 0) << daemon << printed.err;
    EXPECT_FALSE(printed.out.empty()) << daemon;
  }
}

}  // namespace
}  // namespace millrace::test
