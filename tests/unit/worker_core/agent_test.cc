#include "worker/core/agent.h"
#include "worker/core/prefetch.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/agent_world.h"

namespace millrace {
namespace {

using test::AgentWorld;
using test::Lines;

// ---------------------------------------------------------------- resources

TEST(Agent, NeverStartsMoreThanItsResourcesAreEnoughForWhoeverSentIt) {
  AgentWorld w(/*slots=*/8, 0, 1024, {{"license", 2}});
  w.connected(0).connected(1);
  w.assign_task({.name = "a#1", .resources = {{"license", 1}}}, 0);
  w.assign_task({.name = "b#1", .resources = {{"license", 1}}}, 1);
  w.assign_task({.name = "c#1", .resources = {{"license", 1}}}, 1);
  EXPECT_EQ(w.took(), (Lines{"start a#1", "start b#1"}));
  w.ends("a#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"start c#1", "1: report a#1 ok"}));  // the partition is that of the second by now
  w.ends("b#1", 1s);
  w.ends("c#1", 1s);
  w.assign_task({.name = "d#1", .resources = {{"license", 2}}}, 0);
  EXPECT_EQ(w.took().front(), "start d#1");
}

TEST(Agent, WhatWaitsForAResourceLetsNothingPassThatWantsItToo) {
  AgentWorld w(/*slots=*/8, 0, 1024, {{"cpu", 4000}, {"license", 1}});
  w.connected();
  w.assign_task({.name = "a#1", .resources = {{"cpu", 2000}}});
  w.assign_task({.name = "b#1", .resources = {{"cpu", 3000}}});
  w.assign_task({.name = "c#1", .resources = {{"cpu", 1000}}});
  w.assign_task({.name = "d#1", .resources = {{"license", 1}}});
  w.assign_task({.name = "e#1"});
  EXPECT_EQ(w.took(), (Lines{"start a#1", "start d#1", "start e#1"}));
  w.ends("a#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"start b#1", "start c#1", "0: report a#1 ok"}));
}

TEST(Agent, GivesBackWhatItCouldNeverRun) {
  AgentWorld w(/*slots=*/2, 0, 1024, {{"license", 1}});
  w.connected();
  w.assign_task({.name = "a#1", .resources = {{"license", 2}}});
  w.assign_task({.name = "b#1", .resources = {{"gpu", 1}}});
  EXPECT_EQ(w.took(), (Lines{"0: reclaimed a#1 b#1"}));
}

// ---------------------------------------------------------------- starting

TEST(Agent, NeverRunsMoreThanItsSlots) {
  AgentWorld w(/*slots=*/2);
  w.connected();
  w.assign("a#1 b#1 c#1");
  EXPECT_EQ(w.took(), (Lines{"start a#1", "start b#1"}));
  EXPECT_EQ(w.agent().running(), 2U);
  EXPECT_EQ(w.agent().queued(), 1U);
  w.ends("b#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"start c#1", "0: report b#1 ok"}));
}

TEST(Agent, StartsByPriorityThenAgeThenArrivalOverAllLinks) {
  AgentWorld w;
  w.connected(0).connected(1);
  w.assign_task({.name = "a#1"});
  ASSERT_EQ(w.took(), (Lines{"start a#1"}));
  w.assign_task({.name = "b#1", .age = 9s}, 0);
  w.assign_task({.name = "c#1", .age = 5s}, 1);
  w.assign_task({.name = "d#1", .age = 9s}, 1);
  w.assign_task({.name = "e#1", .priority = 7, .age = 99s}, 1);
  Lines order;
  for (const char* ending : {"a#1", "e#1", "c#1", "b#1"}) {
    w.ends(ending, 1s);
    order.push_back(w.took().front());
  }
  EXPECT_EQ(order, (Lines{"start e#1", "start c#1", "start b#1", "start d#1"}));
}

TEST(Agent, IgnoresARepeatedAssignmentOfWhatIsQueuedRunningOrAnswered) {
  AgentWorld w;
  w.connected();
  w.assign("a#1 b#1");
  w.assign("a#1 b#1");
  EXPECT_EQ(w.took(), (Lines{"start a#1"}));
  w.ends("a#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"start b#1", "0: report a#1 ok"}));
  w.answer("a#1");
  w.assign("a#1");
  EXPECT_EQ(w.took(), Lines{});
  EXPECT_EQ(w.agent().queued(), 0U);
}

TEST(Agent, GathersReportsWhileThereIsMoreToStart) {
  AgentWorld w;
  w.connected();
  w.assign("a#1 b#1 c#1 d#1");
  w.took();
  w.ends("a#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"start b#1"}));
  EXPECT_LE(w.agent().next_deadline(), w.now() + kReportHold);
  w.ends("b#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"start c#1"}));
  w.pass(kReportHold);
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 ok b#1 ok"}));
  w.ends("c#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"start d#1", "0: report c#1 ok"}));  // the queue is empty: it wants to be filled
}

TEST(Agent, AnswersARepeatedAssignmentOfWhatHasEndedByItsReport) {
  AgentWorld w;
  w.connected();
  w.assign("a#1");
  w.took();
  w.ends("a#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 ok"}));
  w.pass(10ms);
  w.assign("a#1");
  w.assign("a#1");
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 ok"}));
}

TEST(Agent, AnEndThatCannotBeChangesNothing) {
  AgentWorld w;
  w.connected();
  w.assign("a#1 b#1");
  w.took();
  w.ends("b#1");
  w.ends("z#1");
  EXPECT_EQ(w.took(), Lines{});
  EXPECT_EQ(w.agent().running(), 1U);
  EXPECT_EQ(w.agent().queued(), 1U);
}

TEST(Agent, RefusesAssignmentsOfALowerEpochThanOneSeenOfThePartition) {
  AgentWorld w(4);
  w.connected();
  w.epoch(5);
  w.assign("a#1");
  EXPECT_EQ(w.took(), (Lines{"start a#1"}));
  w.epoch(4);
  w.assign("b#1");
  EXPECT_EQ(w.took(), Lines{});
  w.epoch(5);
  w.assign("b#1");
  EXPECT_EQ(w.took(), (Lines{"start b#1"}));
}

TEST(Agent, GivesBackWhatIsBeyondAllItCanHold) {
  AgentWorld w;
  w.connected();
  AssignBatch batch;
  for (std::uint32_t i = 1; i <= kHeldMax + 1; ++i) {
    batch.assignments.push_back(w.assignment({.name = "a#" + std::to_string(i)}));
  }
  w.says(std::move(batch));
  EXPECT_EQ(w.took(), (Lines{"start a#1", "0: reclaimed a#" + std::to_string(kHeldMax + 1)}));
}

// ---------------------------------------------------------------- reports

TEST(Agent, RepeatsAReportEverySecondUntilItIsAnswered) {
  AgentWorld w;
  w.connected();
  w.assign("a#1");
  w.took();
  w.ends("a#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 ok"}));
  w.pass(kReportAgain - 1us);
  EXPECT_EQ(w.took(), Lines{});
  w.pass(1us);
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 ok"}));
  w.pass(kReportAgain);
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 ok"}));
  w.answer("a#1");
  w.pass(kReportAgain * 2);
  EXPECT_EQ(w.took(), Lines{});
}

TEST(Agent, RepeatsALargeReportMoreAndMoreRarely) {
  AgentWorld w;
  w.connected();
  w.assign("a#1");
  w.took();
  Outcome outcome;
  outcome.success = true;
  outcome.ran = 1s;
  outcome.output = Payload::inline_json('"' + std::string(kReportLarge, 'x') + '"');
  w.step(TaskEnded{w.attempt("a#1"), outcome});
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 ok"}));
  w.says(ClusterNews{});  // its coordinator speaks: no reason for a Hello
  for (const Duration wait : {4s, 8s, 16s}) {
    for (Duration passed{}; passed < wait - 1s; passed += 1s) {
      w.pass(1s);
      w.says(ClusterNews{});
    }
    EXPECT_EQ(w.took(), Lines{});
    w.pass(1s);
    w.says(ClusterNews{});
    EXPECT_EQ(w.took(), (Lines{"0: report a#1 ok"}));
  }
}

TEST(Agent, ALargeReportIsNotRepeatedWithEachHelloButAtOnceOverANewLine) {
  AgentWorld w;
  w.connected();
  w.assign("a#1");
  w.took();
  Outcome outcome;
  outcome.success = true;
  outcome.output = Payload::inline_json('"' + std::string(kReportLarge, 'x') + '"');
  w.step(TaskEnded{w.attempt("a#1"), outcome});
  w.took();
  auto reports = [&] {
    std::size_t count = 0;
    for (const std::string& line : w.took()) count += line.starts_with("0: report a#1") ? 1U : 0U;
    return count;
  };
  for (int i = 0; i < 3; ++i) {
    w.pass(1s);
    w.says(SayHello{kNothingAsked + 1});
  }
  EXPECT_EQ(reports(), 0U);
  w.step(LinkUp{LinkId{0}});
  EXPECT_EQ(reports(), 1U);
}

TEST(Agent, EveryKindOfAnswerEndsTheRepeating) {
  for (const Answer kind : {Answer::kRecorded, Answer::kDuplicate, Answer::kRefused}) {
    AgentWorld w;
    w.connected();
    w.assign("a#1");
    w.took();
    w.ends("a#1", 1s);
    w.took();
    w.answer("a#1", kind);
    w.pass(kReportAgain * 2);
    EXPECT_EQ(w.took(), Lines{});
  }
}

TEST(Agent, ARefusalKillsWhatStillRunsAndNothingIsReportedOfIt) {
  AgentWorld w;
  w.connected();
  w.assign("a#1 b#1");
  w.took();
  w.answer("a#1", Answer::kRefused);
  w.answer("a#1", Answer::kRefused);
  w.answer("b#1", Answer::kRefused);
  EXPECT_EQ(w.took(), (Lines{"kill a#1 cancel_requested"}));
  w.ends("a#1", 1s, Reason::kCancelRequested);
  EXPECT_EQ(w.took(), Lines{});
  EXPECT_EQ(w.agent().running() + w.agent().queued(), 0U);
}

TEST(Agent, OneMessageCarriesAllReportsOfARound) {
  AgentWorld w(2);
  w.connected();
  w.assign("a#1 b#1");
  w.took();
  w.ends("b#1", 1s);
  w.ends("a#1", 1s, Reason::kError);
  EXPECT_EQ(w.took(), (Lines{"0: report b#1 ok a#1 error"}));
}

TEST(Agent, SplitsReportsWhoseOutputsAreLarge) {
  AgentWorld w(4);
  w.connected();
  w.assign("a#1 b#1 c#1 d#1");
  w.took();
  const Payload big = Payload::inline_json("\"" + std::string(kReportBytes - 1024, 'x') + "\"");
  for (const char* name : {"a#1", "b#1"}) {
    Outcome outcome;
    outcome.success = true;
    outcome.ran = 1s;
    outcome.output = big;
    w.step(TaskEnded{w.attempt(name), outcome});
  }
  w.ends("c#1", 1s);
  w.ends("d#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 ok", "0: report b#1 ok c#1 ok d#1 ok"}));
}

TEST(Agent, SaysHowLongAnAttemptWaitedHere) {
  AgentWorld w;
  w.connected();
  w.assign("a#1 b#1");
  w.took();
  w.pass(3s);
  w.ends("a#1", 3s);
  w.took();
  w.ends("b#1", 7ms);
  w.messages();
  w.pass(kReportAgain);
  const auto repeated = std::get<AttemptReports>(w.messages().back().message);
  ASSERT_EQ(repeated.reports.size(), 2U);
  EXPECT_EQ(repeated.reports[1].outcome.waited, 3s);
  EXPECT_EQ(repeated.reports[1].outcome.ran, 7ms);
}

TEST(Agent, SaysThatAnAttemptStartedOnlyWhenItIsNotShort) {
  AgentWorld w(2);
  w.connected();
  w.assign("a#1 b#1");
  w.took();
  w.pass(10ms);
  w.ends("a#1", 60ms);
  w.took();
  w.pass(10ms);
  EXPECT_EQ(w.took(), (Lines{"0: started b#1"}));
  w.pass(200ms);
  EXPECT_EQ(w.took(), Lines{});
}

// ---------------------------------------------------------------- timeouts, cancelling, reclaiming

TEST(Agent, KillsAnAttemptWhoseTimeIsOverAndReportsHowItEnded) {
  AgentWorld w(2);
  w.connected();
  w.assign_task({.name = "a#1", .timeout = 9s});
  w.assign_task({.name = "b#1"});
  w.took();
  w.pass(9s - 1us);
  w.took();
  w.pass(1us);
  EXPECT_EQ(w.took(), (Lines{"kill a#1 timeout"}));
  w.cancel("a#1");
  EXPECT_EQ(w.took(), Lines{});  // is on its way out
  w.ends("a#1", 9s, Reason::kTimeout);
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 timeout"}));
}

TEST(Agent, AnAttemptThatTookTooLongSaysWhatItMayTakeAndOneThatOthersStoppedDoesNot) {
  AgentWorld w(2);
  w.connected();
  w.assign_task({.name = "a#1", .timeout = 1500ms});
  w.assign_task({.name = "b#1", .timeout = 1500ms});
  w.took();
  w.cancel("b#1", Reason::kTimeout);
  w.pass(1500ms);
  w.messages();
  w.ends("a#1", 1500ms, Reason::kTimeout);
  w.ends("b#1", 1500ms, Reason::kTimeout);
  std::vector<std::string> told;
  for (const ToCoordinator& one : w.messages()) {
    if (const auto* reports = std::get_if<AttemptReports>(&one.message)) {
      for (const AttemptReport& report : reports->reports) told.push_back(report.outcome.error.message);
    }
  }
  EXPECT_EQ(told, (Lines{"timed out: an attempt may take 1s500ms (timeout)", "timed out"}));
}

TEST(Agent, AnAttemptThatEndsInTimeIsNotKilled) {
  AgentWorld w;
  w.connected();
  w.assign_task({.name = "a#1", .timeout = 9s});
  w.took();
  w.ends("a#1", 1s);
  w.answer("a#1");
  w.took();
  w.pass(60s);
  for (const std::string& line : w.took()) EXPECT_EQ(line.find("kill"), std::string::npos) << line;
}

TEST(Agent, ReportsACancelledAttemptThatHadNotStartedAsEnded) {
  AgentWorld w;
  w.connected();
  w.assign("a#1 b#1");
  w.took();
  w.cancel("b#1", Reason::kFailFast);
  EXPECT_EQ(w.took(), (Lines{"0: report b#1 fail_fast"}));
  EXPECT_EQ(w.agent().queued(), 0U);
  w.ends("a#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 ok"}));
}

TEST(Agent, KillsACancelledAttemptOnceAndReportsItWhenItHasEnded) {
  AgentWorld w;
  w.connected();
  w.assign("a#1");
  w.took();
  w.cancel("a#1");
  w.cancel("a#1");
  EXPECT_EQ(w.took(), (Lines{"kill a#1 cancel_requested"}));
  w.ends("a#1", 1s, Reason::kCancelRequested);
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 cancel_requested"}));
}

TEST(Agent, ReportsACancelledAttemptThatNeverCameAndDoesNotStartItWhenItComesLate) {
  AgentWorld w;
  w.connected();
  w.cancel("a#1");
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 cancel_requested"}));
  w.assign("a#1");
  EXPECT_EQ(w.took(), Lines{});
  w.answer("a#1");
  w.assign("a#1");
  w.cancel("a#1");
  EXPECT_EQ(w.took(), Lines{});
}

TEST(Agent, GivesBackOnlyWhatHasNotStartedAndSaysWhatHas) {
  AgentWorld w;
  w.connected();
  w.assign("a#1 b#1");
  w.took();
  w.reclaim("a#1");
  w.reclaim("b#1");
  EXPECT_EQ(w.took(), (Lines{"0: reclaimed b#1", "0: started a#1"}));
  w.ends("a#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 ok"}));
  w.answer("a#1");
  w.reclaim("a#1");
  EXPECT_EQ(w.took(), Lines{});
}

