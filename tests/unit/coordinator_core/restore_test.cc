// A partition that comes back from the store: adoption across epochs, and the same future as without a crash.
#include <gtest/gtest.h>

#include "tests/sim/random.h"
#include "tests/support/world.h"

namespace millrace::test {
namespace {

TEST(Adoption, TakesOverWhatRestsOnTheSameVersions) {
  World w;
  w.worker(1, 2).run("a -> b");
  w.ended("a#1", kOk, "1").crash(true);
  EXPECT_EQ(w.state("b"), TaskState::kReady);
  w.hello(1, {"b#1"}, 1, kNever, {{TaskIndex{0}, 1}});
  EXPECT_EQ(w.state("b"), TaskState::kRunning);
  w.adoption_closed().took();
  w.ended_late("b#1", 1, {{TaskIndex{0}, 1}}, "w1", "2");
  EXPECT_EQ(w.run_state(), RunState::kSucceeded);
  EXPECT_EQ(w.record("b").epoch, 1U) << "the attempt keeps its name";
  EXPECT_EQ(w.took("assign"), Lines{});
}

TEST(Adoption, RefusesWhatRestsOnOtherVersions) {
  World w;
  w.worker(1, 2).run("a -> b");
  w.ended("a#1", kOk, "1").crash(true);
  w.hello(1, {"b#1"}, 1, kNever, {{TaskIndex{0}, 2}});
  EXPECT_EQ(w.state("b"), TaskState::kReady);
  w.hello(1, {"b#1"}, 1, kNever, {});
  EXPECT_EQ(w.took("cancel"), (Lines{"cancel w1 b#1 of epoch 1 lost", "cancel w1 b#1 of epoch 1 lost"}));
}

// The worker forgets it when it hears the refusal; its Hello may have left before.
TEST(Adoption, NeverTakesOverWhatItHasRefused) {
  World w;
  w.worker(1, 2).run("a -> b");
  w.ended("a#1", kOk, "1").crash(true).took();
  w.ended_late("b#1", 1, {});
  EXPECT_EQ(w.took("answer"), (Lines{"answer w1 b#1 of epoch 1 refused: the attempt was given up"}));
  w.hello(1, {"b#1"}, 1, kNever, {{TaskIndex{0}, 1}});
  EXPECT_EQ(w.state("b"), TaskState::kReady);
  w.took();
  w.adoption_closed();
  EXPECT_EQ(w.took("assign"), (Lines{"assign w1 b#2 (a@1=1)"}));
}

TEST(Adoption, NeverTakesOverItemsThatItHasRefused) {
  World w;
  w.worker(1, 2).run("a -> b[foreach=[1,2]; chunk=2]");
  w.ended("a#1", kOk, "1").crash(true).took();
  w.items("b[0]#1", 2, "[1,2]", {}, kOk, 2, "w1", 1);
  EXPECT_EQ(w.took("answer"), (Lines{"answer w1 b[0]#1 of epoch 1 refused: the attempt was given up"}));
  w.hello(1, {"b[0]#1x2"}, 1, kNever, {{TaskIndex{0}, 1}});
  w.took();
  w.adoption_closed();
  EXPECT_EQ(w.took("assign"), (Lines{"assign w1 b[0]#2 (a@1=1) items 0+2 [1,2]"}));
}

TEST(Adoption, TakesAReportThatComesBeforeTheHello) {
  World w;
  w.worker(1).run("a");
  w.crash(true);
  w.ended_late("a#1", 1, {});
  EXPECT_EQ(w.run_state(), RunState::kSucceeded);
}

TEST(Adoption, AGrantIsGivenBackWhileAdoptionIsOpen) {
  World w;
  w.worker(1).run("a");
  w.crash(true).took();
  w.say(SlotGranted{w.focus(), TaskIndex{0}, {WorkerId{1}, nullptr}});
  w.expect_no_more_effects();
  EXPECT_EQ(w.state("a"), TaskState::kReady);
  w.adoption_closed();
  EXPECT_EQ(w.took("assign"), Lines{"assign w1 a#1"});
}

TEST(Adoption, NeverTakesAnAttemptOfALaterEpoch) {
  World w;
  w.worker(1).run("a");
  w.crash(true);
  w.ended_late("a#1", 9, {});
  EXPECT_EQ(w.state("a"), TaskState::kReady);
}

TEST(Restore, ARunThatWasBeingCancelledEndsCancelled) {
  World w;
  w.worker(1).run("a -> b");
  w.cancel();
  ASSERT_EQ(w.run_state(), RunState::kCancelling);
  w.crash(true);
  EXPECT_EQ(w.run_state(), RunState::kCancelled);
}

TEST(Restore, AsksAgainForTheValuesItsOutputsNeed) {
  World w;
  w.worker(1).run("(output.n={{ nodes.a | length }}) a");
  w.ended("a#1", kOk, '"' + std::string(kInlineMaxDefault, 'x') + '"');
  w.crash().fetched();
  EXPECT_EQ(w.run_state(), RunState::kSucceeded);
}

TEST(Restore, WhatSucceededLaterIsUndoneFirstThoughTheClockOfTheOwnerBeforeWasAhead) {
  World w;
  w.worker(1, 4).run("(fail_fast=false) a[compensate=ua], b[compensate=ub], c, a -> ua, b -> ub");
  w.ended("a#1").clock_behind(2h).crash();
  w.ended("b#1").took();
  w.ended("c#1", Reason::kError);
  EXPECT_EQ(w.state("ub"), TaskState::kDispatched);
  EXPECT_EQ(w.state("ua"), TaskState::kPending);
  w.crash();
  EXPECT_EQ(w.state("ub"), TaskState::kDispatched) << "the owner after that one sees the same order";
}

TEST(Restore, TheRunsTimeoutCountsFromItsAcceptance) {
  World w;
  w.worker(1).run("(timeout=5s) a");
  w.pass(4s).crash();
  w.pass(1s);
  EXPECT_EQ(w.run_state(), RunState::kFailing);
}

TEST(Restore, NewRunsHaveNewIds) {
  World w;
  w.worker(1).run("a", "k1");
  const RunId before = w.focus();
  w.crash().run("a", "k2");
  EXPECT_NE(w.focus(), before);
}

// How a task behaves depends on it alone, so that the end does not depend on what happened on the way.
Reason fate(std::uint64_t seed, std::uint32_t task, std::uint16_t failures) {
  sim::Random random(seed * 1'000 + task);
  const std::uint64_t fails = random.chance(250) ? random.below(4) : 0;
  return failures < fails ? Reason::kError : kOk;
}

std::string random_workflow(sim::Random& random) {
  std::string text = "(fail_fast=false) t0[retry=3; losses=1000]";
  const int nodes = random.between(2, 14);
  for (int node = 1; node < nodes; ++node) {
    const std::string name = "t" + std::to_string(node);
    text += ", " + name + "[retry=3; losses=1000]";
    for (int edges = random.between(0, 2); edges > 0; --edges)
      text += ", t" + std::to_string(random.below(static_cast<std::uint64_t>(node))) + " -> " + name;
  }
  return text;
}

// Plays a run to its end, perhaps crashing and losing attempts on the way; gives how every task ended.
std::string play(std::uint64_t seed, bool disturbed) {
  sim::Random shape(seed);
  World w;
  w.worker(1, 3).run(random_workflow(shape));
  sim::Random random(seed + 1'000'000);
  for (int turns = 0; !is_terminal(w.run_state()) && turns < 1'000; ++turns) {
    if (disturbed && random.chance(200)) {
      const bool adopting = random.chance(500);
      w.crash(adopting);
      if (adopting) w.adoption_closed();
      if (!w.partition().find(w.focus())) break;  // it had ended
    }
    const Run& run = w.the_run();
    if (run.attempts.empty()) {
      w.pass(1s);
      continue;
    }
    auto it = run.attempts.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(random.below(run.attempts.size())));
    const TaskIndex task = it->first;
    const std::string attempt = "t" + std::to_string(task.value) + "#" + std::to_string(it->second.id.number);
    if (disturbed && random.chance(100)) w.reclaimed(attempt);
    else if (disturbed && random.chance(100)) w.hello(1, {});  // it has none of them
    else w.ended(attempt, fate(seed, task.value, run.tasks[task.value].failures), std::to_string(task.value));
  }
  std::string end(to_string(w.stored().record.state));
  for (const auto& [task, record] : w.stored().tasks) {
    end += " " + std::to_string(task.value) + "=" + std::string(to_string(record.state)) + ":" +
           std::string(to_string(record.reason)) + ":" + std::string(record.output.json());
  }
  return end;
}

TEST(Restore, GivesTheSameFutureAsNeverHavingCrashed) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    ASSERT_EQ(play(seed, true), play(seed, false)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace millrace::test
