// Outbox, Inbox and how a Partition uses them: letters go until they are taken, in order, and are taken once.
#include "coordinator/core/outbox.h"

#include <gtest/gtest.h>

#include "coordinator/core/partition.h"

namespace millrace {
namespace {

constexpr Time kStart{};

SharedLetter letter(std::uint64_t number, std::uint16_t to = 2) {
  RunWanted wanted;
  wanted.key = "k" + std::to_string(number);
  return std::make_shared<const Letter>(Letter{PartitionId{1}, PartitionId{to}, number, wanted});
}
std::vector<std::uint64_t> numbers(const std::vector<SendLetters>& mail) {
  std::vector<std::uint64_t> all;
  for (const SendLetters& batch : mail) {
    for (const SharedLetter& one : batch.letters) all.push_back(one->number);
  }
  return all;
}
std::vector<std::uint64_t> due(Outbox& outbox, Time now) {
  std::vector<SendLetters> mail;
  outbox.due(now, mail);
  return numbers(mail);
}
using Numbers = std::vector<std::uint64_t>;

TEST(Outbox, NothingGoesBeforeWhatStoodInTheStoreIsThere) {
  Outbox outbox;
  outbox.add(letter(7));
  EXPECT_EQ(due(outbox, kStart), Numbers{});
  EXPECT_EQ(outbox.next_deadline(), kNever);
  outbox.add(letter(3));
  outbox.open();
  EXPECT_EQ(due(outbox, kStart), (Numbers{3, 7})) << "the older one first";
}

TEST(Outbox, WhatIsNotSaidToBeTakenGoesAgainFromTheOldestOn) {
  Outbox outbox;
  outbox.open();
  outbox.add(letter(1));
  EXPECT_EQ(due(outbox, kStart), Numbers{1});
  outbox.add(letter(2));
  EXPECT_EQ(due(outbox, kStart), Numbers{}) << "one batch is out at a time";
  EXPECT_EQ(outbox.next_deadline(), kStart + kLettersAgain);
  EXPECT_EQ(due(outbox, kStart + kLettersAgain), (Numbers{1, 2}));
}

TEST(Outbox, WhatIsTakenLeavesAndTheNextGoAtOnce) {
  Outbox outbox;
  outbox.open();
  for (std::uint64_t i = 1; i <= kLettersAtOnce + 2; ++i) outbox.add(letter(i));
  EXPECT_EQ(due(outbox, kStart).size(), kLettersAtOnce);
  EXPECT_EQ(outbox.taken(PartitionId{2}, kLettersAtOnce).size(), kLettersAtOnce);
  EXPECT_EQ(outbox.next_deadline(), Time{});
  EXPECT_EQ(due(outbox, kStart), (Numbers{kLettersAtOnce + 1, kLettersAtOnce + 2}));
  EXPECT_EQ(outbox.taken(PartitionId{2}, 1), Numbers{}) << "an answer that comes late";
  EXPECT_EQ(outbox.taken(PartitionId{2}, kLettersAtOnce + 2).size(), 2U);
  EXPECT_EQ(outbox.size(), 0U);
  EXPECT_EQ(outbox.next_deadline(), kNever);
}

TEST(Outbox, OneReceiverThatIsAwayDoesNotHoldUpAnother) {
  Outbox outbox;
  outbox.open();
  outbox.add(letter(1, 2));
  outbox.add(letter(2, 3));
  EXPECT_EQ(due(outbox, kStart), (Numbers{1, 2}));
  EXPECT_EQ(outbox.taken(PartitionId{3}, 2), Numbers{2});
  outbox.add(letter(3, 3));
  EXPECT_EQ(due(outbox, kStart), Numbers{3});
}

TEST(Inbox, TakesEachLetterOfASenderOnce) {
  Inbox inbox;
  EXPECT_TRUE(inbox.take(PartitionId{1}, 4));
  EXPECT_FALSE(inbox.take(PartitionId{1}, 4));
  EXPECT_FALSE(inbox.take(PartitionId{1}, 3));
  EXPECT_TRUE(inbox.take(PartitionId{2}, 4)) << "of another sender";
  EXPECT_TRUE(inbox.take(PartitionId{1}, 5));
  EXPECT_EQ(inbox.mark(PartitionId{1}), (Mark{5, 2}));
}

// ---------------------------------------------------------------- in a partition

Partition partition(std::uint16_t id, std::uint32_t epoch = 1) {
  Partition made({PartitionId{id}, Epoch{epoch, 9}});
  made.restore_mail({}, {});
  (void)made.take();
  return made;
}

TEST(Letters, AreKeptAndSentByTheTurnThatPostsThemAndGoWhenTheyAreTaken) {
  Partition sender = partition(1);
  sender.step(kStart, LetterPosted{PartitionId{2}, RunWanted{}});
  Effects effects = sender.take();
  ASSERT_EQ(effects.letters.size(), 1U);
  const std::uint64_t number = effects.letters.front()->number;
  EXPECT_EQ(numbers(effects.mail), Numbers{number});
  sender.step(kStart + kLettersAgain, TimePassed{});
  effects = sender.take();
  EXPECT_TRUE(effects.letters.empty()) << "it is kept already";
  EXPECT_EQ(numbers(effects.mail), Numbers{number});
  sender.step(kStart + kLettersAgain, LettersTaken{PartitionId{2}, number});
  effects = sender.take();
  EXPECT_EQ(effects.letters_gone, Numbers{number});
  EXPECT_EQ(sender.next_deadline(), kNever);
  EXPECT_EQ(sender.letters_waiting(), 0U);
}

TEST(Letters, OfALaterEpochHaveHigherNumbersThanAllBefore) {
  Partition before = partition(1, 7);
  for (int i = 0; i < 3; ++i) before.step(kStart, LetterPosted{PartitionId{2}, RunWanted{}});
  const std::uint64_t last = before.take().letters.back()->number;
  Partition after = partition(1, 8);
  after.step(kStart, LetterPosted{PartitionId{2}, RunWanted{}});
  EXPECT_GT(after.take().letters.front()->number, last);
}

TEST(Letters, ThatComeTwiceAreAnsweredTwiceAndTakenOnce) {
  Partition receiver = partition(2);
  const LetterCame came{PartitionId{1}, 5, RunWanted{}};
  receiver.step(kStart, came);
  receiver.step(kStart, LettersRead{RequestId{8}, PartitionId{1}});
  Effects effects = receiver.take();
  EXPECT_EQ(effects.marks.at(PartitionId{1}), (Mark{5, 1}));
  ASSERT_EQ(effects.acks.size(), 1U);
  EXPECT_EQ(effects.acks[0].until, 5U);
  receiver.step(kStart, came);
  receiver.step(kStart, LettersRead{RequestId{9}, PartitionId{1}});
  effects = receiver.take();
  EXPECT_FALSE(effects.writes_mail());
  ASSERT_EQ(effects.acks.size(), 1U);
  EXPECT_EQ(effects.acks[0].until, 5U);
}

TEST(Letters, AreTakenOnceAlsoWhereAnotherOwnerTookThem) {
  Partition receiver({PartitionId{2}, Epoch{2, 9}});
  receiver.restore_mail({}, {{PartitionId{1}, Mark{5, 3}}});
  receiver.step(kStart, LetterCame{PartitionId{1}, 5, RunWanted{}});
  EXPECT_FALSE(receiver.take().writes_mail());
  receiver.step(kStart, LetterCame{PartitionId{1}, 6, RunWanted{}});
  EXPECT_EQ(receiver.take().marks.at(PartitionId{1}), (Mark{6, 4}));
}

}  // namespace
}  // namespace millrace
