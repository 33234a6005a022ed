// Sub-graphs and loops, as they are written, and what they are written out to.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "common/spec/parse.h"

namespace millrace {
namespace {

using Names = std::set<std::string>;

WorkflowSpec parsed(const std::string& text) {
  Result<WorkflowSpec> spec = parse_workflow(text, "f");
  EXPECT_TRUE(spec.ok()) << text << (spec.ok() ? "" : spec.error().details.at(0).message);
  return spec.ok() ? std::move(spec).value() : WorkflowSpec{};
}

std::string problem_of(const std::string& text) {
  const Result<WorkflowSpec> spec = parse_workflow(text, "f");
  return spec.ok() ? "" : spec.error().details.at(0).message;
}

std::uint32_t index_of(const WorkflowSpec& spec, const std::string& id) {
  for (std::uint32_t i = 0; i < spec.ids.size(); ++i) {
    if (spec.ids[i] == id) return i;
  }
  ADD_FAILURE() << "no node " << id;
  return 0;
}

Names upstream_of(const WorkflowSpec& spec, const std::string& id) {
  Names names;
  for (std::uint32_t up : spec.upstream.of(index_of(spec, id))) names.insert(spec.ids[up]);
  return names;
}

const NodeSpec& node(const WorkflowSpec& spec, const std::string& id) { return spec.specs[index_of(spec, id)]; }

TEST(SubGraphs, AreWrittenOutBetweenTheirBeginningAndTheirEnd) {
  const WorkflowSpec spec = parsed(
      "nodes:\n"
      "  a: {executor: noop}\n"
      "  g:\n"
      "    depends_on: a\n"
      "    when: '{{ inputs.x }}'\n"
      "    nodes:\n"
      "      x: {executor: noop}\n"
      "      y: {executor: shell, script: echo, env: {X: '{{ nodes.x.stdout }}', A: '{{ nodes.a }}'}}\n"
      "    outputs: {both: '{{ nodes.y.stdout }}'}\n"
      "  b: {value: '{{ nodes.g.both }}'}\n"
      "inputs: {x: any}\n");
  EXPECT_EQ(spec.ids, (std::vector<std::string>{"a", "g", "g/begin", "g/x", "g/y", "b"}));
  EXPECT_EQ(upstream_of(spec, "g/begin"), Names{"a"});
  EXPECT_EQ(*node(spec, "g/begin").flow.when, Value("{{ inputs.x }}"));
  EXPECT_EQ(upstream_of(spec, "g/x"), Names{"g/begin"});
  EXPECT_EQ(upstream_of(spec, "g/y"), (Names{"a", "g/begin", "g/x"}))
      << "a name is looked for inside, then further out";
  EXPECT_EQ(node(spec, "g/y").flow.gate, "g/begin");
  EXPECT_EQ(upstream_of(spec, "g"), (Names{"g/begin", "g/y"}));
  EXPECT_EQ(upstream_of(spec, "b"), Names{"g"});
  EXPECT_FALSE(node(spec, "g").flow.when) << "it is skipped with its nodes";
}

TEST(SubGraphs, WithoutOutputsGiveThoseOfTheirLastNodes) {
  const WorkflowSpec spec = parsed(
      "nodes: {g: {nodes: {x: {executor: noop, on_failure: h}, y: {executor: noop, depends_on: x}, z: {executor: "
      "noop}, "
      "h: {value: 1}}}}");
  EXPECT_EQ(node(spec, "g").value->dump(), R"({"y":"{{ nodes['y'] }}","z":"{{ nodes['z'] }}"})");
  EXPECT_EQ(upstream_of(spec, "g"), (Names{"g/begin", "g/y", "g/z"}))
      << "what handles a failure is no part of the work";
}

TEST(SubGraphs, StandInOneAnother) {
  const WorkflowSpec spec =
      parsed("nodes: {g: {nodes: {h: {nodes: {x: {executor: noop}}}, y: {value: '{{ nodes.h.x }}'}}}}");
  EXPECT_EQ(spec.ids, (std::vector<std::string>{"g", "g/begin", "g/h", "g/h/begin", "g/h/x", "g/y"}));
  EXPECT_EQ(node(spec, "g/h/begin").flow.gate, "g/begin");
  EXPECT_EQ(node(spec, "g/h/x").flow.gate, "g/h/begin");
  EXPECT_EQ(upstream_of(spec, "g/y"), (Names{"g/begin", "g/h"}));
}

TEST(SubGraphs, HandleTheFailureOfEachOfTheirNodes) {
  const WorkflowSpec spec =
      parsed("nodes: {g: {on_failure: h, nodes: {x: {executor: noop}}}, h: {value: '{{ error.node }}'}}");
  EXPECT_EQ(node(spec, "g/x").flow.on_failure, std::vector<std::string>{"h"});
  EXPECT_EQ(upstream_of(spec, "h"), (Names{"g", "g/begin", "g/x"}));
}

TEST(SubGraphs, AreChosenByABranchAtTheirBeginning) {
  const WorkflowSpec spec = parsed("nodes: {r: {branch: [{when: true, to: g}]}, g: {nodes: {x: {executor: noop}}}}");
  EXPECT_EQ(node(spec, "r").flow.branch->cases[0].to, std::vector<std::string>{"g/begin"});
  EXPECT_EQ(upstream_of(spec, "g/begin"), Names{"r"});
}

TEST(Loops, AreWrittenOutToTheirRounds) {
  const WorkflowSpec spec = parsed(
      "nodes:\n"
      "  g:\n"
      "    loop: {until: '{{ nodes.x.ok or round > 1 }}', max_rounds: 2}\n"
      "    nodes:\n"
      "      x: {executor: shell, script: 'echo {{ round }}', env: {N: '{{ round + round }} {{ previous.x }}'}}\n");
  EXPECT_EQ(spec.ids,
            (std::vector<std::string>{"g", "g/begin", "g/1", "g/1/x", "g/1/again", "g/2", "g/2/x", "g/2/again"}));
  EXPECT_EQ(*node(spec, "g").flow.loop, (LoopSpec{2, true}));
  EXPECT_EQ(upstream_of(spec, "g"), (Names{"g/1", "g/2", "g/2/again"}));
  EXPECT_EQ(node(spec, "g/2").flow.round, 2U);
  EXPECT_EQ(node(spec, "g/1/x").flow.gate, "g/begin");
  EXPECT_EQ(node(spec, "g/2/x").flow.gate, "g/1/again");
  EXPECT_EQ(*node(spec, "g/1/again").flow.when, Value("{{ not ( nodes.x.ok or nodes.round > 1 ) }}"));
  EXPECT_EQ(upstream_of(spec, "g/1/again"), (Names{"g/1", "g/1/x", "g/begin"}));
  EXPECT_EQ(node(spec, "g/2/x").fields.find("env")->find("N")->as_string(),
            "{{ nodes.round + nodes.round }} {{ nodes.previous.x }}");
  EXPECT_EQ(node(spec, "g/2/x").fields.find("script")->as_string(), "echo {{ round }}") << "code is as written";
}

TEST(Loops, OfWhatIsWrong) {
  const auto of = [](const std::string& loop, const std::string& nodes = "{x: {executor: noop}}") {
    return problem_of("nodes: {g: {loop: " + loop + ", nodes: " + nodes + "}}");
  };
  EXPECT_EQ(of("{until: true, max_rounds: 3, on_max_rounds: end}"), "");
  EXPECT_EQ(of("{until: true}"), "'loop' of node 'g' has no 'max_rounds'");
  EXPECT_EQ(of("{max_rounds: 3}"), "'loop' of node 'g' has no 'until'");
  EXPECT_EQ(of("{until: done, max_rounds: 3}"), "'until' in 'loop' of node 'g' is the text 'done'");
  EXPECT_EQ(of("{until: true, max_rounds: 3, on_max_rounds: stop}"),
            "'on_max_rounds' in 'loop' of node 'g' is the text 'stop'");
  EXPECT_EQ(of("{until: true, max_rounds: 3}", "{round: {executor: noop}}"),
            "node 'g/1/round' has a name that a loop gives");
  EXPECT_EQ(of("{until: true, max_rounds: 9000}"),
            "with the nodes of its sub-graphs, in each round of a loop, the workflow has too many");
  EXPECT_EQ(problem_of("nodes: {g: {nodes: {}}}"), "node 'g' is a sub-graph without nodes");
  EXPECT_EQ(problem_of("nodes: {g: {retry: {max_attempts: 2}, nodes: {x: {executor: noop}}}}"),
            "unknown key 'retry' in node 'g', which is a sub-graph");
  EXPECT_EQ(problem_of("nodes: {a: {executor: noop, fallback: {node: g}}, g: {nodes: {x: {executor: noop}}}}"),
            "node 'g' is a sub-graph and is to clean up or to stand in");
  EXPECT_EQ(problem_of("nodes: {a: {value: '{{ round }}'}}"), "unknown name 'round' (in 'value' of node 'a')");
}

}  // namespace
}  // namespace millrace
