#include "common/spec/parse.h"

#include <gtest/gtest.h>

#include "common/spec/report.h"

namespace millrace {
namespace {

WorkflowSpec parsed(std::string_view yaml, std::string_view file = "flow.yaml") {
  Result<WorkflowSpec> spec = parse_workflow(yaml, file);
  if (spec.ok()) return std::move(spec).value();
  std::string lines;
  for (const Problem& problem : spec.error().details) lines += format(problem) + "\n";
  ADD_FAILURE() << spec.error().what << "\n" << lines;
  return {};
}

// "a b<-a c<-a,b": every node with what it waits for.
std::string edges(const WorkflowSpec& spec) {
  std::string text;
  for (std::uint32_t node = 0; node < spec.node_count(); ++node) {
    text += (node == 0 ? "" : " ") + spec.id(node);
    const char* mark = "<-";
    for (std::uint32_t upstream : spec.upstream.of(node)) {
      text += mark + spec.id(upstream);
      mark = ",";
    }
  }
  return text;
}

TEST(Parse, ReadsTheWorkflowOfTheFormatsContract) {
  const WorkflowSpec spec = parsed(R"(
name: insight
inputs:
  text: {type: string, required: true}
nodes:
  clean_data:
    executor: python
    script: |
      output = {"cleaned": inputs["text"].strip()}
  statistics:
    depends_on: [clean_data]
    executor: python
    script: |
      words = clean_data["cleaned"].split()
      output = {"words": len(words)}
  aggregate_result:
    depends_on: [clean_data, statistics]
    executor: python
    script: |
      result = {"text": clean_data["cleaned"][:80], "words": statistics["words"]}
outputs:
  summary: "{{ nodes.aggregate_result }}"
)");
  EXPECT_EQ(spec.name, "insight");
  ASSERT_EQ(spec.inputs.size(), 1U);
  EXPECT_EQ(spec.inputs[0].name, "text");
  EXPECT_EQ(spec.inputs[0].type, InputType::kString);
  EXPECT_TRUE(spec.inputs[0].required);
  EXPECT_EQ(edges(spec), "clean_data statistics<-clean_data aggregate_result<-clean_data,statistics");
  EXPECT_EQ(spec.spec(0).executor, "python");
  EXPECT_EQ(spec.spec(0).fields.dump(), R"({"script":"output = {\"cleaned\": inputs[\"text\"].strip()}\n"})");
  ASSERT_EQ(spec.outputs.size(), 1U);
  EXPECT_EQ(spec.outputs[0].first, "summary");
  EXPECT_EQ(spec.outputs[0].second, Value("{{ nodes.aggregate_result }}"));
  EXPECT_TRUE(spec.outputs_declared);
  EXPECT_TRUE(spec.fail_fast);
}

TEST(Parse, DefaultsAreTheModels) {
  const WorkflowSpec spec = parsed("nodes: {a: {executor: noop}}");
  NodeSpec plain;
  plain.executor = "noop";
  plain.fields = Value::Object{};
  EXPECT_EQ(spec.spec(0), plain);
  EXPECT_FALSE(spec.outputs_declared);
  EXPECT_EQ(spec.timeout, Duration::zero());
  EXPECT_TRUE(spec.inputs.empty());
}

TEST(Parse, TheNameIsTheStemOfTheFileUnlessWritten) {
  constexpr std::string_view kText = "nodes: {a: {executor: noop}}";
  EXPECT_EQ(parsed(kText, "flows/nightly.build.yaml").name, "nightly.build");
  EXPECT_EQ(parsed(kText, "-").name, "workflow");
  EXPECT_EQ(parsed(kText, "").name, "workflow");
  EXPECT_EQ(parsed("name: other\nnodes: {a: {executor: noop}}", "x.yaml").name, "other");
}

TEST(Parse, ReadsEveryKeyOfAWorkflowAndANode) {
  const WorkflowSpec spec = parsed(R"(
description: all of it
fail_fast: false
timeout: 1h
priority: -3
nodes:
  a:
    executor: shell
    description: a node
    command: [echo, 1.10, true, "{{ inputs }}"]
    env: {PORT: 8080, NAME: x}
    stdin: {any: [1, null]}
    retry: {max_attempts: 5, max_losses: 0, backoff: {initial: 1s, factor: 1.5, max: 1m}, on_loss: fail}
    timeout: 30s
    priority: 7
    queue: gpu
)");
  EXPECT_EQ(spec.description, "all of it");
  EXPECT_FALSE(spec.fail_fast);
  EXPECT_EQ(spec.timeout, 1h);
  EXPECT_EQ(spec.priority, -3);
  const NodeSpec& node = spec.spec(0);
  EXPECT_EQ(node.retry, (RetryPolicy{5, 0, {1s, 1.5, 1min}}));
  EXPECT_EQ(node.on_loss, OnLoss::kFail);
  EXPECT_EQ(node.timeout, 30s);
  EXPECT_EQ(node.priority, 7);
  EXPECT_EQ(node.queue, "gpu");
  // Entries of lists and maps of texts are the texts as they were written.
  EXPECT_EQ(node.fields.dump(), R"({"command":["echo","1.10","true","{{ inputs }}"],"env":{"PORT":"8080","NAME":"x"},)"
                                R"("stdin":{"any":[1,null]}})");
}

TEST(Parse, ReadsWhatANodeAsksOfItsWorker) {
  const WorkflowSpec spec = parsed(R"(
inputs: {customer: string}
nodes:
  load: {executor: noop}
  a:
    executor: noop
    depends_on: load
    requires: {zone: [us, eu, eu], gpu: a100, ssd: "*", arch: {not: arm64}, spot: {not: "*"}, gpus: 8}
    resources: {memory: 4GiB, cpu: 0.5, license: 3}
    affinity: {sticky: load}
    anti_affinity: [load, "ring-{{ inputs.customer }}"]
)");
  const NodeSpec& node = spec.spec(1);
  EXPECT_EQ(node.labels, (std::vector<LabelRule>{{"arch", true, {"arm64"}},
                                                 {"gpu", false, {"a100"}},
                                                 {"gpus", false, {"8"}},
                                                 {"spot", true, {}},
                                                 {"ssd", false, {}},
                                                 {"zone", false, {"eu", "us"}}}));
  EXPECT_EQ(node.resources, (Resources{{"cpu", 500}, {"license", 3}, {"memory", std::uint64_t{4} << 30}}));
  EXPECT_EQ(node.sticky, (std::vector<PlaceHint>{{true, "load"}}));
  EXPECT_EQ(node.apart, (std::vector<PlaceHint>{{true, "load"}, {false, "ring-{{ inputs.customer }}"}}));
}

TEST(Parse, AWishThatReadsANodeDependsOnIt) {
  const WorkflowSpec spec =
      parsed("nodes: {a: {executor: noop}, b: {executor: noop, affinity: {sticky: \"{{ nodes.a.key }}\"}}}");
  EXPECT_EQ(spec.upstream.of(1).size(), 1U);
}

TEST(Parse, OnLossMayStandOnTheNodeItself) {
  EXPECT_EQ(parsed("nodes: {a: {executor: noop, on_loss: fail}}").spec(0).on_loss, OnLoss::kFail);
  EXPECT_EQ(parsed("nodes: {a: {executor: noop, on_loss: retry}}").spec(0).on_loss, OnLoss::kRetry);
}

TEST(Parse, TheLongestBackoffIsNeverShorterThanTheFirst) {
  const WorkflowSpec spec = parsed("nodes: {a: {executor: noop, retry: {backoff: {initial: 1m}}}}");
  EXPECT_EQ(spec.spec(0).retry.backoff, (BackoffPolicy{1min, 2, 1min}));
}

TEST(Parse, InputsHaveAShortAndALongForm) {
  const WorkflowSpec spec = parsed(R"(
inputs:
  anything:
  text: string
  count: {type: integer, default: 3, description: how many}
  ratio: {type: number, default: 2}
  list: {type: array, required: true}
  maybe: {type: object, default: null}
  path: file
nodes: {a: {executor: noop}}
)");
  ASSERT_EQ(spec.inputs.size(), 7U);
  EXPECT_EQ(spec.inputs[0], (InputSpec{"anything", InputType::kAny, false, std::nullopt, ""}));
  EXPECT_EQ(spec.inputs[1], (InputSpec{"text", InputType::kString, false, std::nullopt, ""}));
  EXPECT_EQ(spec.inputs[2], (InputSpec{"count", InputType::kInteger, false, Value(3), "how many"}));
  EXPECT_EQ(spec.inputs[3], (InputSpec{"ratio", InputType::kNumber, false, Value(2), ""}));
  EXPECT_EQ(spec.inputs[4], (InputSpec{"list", InputType::kArray, true, std::nullopt, ""}));
  EXPECT_EQ(spec.inputs[5], (InputSpec{"maybe", InputType::kObject, false, Value(), ""}));
  EXPECT_EQ(spec.inputs[6].type, InputType::kFile);
}

TEST(Parse, DependsOnIsAListOrOneId) {
  EXPECT_EQ(edges(parsed("nodes: {a: {executor: noop}, b: {executor: noop, depends_on: a},"
                         " c: {executor: noop, depends_on: [b, a, b]}, 1: {executor: noop, depends_on: []},"
                         " 2: {executor: noop, depends_on: 1}}")),
            "a b<-a c<-a,b 1 2<-1");
}

TEST(Parse, AReferenceAddsTheEdgeByItself) {
  EXPECT_EQ(edges(parsed(R"(
nodes:
  last:
    executor: shell
    command: [cat, "{{ nodes['a-b'].k }} and {{ nodes.c[0] | default(nodes.d) }}"]
    env: {X: "{{ nodes.value.y }}"}
  a-b: {executor: noop}
  c: {executor: noop, delay: "{{ nodes.d.ms }}ms"}
  d: {executor: noop}
  value:
    depends_on: d
    value: {y: ["{{ nodes.c }}", 1], "{{ nodes.a-b }}": "keys are never templated"}
)")),
            "last<-a-b,c,d,value a-b c<-d d value<-c,d");
}

TEST(Parse, OutputsMakeNoEdge) {
  const WorkflowSpec spec =
      parsed("nodes: {a: {executor: noop}}\noutputs: {x: '{{ nodes.a }}', y: [1, '{{ nodes }}']}");
  EXPECT_EQ(edges(spec), "a");
  EXPECT_EQ(spec.outputs[1].second.dump(), R"([1,"{{ nodes }}"])");
}

TEST(Parse, CodeIsLeftAlone) {
  const WorkflowSpec spec = parsed(R"(
nodes:
  a: {executor: python, script: "output = '{{ nodes.nobody }} {{ not an expression'"}
)");
  EXPECT_EQ(*spec.spec(0).fields.find("script"), Value("output = '{{ nodes.nobody }} {{ not an expression'"));
  EXPECT_EQ(edges(spec), "a");
}

TEST(Parse, AnExpressionFitsEveryTemplatedField) {
  const WorkflowSpec spec = parsed(R"(
inputs: {all: object, wait: string}
nodes:
  a: {executor: shell, command: "{{ inputs.all.command }}", env: "{{ inputs.all.env }}"}
  b: {executor: noop, delay: "{{ inputs.wait }}"}
)");
  EXPECT_EQ(spec.spec(0).fields.find("command")->as_string(), "{{ inputs.all.command }}");
  EXPECT_EQ(spec.spec(1).fields.find("delay")->as_string(), "{{ inputs.wait }}");
}

TEST(Parse, ComputedNodeKeysAreForOutputsAndNodesThatSayWhatTheyReadFrom) {
  EXPECT_EQ(edges(parsed(R"(
inputs: {which: string}
nodes:
  a: {executor: noop}
  b: {depends_on: a, value: "{{ nodes[inputs.which] }}"}
outputs: {x: "{{ nodes[inputs.which] }}"}
)")),
            "a b<-a");
}

TEST(Parse, AValueNodeKeepsItsJson) {
  const WorkflowSpec spec =
      parsed("nodes: {a: {value: {n: 1, t: '1', l: [null, 1.0, '{{ 1 + 1 }}']}, description: x}}");
  EXPECT_EQ(spec.spec(0).executor, "");
  EXPECT_EQ(spec.spec(0).value->dump(), R"({"n":1,"t":"1","l":[null,1.0,"{{ 1 + 1 }}"]})");
  EXPECT_TRUE(parsed("nodes: {a: {value: null}}").spec(0).value->is_null());
}

TEST(Parse, JsonIsAWorkflowToo) {
  EXPECT_EQ(edges(parsed(R"({"nodes": {"a": {"executor": "noop"}, "b": {"executor": "noop", "depends_on": ["a"]}}})")),
            "a b<-a");
}

TEST(Parse, AliasesSaveRepetition) {
  const WorkflowSpec spec = parsed(R"(
nodes:
  a: {executor: noop, retry: &often {max_attempts: 9}}
  b: {executor: noop, retry: *often}
)");
  EXPECT_EQ(spec.spec(1).retry.attempts_max, 9U);
}

TEST(Parse, TenThousandNodesAreRead) {
  std::string text = "nodes:\n  n0: {executor: noop}\n";
  for (int i = 1; i < 10'000; ++i) {
    text += "  n" + std::to_string(i) + ": {executor: noop, depends_on: [n" + std::to_string(i / 2) + "]}\n";
  }
  EXPECT_EQ(parsed(text).node_count(), 10'000U);
  Result<WorkflowSpec> one_more = parse_workflow(text + "  more: {executor: noop}\n", "f");
  ASSERT_FALSE(one_more.ok());
  EXPECT_EQ(one_more.error().name, "yaml_workflow_nodes_max");
}

}  // namespace
}  // namespace millrace
