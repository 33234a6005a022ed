#include "worker/shell/bindings.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/support/assignments.h"

namespace millrace {
namespace {

using test::json;
using test::make_assignment;
using test::TaskText;

struct Fetched final : ValueSource {
  std::map<Hash128, SharedText> values;
  SharedText value(const Hash128& hash) const override { return values.at(hash); }
};

TaskContext rendered(const TaskText& text) {
  Bindings bindings;
  Result<TaskContext> task = bindings.render(make_assignment(text), Fetched{});
  EXPECT_TRUE(task.ok()) << (task.ok() ? "" : task.error().what);
  return task.ok() ? std::move(task).value() : TaskContext{};
}
std::string problem(const TaskText& text) {
  Bindings bindings;
  const Result<TaskContext> task = bindings.render(make_assignment(text), Fetched{});
  return task.ok() ? "" : task.error().what;
}
bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Bindings, RenderFieldsFromInputsNodesAndTheRun) {
  const TaskContext task = rendered({.executor = "shell",
                                     .fields = R"({"script": "x", "args": ["{{ inputs.n }}", "{{ nodes.up.list[1] }}"],
                     "env": {"RUN": "{{ run.workflow }}/{{ run.attempt }}/{{ run.trace_id }}", "ID": "{{ run.id }}"}})",
                                     .inputs = R"({"n": 5})",
                                     .nodes = {{"up", json(R"({"list": [1, "two"]})")}}});
  const std::string run = to_string(make_run_id(PartitionId{2}, 1, 5));
  EXPECT_EQ(task.fields.dump(),
            R"({"script":"x","args":[5,"two"],"env":{"RUN":"demo/3/0123456789abcdef0123456789abcdef",)"
            R"("ID":")" +
                run + R"("}})");
  EXPECT_EQ(task.node, "me");
  EXPECT_EQ(task.workflow, "demo");
  EXPECT_EQ(task.executor, "shell");
  EXPECT_EQ(task.attempt, make_assignment({}).attempt());
}

TEST(Bindings, SecretsAreReadWhenTheFieldsAreRenderedAndNamedToTheHost) {
  setenv("MILLRACE_SECRET_BINDINGS", "hunter2", 1);
  const Secrets secrets;
  Bindings bindings(&secrets);
  const auto render = [&](const char* fields) {
    return bindings.render(
        make_assignment({.executor = "shell", .fields = fields, .inputs = R"({"which": "BINDINGS"})"}), Fetched{});
  };
  const Result<TaskContext> task =
      render(R"({"script": "x", "args": ["{{ secrets.BINDINGS }}", "a {{ secrets[inputs.which] }}"]})");
  ASSERT_TRUE(task.ok()) << task.error().what;
  EXPECT_EQ(task->fields.dump(), R"({"script":"x","args":["hunter2","a hunter2"]})");
  EXPECT_EQ(task->secrets, std::vector<std::string>{"hunter2"});
  unsetenv("MILLRACE_SECRET_BINDINGS");
  EXPECT_EQ(render(R"({"script": "x", "args": ["{{ secrets.BINDINGS }}"]})").error().what,
            "the secret 'BINDINGS' is not known to this worker (looked for: MILLRACE_SECRET_BINDINGS)");
  EXPECT_EQ(render(R"({"script": "x", "args": ["{{ secrets | keys }}"]})").error().what,
            "`secrets` cannot be read whole: name one");
}

TEST(Bindings, CodeIsNeverTemplated) {
  const TaskContext task = rendered({.executor = "shell",
                                     .fields = R"({"script": "echo {{ inputs.evil }}", "args": ["{{ inputs.evil }}"]})",
                                     .inputs = R"({"evil": "`reboot`"})"});
  EXPECT_EQ(task.fields.dump(), R"({"script":"echo {{ inputs.evil }}","args":["`reboot`"]})");
}

TEST(Bindings, TheObjectOfAllNodesCanBeRead) {
  const TaskContext task = rendered({.executor = "shell",
                                     .fields = R"({"command": ["cat"], "stdin": "{{ nodes }}"})",
                                     .nodes = {{"a", json("1")}, {"b-c", json("[2]")}, {"d", {}}}});
  EXPECT_EQ(task.fields.find("stdin")->dump(), R"({"a":1,"b-c":[2],"d":null})");
}

