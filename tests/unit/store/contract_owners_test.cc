// The contract of the Store port: who owns a partition, and who is there.
#include <gtest/gtest.h>

#include "tests/unit/store/store_contract.h"

namespace millrace::test {
namespace {

// ---------------------------------------------------------------- ownership

TEST_P(StoreContract, NobodyOwnsAPartitionAtFirst) {
  EXPECT_TRUE(store().ready());
  EXPECT_EQ(ask_for<OwnerAnswer>(store(), ReadOwner{kPartition}).record, OwnerRecord{});
  EXPECT_EQ(commit_one(1, {}), CommitResult::kFenced);
}

TEST_P(StoreContract, TakingMakesTheTakerOwner) {
  OwnerAnswer taken = take(store());
  EXPECT_TRUE(taken.taken);
  EXPECT_EQ(taken.record, (OwnerRecord{"c1", kEpoch, 0, 0, "", {}}));
  EXPECT_EQ(ask_for<OwnerAnswer>(store(), ReadOwner{kPartition}).record, taken.record);
  EXPECT_EQ(ask_for<OwnerAnswer>(store(), ReadOwner{PartitionId{4}}).record, OwnerRecord{});
}

TEST_P(StoreContract, OfTwoThatSawTheSameRecordOneTakes) {
  std::unique_ptr<Store> rival = another();
  const TakePartition mine{kPartition, {}, "c1", {.counter = 1, .nonce = 1}, {}};
  const TakePartition theirs{kPartition, {}, "c2", {.counter = 1, .nonce = 2}, {}};
  EXPECT_TRUE(ask_for<OwnerAnswer>(store(), mine).taken);
  OwnerAnswer lost = ask_for<OwnerAnswer>(*rival, theirs);
  EXPECT_FALSE(lost.taken);
  EXPECT_EQ(lost.record.owner, "c1");
  EXPECT_EQ(lost.record.epoch, mine.epoch);
}

TEST_P(StoreContract, ABeatSeenTooLateTakesNothing) {
  OwnerRecord seen = take(store()).record;
  TurnCommit beat = turn_of(0, {});
  beat.partitions[0].beat = 17;
  EXPECT_EQ(result_of(commit(store(), beat)), CommitResult::kApplied);
  OwnerAnswer late =
      ask_for<OwnerAnswer>(store(), TakePartition{kPartition, seen, "c2", {.counter = 2, .nonce = 9}, {}});
  EXPECT_FALSE(late.taken);
  EXPECT_EQ(late.record.beat, 17U);
  EXPECT_TRUE(
      ask_for<OwnerAnswer>(store(), TakePartition{kPartition, late.record, "c2", {.counter = 2, .nonce = 9}, {}})
          .taken);
}

TEST_P(StoreContract, TakingNeedsAHigherEpoch) {
  OwnerRecord seen = take(store()).record;
  EXPECT_FALSE(
      ask_for<OwnerAnswer>(store(), TakePartition{kPartition, seen, "c2", {.counter = 1, .nonce = 9}, {}}).taken);
  EXPECT_TRUE(
      ask_for<OwnerAnswer>(store(), TakePartition{kPartition, seen, "c2", {.counter = 2, .nonce = 9}, {}}).taken);
}

TEST_P(StoreContract, AnOwnerThatWasReplacedIsFenced) {
  take(store());
  accepted(1, 1);
  OwnerAnswer next = take(store(), kPartition, {.counter = 2, .nonce = 5}, "c2");
  ASSERT_TRUE(next.taken);
  EXPECT_EQ(next.record.number, 1U);  // commit numbers go on
  EXPECT_EQ(commit_one(2, {}), CommitResult::kFenced);
  TurnCommit same_counter = turn_of(2, {}, {}, kPartition, {.counter = 2, .nonce = 6});
  EXPECT_EQ(result_of(commit(store(), same_counter)), CommitResult::kFenced);
  TurnCommit beat = turn_of(0, {});
  EXPECT_EQ(result_of(commit(store(), beat)), CommitResult::kFenced);
  EXPECT_EQ(ask_for<OwnerAnswer>(store(), ReadOwner{kPartition}).record, next.record);
}

TEST_P(StoreContract, AReleasedPartitionIsFreeAndKeepsItsEpoch) {
  take(store());
  EXPECT_FALSE(ask_for<OwnerAnswer>(store(), ReleasePartition{kPartition, {.counter = 1, .nonce = 7}}).taken);
  OwnerAnswer released = ask_for<OwnerAnswer>(store(), ReleasePartition{kPartition, kEpoch});
  EXPECT_TRUE(released.taken);
  EXPECT_EQ(released.record.owner, "");
  EXPECT_EQ(released.record.epoch, kEpoch);
  EXPECT_EQ(commit_one(1, {}), CommitResult::kFenced);
  EXPECT_TRUE(take(store(), kPartition, {.counter = 2, .nonce = 1}).taken);
}

TEST_P(StoreContract, AReleaseNamesTheHeirUntilSomebodyTakesIt) {
  take(store());
  OwnerRecord released = ask_for<OwnerAnswer>(store(), ReleasePartition{kPartition, kEpoch, "c2"}).record;
  EXPECT_EQ(released.heir, "c2");
  EXPECT_EQ(ask_for<OwnerAnswer>(store(), ReadOwner{kPartition}).record, released);
  TakePartition wanted{kPartition, released, "c3", {.counter = 2, .nonce = 8}, at(7)};
  OwnerAnswer taken = ask_for<OwnerAnswer>(store(), wanted);
  ASSERT_TRUE(taken.taken);
  EXPECT_EQ(taken.record.heir, "");
  EXPECT_EQ(taken.record.since, at(7));
  EXPECT_EQ(ask_for<OwnerAnswer>(store(), ReadOwner{kPartition}).record, taken.record);
}

// ---------------------------------------------------------------- members

MemberRecord member(const std::string& name) {
  MemberRecord record;
  record.name = name;
  record.nonce = 0xFEDCBA9876543210ULL;
  record.beat = 3;
  record.endpoint = "tcp://" + name + ":5711";
  record.events = "tcp://" + name + ":5712";
  record.version = "1.2.3";
  record.since = at(5);
  return record;
}

TEST_P(StoreContract, MembersPublishThemselvesAndSeeEachOther) {
  std::unique_ptr<Store> other = another();
  EXPECT_TRUE(ask_for<MembersAnswer>(store(), MeetMembers{}).members.empty());
  EXPECT_EQ(ask_for<MembersAnswer>(store(), MeetMembers{member("b")}).members, (std::vector{member("b")}));
  MemberRecord draining = member("a");
  draining.draining = true;
  EXPECT_EQ(ask_for<MembersAnswer>(*other, MeetMembers{draining}).members, (std::vector{draining, member("b")}));
  MemberRecord later = member("b");
  later.beat = 4;
  MembersAnswer met = ask_for<MembersAnswer>(store(), MeetMembers{later});
  EXPECT_EQ(met.members, (std::vector{draining, later}));
  EXPECT_EQ(met.before, member("b"));
  EXPECT_EQ(ask_for<MembersAnswer>(*other, MeetMembers{}).members, (std::vector{draining, later}));
}

TEST_P(StoreContract, AMemberThatIsForgottenIsGoneUntilItPublishesItselfAgain) {
  ask_for<MembersAnswer>(store(), MeetMembers{member("a")});
  ask_for<MembersAnswer>(store(), MeetMembers{member("b")});
  ask_for<MembersAnswer>(store(), ForgetMember{"a"});
  ask_for<MembersAnswer>(store(), ForgetMember{"nobody"});
  EXPECT_EQ(ask_for<MembersAnswer>(store(), MeetMembers{}).members, (std::vector{member("b")}));
  EXPECT_EQ(ask_for<MembersAnswer>(store(), MeetMembers{member("a")}).members, (std::vector{member("a"), member("b")}));
}

INSTANTIATE_TEST_SUITE_P(All, StoreContract, ::testing::Values("memory", "redis", "cluster"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace millrace::test
