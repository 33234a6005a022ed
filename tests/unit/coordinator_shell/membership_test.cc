// Which coordinators live.
#include "coordinator/shell/membership.h"

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

Time at(int ms) { return Time{} + std::chrono::milliseconds(100'000 + ms); }

MemberRecord record(const std::string& name, std::uint64_t beat, std::uint64_t nonce = 7) {
  MemberRecord record;
  record.name = name;
  record.nonce = nonce;
  record.beat = beat;
  record.endpoint = "tcp://" + name;
  return record;
}

class MembershipTest : public ::testing::Test {
 protected:
  bool heard(int ms, std::vector<MemberRecord> members) {
    return membership_.heard(at(ms), {std::move(members), std::nullopt});
  }
  Membership membership_{record("me", 0, 1)};
};

TEST_F(MembershipTest, WeLiveWhateverTheStoreSays) {
  EXPECT_FALSE(membership_.met());
  EXPECT_NE(membership_.alive("me"), nullptr);
  EXPECT_TRUE(heard(0, {}));
  EXPECT_TRUE(membership_.met() && membership_.known());
  EXPECT_EQ(membership_.living().size(), 1U);
}

TEST_F(MembershipTest, AnotherLivesWhenItsBeatWasSeenToChange) {
  heard(0, {record("a", 5)});
  EXPECT_EQ(membership_.alive("a"), nullptr);
  EXPECT_FALSE(membership_.known()) << "it may live";
  EXPECT_TRUE(heard(500, {record("a", 6)}));
  EXPECT_NE(membership_.alive("a"), nullptr);
  EXPECT_FALSE(heard(1000, {record("a", 7)})) << "nothing that matters has changed";
}

TEST_F(MembershipTest, OneWhoseBeatStandsStillForTwoSecondsIsSilent) {
  heard(0, {record("a", 5)});
  heard(500, {record("a", 6)});
  EXPECT_FALSE(heard(2499, {record("a", 6)}));
  EXPECT_NE(membership_.alive("a"), nullptr);
  EXPECT_TRUE(heard(2500, {record("a", 6)}));
  EXPECT_EQ(membership_.alive("a"), nullptr);
  EXPECT_TRUE(membership_.known());
  EXPECT_TRUE(heard(2600, {record("a", 7)})) << "it is back";
}

TEST_F(MembershipTest, TimeWithoutTheStoreCountsForNobody) {
  heard(0, {record("a", 5)});
  heard(500, {record("a", 6)});
  membership_.unheard();
  EXPECT_FALSE(heard(9000, {record("a", 6)}));
  EXPECT_NE(membership_.alive("a"), nullptr);
  EXPECT_TRUE(heard(11'000, {record("a", 6)}));
  EXPECT_EQ(membership_.alive("a"), nullptr);
}

TEST_F(MembershipTest, OneThatStartedAgainLivesAtOnceAndIsAChange) {
  heard(0, {record("a", 5)});
  heard(500, {record("a", 6)});
  EXPECT_TRUE(heard(1000, {record("a", 1, /*nonce=*/8)}));
  EXPECT_EQ(membership_.alive("a")->nonce, 8U);
}

TEST_F(MembershipTest, OneThatHasLeftIsGoneAtOnce) {
  heard(0, {record("a", 5)});
  heard(500, {record("a", 6)});
  EXPECT_TRUE(heard(1000, {}));
  EXPECT_EQ(membership_.living().size(), 1U);
}

TEST_F(MembershipTest, NothingIsSettledWhileTheLivingChange) {
  heard(0, {});
  EXPECT_FALSE(membership_.settled(at(1999)));
  EXPECT_TRUE(membership_.settled(at(2000)));
  heard(2500, {record("a", 5)});
  EXPECT_FALSE(membership_.settled(at(2500))) << "it may live";
  heard(3000, {record("a", 6)});
  EXPECT_FALSE(membership_.settled(at(4999)));
  EXPECT_TRUE(membership_.settled(at(5000)));
}

TEST_F(MembershipTest, TheLongSilentAreForgotten) {
  heard(0, {record("a", 5)});
  heard(2000, {record("a", 5)});
  EXPECT_TRUE(membership_.forgotten(at(59'000)).empty());
  EXPECT_EQ(membership_.forgotten(at(60'000)), (std::vector<std::string>{"a"}));
}

TEST_F(MembershipTest, AnotherProcessUnderOurNameIsNoticed) {
  membership_.beat();
  membership_.heard(at(0), {{record("me", 9, 99)}, record("me", 9, 99)});
  EXPECT_FALSE(membership_.has_twin()) << "who had the name before us";
  membership_.beat();
  membership_.heard(at(500), {{record("me", 2, 1)}, record("me", 10, 99)});
  EXPECT_TRUE(membership_.has_twin());
}

}  // namespace
}  // namespace millrace::test
