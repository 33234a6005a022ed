#include "coordinator/core/placement.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

constexpr Time kNow = from_us(1'000'000'000);

class Fleet {
 public:
  Result<WorkerRef> join(const std::string& name, std::uint64_t incarnation, Time now = kNow) {
    WorkerHello hello;
    hello.incarnation = incarnation;
    hello.name = name;
    hello.executors = {"noop"};
    replaced.reset();
    return placement.join(now, hello, replaced);
  }
  WorkerId worker(const std::string& name, std::uint32_t credit) {
    const WorkerId id = join(name, ++incarnations_).value().id;
    placement.credit(id, {credit, 0});
    return id;
  }
  void offer(std::uint32_t task, std::int32_t priority = 0, std::uint32_t rank = 1, Time age = kNow,
             const std::string& executor = "noop") {
    auto spec = std::make_shared<NodeSpec>();
    spec->executor = executor;
    placement.offer({RunId{1}, TaskIndex{task}, priority, age, rank, SlotClass::kCpu, spec});
  }
  std::vector<Grant> place() {
    std::vector<Grant> grants;
    placement.place(grants);
    return grants;
  }
  std::vector<std::uint32_t> places() {
    std::vector<std::uint32_t> tasks;
    for (const Grant& grant : place()) tasks.push_back(grant.task.value);
    return tasks;
  }
  Placement placement;
  std::optional<WorkerId> replaced;

 private:
  std::uint64_t incarnations_ = 100;
};

using Tasks = std::vector<std::uint32_t>;

TEST(Placement, NeverGrantsMoreThanTheCredit) {
  Fleet fleet;
  const WorkerId w = fleet.worker("w", 2);
  for (std::uint32_t task = 0; task < 5; ++task) fleet.offer(task);
  EXPECT_EQ(fleet.places(), (Tasks{0, 1}));
  EXPECT_EQ(fleet.places(), Tasks{});
  fleet.placement.freed(w, SlotClass::kCpu);
  EXPECT_EQ(fleet.places(), Tasks{2});
  EXPECT_EQ(fleet.placement.offers(), 2U);
}

TEST(Placement, ACreditThatShrinksBelowWhatIsOutGrantsNothing) {
  Fleet fleet;
  const WorkerId w = fleet.worker("w", 3);
  fleet.offer(0);
  fleet.offer(1);
  EXPECT_EQ(fleet.places().size(), 2U);
  fleet.placement.credit(w, {1, 0});
  fleet.offer(2);
  EXPECT_EQ(fleet.places(), Tasks{});
}

TEST(Placement, AdoptedAttemptsCountAsUsed) {
  Fleet fleet;
  const WorkerId w = fleet.worker("w", 1);
  fleet.placement.taken(w, SlotClass::kCpu);
  fleet.offer(0);
  EXPECT_EQ(fleet.places(), Tasks{});
}

TEST(Placement, OrdersByPriorityThenAgeThenRankThenIndex) {
  Fleet fleet;
  fleet.offer(4, 0, 1, kNow);
  fleet.offer(3, 0, 1, kNow);
  fleet.offer(2, 0, 9, kNow);
  fleet.offer(1, 0, 1, kNow - 1s);
  fleet.offer(0, 7, 1, kNow + 1s);
  fleet.worker("w", 9);
  EXPECT_EQ(fleet.places(), (Tasks{0, 1, 2, 3, 4}));
}

TEST(Placement, SpreadsWorkBeforeItQueues) {
  Fleet fleet;
  const WorkerId big = fleet.worker("big", 4);
  const WorkerId small = fleet.worker("small", 2);
  for (std::uint32_t task = 0; task < 3; ++task) fleet.offer(task);
  const std::vector<Grant> grants = fleet.place();
  ASSERT_EQ(grants.size(), 3U);
  EXPECT_EQ(grants[0].worker.id, big);    // both are free: the lower id
  EXPECT_EQ(grants[1].worker.id, small);  // all free against three quarters
  EXPECT_EQ(grants[2].worker.id, big);    // three quarters against a half
}

TEST(Placement, ADrainingWorkerGetsNothingNew) {
  Fleet fleet;
  fleet.placement.drain(fleet.worker("w", 2));
  fleet.offer(0);
  EXPECT_EQ(fleet.places(), Tasks{});
  EXPECT_EQ(fleet.placement.view(kNow).at(0).state, "draining");
}

TEST(Placement, WhatNoWorkerCanRunHoldsNothingElseUp) {
  Fleet fleet;
  fleet.worker("w", 1);
  fleet.offer(0, /*priority=*/9, 1, kNow, "shell");
  fleet.offer(1);
  EXPECT_EQ(fleet.places(), Tasks{1});
  EXPECT_EQ(fleet.placement.without_worker(), std::vector<std::string>{"shell"});
}

TEST(Placement, RefusesASecondLiveHolderOfAName) {
  Fleet fleet;
  fleet.worker("w", 1);
  const Result<WorkerRef> second = fleet.join("w", 2, kNow + kBeatEvery);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().name, "id_in_use");
  EXPECT_EQ(fleet.placement.workers(), 1U);
}

TEST(Placement, ASilentHolderOfANameIsReplaced) {
  Fleet fleet;
  const WorkerId first = fleet.worker("w", 1);
  const Result<WorkerRef> second = fleet.join("w", 2, kNow + 3 * kBeatEvery);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(fleet.replaced, first);
  fleet.placement.leave(first);
  EXPECT_EQ(fleet.placement.find_name("w"), second->id);
}

TEST(Placement, TheSameIncarnationKeepsItsId) {
  Fleet fleet;
  const WorkerId first = fleet.join("w", 7).value().id;
  EXPECT_EQ(fleet.join("w", 7).value().id, first);
}

TEST(Placement, AWorkerThatIsNotHeardIsSilentFromTheLimitOn) {
  Fleet fleet;
  const WorkerId w = fleet.worker("w", 1);
  EXPECT_EQ(fleet.placement.next_deadline(), kNow + kWorkerLostAfter);
  EXPECT_TRUE(fleet.placement.silent(kNow + kWorkerLostAfter - 1us).empty());
  EXPECT_EQ(fleet.placement.silent(kNow + kWorkerLostAfter), std::vector<WorkerId>{w});
  fleet.placement.heard(kNow + 1s, w);
  EXPECT_TRUE(fleet.placement.silent(kNow + kWorkerLostAfter).empty());
}

}  // namespace
}  // namespace millrace
