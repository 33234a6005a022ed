// What an operator does with runs on a cluster: submit, cancel, retry, read logs and events.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>

#include "tests/process/workflows.h"
#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

class Operators : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(cluster_.wait_for_workers(2)); }
  std::string marks() const { return cluster_.scratch().file("marks"); }
  std::string start_endless() {
    std::string run = cluster_.submit(cluster_.workflow("endless", kEndless), {"-i", "marks=" + marks()});
    EXPECT_TRUE(eventually(20s, [&] { return count_lines(marks()) == 1; })) << "the task did not start";
    return run;
  }
  Cluster cluster_;
};

TEST_F(Operators, SubmittingTwiceUnderOneKeyGivesOneRun) {
  std::string file = cluster_.workflow("quick", kQuick);
  Value first = cluster_.json({"submit", file, "--idempotency-key", "order-7", "-i", "n=3"});
  Value second = cluster_.json({"submit", file, "--idempotency-key", "order-7", "-i", "n=3"});

  EXPECT_EQ(text_at(first, {"run"}), text_at(second, {"run"}));
  EXPECT_TRUE(at(second, {"existing"}) == Value(true)) << second.dump();
  EXPECT_EQ(cluster_.rows({"list"}).size(), 1U);
}

TEST_F(Operators, AKeyThatIsUsedForAnotherRequestIsAConflict) {
  std::string file = cluster_.workflow("quick", kQuick);
  cluster_.submit(file, {"--idempotency-key", "order-8", "-i", "n=3"});

  Finished other = cluster_.cli({"submit", file, "--idempotency-key", "order-8", "-i", "n=4", "-o", "json"});

  EXPECT_EQ(other.exit_code, 7) << other.out << other.err;
  EXPECT_EQ(cluster_.rows({"list"}).size(), 1U);
}

TEST_F(Operators, ManySubmissionsAtOnceUnderOneKeyGiveOneRun) {
  std::string file = cluster_.workflow("quick", kQuick);
  std::vector<Program> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(cluster_.start_cli({"submit", file, "--idempotency-key", "order-9", "-o", "name"},
                                         "client-" + std::to_string(i)));
  }
  for (Program& client : clients) EXPECT_EQ(client.wait(20s), 0) << client.err();

  for (Program& client : clients) EXPECT_EQ(client.out(), clients[0].out());
  EXPECT_EQ(cluster_.rows({"list"}).size(), 1U);
}

TEST_F(Operators, CancelEndsTheTasksOfARunAndTheRun) {
  std::string run = start_endless();
  pid_t task = static_cast<pid_t>(std::stol(read_file(marks())));
  ASSERT_EQ(kill(task, 0), 0);

  EXPECT_EQ(cluster_.cli({"cancel", run}).exit_code, 0);

  Finished waited = cluster_.cli({"wait", run, "-o", "json"});
  EXPECT_EQ(waited.exit_code, 8) << waited.out << waited.err;
  EXPECT_EQ(cluster_.node_status(run, "sleeper"), "cancelled");
  EXPECT_TRUE(eventually(5s, [&] { return kill(task, 0) != 0; })) << "the task still runs";
  EXPECT_EQ(problem_of_history(cluster_.rows({"events", run})), "");
  EXPECT_EQ(cluster_.cli({"cancel", run}).exit_code, 0) << "of a cancelled run: nothing to do";
}

TEST_F(Operators, CancelOfARunThatEndedOtherwiseIsAConflict) {
  std::string run = cluster_.submit(cluster_.workflow("quick", kQuick));
  cluster_.wait(run);

  EXPECT_EQ(cluster_.cli({"cancel", run}).exit_code, 7);
}