TEST(Agent, GivesBackAgainWhatIsReclaimedOrAssignedAgain) {
  AgentWorld w;
  w.connected();
  w.reclaim("a#1");  // its assignment was lost, or is late
  EXPECT_EQ(w.took(), (Lines{"0: reclaimed a#1"}));
  w.assign("a#1");
  EXPECT_EQ(w.took(), (Lines{"0: reclaimed a#1"}));
  w.reclaim("a#1");
  EXPECT_EQ(w.took(), (Lines{"0: reclaimed a#1"}));
}

TEST(Agent, GivesBackAgainWhatIsCancelledBecauseThatItWasGivenBackNeverArrived) {
  AgentWorld w;
  w.connected();
  w.assign("a#1 b#1");
  w.took();
  w.reclaim("b#1");
  EXPECT_EQ(w.took(), (Lines{"0: reclaimed b#1"}));
  w.cancel("b#1", Reason::kTimeout);
  EXPECT_EQ(w.took(), (Lines{"0: reclaimed b#1"}));
}

// ---------------------------------------------------------------- logs

TEST(Agent, PassesLogsOfWhatItHoldsToTheRightCoordinator) {
  AgentWorld w;
  w.connected(0).connected(1);
  w.assign("a#1", 1);
  w.took();
  w.step(TaskLogged{w.attempt("a#1"), false, "hello"});
  w.step(TaskLogged{w.attempt("z#1"), false, "of nobody"});
  EXPECT_EQ(w.took(), (Lines{"1: log a#1 hello"}));
}

