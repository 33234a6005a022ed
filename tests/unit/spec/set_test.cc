// Nodes that set variables, and expressions that read them.
#include <gtest/gtest.h>

#include "common/spec/parse.h"

namespace millrace {
namespace {

std::string problem_of(const std::string& text) {
  const Result<WorkflowSpec> spec = parse_workflow(text, "f");
  if (spec.ok()) return "";
  return spec.error().details.empty() ? spec.error().what : spec.error().details.front().message;
}

TEST(SetNode, IsAValueWhoseMembersAreVariables) {
  const Result<WorkflowSpec> spec = parse_workflow(R"(
nodes:
  a: {value: 1}
  s: {set: {total: "{{ nodes.a }}", unit: kg}, when: "{{ vars.unit == null }}"}
  b: {executor: shell, depends_on: s, command: ["{{ vars.total }}"]}
outputs: {total: "{{ vars.total }}", all: "{{ vars }}"}
)",
                                                   "f");
  ASSERT_TRUE(spec.ok()) << spec.error().what;
  EXPECT_TRUE(spec->specs[1].flow.sets);
  EXPECT_TRUE(spec->specs[1].is_control());
  EXPECT_EQ(spec->specs[1].value->dump(), R"({"total":"{{ nodes.a }}","unit":"kg"})");
  EXPECT_EQ(spec->upstream.of(1).size(), 1U) << "a node that it reads";
  EXPECT_EQ(spec->upstream.of(2).size(), 1U) << "reading a variable waits for nobody";
}

TEST(SetNode, SaysWhatIsWrongWithIt) {
  EXPECT_EQ(problem_of("nodes: {s: {set: 5}}"), "'set' of node 's' is the number 5");
  EXPECT_EQ(problem_of("nodes: {s: {set: {}}}"), "'set' of node 's' names no variable");
  EXPECT_EQ(problem_of("nodes: {s: {set: {a-b: 1}}}"), "'a-b' in 'set' of node 's' cannot be the name of a variable");
  EXPECT_EQ(problem_of("nodes: {s: {set: {a: 1}, value: 2}}"), "node 's' has both a 'set' and a 'value'");
  EXPECT_EQ(problem_of("nodes: {s: {set: {a: 1}, retry: {max_attempts: 2}}}"),
            "unknown key 'retry' in node 's', which has a 'set'");
  EXPECT_EQ(problem_of("nodes: {s: {set: {a: '{{ secrets.x }}'}}}"),
            "'secrets' cannot be read here (in 'set' of node 's')");
  EXPECT_EQ(problem_of("nodes: {s: {set: {count: 1}}, b: {value: '{{ vars.coutn }}'}}"),
            "no node sets a variable 'coutn' (in 'value' of node 'b')");
  EXPECT_EQ(problem_of("nodes: {b: {value: '{{ vars.x }}'}}"), "no node sets a variable 'x' (in 'value' of node 'b')");
  EXPECT_EQ(problem_of("nodes: {vars: {value: 1}}"), "node id 'vars' is reserved");
}

TEST(SetNode, MayStandInALoop) {
  const Result<WorkflowSpec> spec = parse_workflow(R"(
nodes:
  again:
    loop: {until: "{{ vars.n >= 3 }}", max_rounds: 5}
    nodes:
      step: {set: {n: "{{ (vars.n | default(0)) + 1 }}"}}
)",
                                                   "f");
  EXPECT_TRUE(spec.ok()) << spec.error().what;
}

}  // namespace
}  // namespace millrace
