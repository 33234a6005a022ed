// Who should own which partition.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "coordinator/core/balance.h"

namespace millrace::test {
namespace {

using State = BalancePartition::State;

Time at(int ms) { return Time{} + std::chrono::milliseconds(100'000 + ms); }

BalanceView view_of(const std::string& self, const std::vector<std::string>& members, std::size_t partitions) {
  BalanceView view;
  view.self = self;
  for (const std::string& name : members) view.members.push_back({name, false});
  for (std::size_t i = 0; i < partitions; ++i) {
    BalancePartition partition;
    partition.id = PartitionId{static_cast<std::uint16_t>(i)};
    partition.state = State::kFree;
    partition.since = at(0);
    view.partitions.push_back(partition);
  }
  return view;
}

void own(BalanceView& view, std::size_t from, std::size_t to, const std::string& owner) {
  for (std::size_t i = from; i < to; ++i) {
    view.partitions[i].state = State::kOwned;
    view.partitions[i].owner = owner;
  }
}

// A cluster in which everybody acts on the same view until nothing moves any more; how many partitions moved.
struct Played {
  std::map<std::string, std::size_t> counts;
  std::size_t gives = 0;
  int rounds = 0;
};
Played play(BalanceView view) {
  Played played;
  view.settled = true;
  for (bool moved = true; moved && played.rounds < 100; ++played.rounds) {
    moved = false;
    std::vector<std::pair<std::string, BalancePlan>> plans;
    for (const BalanceMember& member : view.members) {
      view.self = member.name;
      plans.emplace_back(member.name, balance(at(0), view));
    }
    std::vector<bool> taken(view.partitions.size());
    for (const auto& [name, plan] : plans) {
      for (PartitionId id : plan.take) {
        EXPECT_FALSE(taken[id.value]) << "two take partition " << id.value;
        taken[id.value] = true;
        view.partitions[id.value].state = State::kOwned;
        view.partitions[id.value].owner = name;
        view.partitions[id.value].heir.clear();
        moved = true;
      }
      for (const auto& [id, heir] : plan.give) {
        EXPECT_EQ(view.partitions[id.value].owner, name);
        view.partitions[id.value].state = State::kFree;
        view.partitions[id.value].owner.clear();
        view.partitions[id.value].heir = heir;
        ++played.gives;
        moved = true;
      }
    }
  }
  for (const BalancePartition& partition : view.partitions) ++played.counts[partition.owner];
  return played;
}

TEST(Balance, OneAloneTakesEverything) {
  BalancePlan plan = balance(at(0), view_of("a", {"a"}, 16));
  EXPECT_EQ(plan.take.size(), 16U);
  EXPECT_TRUE(plan.give.empty());
}

TEST(Balance, WhatIsFreeIsTakenByOneEachAndEvenly) {
  Played played = play(view_of("", {"a", "b", "c"}, 16));
  EXPECT_EQ(played.gives, 0U);
  for (const auto& [name, count] : played.counts) EXPECT_TRUE(count == 5 || count == 6) << name << " " << count;
}

TEST(Balance, ANewcomerIsGivenItsShareAndThenNothingMoves) {
  BalanceView view = view_of("", {"a", "b"}, 16);
  own(view, 0, 16, "a");
  Played played = play(view);
  EXPECT_EQ(played.counts, (std::map<std::string, std::size_t>{{"a", 8}, {"b", 8}}));
  EXPECT_EQ(played.gives, 8U);
}

TEST(Balance, MovesAreAsFewAsTheyCanBe) {
  BalanceView view = view_of("", {"a", "b", "c"}, 16);
  own(view, 0, 8, "a");
  own(view, 8, 16, "b");
  Played played = play(view);
  EXPECT_EQ(played.counts["c"], 5U);
  EXPECT_EQ(played.gives, 5U);
  own(view, 0, 6, "a");
  own(view, 6, 11, "b");
  own(view, 11, 16, "c");
  EXPECT_EQ(play(view).gives, 0U);
}

TEST(Balance, NothingIsGivenUpWhileMembersComeAndGo) {
  BalanceView view = view_of("a", {"a", "b"}, 16);
  own(view, 0, 16, "a");
  view.settled = false;
  EXPECT_TRUE(balance(at(0), view).give.empty());
}

TEST(Balance, NothingIsGivenUpWhileAnOwnerIsSilent) {
  BalanceView view = view_of("a", {"a", "b"}, 16);
  own(view, 0, 15, "a");
  view.partitions[15].state = State::kSilent;
  view.settled = true;
  EXPECT_TRUE(balance(at(0), view).give.empty());
}

TEST(Balance, FewAreOnTheirWayAtOnce) {
  BalanceView view = view_of("a", {"a", "b"}, 16);
  own(view, 0, 16, "a");
  view.settled = true;
  EXPECT_EQ(balance(at(0), view).give.size(), kGivenAtOnce);
  view.partitions[0].state = State::kLeaving;
  view.partitions[0].heir = "b";
  EXPECT_EQ(balance(at(0), view).give.size(), kGivenAtOnce - 1);
}

TEST(Balance, OneThatDrainsGivesUpEverythingAtOnceAndTakesNothing) {
  BalanceView view = view_of("a", {"a", "b", "c"}, 16);
  own(view, 0, 16, "a");
  view.members[0].draining = true;
  view.settled = true;
  BalancePlan plan = balance(at(0), view);
  ASSERT_EQ(plan.give.size(), 16U);
  EXPECT_EQ(std::ranges::count(plan.give, "b", &std::pair<PartitionId, std::string>::second), 8);
  view.partitions[3].state = State::kSilent;
  EXPECT_TRUE(balance(at(60'000), view).take.empty());
  Played played = play(view);
  EXPECT_EQ(played.counts["a"], 0U);
}

TEST(Balance, WhoDrainsAloneKeepsEverything) {
  BalanceView view = view_of("a", {"a"}, 4);
  own(view, 0, 4, "a");
  view.members[0].draining = true;
  view.settled = true;
  EXPECT_TRUE(balance(at(0), view).give.empty());
}

TEST(Balance, WhenOnlyThoseThatDrainAreLeftTheyServe) {
  BalanceView view = view_of("a", {"a", "b"}, 4);
  view.members[0].draining = view.members[1].draining = true;
  own(view, 0, 1, "a");
  for (std::size_t i = 1; i < 4; ++i) view.partitions[i].state = State::kSilent;
  Played played = play(view);
  EXPECT_EQ(played.counts["a"] + played.counts["b"], 4U);
  EXPECT_EQ(played.gives, 0U);
}

TEST(Balance, TheHeirTakesEvenAboveItsShare) {
  BalanceView view = view_of("b", {"a", "b"}, 4);
  own(view, 0, 1, "a");
  own(view, 1, 4, "b");
  view.partitions[1].state = State::kFree;
  view.partitions[1].owner.clear();
  view.partitions[1].heir = "b";
  view.members_known = false;
  EXPECT_EQ(balance(at(0), view).take, (std::vector{PartitionId{1}}));
  view.self = "a";
  EXPECT_TRUE(balance(at(0), view).take.empty());
}

TEST(Balance, WhatAnOperatorMovedIsKeptAndAnotherGivenBack) {
  BalanceView view = view_of("b", {"a", "b"}, 4);
  own(view, 0, 1, "a");
  own(view, 1, 4, "b");
  view.partitions[1].inherited = true;
  view.settled = true;
  BalancePlan plan = balance(at(0), view);
  ASSERT_EQ(plan.give.size(), 1U);
  EXPECT_EQ(plan.give[0].first, PartitionId{2});
  EXPECT_EQ(plan.give[0].second, "a");
}

TEST(Balance, WhatItsTakerLeavesLyingIsAnybodys) {
  BalanceView view = view_of("a", {"a", "b"}, 1);
  view.partitions[0].heir = "b";
  BalancePlan plan = balance(at(10), view);
  EXPECT_TRUE(plan.take.empty());
  EXPECT_EQ(plan.look_again, at(0) + kTakeLate);
  EXPECT_EQ(balance(at(1000), view).take.size(), 1U);
}

TEST(Balance, AnHeirThatIsGoneIsNotWaitedFor) {
  BalanceView view = view_of("a", {"a"}, 1);
  view.partitions[0].heir = "gone";
  EXPECT_EQ(balance(at(0), view).take.size(), 1U);
}

TEST(Balance, WhileMembersAreUnknownNothingIsTakenButWhatIsInherited) {
  BalanceView view = view_of("a", {"a"}, 2);
  view.partitions[1].heir = "a";
  view.members_known = false;
  EXPECT_EQ(balance(at(0), view).take, (std::vector{PartitionId{1}}));
}

TEST(Balance, AnOrderlyStopNamesHeirsEvenly) {
  BalanceView view = view_of("a", {"a", "b", "c"}, 9);
  own(view, 0, 3, "a");
  own(view, 3, 6, "b");
  own(view, 6, 9, "c");
  std::vector<std::pair<PartitionId, std::string>> heirs = heirs_of(view);
  ASSERT_EQ(heirs.size(), 3U);
  const auto to_b = std::ranges::count(heirs, "b", &std::pair<PartitionId, std::string>::second);
  EXPECT_TRUE(to_b == 1 || to_b == 2);
  EXPECT_TRUE(heirs_of(view_of("a", {"a"}, 3)).empty());
}

}  // namespace
}  // namespace millrace::test
