// Child runs on a real cluster: in any partition, of any coordinator, across kill -9.
#include <gtest/gtest.h>

#include "tests/process/failover.h"
#include "tests/process/workflows.h"

namespace millrace::test {
namespace {

constexpr const char* kFlow = R"yaml(
name: flow
inputs:
  n: {type: integer, default: 1}
nodes:
  go: {signal: go}
  twice:
    executor: python
    script: output = 2 * inputs["n"]
outputs:
  answer: "{{ nodes.twice + nodes.go }}"
)yaml";

constexpr const char* kParent = R"yaml(
name: parent
inputs:
  n: {type: integer, default: 1}
nodes:
  first: {executor: workflow, workflow: flow, with: {n: "{{ inputs.n }}"}}
  second: {executor: workflow, workflow: flow@1, with: {n: 100}}
  sum: {value: "{{ nodes.first.answer + nodes.second.answer }}"}
outputs:
  sum: "{{ nodes.sum }}"
)yaml";

std::string child_of(const Cluster& cluster, const std::string& run, std::string_view node) {
  return text_at(cluster.json({"status", run}), {"nodes", node, "child"});
}

TEST(Children, GiveTheirOutputsToTheirParentWhoeverIsKilledMeanwhile) {
  Cluster cluster({.workers = {"w1"}, .coordinators = 2});
  ASSERT_TRUE(eventually(20s, [&] { return balanced(cluster); }));
  ASSERT_EQ(cluster.cli({"workflow", "apply", cluster.workflow("flow", kFlow)}).exit_code, 0);
  const std::string file = cluster.workflow("parent", kParent);
  std::vector<std::string> parents;
  for (int i = 0; i < 6; ++i)  // their partitions, those of their children and of the name are both coordinators'
    parents.push_back(cluster.submit(file, {"-i", "n=" + std::to_string(i)}));
  for (const std::string& parent : parents) {
    for (const char* node : {"first", "second"}) {
      ASSERT_TRUE(eventually(20s, [&] { return !child_of(cluster, parent, node).empty(); })) << node;
      const Value waits = at(cluster.json({"status", parent}), {"nodes", node});
      EXPECT_EQ(text_at(waits, {"wait_reason"}), "child");
      const Value child = cluster.json({"status", text_at(waits, {"child"})});
      EXPECT_EQ(text_at(child, {"parent", "run"}), parent);
      EXPECT_EQ(text_at(child, {"parent", "node"}), node);
      EXPECT_EQ(number_at(child, {"version"}), 1);
    }
  }
  cluster.coordinator(1).kill();
  for (int i = 0; i < 6; ++i) {
    const std::string& parent = parents[static_cast<std::size_t>(i)];
    for (const char* node : {"first", "second"}) {
      ASSERT_TRUE(eventually(30s, [&] {
        const std::string child = child_of(cluster, parent, node);
        return !child.empty() && cluster.cli({"signal", child, "go", "-d", "5"}).exit_code != 5;
      }));
    }
    if (i == 2) cluster.start_coordinator(1);
    const Value ended = cluster.wait(parent);
    EXPECT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump_pretty();
    EXPECT_EQ(number_at(ended, {"outputs", "sum"}), 2 * i + 210);
  }
  EXPECT_EQ(cluster.cli({"store", "check", "--redis", cluster.redis().url()}).exit_code, 0);
}

