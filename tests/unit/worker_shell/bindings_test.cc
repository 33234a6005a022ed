#include "worker/shell/bindings.h"

#include <gtest/gtest.h>

#include <map>

#include "common/model/composed.h"
#include "tests/support/assignments.h"

namespace millrace {
namespace {

using test::json;
using test::make_assignment;
using test::TaskText;

struct Fetched final : ValueSource {
  std::map<Hash128, SharedText> values;
  SharedText value(const Hash128& hash) const override {
    const auto found = values.find(hash);
    return found == values.end() ? nullptr : found->second;
  }
};

// With everything at hand.
Result<TaskContext> render_with(Bindings& bindings, const Assignment& assignment, const Fetched& values) {
  std::vector<Hash128> missing;
  Result<TaskContext> task = bindings.render(assignment, values, missing);
  EXPECT_TRUE(missing.empty());
  return task;
}

TaskContext rendered(const TaskText& text) {
  Bindings bindings;
  Result<TaskContext> task = render_with(bindings, make_assignment(text), Fetched{});
  EXPECT_TRUE(task.ok()) << (task.ok() ? "" : task.error().what);
  return task.ok() ? std::move(task).value() : TaskContext{};
}
std::string problem(const TaskText& text) {
  Bindings bindings;
  const Result<TaskContext> task = render_with(bindings, make_assignment(text), Fetched{});
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
    return render_with(bindings,
                       make_assignment({.executor = "shell", .fields = fields, .inputs = R"({"which": "BINDINGS"})"}),
                       Fetched{});
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
  const Result<TaskContext> task = render_with(bindings, a, Fetched{});
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
  const Result<TaskContext> task = render_with(bindings, a, Fetched{});
  ASSERT_TRUE(task.ok()) << task.error().what;
  EXPECT_EQ(task->fields.find("command")->dump(), "[5]");
  EXPECT_EQ(task->fields.find("stdin")->dump(), R"({"a":1})");
  Assignment code = make_assignment({.executor = "python", .fields = R"({"script": "output = vars"})"});
  const Payload stored = Payload::reference(hash128("vars"), 20);
  code.bundle = stored;
  EXPECT_EQ(bindings.references(code), std::vector<Hash128>{stored.hash()});
  Fetched fetched;
  fetched.values[stored.hash()] = std::make_shared<const std::string>(R"({"vars":{"total":4}})");
  const Result<TaskContext> seen = render_with(bindings, code, fetched);
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
  EXPECT_EQ(render_with(bindings, a, fetched)->fields.dump(), R"({"command":["echo","far away"]})");
}

TEST(Bindings, TheInputsOfAnotherRunAreNotMistakenForThoseOfTheLast) {
  Bindings bindings;
  const std::string fields = R"({"command": ["echo", "{{ inputs.k }}"]})";
  for (const char* k : {"1", "2"}) {
    const Assignment a =
        make_assignment({.executor = "shell", .fields = fields, .inputs = R"({"k": )" + std::string(k) + "}"});
    EXPECT_EQ(render_with(bindings, a, Fetched{})->fields.dump(), R"({"command":["echo",)" + std::string(k) + "]}");
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

// A list of [0,[1],2] in a part of its own, [3] and null as text, {"five":5} in another.
Fetched with_list(Payload& rows) {
  Fetched fetched;
  const auto put = [&](const std::string& text) {
    fetched.values[hash128(text)] = std::make_shared<const std::string>(text);
    return hash128(text);
  };
  Composed list;
  list.add({Piece::Kind::kItems, "", put("[0,[1],2]"), 3, 9});
  list.add({Piece::Kind::kText, "[3],null", {}, 2, 8});
  list.add({Piece::Kind::kItem, "", put(R"({"five":5})"), 1, 10});
  rows = Payload::reference(put(list.store()), list.store().size());
  return fetched;
}

TEST(Bindings, ExpressionsNeedThePartsOfAListThatTheyRead) {
  Payload rows;
  const Fetched all = with_list(rows);
  Fetched some;
  some.values[rows.hash()] = all.value(rows.hash());
  Bindings bindings;
  const auto args = [&](const std::string& text, const Fetched& values, std::size_t needs) {
    std::vector<Hash128> missing;
    const Result<TaskContext> task =
        bindings.render(make_assignment({.executor = "shell",
                                         .fields = R"({"script": "x", "args": [")" + text + R"("]})",
                                         .nodes = {{"rows", rows}}}),
                        values, missing);
    EXPECT_EQ(missing.size(), needs) << text;
    if (!missing.empty()) return std::string();
    return task.ok() ? task->fields.find("args")->dump() : task.error().what;
  };
  EXPECT_EQ(args("{{ nodes.rows | length }}", some, 0), "[6]");
  EXPECT_EQ(args("{{ nodes.rows[3] }}", some, 0), "[[3]]");
  EXPECT_EQ(args("{{ nodes.rows[-1].five }}", some, 1), "");
  EXPECT_EQ(args("{{ nodes.rows[-1].five }}", all, 0), "[5]");
  EXPECT_EQ(args("{{ nodes.rows }}", some, 2), "");
  EXPECT_EQ(args("{{ nodes.rows }}", all, 0), R"([[0,[1],2,[3],null,{"five":5}]])");
}

TEST(Bindings, PythonGetsWhatAListIsPutTogetherFromAndOtherCodeTheWhole) {
  Payload rows;
  const Fetched all = with_list(rows);
  Fetched some;
  some.values[rows.hash()] = all.value(rows.hash());
  Bindings bindings;
  const auto seen = [&](const char* executor, const Fetched& values) -> std::string {
    std::vector<Hash128> missing;
    const Result<TaskContext> task = bindings.render(
        make_assignment({.executor = executor, .fields = R"({"script": "x"})", .nodes = {{"rows", rows}}}), values,
        missing);
    if (!missing.empty()) return "misses " + std::to_string(missing.size());
    return task.ok() ? *task->nodes.at(0).second : task.error().what;
  };
  EXPECT_EQ(seen("python", some), *all.value(rows.hash()));
  EXPECT_EQ(seen("javascript", some), "misses 2");
  EXPECT_EQ(seen("javascript", all), R"([0,[1],2,[3],null,{"five":5}])");
  EXPECT_EQ(seen("javascript", some), R"([0,[1],2,[3],null,{"five":5}])") << "it was put together before";
}

Assignment mapped(const TaskText& text, std::string_view over) {
  Assignment assignment = make_assignment(text);
  auto spec = std::make_shared<NodeSpec>(*assignment.node_spec);
  spec->flow.foreach.emplace().over = Value(std::string(over));
  assignment.node_spec = std::move(spec);
  return assignment;
}

TEST(Bindings, OfWhatAForeachGoesOverCodeGetsTheItemAndNotTheListBesideIt) {
  const Payload stored = Payload::reference(hash128("list"), 100'000);
  TaskText text{.executor = "python",
                .fields = R"({"script": "output = other + item"})",
                .nodes = {{"list", stored}, {"other", json("5")}}};
  const ItemBinding item{2, "7"};
  Bindings bindings;
  std::vector<Hash128> missing;
  const Assignment assignment = mapped(text, "{{ nodes.list }}");
  EXPECT_EQ(bindings.references(assignment), std::vector<Hash128>{}) << "nor is it fetched";
  const Result<TaskContext> task = bindings.render(assignment, Fetched{}, missing, &item);
  ASSERT_TRUE(task.ok()) << task.error().what;
  EXPECT_TRUE(missing.empty());
  ASSERT_EQ(task->nodes.size(), 1U);
  EXPECT_EQ(task->nodes[0].first, "other");
  text.fields = R"json({"script": "output = len(list)"})json";
  EXPECT_EQ(bindings.references(mapped(text, "{{ nodes.list }}")), std::vector<Hash128>{stored.hash()})
      << "but where the code names it";
}

TEST(Bindings, OfTheInputsCodeGetsWhatAForeachGoesOverOnlyWhereItNamesIt) {
  const auto inputs_of = [](Bindings& bindings, const Assignment& assignment) {
    std::vector<Hash128> missing;
    const ItemBinding item{0, "1"};
    const Result<TaskContext> task = bindings.render(assignment, Fetched{}, missing, &item);
    return task.ok() ? *task->inputs_json : task.error().what;
  };
  TaskText text{
      .executor = "python", .fields = R"({"script": "output = inputs['n']"})", .inputs = R"({"urls": [1, 2], "n": 4})"};
  Bindings bindings;
  const Assignment first = mapped(text, "{{ inputs.urls }}");
  EXPECT_EQ(inputs_of(bindings, first), R"({"n":4})");
  text.inputs = R"({"urls": [], "n": 5})";
  Assignment second = mapped(text, "{{ inputs.urls }}");
  second.node_spec = first.node_spec;
  EXPECT_EQ(inputs_of(bindings, second), R"({"n":5})") << "of another run";
  EXPECT_EQ(inputs_of(bindings, first), R"({"n":4})");
  text.fields = R"json({"script": "output = list(inputs.keys())"})json";
  EXPECT_EQ(inputs_of(bindings, mapped(text, "{{ inputs.urls }}")), text.inputs);
}

TEST(Bindings, AListOfWhichEachItemReadsAnElementIsParsedOnceForAllItemsOfAnAttempt) {
  struct Counted final : ValueSource {
    SharedText text;
    mutable int asked = 0;
    SharedText value(const Hash128&) const override { return ++asked, text; }
  };
  Counted values;
  std::string list = "[0";
  for (int i = 1; i < 1000; ++i) list += "," + std::to_string(i * 2);
  values.text = std::make_shared<const std::string>(list + "]");
  const Assignment assignment = mapped({.executor = "shell",
                                        .fields = R"({"command": ["{{ nodes.other[index] }}"]})",
                                        .nodes = {{"other", Payload::reference(hash128("other"), list.size() + 1)}}},
                                       "{{ nodes.list }}");
  Bindings bindings;
  std::vector<Hash128> missing;
  for (const std::uint32_t index : {0U, 7U, 999U}) {
    const ItemBinding item{index, "null"};
    const Result<TaskContext> task = bindings.render(assignment, values, missing, &item);
    ASSERT_TRUE(task.ok()) << task.error().what;
    EXPECT_EQ(task->fields.find("command")->dump(), "[" + std::to_string(index * 2) + "]");
    if (index == 0) values.asked = 0;
  }
  EXPECT_LE(values.asked, 2) << "once an item, to see whether it is a list reference";
}

TEST(CodeReads, WhatCannotBeToldFromTheTextCountsAsRead) {
  const auto of_fields = [](const std::string& executor, const std::string& fields) {
    return unread_by_code(*mapped({.executor = executor, .fields = fields}, "{{ nodes.big + inputs.more }}").node_spec);
  };
  const auto unread = [&](const std::string& executor, const std::string& script) {
    return of_fields(executor, Value(Value::Object{{"script", script}}).dump());
  };
  const UnreadByCode none;
  const UnreadByCode all{{"big"}, {"more"}};
  const UnreadByCode more{{}, {"more"}};
  EXPECT_EQ(unread("python", "output = item * 2"), all);
  EXPECT_EQ(unread("python", "output = nodes['a'] + inputs.get(\"k\", 1)"), all);
  EXPECT_EQ(unread("python", "output = nodes['b' + x]"), more);
  EXPECT_EQ(unread("python", "output = nodes[x]"), more);
  EXPECT_EQ(unread("python", "def main(item, inputs): return inputs"), (UnreadByCode{{"big"}, {}}));
  EXPECT_EQ(unread("python", "def main(**kw): return kw"), none);
  EXPECT_EQ(unread("python", "output = globals()['b' + 'ig']"), none);
  EXPECT_EQ(unread("javascript", "function main({item}) { return nodes.other; }"), all);
  EXPECT_EQ(unread("javascript", "function main(all) { return all; }"), none);
  EXPECT_EQ(unread("javascript", "output = Object.keys(nodes)"), more);
  EXPECT_EQ(of_fields("template", R"({"template": "x"})"), none);
  EXPECT_EQ(of_fields("python", R"({"function": "installed:run"})"), none);
  EXPECT_EQ(of_fields("python", R"({"function": "m:run", "sources": {"m.py": "def run(item): return item"}})"), all);
  EXPECT_EQ(of_fields("python", R"({"function": "m:run", "sources": {"m.py": "def run(big): return big"}})"), more);
}

TEST(Bindings, AListThatCannotBeHadWholeSaysWhatCan) {
  Composed list;
  list.add({Piece::Kind::kItems, "", Hash128{1, 1}, 3, kValueMax});
  Fetched fetched;
  const Payload rows = Payload::reference(hash128(list.store()), list.store().size());
  fetched.values[rows.hash()] = std::make_shared<const std::string>(list.store());
  Bindings bindings;
  for (const char* executor : {"javascript", "shell"}) {
    const Result<TaskContext> task =
        render_with(bindings,
                    make_assignment({.executor = executor,
                                     .fields = R"({"script": "x", "args": "{{ nodes.rows }}"})",
                                     .nodes = {{"rows", rows}}}),
                    fetched);
    EXPECT_FALSE(task.ok());
    EXPECT_TRUE(!task.ok() && contains(task.error().what, "the output of `rows` cannot be had whole")) << executor;
  }
}

}  // namespace
}  // namespace millrace
