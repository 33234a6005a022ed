#include "coordinator/core/plan.h"

#include <gtest/gtest.h>

#include "tests/support/dag_text.h"

namespace millrace {
namespace {

std::string refusal(WorkflowSpec spec) {
  const Result<std::shared_ptr<const Plan>> plan = Plan::build(std::move(spec), {});
  return plan.ok() ? "accepted" : plan.error().what;
}
std::shared_ptr<const Plan> plan_of(const std::string& text) {
  return Plan::build(test::DagText::parse(text), {1, 2}).value();
}

TEST(Plan, KnowsRanksSinksAndIds) {
  const auto plan = plan_of("a -> b -> c, a -> d");
  EXPECT_EQ(plan->ranks(), (std::vector<std::uint32_t>{3, 2, 1, 1}));
  EXPECT_EQ(plan->sinks(), (std::vector<std::uint32_t>{2, 3}));
  EXPECT_EQ(plan->find("c"), TaskIndex{2});
  EXPECT_EQ(plan->find("z"), std::nullopt);
  EXPECT_EQ(plan->definition(), (Hash128{1, 2}));
}

TEST(Plan, CompilesValueNodesAndOutputs) {
  const auto plan = plan_of("(output.x={{ nodes.v }}) a -> v[value={{ nodes.a }}]");
  EXPECT_FALSE(plan->is_control_node(TaskIndex{0}));
  EXPECT_TRUE(plan->is_control_node(TaskIndex{1}));
  EXPECT_EQ(plan->value_template(TaskIndex{0}), nullptr);
  EXPECT_NE(plan->value_template(TaskIndex{1}), nullptr);
  EXPECT_EQ(plan->outputs().size(), 1U);
}

TEST(Plan, RefusesWhatAClientMayNotSend) {
  EXPECT_EQ(refusal({}), "definition: it has no nodes");
  WorkflowSpec unknown = test::DagText::parse("a[executor=no_such!]");
  EXPECT_EQ(refusal(unknown), "definition: node 'a': unknown executor 'no_such!'");
  WorkflowSpec few = test::DagText::parse("a, b");
  few.ids.pop_back();
  EXPECT_EQ(refusal(few), "definition: ids and nodes differ in number");
  WorkflowSpec bad = test::DagText::parse("a, b");
  bad.spec_of = {0, 9};
  EXPECT_EQ(refusal(bad), "definition: a node names a spec that is not there");
  EXPECT_NE(refusal(test::DagText::parse("a -> b -> a")), "accepted");
  EXPECT_NE(refusal(test::DagText::parse("v[value={{ 1 + }}]")), "accepted");
}

TEST(Plan, NamesASharedSpecByItsNumber) {
  WorkflowSpec packed = test::DagText::parse("a");
  packed.spec_of = {0};
  for (int i = 0; i < 3; ++i) packed.specs.push_back(packed.specs[0]);
  packed.specs[3].executor = "no_such!";  // more specs than nodes
  EXPECT_EQ(refusal(packed), "definition: spec 3: unknown executor 'no_such!'");
}

TEST(Plan, CallsPackedNodesByTheirNumber) {
  WorkflowSpec packed = test::DagText::parse("a -> b -> c");
  packed.ids.clear();
  packed.specs.resize(1);
  packed.spec_of = {0, 0, 0};
  const auto plan = Plan::build(packed, {}).value();
  EXPECT_EQ(plan->id(TaskIndex{2}), "n2");
  EXPECT_EQ(plan->find("n2"), TaskIndex{2});
  EXPECT_EQ(plan->find("n3"), std::nullopt);
  EXPECT_EQ(plan->find("n99999999999999999999"), std::nullopt);
  EXPECT_EQ(plan->find("x1"), std::nullopt);
}

TEST(Plan, RefusesStandInsThatCouldNotStandIn) {
  const auto of = [](const std::string& text) { return refusal(test::DagText::parse(text)); };
  EXPECT_EQ(of("a[instead=b] -> b"), "accepted");
  EXPECT_EQ(of("a[instead=b], b"), "definition: node 'a': 'b' is not a node that waits for it");
  EXPECT_EQ(of("a[instead=b] -> b, c[instead=b] -> b"), "definition: node 'c': 'b' stands in for another node already");
  EXPECT_EQ(of("a[instead=b; handlers=b] -> b"),
            "definition: node 'a': 'b' cannot stand in: one of them runs for another reason");
  EXPECT_EQ(of("a[instead=b] -> b, a -> c -> b"),
            "definition: a node that stands in for another waits for what waits for that");
}

TEST(Plan, KnowsWhatTasksOfSubGraphsCallOthers) {
  const auto plan = plan_of("a, x, g/begin[value=null] -> g/x[gate=g/begin] -> g/h/y, g/x -> g[value={{ nodes.x }}]");
  const auto of = [&](const std::string& id) { return plan->find(id).value(); };
  EXPECT_EQ(plan->find_from(of("g/h/y"), "x"), of("g/x")) << "one further out";
  EXPECT_EQ(plan->find_from(of("g"), "x"), of("g/x")) << "the end of a sub-graph looks into it";
  EXPECT_EQ(plan->find_from(of("a"), "x"), of("x"));
  EXPECT_EQ(plan->find_from(of("g/x"), "begin"), std::nullopt) << "no name means what a sub-graph begins with";
  EXPECT_EQ(plan->name_from(of("g/h/y"), of("g/x")), "x");
  EXPECT_EQ(plan->name_from(of("a"), of("g/x")), "g/x");
  EXPECT_EQ(plan->gate_of(of("g/x")), of("g/begin"));
  EXPECT_EQ(plan->round_of(of("g/x")), 0U);
}

TEST(Plan, RefusesLoopsWithoutTheirRounds) {
  const auto of = [](const std::string& text) { return refusal(test::DagText::parse(text)); };
  EXPECT_EQ(of("g/1[value=1; round=1] -> g[value=null; rounds=2]"),
            "definition: node 'g': a loop without the end of round 2");
  EXPECT_EQ(of("a[gate=b], b"), "definition: node 'a': it does not wait for 'b', which it begins with");
  EXPECT_EQ(of("a[round=1]"), "definition: node 'a': a loop, or a round, is no value node");
}

}  // namespace
}  // namespace millrace
