// The audit finds what our own mistakes left in nobody's hands, and puts it right. Each fault is planted.
#include "coordinator/core/audit.h"

#include <gtest/gtest.h>

#include "tests/support/world.h"

namespace millrace::test {
namespace {

using Kinds = std::vector<AuditKind>;

struct Audited : World {
  explicit Audited(TestPlant plant = TestPlant::kNone)
      : World(PartitionOptions{PartitionId{0}, Epoch{1, 7}, kInlineMaxDefault, false, plant}) {}

  Kinds audit(std::size_t tasks = 1'000) {
    std::vector<AuditFinding> findings;
    Audit one(mutable_partition());
    if (one.ready() > placement().offers()) {
      findings.push_back({AuditKind::kOffer, {}, {}, "ready tasks are not offered", true});
      one.offer_all(now());
    }
    place = one.look(now(), place, tasks, {[this](WorkerId worker) { return placement().find(worker) != nullptr; }},
                     findings);
    one.count(findings);
    said.clear();
    Kinds kinds;
    for (const AuditFinding& finding : findings) {
      kinds.push_back(finding.kind);
      said += finding.what + "\n";
    }
    turn();
    return kinds;
  }
  Audit::Place place;
  std::string said;
};

TEST(Audit, FindsNothingWhereNothingIsWrong) {
  Audited w;
  w.worker(1, 2).run("(fail_fast=false) a b c d -> e -> f").run("x -> y[value={{ nodes.x }}]");
  EXPECT_EQ(w.audit(), Kinds{});
  w.ended("k1:a#1").ended("k1:b#1", Reason::kError);
  EXPECT_EQ(w.audit(), Kinds{});
  w.lose(1);
  EXPECT_EQ(w.audit(), Kinds{});
  w.cancel("k1");
  EXPECT_EQ(w.audit(), Kinds{});
  w.crash();
  EXPECT_EQ(w.audit(), Kinds{});
}

TEST(Audit, KnowsWhatIsWaitedFor) {
  Audited w;
  w.worker(1, 2).run("t[wait=1h], s[signal=go], q[approval=; limit=1h], a -> b, c, d");
  EXPECT_EQ(w.audit(), Kinds{}) << w.said;
  w.pause();
  w.ended("a#1");
  EXPECT_EQ(w.audit(), Kinds{}) << w.said;
  w.crash();
  EXPECT_EQ(w.audit(), Kinds{}) << w.said;
  w.signal("go");
  w.decide("q", true);
  w.ended("c#1").ended("d#1").pass(2h);
  EXPECT_EQ(w.audit(), Kinds{}) << w.said;
}

TEST(Audit, AWaitWithoutItsTimerGetsOne) {
  Audited w(TestPlant::kForgetTimer);
  w.worker(1).run("t[wait=1s], s[signal=go]");
  w.pass(5s);
  EXPECT_EQ(w.state("t"), TaskState::kWaiting);
  EXPECT_EQ(w.audit(), Kinds{AuditKind::kTimer}) << w.said;
  w.pass(1s);
  EXPECT_EQ(w.state("t"), TaskState::kSucceeded);
  EXPECT_EQ(w.state("s"), TaskState::kWaiting);
}

TEST(Audit, ATaskAtAWorkerThatIsNotThereIsTriedAgain) {
  Audited w;
  w.worker(1).worker(2).run("a");
  w.placement().leave(w.the_run().attempts.begin()->second.worker.id);  // and nobody told the partition
  w.took();
  EXPECT_EQ(w.audit(), Kinds{AuditKind::kOwner}) << w.said;
  EXPECT_EQ(w.said, "task a of run " + to_string(w.focus()) + " is at a worker that is not there: tried again\n");
  EXPECT_EQ(w.took("assign"), Lines{"assign w2 a#2"}) << "under a number of its own";
  EXPECT_EQ(w.record("a").losses, 1);
  EXPECT_EQ(w.audit(), Kinds{});
}

TEST(Audit, ReadyTasksThatNobodyOffersAreOffered) {
  Audited w(TestPlant::kForgetLost);
  w.worker(1).run("a");
  w.lose(1);  // the loss is recorded, and the next try forgotten
  w.worker(2).took();
  EXPECT_EQ(w.audit(), Kinds{AuditKind::kOffer});
  EXPECT_EQ(w.took("assign"), Lines{"assign w2 a#2"});
  EXPECT_EQ(w.audit(), Kinds{});
}

TEST(Audit, WhatWaitsForItsNextTryAndHasNoTimerGetsOne) {
  Audited w(TestPlant::kForgetTimer);
  w.worker(1).run("a[retry=2; backoff=1s]");
  w.ended("a#1", Reason::kError).pass(10s);
  EXPECT_EQ(w.state("a"), TaskState::kRetrying);
  EXPECT_EQ(w.audit(), Kinds{AuditKind::kTimer}) << w.said;
  w.pass(1s);
  EXPECT_EQ(w.state("a"), TaskState::kDispatched);
}

TEST(Audit, WhatACompletionOpensAndNobodyLooksAtIsOpened) {
  Audited w(TestPlant::kForgetOpened);
  w.worker(1).run("a -> b");
  w.ended("a#1");
  EXPECT_EQ(w.state("b"), TaskState::kPending);
  EXPECT_EQ(w.audit(), Kinds{AuditKind::kOpened}) << w.said;
  EXPECT_EQ(w.state("b"), TaskState::kDispatched);
}

TEST(Audit, CountsThatDoNotAddUpAreCountedAnew) {
  Audited w(TestPlant::kMiscount);
  w.check_no_more();
  w.worker(1).run("a", "k1").run("b", "k2");
  w.ended("k1:a#1");
  EXPECT_EQ(w.partition().runs_live(), 2U) << "planted";
  EXPECT_EQ(w.audit(), Kinds{AuditKind::kCounts}) << w.said;
  EXPECT_EQ(w.said, "partition 0: live runs: 2 counted, 1 there\n");
  EXPECT_EQ(w.partition().runs_live(), 1U);
  EXPECT_EQ(check_invariants(w.partition()), "");
}

TEST(Audit, GoesOnWhereItStoppedAndThroughLargeRunsInSlices) {
  Audited w(TestPlant::kForgetTimer);
  w.worker(1, 100).run("a[retry=2; backoff=1s] b c d e f g -> h", "large").run("x[retry=2; backoff=1s]", "small");
  w.ended("large:a#1", Reason::kError).ended("small:x#1", Reason::kError);
  std::size_t found = 0;
  for (int slice = 0; slice < 5; ++slice) found += w.audit(2).size();
  EXPECT_EQ(found, 2U);
  EXPECT_EQ(w.place, Audit::Place{}) << "and begins anew";
}

}  // namespace
}  // namespace millrace::test
