// Workers written with the SDKs (sdk/python, sdk/node) against real coordinators and a real Redis.
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/process/sdk_worker.h"
#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

constexpr std::string_view kSlow = R"yaml(
executors: [slow, twice]
inputs:
  marks: {type: string, required: true}
  seconds: {type: number, default: 2}
nodes:
  slow:
    executor: slow
    with: {marks: "{{ inputs.marks }}", seconds: "{{ inputs.seconds }}"}
  after:
    executor: twice
    with: {n: "{{ nodes.slow.attempt }}"}
outputs:
  worker: "{{ nodes.slow.worker }}"
  twice: "{{ nodes.after }}"
)yaml";

TEST_P(Sdk, TheExampleRuns) {
  Cluster cluster({.workers = {}});
  const std::vector<std::string> example =
      python() ? std::vector<std::string>{interpreter(), source("sdk/python/examples/resize.py")}
               : std::vector<std::string>{"node", source("sdk/node/examples/resize.js")};
  Program worker =
      Program::start(example, cluster.scratch().file("example"), {{"MILLRACE_COORDINATOR", cluster.address()}});
  ASSERT_TRUE(cluster.wait_for_workers(1)) << worker.err();

  Value ended = cluster.wait(cluster.submit(source("sdk/python/examples/resize.yaml")));

  EXPECT_EQ(text_at(ended, {"outputs", "size"}), "16x8") << ended.dump() << worker.err();
  worker.signal(SIGTERM);
  EXPECT_EQ(worker.wait(10s), 0) << worker.err();
  EXPECT_TRUE(eventually(5s, [&] { return cluster.rows({"workers"}).empty(); })) << "it did not say that it leaves";
}

TEST_P(Sdk, ATaskWhoseWorkerIsKilledRunsAgainElsewhereAndCountsOnce) {
  Cluster cluster({.workers = {}});
  Program first = start(cluster, "p1");
  ASSERT_TRUE(cluster.wait_for_workers(1)) << first.err();
  const std::string marks = cluster.scratch().file("marks");
  const std::string run = cluster.submit(cluster.workflow("slow", kSlow), {"-i", "marks=" + marks});
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(marks) == 1; })) << first.err();
  Program second = start(cluster, "p2");
  ASSERT_TRUE(cluster.wait_for_workers(2)) << second.err();

  first.kill();

  Value ended = cluster.wait(run);
  EXPECT_EQ(text_at(ended, {"outputs", "worker"}), "p2") << ended.dump();
  EXPECT_EQ(number_at(ended, {"outputs", "twice"}), 4);
  EXPECT_EQ(number_at(ended, {"nodes", "slow", "attempts"}), 2);
  EXPECT_EQ(lines(marks, "done"), "1 done");
  EXPECT_EQ(problem_of_history(cluster.rows({"events", run})), "");
}

TEST_P(Sdk, ATaskOutlivesItsCoordinatorAndIsNotRunAgain) {
  Cluster cluster({.workers = {}});
  Program worker = start(cluster, "p1");
  ASSERT_TRUE(cluster.wait_for_workers(1)) << worker.err();
  const std::string marks = cluster.scratch().file("marks");
  const std::string run = cluster.submit(cluster.workflow("slow", kSlow), {"-i", "marks=" + marks, "-i", "seconds=4"});
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(marks) == 1; })) << worker.err();

  cluster.coordinator().kill();
  cluster.start_coordinator();

  Value ended = cluster.wait(run);
  EXPECT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump();
  EXPECT_EQ(number_at(ended, {"nodes", "slow", "attempts"}), 1) << worker.err();
  EXPECT_EQ(lines(marks, "begun"), "1 begun");
  EXPECT_EQ(problem_of_history(cluster.rows({"events", run})), "");
}

TEST_P(Sdk, ACancelledTaskIsToldAndOneThatTimesOutGivesNoResult) {
  Cluster cluster({.workers = {}});
  Program worker = start(cluster, "p1");
  ASSERT_TRUE(cluster.wait_for_workers(1)) << worker.err();
  const std::string marks = cluster.scratch().file("marks");
  const std::string run = cluster.submit(cluster.workflow("slow", kSlow), {"-i", "marks=" + marks, "-i", "seconds=60"});
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(marks) == 1; })) << worker.err();

  EXPECT_EQ(cluster.cli({"cancel", run}).exit_code, 0);

  EXPECT_EQ(text_at(cluster.wait(run), {"status"}), "cancelled");
  EXPECT_EQ(lines(marks, "cancelled"), "1 cancelled");
  const std::string deaf = cluster.workflow("deaf", R"yaml(
executors: [deaf]
nodes:
  a: {executor: deaf, with: {seconds: 5}, timeout: 300ms}
)yaml");
  Value ended = cluster.wait(cluster.submit(deaf));
  EXPECT_EQ(text_at(ended, {"nodes", "a", "error", "code"}), "timeout") << ended.dump() << worker.err();
  EXPECT_EQ(text_at(ended, {"nodes", "a", "error", "message"}), "timed out: an attempt may take 300ms (timeout)");
}

