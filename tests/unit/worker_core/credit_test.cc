#include <gtest/gtest.h>

#include "tests/support/agent_world.h"
#include "worker/core/prefetch.h"
#include "worker/core/recent.h"

namespace millrace {
namespace {

using test::AgentWorld;
using test::Lines;

// Runs one task of a length, answered at once, and returns what was said of credit.
Lines credit_after(AgentWorld& w, int number, Duration ran, Duration round_trip = 1ms) {
  const std::string name = "a#" + std::to_string(number);
  Lines credit;
  const auto collect = [&] {
    for (const std::string& line : w.took()) {
      if (line.find("credit") != std::string::npos) credit.push_back(line);
    }
  };
  w.assign(name);
  collect();
  w.ends(name, ran);
  collect();
  w.pass(round_trip);
  w.answer(name);
  collect();
  return credit;
}

TEST(AgentCredit, DoublesForTinyTasksUpToTheLimit) {
  AgentWorld w(/*slots=*/2, /*io_slots=*/0, /*prefetch_max=*/32);
  w.connected();
  EXPECT_EQ(credit_after(w, 1, 1us), (Lines{"0: credit cpu=6 io=0"}));
  EXPECT_EQ(credit_after(w, 2, 1us), (Lines{"0: credit cpu=10 io=0"}));
  EXPECT_EQ(credit_after(w, 3, 1us), (Lines{"0: credit cpu=18 io=0"}));
  EXPECT_EQ(credit_after(w, 4, 1us), (Lines{"0: credit cpu=34 io=0"}));
  EXPECT_EQ(credit_after(w, 5, 1us), Lines{});
}

TEST(AgentCredit, IsTheSlotsAloneForLongTasks) {
  AgentWorld w(2);
  w.connected();
  EXPECT_EQ(credit_after(w, 1, 51ms), Lines{});
}

TEST(AgentCredit, FallsAtOnceWhenTasksGetLong) {
  AgentWorld w(2);
  w.connected();
  for (int i = 1; i <= 4; ++i) credit_after(w, i, 1us);
  EXPECT_EQ(credit_after(w, 5, 10s), (Lines{"0: credit cpu=2 io=0"}));
}

TEST(AgentCredit, FallsWhileALongTaskStillRuns) {
  AgentWorld w(2);
  w.connected();
  for (int i = 1; i <= 4; ++i) credit_after(w, i, 1us);
  w.assign("b#1");
  w.took();
  w.pass(kStartedAfter);
  const Lines said = w.took();
  ASSERT_EQ(said.size(), 2U);
  EXPECT_EQ(said[0], "0: started b#1");
  EXPECT_EQ(said[1], "0: credit cpu=3 io=0");  // 2 slots, 1 ms of round trip, 2.5 ms on average: 1 more
}

TEST(AgentCredit, IsDividedAmongLinksWithAtLeastOneEach) {
  AgentWorld w(/*slots=*/2, /*io_slots=*/100);
  w.connected(0).connected(1);
  w.step(LinkUp{LinkId{2}});
  const Lines said = w.took();
  EXPECT_EQ(said, (Lines{"0: credit cpu=1 io=33", "1: credit cpu=1 io=33", "2: hello held=", "2: credit cpu=1 io=33"}));
}

TEST(AgentCredit, IsNotGivenWhileDraining) {
  AgentWorld w(2);
  w.connected();
  w.assign("a#1 b#1");
  w.took();
  w.step(DrainRequested{});
  w.took();
  w.ends("a#1", 1us);
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 ok"}));
}

TEST(Prefetch, IsTheRoundTripOverTheDurationForEachSlot) {
  Prefetch p(/*slots=*/2, /*most=*/1000);
  EXPECT_EQ(p.next(), 0U);
  for (int i = 0; i < 10; ++i) {
    p.answered(199'700us);
    p.ran(20ms);
    p.next();
  }
  EXPECT_EQ(p.now(), 20U);  // 2 * (199.7 ms + the hold of 0.3 ms) / 20 ms
}

TEST(Prefetch, CoversTheTimeThatReportsAreHeldBack) {
  Prefetch p(2, 1000);
  for (int i = 0; i < 10; ++i) {
    p.answered(1800us);
    p.ran(100us);
    p.next();
  }
  EXPECT_EQ(p.hold(), 3200us);
  EXPECT_EQ(p.now(), 100U);
}

TEST(Prefetch, HoldsReportsForAsLongAsThirtyTinyTasksTakeWithinLimits) {
  Prefetch nothing_seen(1, 1000);
  EXPECT_EQ(nothing_seen.hold(), kReportHold);
  const std::pair<Duration, Duration> cases[] = {{1us, kReportHold},      {50us, 1'600us},
                                                 {500us, kReportHoldMax}, {1'900us, kReportHoldMax},
                                                 {2'100us, kReportHold},  {1s, kReportHold}};
  for (const auto& [ran, hold] : cases) {
    Prefetch p(1, 1000);
    p.ran(ran);
    EXPECT_EQ(p.hold(), hold) << ran.count();
  }
}

TEST(Prefetch, ChangesOnlyInTheLightOfSomethingNew) {
  Prefetch p(1, 1000);
  p.ran(1us);
  EXPECT_EQ(p.next(), 2U);
  EXPECT_EQ(p.next(), 2U);
  p.ran(1us);
  EXPECT_EQ(p.next(), 4U);
}

TEST(Recent, RemembersTheLatestAndForgetsTheOldest) {
  Recent recent(3);
  const auto id = [](std::uint32_t n) { return AttemptId{RunId{1}, TaskIndex{n}, 1, 1}; };
  for (std::uint32_t n = 1; n <= 5; ++n) recent.add(id(n), n % 2 == 0 ? Fate::kGivenBack : Fate::kAnswered);
  recent.add(id(4), Fate::kAnswered);
  EXPECT_EQ(recent.find(id(1)), std::nullopt);
  EXPECT_EQ(recent.find(id(2)), std::nullopt);
  EXPECT_EQ(recent.find(id(3)), Fate::kAnswered);
  EXPECT_EQ(recent.find(id(4)), Fate::kAnswered);
  EXPECT_EQ(recent.find(id(5)), Fate::kAnswered);
}

TEST(Recent, StillFindsAllOfTheLatestAfterManyHaveComeAndGone) {
  constexpr std::uint32_t kMost = 100;
  Recent recent(kMost);
  const auto id = [](std::uint32_t n) { return AttemptId{RunId{n / 7}, TaskIndex{n % 7}, 1, 1}; };
  for (std::uint32_t n = 0; n < 20'000; ++n) {
    recent.add(id(n), n % 2 == 0 ? Fate::kGivenBack : Fate::kAnswered);
    for (std::uint32_t back = 0; back <= std::min(n, 150U); back += 13) {
      const auto fate = recent.find(id(n - back));
      ASSERT_EQ(fate.has_value(), back < kMost) << n << " - " << back;
      if (fate) { ASSERT_EQ(*fate, (n - back) % 2 == 0 ? Fate::kGivenBack : Fate::kAnswered); }
    }
  }
}

}  // namespace
}  // namespace millrace
