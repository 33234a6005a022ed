// Values that are kept under keys, on a real cluster: one computes, whoever asks; across kill -9 of coordinators.
#include <gtest/gtest.h>

#include <fstream>

#include "tests/process/failover.h"
#include "tests/process/workflows.h"

namespace millrace::test {
namespace {

constexpr const char* kSlow = R"yaml(
name: slow
inputs:
  key: {type: string, default: k}
  file: {type: string}
  fails: {type: boolean, default: false}
  large: {type: boolean, default: false}
nodes:
  value:
    executor: python
    script: |
      import os, time
      with open(inputs["file"], "a") as log:
          log.write("x\n")
      while not os.path.exists(inputs["file"] + ".go"):
          time.sleep(0.05)
      if inputs["fails"]:
          raise ValueError("not today")
      output = {"by": run["id"], "pad": "x" * (100_000 if inputs["large"] else 0)}
    cache: {key: "{{ inputs.key }}", ttl: 1h}
  behind: {value: "{{ nodes.value.by }}"}
outputs:
  by: "{{ nodes.behind }}"
)yaml";

std::string reason_of(const Cluster& cluster, const std::string& run) {
  return text_at(cluster.json({"status", run}), {"nodes", "value", "wait_reason"});
}

TEST(Cache, OneRunComputesAndAllOthersTakeItsValueWhoeverIsKilledMeanwhile) {
  Cluster cluster({.workers = {"w1"}, .coordinators = 2});
  ASSERT_TRUE(eventually(20s, [&] { return balanced(cluster); }));
  const std::string file = cluster.workflow("slow", kSlow);
  const std::string log = cluster.scratch().file("log");
  std::vector<std::string> runs;
  for (int i = 0; i < 6; ++i) runs.push_back(cluster.submit(file, {"-i", "file=" + log, "-i", "large=true"}));
  ASSERT_TRUE(eventually(20s, [&] {
    int waiting = 0;
    for (const std::string& run : runs) waiting += reason_of(cluster, run) == "cache" ? 1 : 0;
    return waiting == 5 && count_lines(log) == 1;
  }));
  cluster.coordinator(1).kill();
  std::ofstream(log + ".go") << "";
  std::string by;
  for (const std::string& run : runs) {
    const Value ended = cluster.wait(run);
    EXPECT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump_pretty();
    if (by.empty()) by = text_at(ended, {"outputs", "by"});
    EXPECT_EQ(text_at(ended, {"outputs", "by"}), by);
    const Value& node = at(ended, {"nodes", "value"});
    EXPECT_EQ(node.find("cached") != nullptr, run != by) << "all but who computed it";
  }
  EXPECT_EQ(count_lines(log), 1U) << "it was computed once";
  cluster.start_coordinator(1);
  const Value later = cluster.wait(cluster.submit(file, {"-i", "file=" + log, "-i", "large=true"}));
  EXPECT_EQ(text_at(later, {"outputs", "by"}), by) << "a new owner has it";
  const Value other = cluster.wait(cluster.submit(file, {"-i", "file=" + log, "-i", "key=other"}));
  EXPECT_NE(text_at(other, {"outputs", "by"}), by);
  EXPECT_EQ(count_lines(log), 2U);
  const Value tenant = cluster.wait(cluster.submit(file, {"-i", "file=" + log, "--tenant", "acme"}));
  EXPECT_NE(text_at(tenant, {"outputs", "by"}), by) << "tenants share nothing";
  EXPECT_EQ(cluster.cli({"store", "check", "--redis", cluster.redis().url()}).exit_code, 0);
}

TEST(Cache, TheNextComputesWhenTheFirstFailsOrIsCancelled) {
  Cluster cluster({.workers = {"w1"}});
  const std::string file = cluster.workflow("slow", kSlow);
  const std::string log = cluster.scratch().file("log");
  const std::string first = cluster.submit(file, {"-i", "file=" + log, "-i", "fails=true"});
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(log) == 1; }));
  std::vector<std::string> next;
  for (int i = 0; i < 2; ++i) {
    next.push_back(cluster.submit(file, {"-i", "file=" + log}));
    ASSERT_TRUE(eventually(20s, [&] { return reason_of(cluster, next.back()) == "cache"; }));
  }
  const Finished shown = cluster.cli({"status", next[1]});
  EXPECT_NE(shown.out.find("cache"), std::string::npos) << shown.out;
  ASSERT_EQ(cluster.cli({"cancel", first}).exit_code, 0);
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(log) == 2; })) << "the next computes";
  std::ofstream(log + ".go") << "";
  for (const std::string& run : next) {
    const Value ended = cluster.wait(run);
    EXPECT_EQ(text_at(ended, {"outputs", "by"}), next[0]) << ended.dump_pretty();
  }
}

}  // namespace
}  // namespace millrace::test
