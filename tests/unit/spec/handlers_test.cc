// Nodes that handle failures and clean up, as they are written.
#include <gtest/gtest.h>

#include "common/spec/parse.h"

namespace millrace {
namespace {

using Ids = std::vector<std::string>;

std::string problem_of(const std::string& text) {
  const Result<WorkflowSpec> spec = parse_workflow(text, "f");
  return spec.ok() ? "" : spec.error().details.at(0).message;
}

TEST(Handlers, AreNamedOrWrittenInTheirSection) {
  const Result<WorkflowSpec> spec = parse_workflow(
      "nodes:\n"
      "  a: {executor: noop, on_failure: h, compensate: c}\n"
      "  h: {value: '{{ error.message }}'}\n"
      "  c: {executor: noop}\n"
      "  f: {executor: noop}\n"
      "on_failure: {tell: {executor: noop}}\n"
      "finally: [f]\n",
      "f");
  ASSERT_TRUE(spec.ok()) << spec.error().details.at(0).message;
  EXPECT_EQ(spec->ids, (Ids{"a", "h", "c", "f", "tell"}));
  EXPECT_EQ(spec->specs[0].flow.on_failure, Ids{"h"});
  EXPECT_EQ(spec->specs[0].flow.compensate, "c");
  EXPECT_EQ(spec->on_failure, Ids{"tell"});
  EXPECT_EQ(spec->finally_run, Ids{"f"});
  EXPECT_EQ(spec->upstream.of(1).size(), 1U) << "it waits for what it handles";
  EXPECT_EQ(spec->upstream.of(2).size(), 1U) << "and for what it undoes";
}

TEST(Handlers, OfWhatIsWrong) {
  EXPECT_EQ(problem_of("nodes: {a: {executor: noop, on_failure: b}}"),
            "'on_failure' of node 'a' names 'b', which is not a node");
  EXPECT_EQ(problem_of("nodes: {a: {executor: noop, compensate: a}}"),
            "'compensate' of node 'a' names the node itself");
  EXPECT_EQ(problem_of("nodes: {a: {executor: noop}}\nfinally: [b]"), "'finally' names 'b', which is not a node");
  EXPECT_EQ(problem_of("nodes: {a: {executor: noop}}\nfinally: {a: {executor: noop}}"), "node 'a' is there twice");
  EXPECT_EQ(problem_of("nodes: {a: {executor: noop}}\nfinally: a"), "every node is there to clean up");
  EXPECT_EQ(problem_of(
                "nodes: {a: {executor: noop, compensate: c}, b: {executor: noop, compensate: c}, c: {executor: noop}}"),
            "node 'c' is named by 'compensate' and by 'compensate'");
  EXPECT_EQ(
      problem_of("nodes: {a: {executor: noop}, b: {executor: noop, depends_on: f}}\nfinally: {f: {executor: noop}}"),
      "node 'b' waits for 'f', which runs when everything else has ended ('finally')");
  EXPECT_NE(problem_of("nodes: {a: {executor: noop}}\noutputs: {x: '{{ error.code }}'}"), "");
}

TEST(StandIns, WaitForTheNodeThatTheyStandInFor) {
  const Result<WorkflowSpec> spec = parse_workflow(
      "nodes: {a: {executor: noop, fallback: {node: b}}, b: {value: '{{ error.message }}'}, c: {value: '{{ nodes.a "
      "}}'}}",
      "f");
  ASSERT_TRUE(spec.ok()) << spec.error().details.at(0).message;
  EXPECT_EQ(spec->specs[0].flow.stand_in, "b");
  EXPECT_EQ(spec->upstream.of(1).size(), 1U);
  EXPECT_EQ(spec->upstream.of(2).size(), 1U) << "what is behind it waits for it alone";
}

TEST(StandIns, OfWhatIsWrong) {
  const auto of = [](const std::string& nodes, const std::string& more = "") {
    return problem_of("nodes: {a: {executor: noop, fallback: {node: b}}, " + nodes + "}\n" + more);
  };
  EXPECT_EQ(of("b: {executor: noop}"), "");
  EXPECT_EQ(of("c: {executor: noop}"), "'node' in 'fallback' of node 'a' names 'b', which is not a node");
  EXPECT_EQ(of("b: {executor: noop, fallback: {node: b}}"), "'node' in 'fallback' of node 'b' names the node itself");
  EXPECT_EQ(of("b: {executor: noop}, c: {executor: noop, fallback: {node: b}}"),
            "node 'b' stands in for 'a' and for 'c'");
  EXPECT_EQ(of("b: {executor: noop}, c: {executor: noop, on_failure: b}"),
            "node 'b' stands in for 'a' and is named by 'on_failure'");
  EXPECT_EQ(of("b: {executor: noop}, c: {executor: noop}", "finally: [a, b]"),
            "node 'b' stands in for 'a' and is named by 'finally'");
  EXPECT_EQ(of("b: {executor: noop, depends_on: c}, c: {executor: noop, depends_on: a}"),
            "node 'b' stands in for 'a' and waits for what waits for that: b -> a -> c -> b");
  EXPECT_EQ(problem_of("nodes:\n  a: {executor: shell, script: x, fallback: {node: b}}\n  c: {value: 1}\n"
                       "  b: {executor: shell, script: x, depends_on: c, join: 2}\n"),
            "node 'b' has 'join: 2' and waits for 1 nodes beside 'a', for which it stands in");
  EXPECT_EQ(problem_of("nodes: {a: {executor: noop, fallback: {node: b, value: 1}}, b: {executor: noop}}"),
            "'fallback' of node 'a' has more than one of 'value', 'node' and 'cached'");
}

}  // namespace
}  // namespace millrace