TEST(Bindings, WhatFailedIsSeenByNodesThatHandleItAndIsNullElsewhere) {
  TaskText text{.executor = "shell",
                .fields = R"({"command": ["{{ error.code }} of {{ error.node }}"], "stdin": "{{ nodes }}"})",
                .nodes = {{"a", json("1")}}};
  EXPECT_EQ(rendered(text).fields.find("command")->dump(), R"([" of "])");
  Assignment a = make_assignment(text);
  a.bundle = json(R"({"error":{"code":"timeout","node":"a"}})");
  Bindings bindings;
  const Result<TaskContext> task = bindings.render(a, Fetched{});
  ASSERT_TRUE(task.ok()) << task.error().what;
  EXPECT_EQ(task->fields.find("command")->dump(), R"(["timeout of a"])");
  EXPECT_EQ(task->fields.find("stdin")->dump(), R"({"a":1})") << "beside the nodes, not one of them";
}

TEST(Bindings, VariablesAreReadByTheirNamesAndSeenByCode) {
  Assignment a = make_assignment({.executor = "shell",
                                  .fields = R"({"command": ["{{ vars.total + 1 }}"], "stdin": "{{ nodes }}"})",
                                  .nodes = {{"a", json("1")}}});
  a.bundle = json(R"({"vars":{"total":4}})");
  Bindings bindings;
  const Result<TaskContext> task = bindings.render(a, Fetched{});
  ASSERT_TRUE(task.ok()) << task.error().what;
  EXPECT_EQ(task->fields.find("command")->dump(), "[5]");
  EXPECT_EQ(task->fields.find("stdin")->dump(), R"({"a":1})");
  Assignment code = make_assignment({.executor = "python", .fields = R"({"script": "output = vars"})"});
  const Payload stored = Payload::reference(hash128("vars"), 20);
  code.bundle = stored;
  EXPECT_EQ(bindings.references(code), std::vector<Hash128>{stored.hash()});
  Fetched fetched;
  fetched.values[stored.hash()] = std::make_shared<const std::string>(R"({"vars":{"total":4}})");
  const Result<TaskContext> seen = bindings.render(code, fetched);
  ASSERT_TRUE(seen.ok()) << seen.error().what;
  ASSERT_EQ(seen->nodes.size(), 1U);
  EXPECT_EQ(seen->nodes[0].first, "vars");
  EXPECT_EQ(*seen->nodes[0].second, R"({"total":4})");
}

TEST(Bindings, CodeGetsTheBytesOfAllValuesUntouched) {
  const TaskContext task = rendered({.executor = "python",
                                     .fields = R"({"script": "output = 1"})",
                                     .inputs = R"({"text":  "as  written"})",
                                     .nodes = {{"up", json("{ \"n\" : 1.50 }")}, {"none", {}}}});
  EXPECT_EQ(*task.inputs_json, R"({"text":  "as  written"})");
  ASSERT_EQ(task.nodes.size(), 2U);
  EXPECT_EQ(task.nodes[0].first, "up");
  EXPECT_EQ(*task.nodes[0].second, "{ \"n\" : 1.50 }");
  EXPECT_EQ(*task.nodes[1].second, "null");
}

TEST(Bindings, ParseOnlyWhatAnExpressionReads) {
  const TaskText text{.executor = "shell",
                      .fields = R"({"command": ["echo", "{{ nodes.good }}"]})",
                      .inputs = "not json",
                      .nodes = {{"good", json("1")}, {"bad", json("not json")}}};
  EXPECT_EQ(rendered(text).fields.dump(), R"({"command":["echo",1]})");
  TaskText reads_bad = text;
  reads_bad.fields = R"({"command": ["echo", "{{ nodes.bad }}"]})";
  EXPECT_TRUE(contains(problem(reads_bad), "the output of `bad` is not JSON")) << problem(reads_bad);
  reads_bad.fields = R"({"command": ["echo", "{{ inputs.k }}"]})";
  EXPECT_TRUE(contains(problem(reads_bad), "inputs are not JSON")) << problem(reads_bad);
}

