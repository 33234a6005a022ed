#include "coordinator/core/placement.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

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
  WorkerId worker(const std::string& name, std::uint32_t credit, const Resources& resources = {},
                  const Labels& labels = {}, std::uint32_t slots = 1) {
    WorkerHello hello;
    hello.incarnation = ++incarnations_;
    hello.name = name;
    hello.executors = {"noop"};
    hello.resources = resources;
    hello.labels = labels;
    hello.slots = slots;
    const WorkerId id = placement.join(kNow, hello, replaced).value().id;
    placement.credit(id, {credit, 0});
    return id;
  }
  void offer(std::uint32_t task, std::int32_t priority = 0, std::uint32_t rank = 1, Time age = kNow,
             const std::string& executor = "noop") {
    Requirements needs;
    needs.executor = executor;
    offer(task, needs, priority, rank, age);
  }
  void offer(std::uint32_t task, Requirements needs, std::int32_t priority = 0, std::uint32_t rank = 1, Time age = kNow,
             std::shared_ptr<const PlacingHints> hints = nullptr) {
    if (needs.executor.empty()) needs.executor = "noop";
    placement.offer({RunId{1}, TaskIndex{task}, priority, age, rank, std::make_shared<const Requirements>(needs),
                     hints == nullptr ? nullptr : std::make_unique<const PlacingHints>(*hints)});
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

// Who gets the first of `tasks` tasks when all workers are alike.
std::vector<std::uint64_t> order_of_equals(std::uint64_t salt, std::uint32_t tasks = 8) {
  Fleet fleet;
  fleet.placement.order_by(salt);
  for (std::uint32_t i = 0; i < tasks; ++i) fleet.worker("w" + std::to_string(i), 1);
  for (std::uint32_t task = 0; task < tasks; ++task) fleet.offer(task);
  std::vector<std::uint64_t> workers;
  for (const Grant& grant : fleet.place()) workers.push_back(grant.worker.id.value);
  return workers;
}

TEST(Placement, EqualWorkersAreTakenInAnOrderOfEachSaltsOwn) {
  EXPECT_EQ(order_of_equals(0), (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(order_of_equals(17), order_of_equals(17)) << "the same salt, the same order";
  std::set<std::uint64_t> firsts;
  for (std::uint64_t salt = 1; salt <= 32; ++salt) {
    const std::vector<std::uint64_t> order = order_of_equals(salt);
    EXPECT_EQ(std::set<std::uint64_t>(order.begin(), order.end()).size(), 8U) << "each of them once";
    firsts.insert(order.front());
  }
  EXPECT_GE(firsts.size(), 6U) << "32 coordinators begin with different workers";
}

TEST(Placement, TheOrderAmongEqualsDoesNotDependOnWhoJoinedFirst) {
  std::vector<std::string> first;
  for (const bool backwards : {false, true}) {
    Fleet fleet;
    fleet.placement.order_by(7);
    for (int i = 0; i < 4; ++i) fleet.worker("w" + std::to_string(backwards ? 3 - i : i), 1);
    fleet.offer(1);
    first.push_back(*fleet.place().at(0).worker.name);
  }
  EXPECT_EQ(first[0], first[1]);
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
  EXPECT_EQ(fleet.placement.unplaceable(), 1U);
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
  EXPECT_LE(fleet.placement.next_deadline(), kNow + kWorkerLostAfter);
  EXPECT_TRUE(fleet.placement.watch(kNow + kWorkerLostAfter - 1us).empty());
  EXPECT_LE(fleet.placement.next_deadline(), kNow + kWorkerLostAfter);
  EXPECT_EQ(fleet.placement.watch(kNow + kWorkerLostAfter), std::vector<WorkerId>{w});
  fleet.placement.heard(kNow + 1s, w);
  EXPECT_TRUE(fleet.placement.watch(kNow + kWorkerLostAfter).empty());
}

TEST(Placement, AWorkerThatHasMissedTwoBeatsGetsNothingNewUntilItSpeaks) {
  Fleet fleet;
  const WorkerId slow = fleet.worker("slow", 4, {}, {}, 4);
  const WorkerId other = fleet.worker("other", 4);
  fleet.placement.heard(kNow + kDoubtAfter, other);
  EXPECT_TRUE(fleet.placement.watch(kNow + kDoubtAfter).empty());
  for (std::uint32_t task = 0; task < 3; ++task) fleet.offer(task);
  for (const Grant& grant : fleet.place()) EXPECT_EQ(grant.worker.id, other);
  fleet.placement.heard(kNow + kDoubtAfter + 1ms, slow);
  fleet.offer(3);
  EXPECT_EQ(fleet.place().at(0).worker.id, slow);
}

// ---------------------------------------------------------------- what tasks ask for

TEST(Placement, ABeatOfWhoHasNotSaidHelloOrHasLeftIsNotTaken) {
  Fleet fleet;
  EXPECT_FALSE(fleet.placement.beat(kNow, {7, 0, 0}, false));
  const WorkerId first = fleet.join("a", 7).value().id;
  EXPECT_TRUE(fleet.placement.beat(kNow, {7, 0, 0}, false));
  fleet.placement.leave(first, kNow);
  EXPECT_FALSE(fleet.placement.beat(kNow, {7, 0, 0}, false));
  const WorkerId second = fleet.join("b", 8).value().id;  // where the other stood
  EXPECT_TRUE(fleet.placement.beat(kNow + 1s, {8, 2, 1}, false));
  EXPECT_EQ(fleet.placement.find(first), nullptr);
  const Roll::Line& said = fleet.placement.said_of(*fleet.placement.find(second));
  EXPECT_EQ(said.heard, kNow + 1s);
  EXPECT_EQ(said.running + said.queued + said.others, 6U);
}

TEST(Placement, AttemptsOfOthersOccupyAWorkerUntilItSaysOtherwise) {
  Fleet fleet;
  fleet.worker("a", 2);  // incarnation 101
  const WorkerId b = fleet.worker("b", 2);
  ASSERT_TRUE(fleet.placement.beat(kNow, {101, 1, 0}, false));
  fleet.offer(0);
  EXPECT_EQ(fleet.place().at(0).worker.id, b) << "the slot of the other is taken";
  ASSERT_TRUE(fleet.placement.beat(kNow, {101, 0, 0}, false));
  fleet.offer(1);
  EXPECT_NE(fleet.place().at(0).worker.id, b);
  ASSERT_TRUE(fleet.placement.beat(kNow, {101, 1, 0}, true));
  EXPECT_EQ(fleet.placement.said_of(fleet.placement.fleet().begin()->second).others, 0U) << "there are no others";
}

TEST(Placement, DemandIsWhatWaitsAndWhatIsOut) {
  Fleet fleet;
  const WorkerId a = fleet.worker("a", 2);
  const WorkerId b = fleet.worker("b", 1);
  for (std::uint32_t task = 0; task < 5; ++task) fleet.offer(task);
  EXPECT_EQ(fleet.places().size(), 3U);
  EXPECT_EQ(fleet.placement.demand(), 5U);
  EXPECT_EQ(fleet.placement.busy(), (std::set<WorkerId>{a, b}));
  fleet.placement.taken(b, SlotClass::kIo);
  fleet.placement.freed(b, SlotClass::kCpu);
  EXPECT_EQ(fleet.placement.demand(), 5U);
  EXPECT_EQ(fleet.placement.busy(), (std::set<WorkerId>{a}));
  fleet.placement.freed(b, SlotClass::kIo);
  fleet.placement.freed(b, SlotClass::kIo);  // once too often
  EXPECT_EQ(fleet.placement.demand(), 4U);
  fleet.placement.leave(a, kNow);
  EXPECT_EQ(fleet.placement.demand(), 2U);
  EXPECT_TRUE(fleet.placement.busy().empty());
}

TEST(Placement, PutsATaskIntoAnIdleSlotBeforeItQueuesAnywhere) {
  Fleet fleet;
  const WorkerId deep = fleet.worker("deep", 100, {}, {}, /*slots=*/2);
  const WorkerId shallow = fleet.worker("shallow", 2, {}, {}, /*slots=*/2);
  std::map<WorkerId, int> got;
  for (std::uint32_t task = 0; task < 4; ++task) fleet.offer(task);
  for (const Grant& grant : fleet.place()) ++got[grant.worker.id];
  EXPECT_EQ(got[deep], 2);
  EXPECT_EQ(got[shallow], 2);
}

TEST(Placement, NeverTakesMoreOfAResourceThanAWorkerHas) {
  Fleet fleet;
  const WorkerId w = fleet.worker("w", 100, {{"cpu", 4000}, {"license", 1}}, {}, 100);
  const Requirements big{"", "", {}, {}, {{"cpu", 3000}}, false};
  const Requirements small{"", "", {}, {}, {{"cpu", 1000}}, false};
  const Requirements licensed{"", "", {}, {}, {{"license", 1}}, false};
  fleet.offer(0, big);
  fleet.offer(1, big);
  fleet.offer(2, small);
  fleet.offer(3, licensed);
  fleet.offer(4, licensed);
  fleet.offer(5);
  EXPECT_EQ(fleet.places(), (Tasks{0, 2, 3, 5}));
  EXPECT_EQ(fleet.placement.waits_for({"noop", "", {}, {}, {{"cpu", 3000}}, false}), WaitReason::kResource);
  const Requirements ended{"noop", "", {}, {}, {{"cpu", 3000}}, false};
  fleet.placement.freed(w, SlotClass::kCpu, &ended);
  EXPECT_EQ(fleet.places(), Tasks{1});
  EXPECT_EQ(fleet.placement.find(w)->taken.at(0), 4000U);
}

TEST(Placement, ChargesAdoptedAttemptsForTheirResources) {
  Fleet fleet;
  const WorkerId w = fleet.worker("w", 9, {{"license", 1}}, {}, 9);
  const Requirements licensed{"noop", "", {}, {}, {{"license", 1}}, false};
  fleet.placement.change({w, SlotClass::kCpu, true, &licensed});
  fleet.offer(0, licensed);
  EXPECT_EQ(fleet.places(), Tasks{});
  fleet.placement.change({w, SlotClass::kCpu, false, &licensed});
  EXPECT_EQ(fleet.places(), Tasks{0});
}

TEST(Placement, ALargeTaskIsNotStarvedBySmallOnes) {
  Fleet fleet;
  const WorkerId w = fleet.worker("w", 100, {{"cpu", 4000}}, {}, 100);
  const auto small = std::make_shared<const Requirements>(Requirements{"noop", "", {}, {}, {{"cpu", 1000}}, false});
  const Requirements large{"noop", "", {}, {}, {{"cpu", 4000}}, false};
  for (std::uint32_t task = 0; task < 4; ++task) fleet.offer(task, *small, 0, 1, kNow - 1s);
  fleet.place();
  fleet.offer(999, large);
  std::uint32_t passed_by = 0;
  bool ran = false;
  for (std::uint32_t task = 10; task < 2'000 && !ran; ++task) {
    fleet.offer(task, *small, 0, 1, kNow + 1s);  // younger
    fleet.placement.freed(w, SlotClass::kCpu, small.get());
    for (const Grant& grant : fleet.place()) {
      ran |= grant.task == TaskIndex{999};
      passed_by += grant.task == TaskIndex{999} ? 0 : 1;
    }
  }
  EXPECT_TRUE(ran);
  EXPECT_LT(passed_by, 200U);
}

TEST(Placement, RefusesNothingThatOneOfManyClassesCouldRun) {
  Fleet fleet;
  for (int i = 0; i < 20; ++i) {
    fleet.worker("w" + std::to_string(i), 8, {{"memory", std::uint64_t(i + 1) << 30}},
                 {{"rack", std::to_string(i % 5)}}, 8);
  }
  std::size_t granted = 0;
  for (std::uint32_t task = 0; task < 1'500; ++task) {  // more classes than are kept
    Requirements needs{"noop", "", {}, {{"rack", false, {std::to_string(task % 5)}}}, {{"memory", 1'000 + task}},
                       false};
    fleet.offer(task, needs);
    for (const Grant& grant : fleet.place()) {
      ++granted;
      EXPECT_EQ(fleet.placement.find(grant.worker.id)->hello.labels.at("rack"), std::to_string(task % 5));
      fleet.placement.freed(grant.worker.id, grant.slot_class, grant.needs);
    }
  }
  EXPECT_EQ(granted, 1'500U);
  for (const auto& [id, worker] : fleet.placement.fleet()) EXPECT_EQ(worker.taken.at(0), 0U) << *worker.ref.name;
}

// ---------------------------------------------------------------- wishes

std::shared_ptr<const PlacingHints> sticky(std::uint64_t key) {
  return std::make_shared<const PlacingHints>(PlacingHints{{key}, {}, key});
}
std::shared_ptr<const PlacingHints> apart(std::uint64_t key) {
  return std::make_shared<const PlacingHints>(PlacingHints{{key}, {key}, 0});
}
const Requirements kHinted{"noop", "", {}, {}, {}, true};

TEST(Placement, AStickyTaskGoesWhereTheLatestOfItsKeyWentWhileASlotIsIdleThere) {
  Fleet fleet;
  const WorkerId a = fleet.worker("a", 8, {}, {}, /*slots=*/3);
  const WorkerId b = fleet.worker("b", 8, {}, {}, 8);
  fleet.offer(0, kHinted, 0, 1, kNow, sticky(7));
  ASSERT_EQ(fleet.place().at(0).worker.id, a);
  for (std::uint32_t task = 1; task < 3; ++task) {
    fleet.offer(task, kHinted, 0, 1, kNow, sticky(7));
    EXPECT_EQ(fleet.place().at(0).worker.id, a) << task;
  }
  fleet.offer(3, kHinted, 0, 1, kNow, sticky(7));  // no idle slot is left there
  EXPECT_EQ(fleet.place().at(0).worker.id, b);
}

TEST(Placement, TasksThatWantToBeApartAreAndThoseBeyondTheWorkersDoNotWait) {
  Fleet fleet;
  for (const char* name : {"a", "b", "c"}) fleet.worker(name, 8, {}, {}, 8);
  std::map<WorkerId, int> got;
  for (std::uint32_t task = 0; task < 6; ++task) fleet.offer(task, kHinted, 0, 1, kNow, apart(9));
  std::set<WorkerId> first;
  const std::vector<Grant> grants = fleet.place();
  ASSERT_EQ(grants.size(), 6U);
  for (std::size_t i = 0; i < 3; ++i) first.insert(grants[i].worker.id);
  EXPECT_EQ(first.size(), 3U);
}

TEST(Placement, AWishForAWorkerThatIsGoneIsForgotten) {
  Fleet fleet;
  const WorkerId a = fleet.worker("a", 8);
  const WorkerId b = fleet.worker("b", 8);
  fleet.offer(0, kHinted, 0, 1, kNow, sticky(7));
  ASSERT_EQ(fleet.place().at(0).worker.id, a);
  fleet.placement.leave(a, kNow);
  fleet.offer(1, kHinted, 0, 1, kNow, sticky(7));
  EXPECT_EQ(fleet.place().at(0).worker.id, b);
}

// ---------------------------------------------------------------- tasks that no worker could run

std::vector<TaskUnplaceable> reports(Fleet& fleet, Time now = kNow) {
  std::vector<TaskUnplaceable> out;
  fleet.placement.report(now, 100, out);
  return out;
}
const Requirements kOnGpu{"noop", "", {}, {{"gpu", false, {"a100"}}}, {}, false};

TEST(Placement, ReportsATaskThatNoWorkerCouldRunOnceAndWhatTheNearestLack) {
  Fleet fleet;
  fleet.worker("w", 1, {}, {{"gpu", "v100"}});
  fleet.offer(0, kOnGpu);
  fleet.place();
  const std::vector<TaskUnplaceable> found = reports(fleet);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].reason, Reason::kLabel);
  EXPECT_FALSE(found[0].overdue);
  EXPECT_TRUE(reports(fleet).empty());
  EXPECT_EQ(fleet.placement.explain(kOnGpu),
            "no worker can run it: it requires executor noop, gpu=a100; worker w lacks label gpu=a100 (has gpu=v100)");
  fleet.offer(1, kOnGpu);
  EXPECT_EQ(reports(fleet).size(), 1U);
}

TEST(Placement, RemembersAWorkerThatLeftForAWhile) {
  Fleet fleet;
  const WorkerId gpu = fleet.worker("gpu", 1, {}, {{"gpu", "a100"}});
  fleet.worker("w", 1);
  fleet.placement.leave(gpu, kNow);
  fleet.offer(0, kOnGpu);
  EXPECT_TRUE(reports(fleet).empty());
  EXPECT_NE(fleet.placement.explain(kOnGpu).find("worker gpu, which left, could"), std::string::npos);
  EXPECT_EQ(fleet.placement.next_deadline(), kNow + kDoubtAfter);
  EXPECT_EQ(reports(fleet, kNow + kRememberFor).size(), 1U);
}

TEST(Placement, SaysNothingBeforeWorkersHaveHadTheTimeToJoin) {
  Fleet fleet;
  fleet.placement.judge({kNow + 2s, {}, false});
  fleet.offer(0);
  EXPECT_FALSE(fleet.placement.has_reports(kNow));
  EXPECT_EQ(fleet.placement.next_deadline(), kNow + 2s);
  ASSERT_TRUE(fleet.placement.has_reports(kNow + 2s));
  EXPECT_EQ(reports(fleet, kNow + 2s).at(0).reason, Reason::kNoWorker);
}

TEST(Placement, AnOverdueTaskIsReportedAgainUnlessAWorkerCame) {
  Fleet fleet;
  fleet.placement.judge({Time{}, 5s, false});
  fleet.offer(0, kOnGpu);
  fleet.offer(1);
  EXPECT_EQ(reports(fleet).size(), 2U);
  fleet.worker("w", 1);
  EXPECT_EQ(fleet.places(), Tasks{1});
  EXPECT_TRUE(reports(fleet, kNow + 4s).empty());
  const std::vector<TaskUnplaceable> overdue = reports(fleet, kNow + 5s);
  ASSERT_EQ(overdue.size(), 1U);
  EXPECT_TRUE(overdue[0].overdue);
  EXPECT_EQ(overdue[0].task, TaskIndex{0});
}

TEST(Placement, InAFixedFleetATaskIsOverdueAtOnceWhenTheWorkerIsThere) {
  Fleet fleet;
  fleet.placement.judge({Time{}, Duration::zero(), true});
  fleet.offer(0, kOnGpu);
  EXPECT_FALSE(fleet.placement.has_reports(kNow));
  fleet.worker("local", 1);
  ASSERT_TRUE(fleet.placement.has_reports(kNow));
  EXPECT_TRUE(reports(fleet).at(0).overdue);
}

TEST(Placement, OffersThatAreWantedNoMoreDoNotPileUp) {
  Fleet fleet;
  fleet.worker("w", 1);
  for (std::uint32_t task = 0; task < 5'000; ++task) {
    fleet.offer(task, kOnGpu);
    fleet.place();
    reports(fleet);
    fleet.placement.purge([&](RunId, TaskIndex one) { return one.value + 10 > task; });
  }
  EXPECT_LE(fleet.placement.offers(), 1'024U);
}

}  // namespace
}  // namespace millrace
