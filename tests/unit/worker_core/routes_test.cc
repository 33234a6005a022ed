// To whom a worker belongs when partitions change their owner.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/agent_world.h"
#include "worker/core/agent.h"

namespace millrace {
namespace {

using test::AgentWorld;
using test::Lines;

constexpr PartitionId kOfRunOne{3};  // of the run of every attempt here

ClusterNews owns(std::uint32_t epoch, std::uint32_t demand = 0) { return {{}, {{kOfRunOne, epoch}}, demand}; }

TEST(AgentRoutes, AnUnansweredReportGoesToTheNewOwnerWithWhatItRestsOn) {
  AgentWorld w(2);
  w.connected(0).connected(1);
  w.assign_task({.name = "d#1", .upstream = {{TaskIndex{0}, 3}}});
  w.took();
  w.ends("d#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"0: report d#1 ok"}));
  w.pass(1ms);
  w.says(WorkerWelcome{WorkerId{4}, "b", owns(2)}, 1);
  EXPECT_EQ(w.took(), (Lines{"1: report d#1 ok on a@3"}));
  w.pass(kReportAgain);
  EXPECT_EQ(w.took(), (Lines{"1: report d#1 ok on a@3"}));
  w.answer("d#1", Answer::kRecorded, 1);
  w.pass(kReportAgain * 2);
  EXPECT_EQ(w.took(), Lines{});
}

TEST(AgentRoutes, AReportToAnOwnerThatTookThePartitionAgainSaysWhatItRestsOn) {
  AgentWorld w(2);
  w.connected(0);
  w.assign_task({.name = "d#1", .upstream = {{TaskIndex{0}, 3}}});
  w.took();
  w.says(owns(2), 0);
  w.ends("d#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"0: report d#1 ok on a@3"}));
}

TEST(AgentRoutes, WhatStillRunsIsReportedToWhoeverOwnsItThen) {
  AgentWorld w(1);
  w.connected(0).connected(1);
  w.assign("a#1");
  w.took();
  w.says(owns(2), 1);
  w.took();
  w.ends("a#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"1: report a#1 ok"}));
}

TEST(AgentRoutes, AnOwnerOfTheTimeBeforeNeitherCancelsNorRefuses) {
  AgentWorld w(1);
  w.connected(0).connected(1);
  w.assign("a#1");
  w.took();
  w.says(owns(2), 1);
  w.cancel("a#1", Reason::kLost, 0);
  w.answer("a#1", Answer::kRefused, 0);
  EXPECT_EQ(w.took(), Lines{});
  w.cancel("a#1", Reason::kLost, 1);
  EXPECT_EQ(w.took(), (Lines{"kill a#1 lost"}));
}

TEST(AgentRoutes, WhatItRecordedBeforeItLostThePartitionIsRecorded) {
  AgentWorld w(1);
  w.connected(0).connected(1);
  w.assign("a#1");
  w.took();
  w.ends("a#1", 1s);
  w.took();
  w.says(owns(2), 1);
  w.answer("a#1", Answer::kRecorded, 0);
  EXPECT_EQ(w.took(), Lines{});
  w.pass(kReportAgain * 2);
  EXPECT_EQ(w.took(), Lines{});
}

TEST(AgentRoutes, OldNewsOfAnOwnerChangesNothing) {
  AgentWorld w(1);
  w.connected(0).connected(1);
  w.epoch(5);
  w.assign("a#1");
  w.took();
  w.says(owns(4), 1);
  w.ends("a#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 ok"}));
}

TEST(AgentRoutes, AnAssignmentOfAnEpochBelowTheOneToldIsIgnored) {
  AgentWorld w(1);
  w.connected(0).connected(1);
  w.says(owns(2), 1);
  w.assign("a#1", 0);
  EXPECT_EQ(w.took(), Lines{});
}

TEST(AgentRoutes, AHelloTellsTheHighestEpochs) {
  AgentWorld w(1);
  w.connected(0);
  w.says(owns(7), 0);
  w.pass(kHelloEvery);
  w.messages();
  w.says(SayHello{}, 0);
  for (const ToCoordinator& to : w.messages()) {
    if (const auto* hello = std::get_if<WorkerHello>(&to.message)) {
      EXPECT_EQ(hello->epochs, (std::vector<PartitionEpoch>{{kOfRunOne, 7}}));
      return;
    }
  }
  FAIL() << "no Hello";
}

TEST(AgentRoutes, CreditsAreDividedByWhatEachCoordinatorHasToRun) {
  AgentWorld w(/*slots=*/8);
  w.connected(0).connected(1);
  w.says(ClusterNews{{}, {}, 99}, 0);
  w.says(ClusterNews{{}, {}, 0}, 1);
  EXPECT_EQ(w.took(), (Lines{"0: credit cpu=7 io=0", "1: credit cpu=1 io=0"}));
  w.says(ClusterNews{{}, {}, 0}, 0);
  EXPECT_EQ(w.took(), (Lines{"0: credit cpu=4 io=0", "1: credit cpu=4 io=0"}));
}

// What one coordinator says may change what all the others are granted, though nothing else happens on their links.
TEST(AgentRoutes, TheDemandOfOneOfManyChangesTheShareOfAll) {
  AgentWorld w(/*slots=*/64);
  for (std::uint32_t link = 0; link < 8; ++link) w.connected(link);
  w.took();
  w.says(ClusterNews{{}, {}, 56}, 3);
  Lines expected;
  for (std::uint32_t link = 0; link < 8; ++link)
    expected.push_back(std::to_string(link) + ": credit cpu=" + (link == 3 ? "57" : "1") + " io=0");
  EXPECT_EQ(w.took(), expected);
  w.says(ClusterNews{{}, {}, 56}, 3);
  EXPECT_EQ(w.took(), Lines{}) << "nothing has changed";
  w.step(LinkDown{LinkId{3}});
  Lines lines = w.took();
  ASSERT_EQ(lines.size(), 7U);
  EXPECT_EQ(lines[0], "0: credit cpu=9 io=0");
  EXPECT_EQ(lines[6], "7: credit cpu=9 io=0");
}

TEST(AgentRoutes, ALinkThatFallsSilentAmongManyIsToldHelloAndThenKeepsNoSlots) {
  AgentWorld w(/*slots=*/8);
  for (std::uint32_t link = 0; link < 2; ++link) w.connected(link);
  w.took();
  for (int i = 0; i < 5; ++i) {  // only one goes on speaking
    w.pass(kReconcileAfter / 5 - 1ms);
    w.says(ClusterNews{{}, {}, 0}, 1);
  }
  EXPECT_EQ(w.took(), Lines{});
  w.pass(10ms);
  EXPECT_EQ(w.took(), (Lines{"0: hello held=", "0: credit cpu=4 io=0"}));
  w.says(ClusterNews{{}, {}, 0}, 1);
  w.pass(kSilentAfter);
  const Lines lines = w.took();
  EXPECT_EQ(std::ranges::count(lines, "1: credit cpu=8 io=0"), 1) << "it counts no more";
}

TEST(AgentRoutes, ACoordinatorThatOthersNameNoMoreKeepsNoSlotsUntilItSpeaks) {
  AgentWorld w(/*slots=*/8);
  w.connected(0).connected(1);
  w.says(WorkerWelcome{WorkerId{1}, "a", {{{"a", "tcp://a"}, {"b", "tcp://b"}}, {}, 0}}, 0);
  w.says(WorkerWelcome{WorkerId{1}, "b", {{{"a", "tcp://a"}, {"b", "tcp://b"}}, {}, 0}}, 1);
  w.took();
  w.says(ClusterNews{{{"b", "tcp://b"}}, {}, 0}, 1);
  EXPECT_EQ(w.took(), (Lines{"0: credit cpu=1 io=0", "1: credit cpu=8 io=0"}));
  w.says(ClusterNews{{{"a", "tcp://a"}, {"b", "tcp://b"}}, {}, 0}, 0);
  EXPECT_EQ(w.took(), (Lines{"0: credit cpu=4 io=0", "1: credit cpu=4 io=0"}));
}

TEST(AgentRoutes, ACoordinatorThatNeverAnswersKeepsNoSlotsFromTheOthers) {
  AgentWorld w(/*slots=*/8);
  w.connected(0);
  w.step(LinkUp{LinkId{1}});
  w.took();
  w.pass(kSilentAfter);
  w.took();
  w.says(ClusterNews{{}, {}, 0}, 0);
  w.pass(kSilentAfter);
  Lines all = w.took();
  EXPECT_EQ(std::ranges::count(all, "0: credit cpu=4 io=0"), 0);
  w.step(LinkDown{LinkId{1}});
  EXPECT_EQ(w.took(), Lines{});
}

}  // namespace
}  // namespace millrace
