// What is reported, where, and in which words. A bad file yields all of its problems at once.
#include <gtest/gtest.h>

#include <chrono>

#include "common/spec/parse.h"
#include "common/spec/report.h"

namespace millrace {
namespace {

std::vector<std::string> problems_of(std::string_view yaml) {
  Result<WorkflowSpec> spec = parse_workflow(yaml, "f");
  std::vector<std::string> lines;
  if (spec.ok()) return lines;
  EXPECT_EQ(spec.error().code, Code::kInvalid);
  for (const Problem& problem : spec.error().details) lines.push_back(format(problem));
  return lines;
}

// The only problem.
std::string problem_of(std::string_view yaml) {
  const std::vector<std::string> all = problems_of(yaml);
  EXPECT_EQ(all.size(), 1U) << (all.size() < 2 ? "none" : all[1]);
  return all.empty() ? "" : all[0];
}

std::string in_node(const std::string& body) { return problem_of("nodes:\n  a: {executor: noop, " + body + "}\n"); }

TEST(Problems, AnExecutorOfYourOwnIsDeclaredAndATypoOfItIsFound) {
  const auto problem = [](const std::string& executor) {
    return problem_of("executors: [resize]\nnodes:\n  a: {executor: " + executor + ", with: {width: 3}}\n");
  };
  EXPECT_TRUE(parse_workflow("executors: [resize]\nnodes: {a: {executor: resize, with: '{{ inputs }}'}}", "f").ok());
  EXPECT_NE(problem("resise").find("did you mean 'resize'?"), std::string::npos) << problem("resise");
  EXPECT_NE(problem("crop").find("one of your own is declared: 'executors: [crop]'"), std::string::npos)
      << problem("crop");
  EXPECT_EQ(
      problem_of("executors: [shell]\nnodes: {a: {executor: noop}}"),
      "f:1:13: the executor 'shell' is there without being declared; expected the name of an executor of your own");
  EXPECT_EQ(problem_of("executors: [a, a]\nnodes: {a: {executor: noop}}"),
            "f:1:16: the executor 'a' is declared twice; expected each name once");
  EXPECT_EQ(problem_of("executors: resize\nnodes: {a: {executor: noop}}"),
            "f:1:12: 'executors' is the text 'resize'; expected a list of names; write 'executors: [NAME]'");
  EXPECT_NE(problem_of("executors: [resize]\nnodes:\n  a: {executor: resize, width: 3}\n")
                .find("unknown key 'width' in node 'a'"),
            std::string::npos);
}

TEST(Problems, OfFanOutsHaveTheirPlaces) {
  const auto good = [](const std::string& body) {
    return problems_of("nodes:\n  a: {executor: noop, " + body + "}\n").empty();
  };
  EXPECT_TRUE(good("foreach: [1, 2], delay: '{{ item }}s'"));
  EXPECT_TRUE(
      good("foreach: {from: 0, to: '{{ 3 * 3 }}', step: 3}, chunk: auto, max_parallel: 2, on_item_error: drop, "
           "collect: {a: '{{ output.x }}', b: '{{ index }}'}"));
  EXPECT_EQ(in_node("foreach: inputs.rows"),
            "f:2:32: 'foreach' of node 'a' is the text 'inputs.rows'; expected one expression like "
            "\"{{ nodes.list.rows }}\", a list, or a range {from: 0, to: 100, step: 1}; did you mean \"{{ inputs.rows "
            "}}\"?");
  EXPECT_NE(in_node("foreach: {from: 1}").find("is a mapping without 'to'"), std::string::npos);
  EXPECT_NE(in_node("foreach: {to: 9, step: 0}").find("'step' in 'foreach' of node 'a' is 0"), std::string::npos);
  EXPECT_NE(in_node("chunk: 5").find("'chunk' of node 'a', which has no 'foreach'"), std::string::npos);
  EXPECT_NE(in_node("foreach: [1], chunk: all").find("auto, or how many items one attempt takes"), std::string::npos);
  EXPECT_NE(in_node("foreach: [1], on_item_error: skip").find("fail, continue, drop"), std::string::npos);
  EXPECT_NE(in_node("foreach: [1], collect: '{{ inputs }}'").find("a path that starts with output, item, index"),
            std::string::npos);
  EXPECT_NE(in_node("delay: '{{ item }}'").find("only the fields of a node with a 'foreach' see it"),
            std::string::npos);
}

TEST(Problems, OfWhatANodeAsksOfItsWorkerHaveTheirPlaces) {
  EXPECT_EQ(in_node("resources: {memory: 4}"),
            "f:2:43: 'memory' in 'resources' of node 'a' is the number 4; expected a size with its unit: 512MiB, 4GiB, "
            "more than 0; did you mean '4GiB'?");
  EXPECT_EQ(
      in_node("resources: {cpu: -1}"),
      "f:2:40: 'cpu' in 'resources' of node 'a' is the number -1; expected a number of cores: 2, 0.5, more than 0");
  EXPECT_EQ(in_node("resources: {license: some}"),
            "f:2:44: 'license' in 'resources' of node 'a' is the text 'some'; expected a whole number, more than 0");
  EXPECT_EQ(in_node("requires: {gpu: {nut: a}}"),
            "f:2:40: unknown key 'nut' in label 'gpu' in 'requires' of node 'a'; expected one of not; did you mean "
            "'not'?");
  EXPECT_EQ(in_node("requires: {gpu: }"),
            "f:2:34: label 'gpu' in 'requires' of node 'a' is empty; expected a value, a list of values, \"*\", or "
            "{not: ...}");
  EXPECT_EQ(in_node("affinity: {sticky: a}"),
            "f:2:42: 'sticky' of node 'a' names the node itself; expected the id of another node, or a key that tasks "
            "share");
  EXPECT_EQ(
      in_node("anti_affinity: [\"{{ inputs.nope }}\"]"),
      "f:2:43: there is no input 'nope' (in an entry of 'anti_affinity' of node 'a'); expected an input declared in "
      "'inputs'; none is");
}

TEST(Problems, OfABadFileAreAllReportedAtOnceInTheirOrder) {
  const std::vector<std::string> expected = {
      "f:3:16: 'type' of input 'text' is the text 'strng'; expected one of any, string, integer, number, boolean, "
      "object, array, file, secret; did you mean 'string'?",
      "f:6:15: 'executor' of node 'clean_data' is the text 'pyton'; expected one of container, http, javascript, llm, "
      "noop, python, shell, template, workflow; "
      "did you mean "
      "'python'?",
      "f:10:5: unknown key 'depend_on' in node 'statistics'; expected one of executor, depends_on, description, retry, "
      "on_loss, timeout, priority, queue, requires, resources, affinity, anti_affinity, when, join, "
      "on_upstream_failure, fallback, on_failure, compensate, foreach, max_parallel, chunk, on_item_error, collect, "
      "cache, "
      "script, file, function, venv, requirements, isolation ... (34 in all); did you mean "
      "'depends_on'?",
      "f:13:14: 'timeout' of node 'statistics' is the number 30; expected a duration with its unit, longer than 0s: "
      "100ms, 30s, 5m, 1h, 2d; did you mean '30s'?",
      "f:14:3: node id 'item' is reserved; expected 1 to 64 letters, digits, '_', '.', '-', the first a letter, a "
      "digit or '_'; none of the names that expressions use",
      "f:16:18: node 'item' depends on 'clean_dat', which is not a node; expected the id of a node; did you mean "
      "'clean_data'?",
      "f:16:29: node 'item' depends on itself; expected the id of another node",
      "f:19:25: the nodes wait for each other in a cycle: a -> b -> a; expected dependencies without a cycle; take out "
      "one of them",
      "f:19:44: there is no input 'txt' (in 'command' of node 'a'); expected one of text; did you mean 'text'?",
      "f:20:25: duplicate key 'X'; expected each key once; the first is in line 20",
      "f:26:14: there is no node 'nope' (in 'stdin' of node 'b'); expected the id of a node",
      "f:27:13: unknown name 'foo' (in 'stdin' of node 'b'); expected a path that starts with nodes, inputs, run",
      "f:29:22: 'secrets' cannot be read here (in 'value' of node 'v'); expected a field of an executor: only workers "
      "know secrets, and what is computed here is stored",
      "f:29:40: '.nan' has no JSON; expected a finite number; quote it if it is meant as text",
      "f:30:5: unknown key 'retry' in node 'v', which has a 'value'; expected one of value, depends_on, description, "
      "when, join, on_upstream_failure",
      "f:32:16: there is no node 'aggregate_result' (in output 'summary'); expected the id of a node",
  };
  EXPECT_EQ(problems_of(R"(name: insight
inputs:
  text: {type: strng, required: true}
nodes:
  clean_data:
    executor: pyton
    script: |
      output = 1
  statistics:
    depend_on: [clean_data]
    executor: python
    script: x
    timeout: 30
  item:
    executor: noop
    depends_on: [clean_dat, item]
  a:
    executor: shell
    command: [echo, "{{ nodes.b.x }}", "{{ inputs.txt }}"]
    env: {X: "{{ 1 }}", X: 2}
  b:
    executor: shell
    depends_on: a
    stdin: |
      line one
      and {{ nodes.nope }} and
         {{ foo.bar }}
    script: "{{ code is left alone"
  v: {value: {a: "{{ secrets.x }}", b: .nan},
    retry: {max_attempts: 2}}
outputs:
  summary: "{{ nodes.aggregate_result }}"
)"),
            expected);
}

TEST(Problems, AreCountedInTheErrorsWords) {
  Result<WorkflowSpec> spec = parse_workflow("nodes: {a: {executor: x}, b: {}}", "flow.yaml");
  ASSERT_FALSE(spec.ok());
  EXPECT_EQ(spec.error().what, "flow.yaml: 2 problems");
  EXPECT_EQ(parse_workflow("nodes: {a: {}}", "flow.yaml").error().what, "flow.yaml: 1 problem");
}

// The only problem, or nothing where there is none.
std::string verdict(const std::string& text) {
  const std::vector<std::string> all = problems_of(text);
  return all.empty() ? "" : all.size() == 1 ? all[0] : "several: " + all[0] + all[1];
}

TEST(Problems, OfSecrets) {
  const auto in_field = [](const std::string& expression) {
    return verdict("nodes:\n  a: {executor: shell, command: [x], env: {K: \"{{ " + expression + " }}\"}}");
  };
  EXPECT_EQ(in_field("secrets.TOKEN"), "");
  EXPECT_EQ(in_field("secrets['TOKEN'] | upper"), "");
  EXPECT_EQ(
      in_field("secrets | keys"),
      "f:2:51: 'secrets' is read whole (in 'env' of node 'a'); expected 'secrets.NAME', a name of letters, digits "
      "and '_'");
  EXPECT_EQ(in_field("secrets['a-b']"),
            "f:2:51: 'a-b' cannot be the name of a secret (in 'env' of node 'a'); expected 'secrets.NAME', a name of "
            "letters, digits and '_'");
  EXPECT_EQ(verdict("inputs: {key: secret}\nnodes:\n  a: {executor: shell, command: [x], env: {K: \"{{ "
                    "secrets[inputs.key] }}\"}}"),
            "");
  EXPECT_EQ(verdict("nodes: {a: {executor: noop}}\noutputs: {x: \"{{ secrets.K }}\"}").substr(0, 60),
            "f:2:18: 'secrets' cannot be read here (in output 'x'); expec");
  EXPECT_EQ(
      verdict("inputs: {key: {type: secret, default: 'sk-12'}}\nnodes: {a: {executor: noop}}"),
      "f:1:39: 'default' of input 'key' is not the name of a secret; expected a name of letters, digits and '_', not "
      "the secret itself: {{ secrets[inputs.key] }} reads it");
}

TEST(Problems, InsideTheFieldsOfHttpAndLlm) {
  const auto http = [](const std::string& more) {
    return verdict("nodes:\n  a: {executor: http, url: 'https://x', " + more + "}");
  };
  EXPECT_EQ(verdict("nodes:\n  a: {executor: http, url: example.org}"),
            "f:2:28: 'url' of node 'a' does not start with http:// or https://; expected a whole URL");
  EXPECT_EQ(http("method: FETCH"),
            "f:2:49: 'method' of node 'a' is \"FETCH\"; expected one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
  EXPECT_EQ(
      http("auth: {token: x}"),
      "f:2:47: 'auth' of node 'a' has the unknown key 'token'; expected one of {basic: {user, password}}, {bearer: "
      "TOKEN}, {api_key: {name, value, in: header|query}}");
  EXPECT_EQ(http("auth: {bearer: '{{ secrets.T }}'}"), "");
  EXPECT_EQ(http("body: [1]").substr(0, 47), "f:2:47: 'body' of node 'a' is of kind array; ex");
  EXPECT_EQ(http("retry_on: [429, 7xx]"),
            "f:2:51: 'retry_on' of node 'a' holds \"7xx\"; expected statuses like 404, classes like 5xx, or any");
  EXPECT_EQ(
      http("save: a/b"),
      "f:2:47: 'save' of node 'a' is no name: the name of an artifact is that of a file, without a path; expected "
      "the name of an artifact, like report.pdf");
  EXPECT_EQ(http("response_max: 10"),
            "f:2:55: 'response_max' of node 'a' is the number 10; expected text; write \"10\" with quotes for text");
  EXPECT_EQ(http("response_max: '10'"),
            "f:2:55: 'response_max' of node 'a' is \"10\"; expected a size with its unit: 64KiB, 10MiB");
  const auto llm = [](const std::string& more) { return verdict("nodes:\n  a: {executor: llm, " + more + "}"); };
  EXPECT_EQ(
      llm("model: m"),
      "f:2:17: node 'a' has executor 'llm' but no 'prompt' or 'messages'; expected the key 'prompt' or 'messages'");
  EXPECT_EQ(llm("prompt: x, api_key: sk-12"),
            "f:2:42: 'api_key' of node 'a' is not a secret; expected \"{{ secrets.NAME }}\": a key never stands in a "
            "workflow");
  EXPECT_EQ(llm("prompt: x, api_key: '{{ run.id }}'").substr(0, 46), "f:2:42: 'api_key' of node 'a' is not a secret;");
  EXPECT_EQ(llm("prompt: x, api_key: '{{ secrets.K }}', base_url: 'https://x/v1'"), "");
  EXPECT_EQ(llm("prompt: x, messages: [{role: user, content: y}]"),
            "f:2:30: 'prompt' of node 'a' stands beside 'messages'; expected one of them");
  EXPECT_EQ(llm("messages: [{content: y}]"),
            "f:2:32: 'messages' of node 'a' has a message without a 'role'; expected a list of {role, content}");
  EXPECT_EQ(llm("prompt: x, parameters: {model: m}"),
            "f:2:45: 'parameters' of node 'a' has 'model'; expected that as a field of the node, not as a parameter");
}

TEST(Problems, OfTheWorkflowItself) {
  EXPECT_EQ(problem_of(""), "f:1:1: the workflow is empty; expected a mapping of names to values");
  EXPECT_EQ(problem_of("- a"), "f:1:1: the workflow is a list; expected a mapping of names to values");
  EXPECT_EQ(problem_of("name: x\n"), "f:1:1: the workflow has no key 'nodes'; expected 'nodes' with at least one node");
  EXPECT_EQ(problem_of("nodes: {}"), "f:1:8: a workflow without nodes; expected at least one node");
  EXPECT_EQ(problem_of("nodes:\n"), "f:1:1: 'nodes' is empty; expected a mapping of names to values");
  EXPECT_EQ(problem_of("nodez: {}\nnodes: {a: {executor: noop}}").substr(0, 49),
            "f:1:1: unknown key 'nodez' in the workflow; expec");
  EXPECT_EQ(problem_of("name: 5\nnodes: {a: {executor: noop}}"),
            "f:1:7: 'name' is the number 5; expected text; write \"5\" with quotes for text");
  EXPECT_EQ(problem_of("name: ''\nnodes: {a: {executor: noop}}"),
            "f:1:7: 'name' is the text ''; expected 1 to 128 bytes of text in one line, without blanks around it");
  EXPECT_EQ(problem_of("fail_fast: yes\nnodes: {a: {executor: noop}}"),
            "f:1:12: 'fail_fast' is the text 'yes'; expected true or false");
  EXPECT_EQ(problem_of("priority: 1.5\nnodes: {a: {executor: noop}}"),
            "f:1:11: 'priority' is the number 1.5; expected an integer from -2147483647 to 2147483647");
  EXPECT_EQ(problem_of("outputs: x\nnodes: {a: {executor: noop}}"),
            "f:1:10: 'outputs' is the text 'x'; expected a mapping of names to values");
}

TEST(Problems, OfInputs) {
  const auto input = [](const std::string& text) {
    return problem_of("inputs:\n  " + text + "\nnodes: {a: {executor: noop}}");
  };
  EXPECT_EQ(input("a b: string").substr(0, 46), "f:2:3: 'a b' cannot be the name of an input; e");
  EXPECT_EQ(input("n: [string]"),
            "f:2:6: input 'n' is a list; expected a type, or a mapping of type, required, default, description");
  EXPECT_EQ(input("n: {typ: string}"),
            "f:2:7: unknown key 'typ' in input 'n'; expected one of type, required, default, description; did you "
            "mean 'type'?");
  EXPECT_EQ(input("n: {default: x, type: integer}"),
            "f:2:16: 'default' of input 'n' is the text 'x'; expected a value of type integer");
  EXPECT_EQ(input("n: {type: string, default: 5}"),
            "f:2:30: 'default' of input 'n' is the number 5; expected a value of type string");
  EXPECT_EQ(input("n: {required: 1}"), "f:2:17: 'required' of input 'n' is the number 1; expected true or false");
}

TEST(Problems, OfNodeIdsSayWhichRuleIsBroken) {
  const auto id = [](const std::string& text) { return problem_of("nodes:\n  " + text + ": {executor: noop}\n"); };
  EXPECT_EQ(id("nodes").substr(0, 35), "f:2:3: node id 'nodes' is reserved;");
  EXPECT_EQ(id("'a b'").substr(0, 39), "f:2:3: 'a b' cannot be a node id; expec");
  EXPECT_NE(id("'a b'").find("did you mean 'a_b'?"), std::string::npos);
  EXPECT_EQ(id("-x").substr(0, 37), "f:2:3: '-x' cannot be a node id; expe");
  EXPECT_EQ(id("''").substr(0, 27), "f:2:3: a node id is empty; ");
  EXPECT_EQ(id(std::string(65, 'a')).substr(0, 54), "f:2:3: node id 'aaaaaaaaaaaaaaaaaaaa...' is too long; ");
}

TEST(Problems, OfWhatANodeIs) {
  EXPECT_EQ(problem_of("nodes:\n  a:\n"), "f:2:3: node 'a' is empty; expected a mapping of names to values");
  EXPECT_EQ(problem_of("nodes:\n  a: {depends_on: []}\n"),
            "f:2:3: node 'a' has neither an 'executor' nor a 'value' nor a 'branch', and waits for nothing; expected "
            "'executor' with one of container, http, javascript, llm, noop, python, shell, template, workflow, "
            "'value', 'set', 'branch', "
            "'wait', 'signal' or 'approval'");
  EXPECT_EQ(in_node("value: 1"), "f:2:23: node 'a' has both an 'executor' and a 'value'; expected one of them");
  EXPECT_EQ(
      problem_of("nodes:\n  a: {executor: python}\n"),
      "f:2:17: node 'a' has executor 'python' but no 'script' or 'file' or 'function'; expected the key 'script' or "
      "'file' or 'function'");
  EXPECT_EQ(problem_of("nodes:\n  a: {executor: shell, env: {}}\n"),
            "f:2:17: node 'a' has executor 'shell' but no 'script' or 'command'; expected the key 'script' or "
            "'command'");
  EXPECT_EQ(problem_of("nodes:\n  a: {executor: 5}\n"),
            "f:2:17: 'executor' of node 'a' is the number 5; expected one of container, http, javascript, llm, noop, "
            "python, shell, template, workflow");
  EXPECT_NE(in_node("command: [x]").find("'command' is a field of the executor 'container'"), std::string::npos);
  EXPECT_NE(in_node("<<: {timeout: 1s}").find("merge keys are not part of YAML 1.2"), std::string::npos);
}

TEST(Problems, OfWhatDecidesWhetherANodeRuns) {
  EXPECT_EQ(in_node("when: inputs.x == 1"),
            "f:2:29: 'when' of node 'a' is the text 'inputs.x == 1'; expected one expression like \"{{ inputs.mode == "
            "'fast' }}\", or true or false; did you mean \"{{ inputs.x == 1 }}\"?");
  EXPECT_NE(in_node("when: 'x{{ true }}'").find("expected one expression"), std::string::npos);
  EXPECT_NE(in_node("when: 5").find("is the number 5; expected one expression"), std::string::npos);
  EXPECT_NE(in_node("when: '{{ nodes.z }}'").find("there is no node 'z'"), std::string::npos);
  EXPECT_EQ(in_node("join: some"),
            "f:2:29: 'join' of node 'a' is the text 'some'; expected all, any, or how many must succeed");
  EXPECT_NE(in_node("join: 0").find("'join' of node 'a'"), std::string::npos);
  EXPECT_NE(in_node("on_upstream_failure: go").find("expected one of skip, run"), std::string::npos);
  EXPECT_NE(in_node("fallback: 5").find("'fallback' of node 'a'"), std::string::npos);
  EXPECT_NE(in_node("fallback: {}").find("has neither a 'value' nor a 'node'"), std::string::npos);
  const auto branch = [](const std::string& text) {
    return problem_of("nodes:\n  r: {branch: " + text + "}\n  x: {executor: noop}\n");
  };
  EXPECT_NE(branch("5").find("'branch' of node 'r'"), std::string::npos);
  EXPECT_NE(branch("[]").find("'cases' of node 'r' has 0 entries"), std::string::npos);
  EXPECT_NE(branch("{default: x}").find("has no 'cases'"), std::string::npos);
  EXPECT_NE(branch("[{to: x}]").find("case 1 of node 'r' has no 'when'"), std::string::npos);
  EXPECT_NE(branch("[{when: true}]").find("case 1 of node 'r' has no 'to'"), std::string::npos);
  EXPECT_NE(branch("[{when: true, to: y}]").find("names 'y', which is not a node"), std::string::npos);
  EXPECT_NE(branch("[{when: true, to: r}]").find("names the branch itself"), std::string::npos);
  EXPECT_NE(branch("{cases: [{when: true, to: x}], choose: one}").find("expected one of all, first"),
            std::string::npos);
  EXPECT_NE(problem_of("nodes:\n  r: {branch: [{when: true, to: x}], retry: {}}\n  x: {executor: noop}\n")
                .find("unknown key 'retry' in node 'r', which has a 'branch'"),
            std::string::npos);
  EXPECT_NE(
      problem_of("nodes:\n  x: {executor: noop}\n  r: {depends_on: x, branch: [{when: true, to: x}]}\n").find("cycle"),
      std::string::npos);
}

TEST(Problems, AnUnknownExecutorHidesNoOtherProblemAndInventsNone) {
  EXPECT_EQ(problems_of("nodes:\n  a: {executor: pyhton, script: x, skript: y, retry: {max: 1}}\n").size(), 3U);
}

TEST(Problems, OfDependencies) {
  EXPECT_EQ(in_node("depends_on: {b: 1}"),
            "f:2:35: 'depends_on' of node 'a' is a mapping; expected a list of node ids, or one id");
  EXPECT_EQ(in_node("depends_on: [[b]]"),
            "f:2:36: 'depends_on' of node 'a' has an entry that is a list; expected the id of a node");
  EXPECT_EQ(in_node("depends_on: a"), "f:2:35: node 'a' depends on itself; expected the id of another node");
}

TEST(Problems, OfRetriesTimeoutsAndQueues) {
  EXPECT_EQ(in_node("retry: 3"),
            "f:2:30: 'retry' of node 'a' is the number 3; expected a mapping of max_attempts, max_losses, backoff, "
            "on_loss, on; did you mean 'retry: {max_attempts: 3}'?");
  EXPECT_EQ(in_node("retry: {max_attempts: 0}"),
            "f:2:45: 'max_attempts' in 'retry' of node 'a' is the number 0; expected an integer from 1 to 100000");
  EXPECT_EQ(in_node("retry: {backoff: {factor: 0.5}}"),
            "f:2:49: 'factor' in 'backoff' of node 'a' is the number 0.5; expected a number from 1.0 to 1000.0");
  EXPECT_EQ(in_node("retry: {backoff: {initial: 2s, max: 1s}}"),
            "f:2:59: 'max' in 'backoff' of node 'a' is shorter than 'initial'; expected at least 'initial'");
  EXPECT_EQ(in_node("retry: {backoff: {initial: 5}}"),
            "f:2:50: 'initial' in 'backoff' of node 'a' is the number 5; expected a duration with its unit: 100ms, "
            "30s, 5m, 1h, 2d; did you mean '5s'?");
  EXPECT_EQ(in_node("on_loss: fial"),
            "f:2:32: 'on_loss' of node 'a' is the text 'fial'; expected one of retry, fail; did you mean 'fail'?");
  EXPECT_EQ(in_node("timeout: 0s").substr(0, 40), "f:2:32: 'timeout' of node 'a' is the tex");
  EXPECT_EQ(in_node("queue: 'a b'"), "f:2:30: 'queue' of node 'a' is the text 'a b'; expected a name like a node id");
}

TEST(Problems, OfFieldsThatDoNotFitTheirKind) {
  const auto shell = [](const std::string& fields) {
    return problem_of("nodes:\n  a: {executor: shell, script: x, " + fields + "}\n");
  };
  EXPECT_EQ(shell("cwd: 5"),
            "f:2:40: 'cwd' of node 'a' is the number 5; expected text; write \"5\" with quotes for text");
  EXPECT_EQ(shell("cwd: [x]"), "f:2:40: 'cwd' of node 'a' is a list; expected text");
  EXPECT_EQ(shell("env: [x]"), "f:2:40: 'env' of node 'a' is a list; expected a mapping of names to texts");
  EXPECT_EQ(shell("env: {A: {}}"), "f:2:44: 'env' of node 'a'.A has an entry that is a mapping; expected text");
  EXPECT_EQ(shell("args: x"), "f:2:41: 'args' of node 'a' is the text 'x'; expected a list of texts");
  EXPECT_EQ(shell("args: [x, ~]"), "f:2:45: 'args' of node 'a' has an entry that is empty; expected text");
  EXPECT_EQ(in_node("delay: 5"),
            "f:2:30: 'delay' of node 'a' is the number 5; expected a duration with its unit: 100ms, 30s, 5m, 1h, 2d");
  EXPECT_EQ(problem_of("nodes:\n  a: {executor: python, script: [x]}\n"),
            "f:2:33: 'script' of node 'a' is a list; expected text");
}

TEST(Problems, OfExpressionsHaveTheirPlaceInTheFile) {
  EXPECT_EQ(problem_of("nodes:\n  a:\n    value: |\n      fine\n      so {{ 1 + }}\n").substr(0, 7), "f:5:17:");
  EXPECT_EQ(problem_of("nodes:\n  a: {value: 'x {{ 1'}\n").substr(0, 6), "f:2:17");
  EXPECT_EQ(problem_of("nodes:\n  a: {value: '{{ nodes.a }}'}\n"),
            "f:2:18: the node reads its own output (in 'value' of node 'a'); expected another node");
  EXPECT_EQ(problem_of("nodes:\n  a: {value: '{{ nodes[run.id] }}'}\n"),
            "f:2:18: 'nodes' is read by a computed key (in 'value' of node 'a'); expected 'nodes.ID', or a "
            "'depends_on' that says which nodes it reads");
  EXPECT_EQ(problem_of("nodes:\n  a: {value: '{{ inputs.x }}'}\n"),
            "f:2:18: there is no input 'x' (in 'value' of node 'a'); expected an input declared in 'inputs'; none is");
  EXPECT_NE(problem_of("nodes:\n  b: {executor: noop}\n  a: {value: '{{ b.x }}'}\n").find("did you mean 'nodes.b'?"),
            std::string::npos);
  EXPECT_NE(problem_of("inputs: {k: any}\nnodes:\n  a: {value: '{{ k }}'}\n").find("did you mean 'inputs.k'?"),
            std::string::npos);
  EXPECT_EQ(problem_of("nodes: {a: {executor: noop}}\noutputs:\n  x: '{{ env.HOME }}'\n").substr(0, 36),
            "f:3:10: 'env' cannot be read here (i");
}

TEST(Problems, OfWhatTheRunDoesNotHoldAreToldBeforeItStarts) {
  EXPECT_EQ(problem_of("nodes: {a: {value: '{{ run.idd }}'}}"),
            "f:1:24: there is no 'run.idd' here (in 'value' of node 'a'); expected one of id, workflow, trace_id; did "
            "you mean 'id'?");
  EXPECT_NE(problem_of("nodes: {a: {value: '{{ run.attempt }}'}}").find("'run.attempt'"), std::string::npos);
  EXPECT_TRUE(problems_of("nodes: {a: {executor: shell, command: [echo, '{{ run.attempt }} {{ run.id }} {{ run }}']}}")
                  .empty());
  EXPECT_NE(problem_of("nodes: {a: {executor: shell, script: x, env: {A: '{{ env.HOME }}'}}}").find("'env' cannot be"),
            std::string::npos);
}

TEST(Problems, EveryCycleApartFromTheOthersIsReported) {
  const std::vector<std::string> all = problems_of(R"(nodes:
  a: {executor: noop, depends_on: [c]}
  b: {executor: noop, depends_on: [a]}
  c: {executor: noop, depends_on: [b]}
  x: {value: "{{ nodes.y }}"}
  y: {executor: noop, depends_on: [a, x]}
)");
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].substr(0, 65), "f:2:36: the nodes wait for each other in a cycle: a -> b -> c -> ");
  EXPECT_EQ(all[1].substr(0, 62), "f:5:18: the nodes wait for each other in a cycle: x -> y -> x;");
}

TEST(Problems, AreShownUpToANumberAndCountedBeyond) {
  std::string text = "nodes:\n";
  for (int i = 0; i < 10'000; ++i) text += "  node" + std::to_string(i) + ": {executor: noop, depends_on: [nobdy]}\n";
  const auto start = std::chrono::steady_clock::now();
  Result<WorkflowSpec> spec = parse_workflow(text, "f");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  ASSERT_FALSE(spec.ok());
  EXPECT_EQ(spec.error().what, "f: 10000 problems, of which 200 are shown");
  EXPECT_EQ(spec.error().details.size(), 200U);
}

}  // namespace
}  // namespace millrace
