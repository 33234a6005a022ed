// Artifacts: files that tasks hand over, as a partition keeps them.
#include <gtest/gtest.h>

#include "tests/support/world.h"

namespace millrace::test {
namespace {

std::string names(const TaskRecord& record) {
  std::string all;
  if (record.artifacts == nullptr) return all;
  for (const Artifact& one : *record.artifacts) all += one.name + " ";
  return all;
}

TEST(Artifacts, StandInTheRecordOfTheirTaskAndComeBackFromTheStore) {
  World w;
  w.worker(1, 2).run("a -> b");
  w.ended_with_file("a#1", "plot.png", 100);
  EXPECT_EQ(names(w.record("a")), "plot.png ");
  w.crash();
  EXPECT_EQ(names(w.record("a")), "plot.png ");
}

TEST(Artifacts, OfARunHaveABoundTogetherWhichHoldsAfterARestart) {
  World w;
  w.worker(1, 9).run("a -> b -> c");
  w.ended_with_file("a#1", "a", kArtifactsRunMax / 2);
  w.ended_with_file("b#1", "b", kArtifactsRunMax / 2);
  w.crash();
  w.hello(1, {}).adoption_closed();
  w.ended_with_file("c#2", "c", 1);
  EXPECT_EQ(w.state("c"), TaskState::kFailed);
  EXPECT_EQ(w.record("c").reason, Reason::kInvalidOutput);
  EXPECT_EQ(w.record("c").error->message,
            "the artifacts of the run would have 1073741825 bytes together; at most 1073741824 are kept");
  EXPECT_EQ(names(w.record("c")), "");
  EXPECT_EQ(names(w.record("b")), "b ");
}

TEST(Artifacts, AreSharedWithTheRunThatRetriesTheirs) {
  World w;
  w.worker(1, 9).run("a -> b", "old");
  w.ended_with_file("a#1", "kept", 5).ended("b#1", Reason::kError);
  ASSERT_EQ(w.run_state(), RunState::kFailed);
  w.resume("new", "old");
  const TaskRecord& shared = w.stored("new").tasks.at(TaskIndex{0});
  EXPECT_EQ(shared.reason, Reason::kShared);
  EXPECT_EQ(names(shared), "kept ");
}

}  // namespace
}  // namespace millrace::test