TEST_F(Operators, AFailingTaskIsTriedAgainUntilItSucceeds) {
  std::string file = cluster_.workflow("flaky", R"yaml(
inputs:
  marks: {type: string, required: true}
nodes:
  flaky:
    executor: shell
    retry: {max_attempts: 4, backoff: {initial: 50ms, factor: 2, max: 1s}}
    env: {MARKS: "{{ inputs.marks }}"}
    script: |
      echo try >> "$MARKS"
      [ "$(wc -l < "$MARKS")" -ge 3 ] || exit 1
      echo third time lucky
outputs:
  said: "{{ nodes.flaky.stdout }}"
)yaml");

  Value ended = cluster_.wait(cluster_.submit(file, {"-i", "marks=" + marks()}));

  EXPECT_EQ(text_at(ended, {"outputs", "said"}), "third time lucky") << ended.dump();
  EXPECT_EQ(number_at(ended, {"nodes", "flaky", "attempts"}), 3);
  std::vector<Value> events = cluster_.rows({"events", text_at(ended, {"run"})});
  EXPECT_EQ(problem_of_history(events), "");
  EXPECT_EQ(nodes_in_order(events, "task_retrying").size(), 2U);
}

TEST_F(Operators, ATaskThatFailsEveryTryFailsTheRunAndSkipsWhatComesAfter) {
  std::string file = cluster_.workflow("hopeless", R"yaml(
fail_fast: false
nodes:
  hopeless:
    executor: python
    retry: {max_attempts: 2, backoff: {initial: 10ms}}
    script: "1 / 0"
  after: {depends_on: [hopeless], executor: python, script: "output = 1"}
  beside: {executor: python, script: "output = 2"}
)yaml");

  Value ended = cluster_.wait(cluster_.submit(file));

  EXPECT_EQ(text_at(ended, {"status"}), "failed");
  EXPECT_EQ(number_at(ended, {"nodes", "hopeless", "attempts"}), 2) << ended.dump();
  EXPECT_NE(text_at(ended, {"nodes", "hopeless", "error", "message"}).find("ZeroDivisionError"), std::string::npos);
  EXPECT_EQ(text_at(ended, {"nodes", "after", "status"}), "skipped");
  EXPECT_EQ(text_at(ended, {"nodes", "after", "error", "code"}), "upstream_failed");
  EXPECT_EQ(text_at(ended, {"nodes", "beside", "status"}), "succeeded");
}

TEST_F(Operators, LogsHoldWhatTasksWroteToBothStreams) {
  std::string file = cluster_.workflow("talkative", R"yaml(
nodes:
  shell: {executor: shell, script: "echo from the shell; echo to stderr >&2"}
  python: {depends_on: [shell], executor: python, script: "print('from python')"}
)yaml");
  std::string run = cluster_.submit(file);
  cluster_.wait(run);

  std::vector<Value> lines;
  auto said = [&](std::string_view node, std::string_view stream, std::string_view text) {
    return std::any_of(lines.begin(), lines.end(), [&](const Value& line) {
      return text_at(line, {"node"}) == node && text_at(line, {"stream"}) == stream &&
             text_at(line, {"text"}).find(text) != std::string::npos;
    });
  };
  EXPECT_TRUE(eventually(5s,
                         [&] {
                           lines = cluster_.rows({"logs", run});
                           return said("shell", "stdout", "from the shell") && said("shell", "stderr", "to stderr") &&
                                  said("python", "stdout", "from python");
                         }))
      << "lines: " << lines.size();
  EXPECT_EQ(cluster_.cli({"logs", run, "shell"}).exit_code, 0);
  const Finished unknown = cluster_.cli({"logs", run, "sehll"});
  EXPECT_EQ(unknown.exit_code, 3);
  EXPECT_NE(unknown.err.find("run " + run + " has no node 'sehll'"), std::string::npos) << unknown.err;
}

TEST_F(Operators, EventsFollowedWhileTheRunIsOnTellAllOfItAndEndWithIt) {
  std::string run = cluster_.submit(cluster_.workflow("layers", layers(3, 3, "0.2")), {"-i", "marks=" + marks()});

  Finished followed = cluster_.cli({"events", run, "-f", "-o", "jsonl"});

  EXPECT_EQ(followed.exit_code, 0) << followed.err;
  std::vector<Value> stored = cluster_.rows({"events", run});
  EXPECT_EQ(problem_of_history(stored), "");
  for (const Value& event : stored) {
    std::string seq = "{\"seq\":" + std::to_string(number_at(event, {"seq"})) + ",";
    EXPECT_NE(followed.out.find(seq), std::string::npos) << "missed " << event.dump();
  }
}

