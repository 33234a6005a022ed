// `millrace run`: coordinator, worker and store in one process.
#include <gtest/gtest.h>
#include <signal.h>

#include <set>

#include "tests/process/workflows.h"
#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

class EmbeddedRun : public ::testing::Test {
 protected:
  std::string workflow(const char* text) const { return scratch_.write("workflow.yaml", text); }
  std::string marks() const { return scratch_.file("marks"); }
  static Finished run(std::vector<std::string> words, const Variables& more = {}) {
    words.insert(words.begin(), {bin("millrace"), "run"});
    return run_program(words, more);
  }
  Program start(const std::string& file, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words = {bin("millrace"), "run", file, "-i", "marks=" + marks()};
    words.insert(words.end(), more.begin(), more.end());
    return Program::start(words, scratch_.file("run"));
  }
  ScratchDirectory scratch_;
};

Value parse(const std::string& json) {
  Result<Value> value = Value::parse(json);
  EXPECT_TRUE(value.ok()) << "not one JSON value:\n" << json;
  return value.ok() ? *value : Value();
}

TEST_F(EmbeddedRun, PrintsExactlyOneJsonValueWithOutputsAndNodes) {
  Finished finished = run({workflow(kQuick), "-i", "n=21", "-o", "json"});

  ASSERT_EQ(finished.exit_code, 0) << finished.err;
  Value run = parse(finished.out);
  EXPECT_EQ(text_at(run, {"status"}), "succeeded");
  EXPECT_EQ(number_at(run, {"outputs", "answer"}), 42);
  EXPECT_EQ(text_at(run, {"nodes", "twice", "status"}), "succeeded");
  EXPECT_EQ(number_at(run, {"nodes", "twice", "attempts"}), 1);
  EXPECT_EQ(text_at(run, {"trace_id"}).size(), 32U);
}

TEST_F(EmbeddedRun, HasAnIdAndATraceThatNoOtherProcessGaveOut) {
  std::string file = workflow(kQuick);
  std::set<std::string> runs;
  std::set<std::string> traces;
  for (int i = 0; i < 8; ++i) {
    Value run = parse(EmbeddedRun::run({file, "-i", "n=1", "-o", "json"}).out);
    runs.insert(text_at(run, {"run"}));
    traces.insert(text_at(run, {"trace_id"}));
  }
  EXPECT_EQ(runs.size(), 8U);
  EXPECT_EQ(traces.size(), 8U);
}

TEST_F(EmbeddedRun, OfAFailingNodeEndsWithOneAndTellsWhichNodeFailedHow) {
  Finished finished = run({workflow(kFailing), "-o", "json"});

  EXPECT_EQ(finished.exit_code, 1) << finished.err;
  Value run = parse(finished.out);
  EXPECT_EQ(text_at(run, {"status"}), "failed");
  EXPECT_EQ(text_at(run, {"error", "node"}), "broken");
  EXPECT_EQ(number_at(run, {"nodes", "broken", "outputs", "exit_code"}), 3);
  EXPECT_EQ(text_at(run, {"nodes", "broken", "outputs", "stderr"}), "about to fail");
}

