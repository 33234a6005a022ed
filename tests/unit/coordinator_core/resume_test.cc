// What running a run again may not do; what it does stands in tests/golden/resume_*.txt.
#include "coordinator/core/resume.h"

#include <gtest/gtest.h>

#include "tests/support/world.h"

namespace millrace::test {
namespace {

Code refused(const World& w, RequestId request, std::string* name = nullptr) {
  const auto* error = std::get_if<ErrorReply>(w.reply(request));
  EXPECT_NE(error, nullptr);
  if (error != nullptr && name != nullptr) *name = error->error.name;
  return error == nullptr ? Code::kInternal : error->error.code;
}

TEST(Resume, ARunThatLivesIsRefusedWithTheWayOut) {
  World w;
  w.worker(1).run("a -> b", "old");
  const RequestId request = w.resume("new", "old");
  std::string name;
  EXPECT_EQ(refused(w, request, &name), Code::kConflict);
  EXPECT_EQ(name, "run_live");
  const std::string& what = std::get<ErrorReply>(*w.reply(request)).error.what;
  EXPECT_NE(what.find("millrace wait"), std::string::npos) << what;
  EXPECT_NE(what.find("millrace cancel"), std::string::npos) << what;
}

TEST(Resume, NothingIsWrittenToTheOldRun) {
  World w;
  w.worker(1).run("a -> b", "old").ended("a#1", kOk, "1").ended("b#1", Reason::kError);
  const World::Stored before = w.stored("old");
  w.resume("new", "old");
  w.ended("b#1");
  EXPECT_EQ(w.run_state("new"), RunState::kSucceeded);
  EXPECT_EQ(w.stored("old").record, before.record);
  EXPECT_EQ(w.stored("old").tasks, before.tasks);
  EXPECT_EQ(w.stored("new").info->retry_of, w.run_id("old"));
  EXPECT_EQ(w.stored("new").tasks.at(TaskIndex{0}).output, before.tasks.at(TaskIndex{0}).output);
}

TEST(Resume, ValuesBeyondHalfAMegabyteGoByReference) {
  World w;
  w.worker(1, 100);
  std::string text = "z";
  for (int i = 0; i < 20; ++i) text += ", a" + std::to_string(i);
  w.run("(fail_fast=false) " + text, "old");
  const std::string large = '"' + std::string(60'000, 'x') + '"';
  for (int i = 0; i < 20; ++i) w.ended("a" + std::to_string(i) + "#1", kOk, large);
  w.ended("z#1", Reason::kError);
  ASSERT_EQ(w.run_state("old"), RunState::kFailed);
  w.resume("new", "old");
  std::size_t inline_bytes = 0;
  std::size_t references = 0;
  for (const auto& [task, record] : w.stored("new").tasks) {
    if (record.output.is_reference()) ++references;
    else inline_bytes += record.output.size();
  }
  EXPECT_EQ(references, 12U);
  EXPECT_LE(inline_bytes, kSharedInlineMax + 10);
  w.ended("z#1").fetched();
  EXPECT_EQ(w.run_state("new"), RunState::kSucceeded);
}

TEST(Resume, MoreThanOneCommitCanHoldIsRefusedByName) {
  WorkflowSpec wide;
  wide.name = "wide";
  wide.specs.resize(2);
  wide.specs[0].executor = wide.specs[1].executor = "noop";
  wide.specs[1].priority = 1;
  wide.spec_of.assign(kSharedMax + 2, 0);
  wide.spec_of.back() = 1;
  wide.upstream = make_adjacency(kSharedMax + 2, {});
  const auto plan = Plan::build(std::move(wide), Hash128{1, 2}).value();
  RestoredRun old{std::make_shared<const RunInfo>(), plan, {}, {}};
  old.record.state = RunState::kFailed;
  TaskRecord done;
  done.state = TaskState::kSucceeded;
  done.version = 1;
  for (std::uint32_t task = 0; task < kSharedMax; ++task) old.tasks.emplace_back(TaskIndex{task}, done);
  EXPECT_EQ(shared_results(old, *plan, {})->size(), kSharedMax);
  old.tasks.emplace_back(TaskIndex{kSharedMax}, done);
  EXPECT_EQ(shared_results(old, *plan, {}).error().name, "too_much_to_share");
  EXPECT_EQ(shared_results(old, *plan, {{}, ResumeScope::kFrom, {"n7"}, ""})->size(), kSharedMax);
  EXPECT_EQ(shared_results(old, *plan, {{}, ResumeScope::kFrom, {"n10002"}, ""}).error().name, "unknown_node");
  EXPECT_TRUE(shared_results(old, *plan, {{}, ResumeScope::kAll, {}, ""})->empty());
}

}  // namespace
}  // namespace millrace::test
