// Isolation between real programs: what workers say they can give, where tasks go that ask for it, who they are, and
// what a worker that was killed leaves behind.
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

std::string isolation_of(const Cluster& cluster) {
  return text_at(cluster.rows({"workers"}).front(), {"labels", "isolation"});
}

TEST(IsolationOfTasks, WorkersTellWhatTheyCanGiveAndTasksGetIt) {
  Cluster cluster{{.workers = {"w1"}}};
  const std::string most = isolation_of(cluster);
  EXPECT_TRUE(most == "namespaces" || most == "process" || most == "none") << most;
  EXPECT_NE(cluster.cli({"workers", "-o", "wide"}).out.find("isolation=" + most), std::string::npos);
  if (most != "namespaces") GTEST_SKIP() << "no namespaces here";
  const Value run = cluster.wait(cluster.submit(cluster.workflow("inside.yaml", R"yaml(
nodes:
  shell: {executor: shell, isolation: namespaces, outputs: text, script: "ls /sys/class/net; touch /usr/x 2>/dev/null || echo no"}
  python:
    executor: python
    isolation: namespaces
    script: |
      import os
      output = {"uid": os.getuid(), "pid": os.getpid() < 5}
  template: {executor: template, isolation: namespaces, template: "{{ 1 + 1 }}"}
)yaml")));
  EXPECT_EQ(text_at(run, {"status"}), "succeeded") << run.dump();
  EXPECT_EQ(text_at(run, {"nodes", "template", "outputs"}), "2");
  EXPECT_NE(text_at(run, {"nodes", "shell", "outputs"}).find("no"), std::string::npos) << run.dump();
  EXPECT_TRUE(at(run, {"nodes", "python", "outputs", "pid"}).as_bool());
}

TEST(IsolationOfTasks, AWorkerThatIsRootGivesEachTaskAUserUnlessItIsToldNotTo) {
  Cluster cluster{{.workers = {"w1"}, .task_user = ""}};
  const std::string file = cluster.workflow("who.yaml", R"yaml(
nodes:
  one: {executor: python, script: "import os, time\ntime.sleep(0.5)\noutput = [os.getuid(), os.access('.', os.W_OK)]"}
  two: {executor: python, script: "import os, time\ntime.sleep(0.5)\noutput = [os.getuid(), os.access('.', os.W_OK)]"}
  shell: {executor: shell, depends_on: [one, two], outputs: json, script: "touch here && id -u"}
  trusted: {executor: python, isolation: none, script: "import os\noutput = os.getuid()"}
)yaml");
  const auto uid = [](const Value& run, const char* node) {
    const Value& output = at(run, {"nodes", node, "outputs"});
    return (output.is_array() ? output.as_array().at(0) : output).as_int();
  };

  Value run = cluster.wait(cluster.submit(file));

  ASSERT_EQ(text_at(run, {"status"}), "succeeded") << run.dump();
  EXPECT_TRUE(at(run, {"nodes", "one", "outputs"}).as_array().at(1).as_bool()) << "its directory is its own";
  const std::string label = text_at(cluster.rows({"workers"}).front(), {"labels", "task_user"});
  if (geteuid() != 0) {
    EXPECT_EQ(label, "worker");
    EXPECT_EQ(uid(run, "one"), geteuid());
    return;
  }
  EXPECT_EQ(label, "own") << cluster.worker("w1").err();
  for (const char* node : {"one", "two", "shell", "trusted"}) EXPECT_NE(uid(run, node), 0) << node;
  EXPECT_NE(uid(run, "one"), uid(run, "two")) << "they ran at the same time";

  const Cluster told{{.workers = {"w1"}, .task_user = "none"}};
  run = told.wait(told.submit(file));
  EXPECT_EQ(uid(run, "one"), 0) << run.dump();
}

TEST(IsolationOfTasks, WhatNoWorkerHasIsUnplaceableAtOnce) {
  Cluster cluster{{.workers = {"w1"}, .coordinator_options = {"--unplaceable-after", "0s"}}};
  const Value run = cluster.wait(cluster.submit(cluster.workflow("container.yaml", R"yaml(
nodes:
  a: {executor: shell, isolation: container, script: "true"}
)yaml")));
  EXPECT_EQ(text_at(run, {"status"}), "failed");
  EXPECT_EQ(text_at(run, {"nodes", "a", "error", "code"}), "label") << run.dump();
  EXPECT_NE(text_at(run, {"nodes", "a", "error", "message"}).find("runtime_class"), std::string::npos) << run.dump();
}

TEST(IsolationOfTasks, TheOperatorsLeastAndLimitsHold) {
  Cluster cluster{{.workers = {"w1"}, .worker_options = {"--isolation", "process", "--limit", "cpu=1s"}}};
  const Value run = cluster.wait(cluster.submit(cluster.workflow("least.yaml", R"yaml(
fail_fast: false
nodes:
  none: {executor: shell, isolation: none, script: "true"}
  spins: {executor: shell, script: "while :; do :; done"}
  asks: {executor: shell, script: "true", limits: {cpu: 5s}}
)yaml")));
  EXPECT_EQ(text_at(run, {"nodes", "none", "error", "code"}), "refused") << run.dump();
  EXPECT_EQ(text_at(run, {"nodes", "spins", "error", "code"}), "cpu") << run.dump();
  EXPECT_EQ(text_at(run, {"nodes", "spins", "error", "message"}), "cpu: it used more than 1s of cpu time")
      << run.dump();
  EXPECT_EQ(text_at(run, {"nodes", "asks", "error", "code"}), "refused") << run.dump();
}

TEST(IsolationOfTasks, TasksRunOnTheProcessorsThatTheWorkerOrTheirQueueIsGiven) {
  cpu_set_t ours;
  CPU_ZERO(&ours);
  ASSERT_EQ(sched_getaffinity(0, sizeof ours, &ours), 0);
  std::vector<std::string> there;
  for (std::size_t one = 0; one < CPU_SETSIZE; ++one) {
    if (CPU_ISSET(one, &ours)) there.push_back(std::to_string(one));
  }
  const std::string first = there.front(), last = there.back();
  Cluster cluster{
      {.workers = {"w1"},
       .worker_options = {"--pin", last, "--queue", "default,early", "--queues", "early={\"pin\":\"" + first + "\"}"}}};
  const std::string script = R"(script: "awk '/^Cpus_allowed_list/ {printf \"%s\", $2}' /proc/self/status")";
  const Value run = cluster.wait(cluster.submit(
      cluster.workflow("pin.yaml", "nodes:\n  usual: {executor: shell, outputs: text, " + script + "}\n" +
                                       "  early: {executor: shell, queue: early, outputs: text, " + script + "}\n")));
  EXPECT_EQ(text_at(run, {"nodes", "usual", "outputs"}), last) << run.dump();
  EXPECT_EQ(text_at(run, {"nodes", "early", "outputs"}), first) << run.dump();
}

TEST(IsolationOfTasks, AProcessorThatIsNotThereKeepsTheWorkerFromStarting) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong = {
      {{"--pin", "1023"}, "--pin: processor 1023 is not there"},
      {{"--queues", "q={\"pin\":\"1023\"}"}, "--queues q: processor 1023 is not there"},
      {{"--pin", "x"}, "expected processors like 0-3,6"}};
  for (const auto& [options, why] : wrong) {
    std::vector<std::string> words = {bin("millrace-worker"), "--coordinator", "tcp://127.0.0.1:1"};
    words.insert(words.end(), options.begin(), options.end());
    const Finished worker = run_program(words, {}, 20s);
    EXPECT_EQ(worker.exit_code, 2) << worker.err;
    EXPECT_NE(worker.err.find(why), std::string::npos) << worker.err;
  }
}

TEST(IsolationOfTasks, WhatAKilledWorkerLeavesGoesWithTheNextStart) {
  const ScratchDirectory temporary;
  std::filesystem::permissions(temporary.path(), std::filesystem::perms(0755));
  const std::string before = std::getenv("TMPDIR") == nullptr ? "" : std::getenv("TMPDIR");
  setenv("TMPDIR", temporary.path().c_str(), 1);
  {
    Cluster cluster{{.workers = {"w1"}, .task_user = ""}};
    const std::string mark = "97." + std::to_string(getpid());
    const std::string run = cluster.submit(cluster.workflow(
        "daemon.yaml", "nodes:\n  a: {executor: shell, script: \"setsid sleep " + mark + " & sleep 60\"}\n"));
    EXPECT_TRUE(eventually(20s, [&] { return cluster.node_status(run, "a") == "running"; }));
    const auto directories = [&] {
      int found = 0;
      for (const auto& entry : std::filesystem::directory_iterator(temporary.path()))
        found += entry.path().filename().string().starts_with("millrace-work-") ? 1 : 0;
      return found;
    };
    EXPECT_EQ(directories(), 1);
    usleep(2'500'000);
    cluster.worker("w1").kill();
    EXPECT_EQ(directories(), 1) << "nobody was left to remove it";
    cluster.start_worker("w2");
    EXPECT_TRUE(eventually(20s, [&] { return directories() == 1; })) << "the old one goes, the new one has come";
    if (geteuid() == 0) {
      EXPECT_TRUE(
          eventually(10s, [&] { return std::system(("pgrep -f 'sleep " + mark + "$' >/dev/null").c_str()) != 0; }));
    }
    static_cast<void>(cluster.cli({"cancel", run}));
  }
  if (before.empty()) unsetenv("TMPDIR");
  else setenv("TMPDIR", before.c_str(), 1);
}

}  // namespace
}  // namespace millrace::test
