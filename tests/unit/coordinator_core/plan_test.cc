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

}  // namespace
}  // namespace millrace