TEST(Children, OfAFanOutMayFanOutThemselvesWhoeverIsKilledMeanwhile) {
  Cluster cluster({.workers = {"w1"}, .coordinators = 2});
  ASSERT_TRUE(eventually(20s, [&] { return balanced(cluster); }));
  const std::string inner = cluster.workflow("inner", R"yaml(
name: inner
inputs: {n: integer}
nodes:
  go: {signal: go}
  squares: {depends_on: go, foreach: {from: 0, to: "{{ inputs.n }}"}, executor: python, script: output = item * item}
outputs: {squares: "{{ nodes.squares }}"}
)yaml");
  ASSERT_EQ(cluster.cli({"workflow", "apply", inner}).exit_code, 0);
  const std::string parent = cluster.submit(cluster.workflow("outer", R"yaml(
name: outer
nodes:
  all: {foreach: [1, 2, 3, 4], executor: workflow, workflow: inner, with: {n: "{{ item }}"}, max_parallel: 3}
outputs: {all: "{{ nodes.all }}"}
)yaml"));
  const auto children = [&] {  // those that live
    std::vector<std::string> ids;
    for (const Value& run : cluster.rows({"list", "--where", "workflow == 'inner' and status == 'running'"}))
      ids.push_back(text_at(run, {"run"}));
    return ids;
  };
  ASSERT_TRUE(eventually(20s, [&] { return children().size() == 3; })) << "max_parallel";
  const Value waits = cluster.json({"status", parent});
  EXPECT_EQ(number_at(waits, {"nodes", "all", "items", "running"}), 3) << waits.dump_pretty();
  cluster.coordinator(1).kill();
  ASSERT_TRUE(eventually(60s, [&] {
    for (const std::string& child : children()) (void)cluster.cli({"signal", child, "go"});
    return text_at(cluster.json({"status", parent}), {"status"}) == "succeeded";
  }));
  const Value ended = cluster.wait(parent);
  EXPECT_EQ(at(ended, {"outputs", "all"}).dump(),
            R"([{"squares":[0]},{"squares":[0,1]},{"squares":[0,1,4]},{"squares":[0,1,4,9]}])");
  EXPECT_EQ(number_at(ended, {"nodes", "all", "items", "done"}), 4);
  EXPECT_EQ(cluster.cli({"store", "check", "--redis", cluster.redis().url()}).exit_code, 0);
}

TEST(Children, FailWithTheirParentsNodeAndAreCancelledWithTheirParent) {
  Cluster cluster({.workers = {}});
  const std::string breaks = "name: breaks\nnodes: {a: {signal: go}, b: {depends_on: a, value: '{{ 1 / 0 }}'}}\n";
  ASSERT_EQ(cluster.cli({"workflow", "apply", cluster.workflow("breaks", breaks)}).exit_code, 0);
  const std::string file =
      cluster.workflow("parent", "name: parent\nnodes: {a: {executor: workflow, workflow: breaks}}\n");
  const std::string fails = cluster.submit(file);
  ASSERT_TRUE(eventually(20s, [&] { return !child_of(cluster, fails, "a").empty(); }));
  const std::string child = child_of(cluster, fails, "a");
  ASSERT_EQ(cluster.cli({"signal", child, "go"}).exit_code, 0);
  const Value failed = cluster.wait(fails);
  EXPECT_EQ(text_at(failed, {"status"}), "failed");
  EXPECT_EQ(text_at(failed, {"nodes", "a", "error", "code"}), "child");
  EXPECT_NE(text_at(failed, {"error", "message"}).find("child run " + child + " failed: "), std::string::npos)
      << failed.dump_pretty();

  const std::string cancelled = cluster.submit(file);
  ASSERT_TRUE(eventually(20s, [&] { return !child_of(cluster, cancelled, "a").empty(); }));
  const std::string other = child_of(cluster, cancelled, "a");
  ASSERT_EQ(cluster.cli({"cancel", cancelled}).exit_code, 0);
  EXPECT_EQ(text_at(cluster.wait(other), {"status"}), "cancelled");

  const std::string nowhere = cluster.workflow("nowhere", "nodes: {a: {executor: workflow, workflow: nowhere}}\n");
  const Value none = cluster.wait(cluster.submit(nowhere));
  EXPECT_EQ(text_at(none, {"error", "message"}), "no workflow 'nowhere' is registered");
}

}  // namespace
}  // namespace millrace::test