TEST(Agent, PassesNewsOfWhatItHoldsToTheRightCoordinator) {
  AgentWorld w;
  w.connected(0).connected(1);
  w.assign("a#1", 1);
  w.took();
  w.step(TaskSaid{{w.attempt("a#1"), EventType::kTaskProgress, "{\"done\":1}"}});
  w.step(TaskSaid{{w.attempt("z#1"), EventType::kTaskProgress, "{}"}});
  EXPECT_EQ(w.took(), (Lines{"1: news a#1 {\"done\":1}"}));
}

// ---------------------------------------------------------------- draining

TEST(Agent, DrainsByGivingBackFinishingAndWaitingForAnswers) {
  AgentWorld w;
  w.connected();
  w.assign("a#1 b#1");
  w.took();
  w.step(DrainRequested{});
  w.step(DrainRequested{});
  EXPECT_EQ(w.took(), (Lines{"0: draining", "0: reclaimed b#1"}));
  w.assign("c#1");
  EXPECT_EQ(w.took(), (Lines{"0: reclaimed c#1"}));
  w.ends("a#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 ok"}));
  w.pass(kReportAgain);
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 ok"}));
  w.answer("a#1");
  EXPECT_EQ(w.took(), (Lines{"0: bye", "leave"}));
  EXPECT_EQ(w.took(), Lines{});
}

