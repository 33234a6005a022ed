// Registry, and how a Partition uses it: versions of a name are numbered once, and what they need is said.
#include "coordinator/core/registry.h"

#include <gtest/gtest.h>

#include "coordinator/core/partition.h"

namespace millrace {
namespace {

const Registry::Key kName{"default", "w"};
Hash128 definition(int i) { return hash128("definition " + std::to_string(i)); }

std::uint32_t current(const Registry& registry) {
  auto found = registry.find(kName, 0);
  return found.ok() ? (*found)->versions.back().version : 0;
}

TEST(Registry, NumbersTheVersionsOfANameFromOneOn) {
  Registry registry;
  EXPECT_TRUE(registry.apply(Time{}, kName, definition(1), "me")->changed);
  EXPECT_TRUE(registry.apply(Time{}, kName, definition(2), "me")->changed);
  EXPECT_TRUE(registry.apply(Time{}, {"other", "w"}, definition(9), "me")->changed) << "another tenant's";
  EXPECT_EQ(current(registry), 2U);
  EXPECT_EQ((*registry.find(kName, 1))->find(1)->definition, definition(1));
}

TEST(Registry, WhatIsAppliedUnchangedIsNoNewVersion) {
  Registry registry;
  (void)registry.apply(Time{}, kName, definition(1), "me");
  const Result<Registry::Change> again = registry.apply(Time{}, kName, definition(1), "you");
  EXPECT_FALSE(again->changed);
  EXPECT_EQ(current(registry), 1U);
  (void)registry.apply(Time{}, kName, definition(2), "me");
  EXPECT_TRUE(registry.apply(Time{}, kName, definition(1), "me")->changed) << "it is not the current one";
  EXPECT_EQ(current(registry), 3U);
}

TEST(Registry, ARollbackIsANewVersionThatSaysWhichOneItIs) {
  Registry registry;
  (void)registry.apply(Time{}, kName, definition(1), "me");
  (void)registry.apply(Time{}, kName, definition(2), "me");
  const Result<Registry::Change> back = registry.roll_back(Time{}, kName, 1, "you");
  ASSERT_TRUE(back.ok() && back->changed);
  const WorkflowVersion& version = back->workflow->versions.back();
  EXPECT_EQ(version.version, 3U);
  EXPECT_EQ(version.definition, definition(1));
  EXPECT_EQ(version.rolled_back_to, 1U);
  EXPECT_FALSE(registry.roll_back(Time{}, kName, 1, "you")->changed) << "asked again";
  EXPECT_EQ(registry.roll_back(Time{}, kName, 7, "you").error().code, Code::kNotFound);
  EXPECT_EQ(registry.roll_back(Time{}, kName, 0, "you").error().code, Code::kInvalid);
}

TEST(Registry, ADeletedNameIsNotThereAndItsNumbersNeverComeAgain) {
  Registry registry;
  (void)registry.apply(Time{}, kName, definition(1), "me");
  const Result<Registry::Change> gone = registry.erase(kName);
  ASSERT_TRUE(gone.ok() && gone->changed);
  EXPECT_EQ(gone->dropped, std::vector<Hash128>{definition(1)});
  EXPECT_EQ(registry.find(kName, 0).error().code, Code::kNotFound);
  EXPECT_FALSE(registry.erase(kName)->changed) << "asked again";
  EXPECT_EQ(registry.erase({"default", "never"}).error().code, Code::kNotFound);
  (void)registry.apply(Time{}, kName, definition(1), "me");
  EXPECT_EQ(current(registry), 2U);
}

TEST(Registry, KeepsTheLatestVersionsAndSaysWhatNobodyNeedsAnyMore) {
  Registry registry;
  for (int i = 1; i <= static_cast<int>(kVersionsMax); ++i) (void)registry.apply(Time{}, kName, definition(i), "me");
  (void)registry.apply(Time{}, kName, definition(2), "me");  // the first one goes
  EXPECT_FALSE(registry.uses(definition(1)));
  const Result<Registry::Change> change = registry.apply(Time{}, kName, definition(1'000), "me");
  EXPECT_TRUE(change->dropped.empty()) << "the second one is also a later one";
  EXPECT_TRUE(registry.uses(definition(2)));
  EXPECT_EQ((*registry.find(kName, 0))->versions.size(), kVersionsMax);
  EXPECT_EQ(registry.find(kName, 2).error().what, "workflow 'w' has no version 2: there are 3 to 102");
}

TEST(Registry, ManyNamesAreRefusedAndChangeNothing) {
  Registry registry;
  for (std::size_t i = 0; i < kWorkflowsMax; ++i)
    (void)registry.apply(Time{}, {"default", std::to_string(i)}, definition(1), "me");
  EXPECT_EQ(registry.apply(Time{}, kName, definition(1), "me").error().name, "workflows_full");
  EXPECT_TRUE(registry.apply(Time{}, {"default", "7"}, definition(2), "me").ok()) << "one that is there";
  EXPECT_EQ(registry.all().size(), kWorkflowsMax);
}

TEST(Workflows, AreWrittenWithTheirDefinitionByTheTurnThatAnswers) {
  Partition partition({PartitionId{1}, Epoch{1, 9}});
  auto bytes = std::make_shared<const std::string>("bytes");
  const WorkflowChanged apply{RequestId{5}, WorkflowAct::kApply, "default", "w", 0, definition(1), bytes, "me"};
  partition.step(Time{}, apply);
  Effects effects = partition.take();
  ASSERT_EQ(effects.workflows.size(), 1U);
  EXPECT_EQ(effects.workflows[0].latest, 1U);
  ASSERT_EQ(effects.definitions.size(), 1U);
  EXPECT_EQ(effects.definitions[0].second, bytes);
  ASSERT_EQ(effects.replies.size(), 1U);
  EXPECT_TRUE(std::get<WorkflowReply>(effects.replies[0].reply).changed);

  partition.step(Time{}, apply);
  effects = partition.take();
  EXPECT_FALSE(effects.writes_shelves());
  EXPECT_FALSE(std::get<WorkflowReply>(effects.replies[0].reply).changed);

  partition.step(Time{}, WorkflowChanged{RequestId{6}, WorkflowAct::kDelete, "default", "w"});
  effects = partition.take();
  EXPECT_EQ(effects.definitions_dropped, std::vector<Hash128>{definition(1)});
  ASSERT_EQ(effects.workflows.size(), 1U);
  EXPECT_FALSE(effects.workflows[0].exists());
  EXPECT_EQ(effects.workflows[0].latest, 1U) << "what is left is the number";
}

TEST(Workflows, GoOnWhereAnotherOwnerLeftThem) {
  Partition partition({PartitionId{1}, Epoch{2, 9}});
  partition.restore_workflow({"default", "w", 4, {{4, definition(4), Time{}, "me", 0}}});
  partition.step(Time{}, WorkflowChanged{RequestId{5}, WorkflowAct::kApply, "default", "w", 0, definition(5), nullptr});
  EXPECT_EQ(partition.take().workflows.at(0).versions.back().version, 5U);
}

}  // namespace
}  // namespace millrace
