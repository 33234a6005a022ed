// Partition: what one decision does. The golden scripts show whole stories; here is what needs a closer look.
#include <gtest/gtest.h>

#include "tests/support/world.h"

namespace millrace::test {
namespace {

TEST(Partition, OffersATaskOnlyWhenAllItsUpstreamHasSucceeded) {
  World w;
  w.worker(1, 4).run("a b -> c");
  w.ended("a#1");
  EXPECT_EQ(w.state("c"), TaskState::kPending);
  w.ended("b#1");
  EXPECT_EQ(w.state("c"), TaskState::kDispatched);
}

TEST(Partition, GivesTheLongestRemainingPathTheSlot) {
  World w;
  w.run("a, b -> c -> d, e -> f").worker(1);
  EXPECT_EQ(w.took("assign"), Lines{"assign w1 b#1"});
}

TEST(Partition, TakesObservedDurationsForTheCriticalPathOfLaterRuns) {
  World w;
  w.worker(1, 3).run("a, b -> c", "first");
  w.ended("a#1", kOk, "null", "", 10s).ended("b#1", kOk, "null", "", 1ms).ended("c#1", kOk, "null", "", 1ms);
  w.credit(1, 1).took();
  w.run("a, b -> c", "second");
  EXPECT_EQ(w.took("assign"), Lines{"assign w1 a#1"});
}

TEST(Partition, JitterIsMadeOfTheAttemptsName) {
  auto due = [](const std::string& key) {
    World w;
    w.worker(1).run("a[retry=2; backoff=1s]", "k0").run("a[retry=2; backoff=1s]", key);
    w.ended("k0:a#1").ended("a#1", Reason::kError);
    return w.record("a").due - w.now();
  };
  EXPECT_EQ(due("k1"), due("k2")) << "the same run, task and attempt";
  EXPECT_GE(due("k1"), 1s);
  EXPECT_LE(due("k1"), 1100ms);
}

TEST(Partition, BackoffGrowsByItsFactorUpToItsMaximum) {
  World w;
  w.worker(1).run("a[retry=9; backoff=100ms*10..2s]");
  for (const auto& [number, least] : std::vector<std::pair<int, Duration>>{{1, 100ms}, {2, 1s}, {3, 2s}, {4, 2s}}) {
    w.ended("a#" + std::to_string(number), Reason::kCrashed);
    const Duration wait = w.record("a").due - w.now();
    EXPECT_GE(wait, least);
    EXPECT_LE(wait, least + least / 10);
    w.pass(wait);
  }
}

TEST(Partition, AReportedLossIsALossAndNoFailure) {
  World w;
  w.worker(1).run("a");
  w.ended("a#1", Reason::kLost);
  EXPECT_EQ(w.record("a").losses, 1);
  EXPECT_EQ(w.record("a").failures, 0);
  EXPECT_EQ(w.state("a"), TaskState::kDispatched);
}

TEST(Partition, ACancellationThatNobodyAskedForIsALoss) {
  World w;
  w.worker(1).run("a");
  w.ended("a#1", Reason::kCancelRequested);
  EXPECT_EQ(w.state("a"), TaskState::kDispatched);
  w.ended("a#2");
  EXPECT_EQ(w.run_state(), RunState::kSucceeded);
}

TEST(Partition, ReportFromAGivenUpAttemptChangesNothing) {
  World w;
  w.worker(1).worker(2).run("a");
  w.lose(1).took();
  w.ended("a#1", kOk, "1", "w2");
  EXPECT_EQ(w.took(), Lines{"answer w2 a#1 refused: the attempt was given up"});
  EXPECT_EQ(w.state("a"), TaskState::kDispatched);
}

TEST(Partition, ReportOfATaskThatIsNotThereIsRefused) {
  World w;
  w.worker(1).run("a");
  w.took();
  AttemptReport report{w.id("a#1"), {}, {}};
  report.attempt.task = TaskIndex{7};
  w.say(AttemptEnded{{WorkerId{1}, nullptr}, report});
  EXPECT_EQ(w.took(), Lines{"answer w1 ?7#1 refused: no such task"});
}

TEST(Partition, WaitersAreToldOnceWhenTheRunEnds) {
  World w;
  w.worker(1).run("a");
  const RequestId first = w.wait();
  const RequestId second = w.wait();
  EXPECT_EQ(w.reply(first), nullptr);
  w.ended("a#1");
  ASSERT_NE(w.reply(first), nullptr);
  ASSERT_NE(w.reply(second), nullptr);
  const RequestId late = w.wait();
  EXPECT_EQ(std::get<RunReply>(*w.reply(late)).view.record.state, RunState::kSucceeded);
}

TEST(Partition, AViewCountsEveryNodeOnce) {
  World w;
  w.worker(1, 2).run("(fail_fast=false) a -> b, c, d");
  w.ended("a#1", Reason::kError);
  const RunView view = view_of(w.the_run(), w.now(), 100);
  std::uint32_t sum = 0;
  for (const auto& [state, count] : view.by_state) sum += count;
  EXPECT_EQ(sum, view.nodes_total);
  EXPECT_EQ(view.by_state.at(TaskState::kFailed), 1U);
  EXPECT_EQ(view.by_state.at(TaskState::kSkipped), 1U);
  EXPECT_EQ(view.by_state.at(TaskState::kDispatched), 2U);
  EXPECT_EQ(view_of(w.the_run(), w.now(), 2).nodes.size(), 0U) << "too many nodes: only counts";
}

TEST(Partition, CancellingManyTasksStaysWithinTheBudgetOfAStep) {
  std::string text = "t0";
  for (int i = 1; i < 3'500; ++i) text += ", t" + std::to_string(i);
  World w;
  w.run(text);
  w.cancel();
  EXPECT_EQ(w.run_state(), RunState::kCancelling);
  w.pass(1ms);
  EXPECT_EQ(w.run_state(), RunState::kCancelled);
  EXPECT_LE(w.records_most(), kRecordsPerStep + 2);
  EXPECT_EQ(w.stored().tasks.size(), 3'500U);
}

TEST(Partition, TwoValuesThatAreNeededOneAfterTheOtherAreBothFetched) {
  World w;
  w.worker(1, 2).run(R"(a b -> v[value={{ (nodes.b | length) if (nodes.a | length) > 0 else 0 }}])");
  const std::string big = '"' + std::string(kInlineMaxDefault + 1, 'x') + '"';
  w.ended("a#1", kOk, big).ended("b#1", kOk, '"' + std::string(kInlineMaxDefault + 2, 'y') + '"');
  for (int rounds = 0; rounds < 5 && w.run_state() == RunState::kRunning; ++rounds) w.fetched();
  EXPECT_EQ(w.run_state(), RunState::kSucceeded);
  EXPECT_EQ(w.outputs(), R"({"v":)" + std::to_string(kInlineMaxDefault + 2) + "}");
}

TEST(Partition, AnEmptyBackoffRetriesAtOnce) {
  World w;
  w.worker(1).run("a[retry=2; backoff=0s]");
  w.ended("a#1", Reason::kError).pass(0s);
  EXPECT_EQ(w.state("a"), TaskState::kDispatched);
}

TEST(Partition, CancelDuringABackoffEndsTheRunAtOnce) {
  World w;
  w.worker(1).run("a[retry=5; backoff=10s]");
  w.ended("a#1", Reason::kError);
  w.cancel();
  EXPECT_EQ(w.run_state(), RunState::kCancelled);
  w.took();
  w.pass(20s);
  w.expect_no_more_effects();
}

TEST(Partition, CancelOfAnUnknownRunIsNotFound) {
  World w;
  w.worker(1).run("a");
  w.took();
  w.say(CancelRequested{RequestId{9}, RunId{123}, ""});
  EXPECT_EQ(w.took(), Lines{"reply 9 error not_found"});
}

TEST(Partition, UnconfirmedAttemptsAreAskedForAfterAWhile) {
  World w;
  w.worker(1, 2).run("a, b");
  w.started("a#1");
  EXPECT_TRUE(w.partition().unconfirmed(w.now()).empty());
  w.pass(kConfirmWithin);
  EXPECT_EQ(w.partition().unconfirmed(w.now()).size(), 1U);
  w.hello(1, {"a#1", "b#1?"});
  EXPECT_TRUE(w.partition().unconfirmed(w.now()).empty());
}

TEST(Partition, AnAttemptThatMayStillBeOnItsWayIsNotMissed) {
  World w;
  w.worker(1).run("a");
  w.hello(1, {}, 0, w.now());
  EXPECT_EQ(w.record("a").losses, 0);
  w.hello(1, {}, 0, w.now() + 1us);
  EXPECT_EQ(w.record("a").losses, 1);
}

}  // namespace
}  // namespace millrace::test
