// Fan-outs across processes: workers and coordinators that die in the middle of one.
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

std::int64_t items_of(const Cluster& cluster, const std::string& run, std::string_view which) {
  const Value status = cluster.json({"status", run});
  return at(status, {"nodes", "square", "items"}).is_object() ? number_at(status, {"nodes", "square", "items", which})
                                                              : 0;
}

TEST(FanOut, TenThousandItemsHaveOneResultEachInOrderThoughAWorkerAndTheCoordinatorAreKilled) {
  Cluster cluster;
  const std::string file = cluster.workflow("squares", R"yaml(
nodes:
  square:
    foreach: {from: 0, to: 10000}
    executor: python
    isolation: none
    script: |
      import time
      time.sleep(0.001)
      output = item * index
  check:
    depends_on: [square]
    executor: python
    script: |
      output = {"items": len(square), "right": square == [i * i for i in range(10000)]}
outputs:
  items: "{{ nodes.check.items }}"
  right: "{{ nodes.check.right }}"
)yaml");
  const std::string run = cluster.submit(file, {});
  ASSERT_TRUE(eventually(30s, [&] { return items_of(cluster, run, "done") > 500; }));
  cluster.worker("w1").kill();
  ASSERT_TRUE(eventually(30s, [&] { return items_of(cluster, run, "done") > 2'000; }));
  EXPECT_LT(items_of(cluster, run, "done"), 10'000) << "it was over before anything happened";

  cluster.coordinator().kill();
  cluster.start_coordinator();

  const Value ended = cluster.wait(run);
  EXPECT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump().substr(0, 2'000);
  EXPECT_EQ(number_at(ended, {"outputs", "items"}), 10'000);
  EXPECT_EQ(at(ended, {"outputs", "right"}), Value(true));
  EXPECT_EQ(number_at(ended, {"nodes", "square", "items", "done"}), 10'000);
  EXPECT_EQ(problem_of_history(cluster.rows({"events", run})), "");
}

// Of a process, in MB: what it holds (VmRSS), the most that it has held (VmHWM).
std::int64_t memory_mb(pid_t pid, const std::string& which) {
  const std::string status = read_file("/proc/" + std::to_string(pid) + "/status");
  const std::size_t found = status.find(which + ":");
  return found == std::string::npos ? -1 : std::stoll(status.substr(found + which.size() + 1)) / 1024;
}

TEST(FanOut, AMillionItemsThatWaitCostTheCoordinatorLessThan200MB) {
  Cluster cluster({.workers = {}});
  std::string list = "[";
  for (int i = 0; i < 1'000'000; ++i) list += (i == 0 ? "\"item-" : ",\"item-") + std::to_string(i) + "\"";
  const std::string items = cluster.scratch().file("items.json");
  std::ofstream(items) << list << "]";
  const std::string file = cluster.workflow("million", R"yaml(
inputs:
  items: {type: array, required: true}
nodes:
  each: {foreach: "{{ inputs.items }}", executor: noop}
outputs:
  each: "{{ nodes.each | length }}"
)yaml");
  const std::string run = cluster.submit(file, {"-i", "items=@" + items});
  const auto total = [&] {
    const Value status = cluster.json({"status", run});
    return at(status, {"nodes", "each", "items", "total"}) == Value(1'000'000);
  };
  ASSERT_TRUE(eventually(30s, total));
  const pid_t coordinator = cluster.coordinator().pid();
  EXPECT_LT(memory_mb(coordinator, "VmHWM"), 200);  // while it was read, too
  RecordProperty("waiting_mb", static_cast<int>(memory_mb(coordinator, "VmRSS")));

  cluster.start_worker("w1");

  const Value ended = cluster.wait(run, 120s);
  EXPECT_EQ(number_at(ended, {"outputs", "each"}), 1'000'000) << ended.dump().substr(0, 2'000);
  EXPECT_LT(memory_mb(coordinator, "VmHWM"), 200);
  RecordProperty("peak_mb", static_cast<int>(memory_mb(coordinator, "VmHWM")));
}

TEST(FanOut, LargeOutputsOfItemsStandInTheListAsTheyWere) {
  Cluster cluster({.workers = {"w1"}});
  const std::string file = cluster.workflow("large", R"yaml(
nodes:
  big:
    foreach: {from: 0, to: 300}
    on_item_error: continue
    executor: python
    isolation: none
    script: |
      if item == 5:
          raise ValueError("five")
      output = str(item % 10) * (100000 if item % 2 else 3)
  check:
    depends_on: [big]
    executor: python
    script: |
      output = big == [None if i == 5 else str(i % 10) * (100000 if i % 2 else 3) for i in range(300)]
outputs:
  right: "{{ nodes.check }}"
  of_seven: "{{ nodes.big[7] | length }}"
)yaml");

  const Value ended = cluster.wait(cluster.submit(file));

  EXPECT_EQ(at(ended, {"outputs", "right"}), Value(true)) << ended.dump().substr(0, 2'000);
  EXPECT_EQ(number_at(ended, {"outputs", "of_seven"}), 100'000);
}

TEST(FanOut, LogsNameItemsAndStatusShowsThoseThatFailedFirst) {
  Cluster cluster({.workers = {"w1"}});
  const std::string file = cluster.workflow("some-fail", R"yaml(
nodes:
  square:
    foreach: [1, 2, 3, 4]
    chunk: 2
    timeout: 10s
    on_item_error: continue
    executor: shell
    env: {ITEM: "{{ item }}"}
    script: "echo item $ITEM; [ $ITEM != 3 ]"
    outputs: text
)yaml");
  const std::string run = cluster.submit(file, {});
  const Value ended = cluster.wait(run);
  EXPECT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump();
  EXPECT_EQ(number_at(ended, {"nodes", "square", "items", "failed"}), 1);
  const Value& failed = at(ended, {"nodes", "square", "items", "failed_items"});
  ASSERT_EQ(failed.as_array().size(), 1U);
  EXPECT_EQ(*failed.as_array()[0].find("index"), Value(2));
  EXPECT_TRUE(eventually(10s, [&] {
    const Finished logs = cluster.cli({"logs", run});
    return logs.out.find("square[1]") != std::string::npos && logs.out.find("item 2") != std::string::npos;
  }));
  const Finished status = cluster.cli({"status", run});
  EXPECT_LT(status.out.find("failed items of square"), status.out.find("ITEMS")) << status.out;
  EXPECT_NE(status.out.find("[##########] 4/4, 1 failed"), std::string::npos) << status.out;
}

}  // namespace
}  // namespace millrace::test