TEST_P(Sdk, AWorkerToldToTerminateFinishesItsTaskFirst) {
  Cluster cluster({.workers = {}});
  Program leaver = start(cluster, "p1");
  ASSERT_TRUE(cluster.wait_for_workers(1)) << leaver.err();
  const std::string marks = cluster.scratch().file("marks");
  const std::string run = cluster.submit(cluster.workflow("slow", kSlow), {"-i", "marks=" + marks});
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(marks) == 1; })) << leaver.err();

  leaver.signal(SIGTERM);

  EXPECT_EQ(leaver.wait(20s), 0) << leaver.err();
  Program other = start(cluster, "p2");
  Value ended = cluster.wait(run);
  EXPECT_EQ(text_at(ended, {"outputs", "worker"}), "p1") << ended.dump();
  EXPECT_EQ(lines(marks, "begun"), "1 begun");
}

TEST_P(Sdk, AFailureNamesTheExceptionAndTheLineAndAnOutputThatIsNoJsonSaysWhere) {
  Cluster cluster({.workers = {}});
  Program worker = start(cluster, "p1");
  ASSERT_TRUE(cluster.wait_for_workers(1)) << worker.err();
  const std::string text = R"yaml(
executors: [broken]
fail_fast: false
inputs: {n: {type: integer, default: 5}}
nodes:
  raises: {executor: broken, with: {how: bad}}
  nan: {executor: broken, with: {how: nan}}
  expression: {executor: broken, with: {how: "{{ inputs.n.x }}"}}
)yaml";

  Value ended = cluster.wait(cluster.submit(cluster.workflow("broken", text)));

  EXPECT_EQ(text_at(ended, {"nodes", "raises", "error", "message"}),
            python() ? "ValueError: no good: bad" : "TypeError: no good: bad")
      << ended.dump();
  EXPECT_NE(text_at(ended, {"nodes", "raises", "error", "traceback"}).find(python() ? "worker.py" : "worker.js"),
            std::string::npos)
      << ended.dump();
  EXPECT_EQ(text_at(ended, {"nodes", "nan", "error", "code"}), "invalid_output");
  EXPECT_NE(text_at(ended, {"nodes", "nan", "error", "message"}).find("finite"), std::string::npos);
  EXPECT_NE(text_at(ended, {"nodes", "expression", "error", "message"}).find("`inputs.n.x`: `inputs.n` is an integer"),
            std::string::npos)
      << ended.dump();
}

TEST_P(Sdk, AFanOutRunsEachItemByItselfAndFailsTimesOutAndCollectsByItem) {
  Cluster cluster({.workers = {}});
  Program worker = start(cluster, "p1");
  const std::string text = R"yaml(
executors: [each]
nodes:
  each:
    executor: each
    foreach: [a, bad, slow, {d: 1.0}]
    chunk: 4
    timeout: 500ms
    on_item_error: continue
    with: {n: "{{ index + 10 }}"}
  kept:
    executor: each
    foreach: [x, y, z]
    with: {n: "{{ item }}"}
    collect: "{{ output.n }}{{ index }}"
outputs:
  each: "{{ nodes.each }}"
  kept: "{{ nodes.kept }}"
)yaml";
  const std::string run = cluster.submit(cluster.workflow("each", text));

  Value ended = cluster.wait(run);

  EXPECT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump() << worker.err();
  EXPECT_EQ(at(ended, {"outputs", "each"}).dump(), R"([{"n":10,"item":"a","index":0,"node":"each"},null,null,)"
                                                   R"({"n":13,"item":{"d":)" +
                                                       std::string(python() ? "1.0" : "1") +
                                                       R"(},"index":3,"node":"each"}])");
  EXPECT_EQ(at(ended, {"outputs", "kept"}).dump(), R"(["x0","y1","z2"])");
  const Value::Array& failed = at(ended, {"nodes", "each", "items", "failed_items"}).as_array();
  ASSERT_EQ(failed.size(), 2U) << ended.dump();
  EXPECT_NE(text_at(failed[0], {"error", "message"}).find("Error: no good: bad"), std::string::npos) << ended.dump();
  EXPECT_EQ(text_at(failed[1], {"error", "code"}), "timeout") << ended.dump();
  EXPECT_EQ(text_at(failed[1], {"error", "message"}), "timed out: an attempt may take 500ms (timeout)");
  EXPECT_TRUE(eventually(10s, [&] { return cluster.cli({"logs", run}).out.find("each[3]") != std::string::npos; }));
}

