// What tasks ask of workers, on real ones: labels, resources, queues, tasks that no worker could run, and what waits at
// a busy or slow worker (FAULTS row 20).
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "tests/process/failover.h"
#include "tests/process/workflows.h"
#include "tests/support/cluster.h"
#include "tests/support/http_client.h"

namespace millrace::test {
namespace {

std::vector<Value> history(const Cluster& cluster, const std::string& run) {
  const Value events = cluster.json({"events", run});
  const Value* list = events.find("events");
  return list == nullptr ? std::vector<Value>() : std::vector<Value>(list->as_array().begin(), list->as_array().end());
}

// The value of a metric's only line that begins with this; -1 where there is none.
double metric(std::uint16_t port, const std::string& name) {
  const std::string body = http_get("127.0.0.1:" + std::to_string(port), "/metrics").body;
  const std::size_t at = body.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::strtod(body.c_str() + at + name.size() + 2, nullptr);
}

TEST(Fleet, TasksGoWhereTheirLabelsQueuesAndResourcesAre) {
  Cluster cluster({.workers = {}, .slots = 4});
  cluster.start_worker("plain");
  cluster.start_worker("gpu", {"--label", "gpu=a100", "--resource", "license=1", "--queue", "default,heavy"});
  ASSERT_TRUE(cluster.wait_for_workers(2));
  const std::string run = cluster.submit(cluster.workflow("asks", R"yaml(
name: asks
nodes:
  on_gpu: {executor: noop, requires: {gpu: [a100, h100]}}
  off_gpu: {executor: noop, requires: {gpu: {not: "*"}}}
  heavy: {executor: noop, queue: heavy}
  l1: {executor: noop, delay: 300ms, resources: {license: 1, cpu: 0.5}}
  l2: {executor: noop, delay: 300ms, resources: {license: 1, memory: 1MiB}}
)yaml"));
  const Value ended = cluster.wait(run);
  EXPECT_EQ(text_at(ended, {"status"}), "succeeded");
  EXPECT_EQ(text_at(ended, {"nodes", "on_gpu", "worker"}), "gpu");
  EXPECT_EQ(text_at(ended, {"nodes", "off_gpu", "worker"}), "plain");
  EXPECT_EQ(text_at(ended, {"nodes", "heavy", "worker"}), "gpu");
  EXPECT_GE(at(ended, {"elapsed_ms"}).to_double(), 600) << "one license was used twice at a time";
  const Value workers = cluster.json({"workers"});
  const Value::Array& rows = workers.find("workers")->as_array();
  ASSERT_EQ(rows.size(), 2U);
  const Value& gpu = rows[text_at(rows[0], {"worker"}) == "gpu" ? 0 : 1];
  EXPECT_EQ(text_at(gpu, {"labels", "gpu"}), "a100");
  EXPECT_EQ(number_at(gpu, {"resources", "license", "total"}), 1);
  EXPECT_EQ(number_at(gpu, {"resources", "license", "used"}), 0);
  EXPECT_GT(number_at(gpu, {"resources", "memory", "total"}), 0);
  EXPECT_NE(cluster.cli({"workers", "-o", "wide"}).out.find("license=0/1"), std::string::npos);
}

TEST(Fleet, ATaskThatNoWorkerCouldRunSaysSoAndRunsWhenOneComes) {
  Cluster cluster({.workers = {"w1"}});
  const std::string run = cluster.submit(cluster.workflow("gpu", R"yaml(
name: gpu
nodes:
  train: {executor: noop, requires: {gpu: a100}}
)yaml"));
  ASSERT_TRUE(eventually(10s, [&] { return cluster.node_status(run, "train") == "waiting"; }));
  const Value status = cluster.json({"status", run});
  EXPECT_EQ(text_at(status, {"nodes", "train", "wait_reason"}), "label");
  const std::string why = text_at(status, {"nodes", "train", "wait_text"});
  EXPECT_NE(why.find("gpu=a100"), std::string::npos) << why;
  EXPECT_NE(why.find("worker w1 lacks label"), std::string::npos) << why;
  EXPECT_NE(cluster.cli({"status", run, "-o", "wide"}).out.find("worker w1 lacks label"), std::string::npos);
  cluster.start_worker("w2", {"--label", "gpu=a100"});
  EXPECT_EQ(text_at(cluster.wait(run), {"status"}), "succeeded");
  const std::vector<Value> events = history(cluster, run);
  EXPECT_EQ(problem_of_history(events), "");
  ASSERT_EQ(nodes_in_order(events, "task_waiting"), std::vector<std::string>{"train"});
  for (const Value& event : events) {
    if (text_at(event, {"type"}) == "task_waiting") { EXPECT_EQ(text_at(event, {"reason"}), "label"); }
  }
}

TEST(Fleet, ATaskThatNoWorkerCouldRunFailsAfterTheTimeThatWasSet) {
  ClusterOptions options;
  options.workers = {"w1"};
  options.coordinator_options = {"--unplaceable-after", "1s"};
  Cluster cluster(options);
  const std::string run = cluster.submit(cluster.workflow("tokens", R"yaml(
name: tokens
nodes:
  licensed: {executor: noop, resources: {license: 2}}
)yaml"));
  const Value ended = cluster.wait(run);
  EXPECT_EQ(text_at(ended, {"status"}), "failed");
  EXPECT_EQ(text_at(ended, {"error", "code"}), "no_worker");
  EXPECT_NE(text_at(ended, {"error", "message"}).find("license 2 (has 0)"), std::string::npos)
      << text_at(ended, {"error", "message"});
}

TEST(Fleet, AnEmbeddedRunFailsAtOnceWhereItsWorkerCannotRunATask) {
  ScratchDirectory scratch;
  const std::string file = scratch.write("gpu.yaml",
                                         "nodes: {a: {executor: noop}, b: {executor: noop, depends_on: a, "
                                         "requires: {gpu: a100}}}\n");
  const auto began = std::chrono::steady_clock::now();
  const Finished run = run_program({bin("millrace"), "run", file, "-o", "json", "--no-progress"});
  EXPECT_EQ(run.exit_code, 1) << run.out << run.err;
  EXPECT_LT(std::chrono::steady_clock::now() - began, 5s);
  EXPECT_NE(run.out.find("\"code\": \"label\""), std::string::npos) << run.out;
  EXPECT_NE(run.out.find("worker local lacks label gpu=a100"), std::string::npos) << run.out;
}

std::string fan_out(int width, const std::string& delay) {
  std::string text = "name: fan_out\nnodes:\n";
  for (int i = 0; i < width; ++i) text += "  n" + std::to_string(i) + ": {executor: noop, delay: " + delay + "}\n";
  return text;
}

TEST(Fleet, WhatWaitsAtABusyWorkerGoesToOneThatComes) {
  const std::uint16_t http = free_port();
  ClusterOptions options;
  options.workers = {"w1"};
  options.slots = 1;
  options.coordinator_options = {"--http", "127.0.0.1:" + std::to_string(http)};
  Cluster cluster(options);
  // Tiny tasks first: they make the worker ask for many at once.
  ASSERT_EQ(cluster.cli({"submit", cluster.workflow("tiny", fan_out(2000, "0ms")), "--wait"}).exit_code, 0);
  const std::string run = cluster.submit(cluster.workflow("long", fan_out(60, "100ms")));
  ASSERT_TRUE(eventually(10s, [&] { return metric(http, "millrace_attempts_out") >= 10; })) << "nothing queues there";
  cluster.start_worker("w2");
  const Value ended = cluster.wait(run);
  ASSERT_EQ(text_at(ended, {"status"}), "succeeded");
  int at_second = 0;
  for (const auto& [id, node] : ended.find("nodes")->as_object())
    at_second += text_at(node, {"worker"}) == "w2" ? 1 : 0;
  EXPECT_GE(at_second, 8) << "of 60; about half where the machine has nothing else to do";
  EXPECT_GT(metric(http, "millrace_attempts_asked_back_total"), 0);
  EXPECT_LT(at(ended, {"elapsed_ms"}).to_double(), 5'000) << "6 s by one worker";
  EXPECT_EQ(problem_of_history(history(cluster, run)), "");
}

TEST(Fleet, ASlowWorkerIsNotDeadAndWhatItHasNotStartedGoesElsewhere) {
  ClusterOptions options;
  options.workers = {"slow", "good"};
  options.slots = 2;
  Cluster cluster(options);
  const std::string file = cluster.workflow("many", fan_out(200, "20ms"));
  std::atomic<bool> done = false;
  std::thread duty([&] {  // four fifths of the time it stands still
    while (!done) {
      cluster.worker("slow").signal(SIGSTOP);
      std::this_thread::sleep_for(800ms);
      cluster.worker("slow").signal(SIGCONT);
      std::this_thread::sleep_for(200ms);
    }
  });
  std::vector<std::string> runs;
  for (int i = 0; i < 4; ++i) runs.push_back(cluster.submit(file));
  for (const std::string& run : runs) {
    const Value ended = cluster.wait(run);
    EXPECT_EQ(text_at(ended, {"status"}), "succeeded");
    const std::vector<Value> events = history(cluster, run);
    EXPECT_EQ(problem_of_history(events), "");
    EXPECT_TRUE(nodes_in_order(events, "task_retrying").empty()) << "a slow worker was declared dead";
  }
  done = true;
  duty.join();
}

}  // namespace
}  // namespace millrace::test
