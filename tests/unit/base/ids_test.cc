// Ids: run ids are made of parts, print as 13 characters and come back.
#include "common/base/ids.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <type_traits>
#include <unordered_set>

namespace millrace {
namespace {

static_assert(!std::is_convertible_v<RunId, PeerId>, "ids of different things must not mix");
static_assert(!std::is_convertible_v<std::uint64_t, RunId>, "a number is not an id");
static_assert(std::is_trivially_copyable_v<AttemptId>);

TEST(RunId, KeepsItsPartitionEpochAndCounterApart) {
  const RunId run = make_run_id(PartitionId{1023}, (1U << 22) - 1, 0xFFFFFFFF);
  EXPECT_EQ(run.value, ~std::uint64_t{0});
  EXPECT_EQ(make_run_id(PartitionId{0}, 0, 7).value, 7U);
  EXPECT_EQ(make_run_id(PartitionId{0}, 1, 0).value, std::uint64_t{1} << 32);
  EXPECT_EQ(make_run_id(PartitionId{1}, 0, 0).value, std::uint64_t{1} << 54);
  for (std::uint16_t partition : {0, 1, 15, 512, 1023}) {
    EXPECT_EQ(partition_of(make_run_id(PartitionId{partition}, 12345, 67890)), PartitionId{partition});
  }
}

TEST(RunId, AnEpochBeyondItsBitsDoesNotSpillIntoThePartition) {
  EXPECT_EQ(partition_of(make_run_id(PartitionId{3}, 0xFFFFFFFF, 0)), PartitionId{3});
}

TEST(RunId, PrintsAs13CharactersAndComesBack) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const RunId run{i < 100 ? static_cast<std::uint64_t>(i) : i < 200 ? ~static_cast<std::uint64_t>(i) : random()};
    const std::string text = to_string(run);
    ASSERT_EQ(text.size(), 13U);
    ASSERT_EQ(text.find_first_not_of("abcdefghijklmnopqrstuvwxyz234567"), std::string::npos) << text;
    ASSERT_EQ(parse_run_id(text), run) << text;
  }
}

TEST(RunId, NeighboursDifferInTheirFirstCharacters) {
  std::set<std::string> prefixes;
  for (std::uint32_t i = 0; i < 1000; ++i) prefixes.insert(to_string(make_run_id(PartitionId{3}, 5, i)).substr(0, 4));
  EXPECT_GT(prefixes.size(), 980U);
}

TEST(RunId, WhatIsNoRunIdIsRefused) {
  const std::string good = to_string(RunId{42});
  EXPECT_TRUE(parse_run_id(good).has_value());
  for (const std::string& bad :
       {std::string(), good.substr(1), good + "a", "A" + good.substr(1), good.substr(0, 12) + "0",
        good.substr(0, 12) + "1", good.substr(0, 12) + "8", good.substr(0, 12) + "-", good.substr(0, 12) + "\xC3"}) {
    EXPECT_FALSE(parse_run_id(bad).has_value()) << bad;
  }
}

TEST(RunId, EveryAcceptedTextIsTheOneThatIsPrinted) {
  // 13 characters carry 65 bits: a first character above 4 bits would be a second name for the same run.
  const std::string good = to_string(RunId{42});
  int accepted = 0;
  for (char first : std::string("abcdefghijklmnopqrstuvwxyz234567")) {
    const std::string text = first + good.substr(1);
    const auto run = parse_run_id(text);
    if (!run) continue;
    ++accepted;
    EXPECT_EQ(to_string(*run), text);
  }
  EXPECT_EQ(accepted, 16);
}

TEST(Ids, AreOrderedAndHashed) {
  EXPECT_LT(RunId{1}, RunId{2});
  EXPECT_EQ((AttemptId{RunId{1}, TaskIndex{2}, 3, 4}), (AttemptId{RunId{1}, TaskIndex{2}, 3, 4}));
  EXPECT_LT((AttemptId{RunId{1}, TaskIndex{2}, 3, 4}), (AttemptId{RunId{1}, TaskIndex{2}, 4, 1}));
  std::unordered_set<RunId> set{RunId{1}, RunId{2}, RunId{1}};
  EXPECT_EQ(set.size(), 2U);
}

TEST(Epoch, TheSameCounterOfAnotherProcessIsAnotherEpoch) {
  EXPECT_NE((Epoch{1, 10}), (Epoch{1, 11}));
  EXPECT_EQ((Epoch{1, 10}), (Epoch{1, 10}));
}

}  // namespace
}  // namespace millrace
