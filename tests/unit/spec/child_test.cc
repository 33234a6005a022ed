// Nodes that start runs of registered workflows.
#include <gtest/gtest.h>

#include "common/spec/parse.h"

namespace millrace {
namespace {

std::string problem_of(const std::string& node) {
  const Result<WorkflowSpec> spec = parse_workflow("nodes:\n  a: {" + node + "}\n", "f");
  if (spec.ok()) return "";
  return spec.error().details.empty() ? spec.error().what : spec.error().details.front().message;
}

TEST(ChildNode, NamesItsWorkflowPerhapsAVersionAndItsInputs) {
  const Result<WorkflowSpec> spec = parse_workflow(R"(
inputs: {day: string}
nodes:
  first: {executor: workflow, workflow: load}
  second:
    executor: workflow
    workflow: "load@12"
    with: {day: "{{ inputs.day }}", rows: "{{ nodes.first.rows }}"}
    timeout: 10m
    fallback: {value: 0}
)",
                                                   "f");
  ASSERT_TRUE(spec.ok()) << spec.error().what;
  const WaitSpec& first = *spec->specs[0].flow.wait;
  EXPECT_EQ(first.kind, WaitKind::kChild);
  EXPECT_EQ(first.workflow, "load");
  EXPECT_EQ(first.version, 0U);
  EXPECT_TRUE(spec->specs[0].is_control()) << "no worker runs it";
  const WaitSpec& second = *spec->specs[1].flow.wait;
  EXPECT_EQ(second.workflow, "load");
  EXPECT_EQ(second.version, 12U);
  EXPECT_EQ(second.limit->as_string(), "10m");
  EXPECT_EQ(second.with->find("day")->as_string(), "{{ inputs.day }}");
  EXPECT_EQ(spec->upstream.of(1).size(), 1U) << "what it is given is what it waits for";
}

TEST(ChildNode, SaysWhatIsWrongWithIt) {
  EXPECT_EQ(problem_of("executor: workflow"), "node 'a' does not say which workflow it runs");
  EXPECT_EQ(problem_of("executor: workflow, workflow: w@x"), "'workflow' of node 'a' is 'w@x'");
  EXPECT_EQ(problem_of("executor: workflow, workflow: w@0"), "'workflow' of node 'a' is 'w@0'");
  EXPECT_EQ(problem_of("executor: workflow, workflow: '{{ inputs.x }}'"), "'workflow' of node 'a' is '{{ inputs.x }}'");
  EXPECT_EQ(problem_of("executor: workflow, workflow: w, script: x"),
            "unknown key 'script' in node 'a', which has an 'executor'");
  EXPECT_NE(problem_of("executor: workflow, workflow: w, with: {x: '{{ secrets.x }}'}"), "") << "no worker resolves it";
  EXPECT_NE(problem_of("executor: workflow, workflow: w, timeout: soon"), "");
  EXPECT_EQ(problem_of("executor: workflow, workflow: w, with: {x: '{{ item }}'}"),
            "'item' is not known here (in 'with' of node 'a')");
  EXPECT_EQ(problem_of("executor: workflow, workflow: w, foreach: [1], collect: '{{ output.x }}'"),
            "'collect' of node 'a' is the text '{{ output.x }}'");
  EXPECT_EQ(problem_of("executor: workflow, workflow: w, foreach: [1], chunk: 3"),
            "unknown key 'chunk' in node 'a', which has an 'executor'");
}

TEST(ChildNode, MayRunItsWorkflowOnceForEachItem) {
  const Result<WorkflowSpec> spec = parse_workflow(R"(
nodes:
  regions: {value: [eu, us]}
  load:
    executor: workflow
    foreach: "{{ nodes.regions }}"
    workflow: load
    with: {region: "{{ item }}", place: "{{ index }}"}
    timeout: "{{ item.seconds | default(10) }}"
    max_parallel: 2
    on_item_error: drop
    collect: false
)",
                                                   "f");
  ASSERT_TRUE(spec.ok()) << spec.error().what;
  const ForeachSpec& foreach = *spec->specs[1].flow.foreach;
  EXPECT_EQ(foreach.parallel_max, 2U);
  EXPECT_EQ(foreach.on_error, OnItemError::kDrop);
  EXPECT_EQ(foreach.collect, Value(false));
  EXPECT_EQ(spec->specs[1].flow.wait->kind, WaitKind::kChild);
  EXPECT_EQ(spec->upstream.of(1).size(), 1U);
}

}  // namespace
}  // namespace millrace