TEST(Agent, ADrainingWorkerThatHoldsNothingLeavesAtOnce) {
  AgentWorld w;
  w.connected();
  w.says(DrainWorker{});
  EXPECT_EQ(w.took(), (Lines{"0: draining", "0: bye", "leave"}));
}

TEST(Agent, WhenTheGraceIsOverWhatRunsIsKilledAndReportedAsLost) {
  AgentWorld w(2);
  w.connected();
  w.assign("b#1 a#1");
  w.took();
  w.step(DrainRequested{});
  EXPECT_EQ(w.took(), (Lines{"0: draining"}));
  w.step(KillRequested{});
  EXPECT_EQ(w.took(), (Lines{"kill b#1 lost", "kill a#1 lost"}));
  w.ends("a#1", 1s, Reason::kLost);
  w.ends("b#1", 1s, Reason::kLost);
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 lost b#1 lost"}));
  w.answer("a#1");
  w.answer("b#1");
  EXPECT_EQ(w.took(), (Lines{"0: bye", "leave"}));
}

TEST(Agent, AfterAKillItLeavesThoughNobodyAnswers) {
  AgentWorld w;
  w.connected();
  w.assign("a#1");
  w.took();
  w.step(KillRequested{});
  w.ends("a#1", 1s, Reason::kLost);
  w.took();
  w.pass(kLeaveAfterKill - 1us);
  Lines before = w.took();
  EXPECT_EQ(std::ranges::count(before, std::string("leave")), 0);
  w.pass(1us);
  Lines after = w.took();
  EXPECT_EQ(after.back(), "leave");
}