TEST_F(Operators, EventsSinceANumberTellOnlyWhatCameAfterIt) {
  std::string run = cluster_.submit(cluster_.workflow("quick", kQuick));
  cluster_.wait(run);
  std::vector<Value> all = cluster_.rows({"events", run});
  ASSERT_GE(all.size(), 3U);

  std::vector<Value> rest = cluster_.rows({"events", run, "--since", "1"});

  ASSERT_EQ(rest.size(), all.size() - 1);
  EXPECT_EQ(number_at(rest[0], {"seq"}), 2);
}

TEST_F(Operators, ListFindsRunsByLabelStatusAndWorkflow) {
  std::string file = cluster_.workflow("quick", kQuick);
  std::string red = cluster_.submit(file, {"--label", "team=red"});
  std::string blue = cluster_.submit(file, {"--label", "team=blue"});
  std::string broken = cluster_.submit(cluster_.workflow("failing", kFailing), {"--label", "team=red"});
  for (const std::string& run : {red, blue, broken}) cluster_.wait(run);

  auto found = [&](const std::vector<std::string>& words) {
    std::vector<std::string> all = {"list"};
    all.insert(all.end(), words.begin(), words.end());
    std::vector<std::string> runs;
    for (const Value& row : cluster_.rows(all)) runs.push_back(text_at(row, {"run"}));
    return runs;
  };
  using Runs = std::vector<std::string>;
  EXPECT_EQ(found({}), (Runs{broken, blue, red})) << "newest first";
  EXPECT_EQ(found({"-l", "team=blue"}), (Runs{blue}));
  EXPECT_EQ(found({"--status", "failed"}), (Runs{broken}));
  EXPECT_EQ(found({"--workflow", "quick"}), (Runs{blue, red}));
  EXPECT_EQ(found({"-l", "team=red", "--status", "succeeded"}), (Runs{red}));
}

TEST_F(Operators, LatestAndAUniquePrefixNameARun) {
  std::string run = cluster_.submit(cluster_.workflow("quick", kQuick));

  EXPECT_EQ(text_at(cluster_.json({"status", "@latest"}), {"run"}), run);
  EXPECT_EQ(text_at(cluster_.json({"status", run.substr(0, 6)}), {"run"}), run);
  EXPECT_EQ(cluster_.cli({"status", run.substr(0, 3)}).exit_code, 2) << "too short for a prefix";
}

TEST_F(Operators, TwoHundredRunsSubmittedTogetherAllEndWell) {
  std::string file = cluster_.workflow("quick", kQuick);
  constexpr int kRuns = 200;
  std::string script;
  for (int i = 0; i < kRuns; ++i) {
    script += bin("millrace") + " submit " + file + " -i n=" + std::to_string(i) + " -o name || exit 1\n";
  }
  Finished submitted = run_program({"sh", "-c", script}, {{"MILLRACE_COORDINATOR", cluster_.address()}}, 120s);
  ASSERT_EQ(submitted.exit_code, 0) << submitted.err;

  EXPECT_TRUE(eventually(60s, [&] {
    return cluster_.rows({"list", "--status", "succeeded", "--limit", "1000"}).size() == kRuns;
  })) << "not all of them ended well";
}

TEST_F(Operators, LargeValuesTravelBetweenWorkersByReference) {
  std::string file = cluster_.workflow("large", R"yaml(
nodes:
  make: {executor: python, script: "output = {'text': 'x' * 5_000_000, 'n': 7}"}
  measure: {depends_on: [make], executor: python, script: "output = len(make['text'])"}
outputs:
  size: "{{ nodes.measure }}"
  n: "{{ nodes.make.n }}"
)yaml");

  Value ended = cluster_.wait(cluster_.submit(file));

  EXPECT_EQ(number_at(ended, {"outputs", "size"}), 5'000'000);
  EXPECT_EQ(number_at(ended, {"outputs", "n"}), 7);
}

}  // namespace
}  // namespace millrace::test