// The core needs a value that its own turn writes to the store: it asks for it when the turn is durable.
TEST_F(EmbeddedRun, ReadsALargeOutputInValueNodesAndOutputs) {
  Finished finished = run({workflow(R"yaml(
nodes:
  large: {executor: python, script: "output = 'x' * 900_000"}
  length: {value: "{{ nodes.large | length }}"}
  other: {executor: python, script: "output = 'y' * 900_000"}
)yaml"),
                           "-o", "json"});

  ASSERT_EQ(finished.exit_code, 0) << finished.err << finished.out.substr(0, 1000);
  Value run = parse(finished.out);
  EXPECT_EQ(number_at(run, {"outputs", "length"}), 900'000);
  EXPECT_EQ(text_at(run, {"outputs", "other"}).size(), 900'000U);
}

TEST_F(EmbeddedRun, IgnoresTheCoordinatorOfTheEnvironmentAndSaysSo) {
  Finished finished = run({workflow(kQuick), "-o", "json"}, {{"MILLRACE_COORDINATOR", "tcp://127.0.0.1:1"}});

  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_NE(finished.err.find("MILLRACE_COORDINATOR"), std::string::npos) << finished.err;
}

TEST_F(EmbeddedRun, CarriesValuesTooLargeToTravelInline) {
  std::string file = workflow(R"yaml(
nodes:
  make: {executor: python, script: "output = {'text': 'x' * 3_000_000}"}
  measure: {depends_on: [make], executor: python, script: "output = len(make['text'])"}
outputs:
  size: "{{ nodes.measure }}"
)yaml");
  Finished finished = run({file, "-o", "json"});

  ASSERT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_EQ(number_at(parse(finished.out), {"outputs", "size"}), 3'000'000);
}

TEST_F(EmbeddedRun, RunsNodesWithoutAPathBetweenThemAtTheSameTime) {
  // Each waits for the other's file: one after the other they would never end.
  std::string file = workflow(R"yaml(
inputs:
  marks: {type: string, required: true}
nodes:
  left:
    executor: shell
    timeout: 20s
    env: {HERE: "{{ inputs.marks }}-left", THERE: "{{ inputs.marks }}-right"}
    script: "touch $HERE; until [ -e $THERE ]; do sleep 0.05; done"
  right:
    executor: shell
    timeout: 20s
    env: {HERE: "{{ inputs.marks }}-right", THERE: "{{ inputs.marks }}-left"}
    script: "touch $HERE; until [ -e $THERE ]; do sleep 0.05; done"
)yaml");
  Finished finished = run({file, "-i", "marks=" + marks()});

  EXPECT_EQ(finished.exit_code, 0) << finished.err;
}

TEST_F(EmbeddedRun, OnCtrlCCancelsTheRunAndLeavesNoProcess) {
  adopt_orphans();
  Program run = start(workflow(kEndless), {"-o", "json"});
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(marks()) == 1; })) << run.err();

  run.signal_group(SIGINT);

  EXPECT_EQ(run.wait(20s), 8) << run.err();
  EXPECT_EQ(text_at(parse(run.out()), {"status"}), "cancelled");
  EXPECT_TRUE(eventually(2s, [] { return live_children().empty(); })) << "processes are left";
}

TEST_F(EmbeddedRun, OnASecondCtrlCEndsAtOnceAndLeavesNoProcessThatIgnoresSignals) {
  adopt_orphans();
  std::string file = workflow(R"yaml(
inputs:
  marks: {type: string, required: true}
nodes:
  stubborn:
    executor: shell
    env: {MARKS: "{{ inputs.marks }}"}
    script: |
      trap '' INT TERM HUP
      echo here >> "$MARKS"
      while true; do sleep 1; done
)yaml");
  Program run = start(file);
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(marks()) == 1; })) << run.err();

  run.signal_group(SIGINT);
  eventually(300ms, [] { return false; });
  ASSERT_TRUE(run.running()) << "the first Ctrl-C waits for the tasks' grace: " << run.err();
  run.signal_group(SIGINT);

  EXPECT_EQ(run.wait(5s), 130) << run.err();
  EXPECT_TRUE(eventually(5s, [] { return live_children().empty(); })) << "processes are left";
}

TEST_F(EmbeddedRun, KilledLeavesNoPythonInterpreterBehind) {
  adopt_orphans();
  std::string file = workflow(R"yaml(
inputs:
  marks: {type: string, required: true}
nodes:
  sleeper:
    executor: python
    script: |
      import time
      with open(inputs["marks"], "a") as marks:
          marks.write("here\n")
      time.sleep(600)
)yaml");
  Program run = start(file);
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(marks()) == 1; })) << run.err();

  run.kill();

  EXPECT_TRUE(eventually(10s, [] { return live_children().empty(); })) << "processes are left";
}

}  // namespace
}  // namespace millrace::test