TEST(Agent, ARefusalOfTheWorkerIsPassedOnByName) {
  AgentWorld w;
  w.connected();
  w.says(WorkerRefused{"id_in_use", "w is taken"});
  EXPECT_EQ(w.took(), (Lines{"refused id_in_use"}));
}

TEST(Agent, ANameInUseAtTheStartIsTriedAgainUntilItIsFree) {
  AgentWorld w;
  w.step(LinkUp{LinkId{0}});
  w.took();
  w.says(WorkerRefused{"id_in_use", "w is taken"});
  EXPECT_EQ(w.took(), Lines{}) << "not at once: the coordinator would hear nothing else";
  w.pass(kNameTryEvery);
  EXPECT_EQ(w.took(), (Lines{"0: hello held=", "0: credit cpu=1 io=0"}));
  w.says(WorkerWelcome{WorkerId{1}, "c"});
  w.pass(kNameFreeAfter);
  w.took();
  w.says(WorkerRefused{"id_in_use", "w was taken while we were silent"});
  EXPECT_EQ(w.took(), (Lines{"refused id_in_use"})) << "who was welcome once has lost its name for good";
}

TEST(Agent, ANameThatStaysInUseIsGivenUpThoughNobodyAnswersAnyMore) {
  AgentWorld w;
  w.step(LinkUp{LinkId{0}});
  w.step(LinkUp{LinkId{1}});
  w.took();
  w.says(WorkerRefused{"id_in_use", "w is taken"});
  w.pass(kNameFreeAfter / 2);
  w.says(WorkerRefused{"id_in_use", "w is taken"});
  w.took();
  w.pass(kNameFreeAfter / 2);
  const Lines lines = w.took();
  EXPECT_NE(std::ranges::find(lines, "refused id_in_use"), lines.end());
  EXPECT_NE(std::ranges::find(lines, "1: bye"), lines.end()) << "the other coordinator forgets it";
}

TEST(Agent, ARefusalForAnotherReasonIsHeededAtOnce) {
  AgentWorld w;
  w.step(LinkUp{LinkId{0}});
  w.took();
  w.says(WorkerRefused{"key_revoked", "no more"});
  EXPECT_EQ(w.took(), (Lines{"refused key_revoked"}));
}

}  // namespace
}  // namespace millrace