TEST_P(Sdk, TheItemsOfAChunkOutliveTheirCoordinatorAndAreNotRunAgain) {
  Cluster cluster({.workers = {}});
  Program worker = start(cluster, "p1");
  ASSERT_TRUE(cluster.wait_for_workers(1)) << worker.err();
  const std::string marks = cluster.scratch().file("marks");
  const std::string text = R"yaml(
executors: [slow]
inputs:
  marks: {type: string, required: true}
nodes:
  each:
    executor: slow
    foreach: {from: 0, to: 3}
    chunk: 3
    with: {marks: "{{ inputs.marks }}", seconds: 1.5}
    collect: "{{ index }}"
outputs:
  each: "{{ nodes.each }}"
)yaml";
  const std::string run = cluster.submit(cluster.workflow("each", text), {"-i", "marks=" + marks});
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(marks) == 1; })) << worker.err();

  cluster.coordinator().kill();
  cluster.start_coordinator();

  Value ended = cluster.wait(run);
  EXPECT_EQ(at(ended, {"outputs", "each"}).dump(), "[0,1,2]") << ended.dump() << worker.err();
  EXPECT_EQ(lines(marks, "begun"), "3 begun");
  EXPECT_EQ(problem_of_history(cluster.rows({"events", run})), "");
}

TEST_P(Sdk, ATaskThatNobodyOffersIsToldAtOnceAndRunsWhenSomebodyDoes) {
  Cluster cluster({.workers = {"w1"}});
  const std::string file = cluster.workflow("twice", R"yaml(
executors: [twice]
nodes:
  a: {executor: twice, with: {n: 21}}
)yaml");
  const std::string run = cluster.submit(file);
  EXPECT_TRUE(eventually(10s, [&] {
    return text_at(cluster.json({"status", run}), {"nodes", "a", "wait_reason"}) == "no_worker";
  }));

  Program worker = start(cluster, "p1");

  EXPECT_EQ(number_at(cluster.wait(run), {"nodes", "a", "outputs"}), 42) << worker.err();
}

TEST_P(Sdk, OneAddressLeadsToAllCoordinators) {
  Cluster cluster({.workers = {}, .coordinators = 2});
  Program worker = start(cluster, "p1");
  ASSERT_TRUE(cluster.wait_for_workers(1)) << worker.err();
  EXPECT_TRUE(eventually(20s, [&] { return worker.err().find("connected to coordinator-2") != std::string::npos; }))
      << worker.err();
  const std::string file = cluster.workflow("twice", R"yaml(
executors: [twice]
nodes:
  a: {executor: twice, with: {n: 21}}
)yaml");
  for (int i = 0; i < 8; ++i)  // over the partitions of both
    EXPECT_EQ(text_at(cluster.wait(cluster.submit(file)), {"status"}), "succeeded") << worker.err();
}

TEST_P(Sdk, KeysLetItInAndOthersAreToldWhy) {
  ScratchDirectory ring;
  const auto keys = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {bin("millrace"), "keys"});
    words.insert(words.end(), {"--dir", ring.path()});
    EXPECT_EQ(run_program(words).exit_code, 0);
  };
  keys({"generate", "c1", "--role", "coordinator"});
  for (const char* name : {"workers", "stranger"}) keys({"generate", name, "--role", "worker"});
  keys({"generate", "alice", "--role", "operator"});
  for (const char* name : {"workers", "alice"}) keys({"authorize", name});
  Cluster cluster(
      {.workers = {},
       .coordinator_options = {"--curve-key", ring.file("c1.key"), "--curve-authorized", ring.file("authorized")},
       .cli_variables = {{"MILLRACE_CURVE_KEY", ring.file("alice.key")},
                         {"MILLRACE_CURVE_SERVER_KEY", ring.file("c1.pub")}}});
  const auto with = [&](const std::string& key) {
    return Variables{{"MILLRACE_CURVE_KEY", ring.file(key + ".key")},
                     {"MILLRACE_CURVE_SERVER_KEY", ring.file("c1.pub")}};
  };

  Program stranger = start(cluster, "p0", with("stranger"));
  Program worker = start(cluster, "p1", with("workers"));

  EXPECT_EQ(stranger.wait(20s), 1);
  EXPECT_NE(stranger.err().find("Unreachable: "), std::string::npos) << stranger.err();
  const std::string text = "executors: [twice]\nnodes: {a: {executor: twice, with: {n: 21}}}\n";
  Value ended = cluster.wait(cluster.submit(cluster.workflow("twice", text)));
  EXPECT_EQ(number_at(ended, {"nodes", "a", "outputs"}), 42) << ended.dump() << worker.err();
}

INSTANTIATE_TEST_SUITE_P(In, Sdk, testing::Values("Python", "Node"), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace millrace::test