TEST(Bindings, AFailureNamesTheFieldAndTheExpression) {
  const std::string why =
      problem({.executor = "shell", .fields = R"({"script": "x", "env": {"A": "1", "B": "{{ 1 / 0 }}"}})"});
  EXPECT_TRUE(contains(why, "field env.B")) << why;
  EXPECT_TRUE(contains(why, "1 / 0")) << why;
  const std::string syntax = problem({.executor = "shell", .fields = R"({"command": ["ls", "{{ inputs. }}"]})"});
  EXPECT_TRUE(contains(syntax, "field command[1]")) << syntax;
}

TEST(Bindings, TheEnvironmentAndSecretsOfAWorkerWithoutAnyAreClearErrors) {
  const std::string env = problem({.executor = "shell", .fields = R"({"command": ["echo", "{{ env.TOKEN }}"]})"});
  EXPECT_TRUE(contains(env, "`env` cannot be read")) << env;
  EXPECT_EQ(problem({.executor = "shell", .fields = R"({"command": ["echo", "{{ secrets.TOKEN }}"]})"}),
            "this worker has no secrets");
}

TEST(Bindings, NameTheValuesThatMustBeFetchedFirstOnceEach) {
  const Payload big = Payload::reference(Hash128{1, 1}, 100'000);
  const Payload other = Payload::reference(Hash128{2, 2}, 100'000);
  Bindings bindings;
  const auto wanted = [&](const std::string& executor, const std::string& fields) {
    return bindings.references(make_assignment(
        {.executor = executor, .fields = fields, .nodes = {{"a", big}, {"b", big}, {"c", other}, {"d", json("1")}}}));
  };
  const std::vector<Hash128> both = {{1, 1}, {2, 2}};
  EXPECT_EQ(wanted("python", R"({"script": "x"})"), both);
  EXPECT_EQ(wanted("shell", R"({"script": "x", "stdin": "{{ nodes.c.k }}"})"), (std::vector<Hash128>{{2, 2}}));
  EXPECT_EQ(wanted("shell", R"({"script": "x", "stdin": "{{ nodes[inputs.which] }}"})"), both);
  EXPECT_EQ(wanted("shell", R"({"script": "x", "stdin": "{{ nodes.d }}"})"), std::vector<Hash128>{});
  EXPECT_EQ(wanted("noop", "{}"), std::vector<Hash128>{});
}

TEST(Bindings, FetchedValuesTakeThePlaceOfReferences) {
  Fetched fetched;
  fetched.values[{1, 1}] = std::make_shared<const std::string>(R"({"k": "far away"})");
  Bindings bindings;
  const Assignment a = make_assignment({.executor = "shell",
                                        .fields = R"({"command": ["echo", "{{ nodes.up.k }}"]})",
                                        .nodes = {{"up", Payload::reference(Hash128{1, 1}, 17)}}});
  EXPECT_EQ(bindings.render(a, fetched)->fields.dump(), R"({"command":["echo","far away"]})");
}

TEST(Bindings, TheInputsOfAnotherRunAreNotMistakenForThoseOfTheLast) {
  Bindings bindings;
  const std::string fields = R"({"command": ["echo", "{{ inputs.k }}"]})";
  for (const char* k : {"1", "2"}) {
    const Assignment a =
        make_assignment({.executor = "shell", .fields = fields, .inputs = R"({"k": )" + std::string(k) + "}"});
    EXPECT_EQ(bindings.render(a, Fetched{})->fields.dump(), R"({"command":["echo",)" + std::string(k) + "]}");
  }
}

TEST(ValueCache, ForgetsTheLeastRecentlyUsedBeyondItsBytes) {
  ValueCache cache(10);
  const auto put = [&](std::uint64_t n, std::size_t bytes) {
    cache.put({n, n}, std::make_shared<const std::string>(bytes, 'x'));
  };
  put(1, 4);
  put(2, 4);
  EXPECT_NE(cache.find({1, 1}), nullptr);
  put(3, 4);
  EXPECT_EQ(cache.find({2, 2}), nullptr);
  EXPECT_NE(cache.find({1, 1}), nullptr);
  put(3, 4);  // known
  EXPECT_EQ(cache.bytes(), 8U);
  put(4, 100);  // larger than all: kept until the next one
  EXPECT_NE(cache.find({4, 4}), nullptr);
  put(5, 1);
  EXPECT_EQ(cache.bytes(), 1U);
}

}  // namespace
}  // namespace millrace
