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

TEST(Outbox, WhenABatchIsTakenTheNextGoesAtOnce) {
  Outbox outbox;
  outbox.open();
  for (std::uint64_t i = 1; i <= kLettersAtOnce + 2; ++i) outbox.add(letter(i));
  EXPECT_EQ(due(outbox, kStart).size(), kLettersAtOnce);
  EXPECT_EQ(outbox.taken(kStart, PartitionId{2}, kLettersAtOnce).gone, Numbers{});
  EXPECT_EQ(outbox.next_deadline(), Time{});
  EXPECT_EQ(due(outbox, kStart), (Numbers{kLettersAtOnce + 1, kLettersAtOnce + 2}));
  (void)outbox.taken(kStart, PartitionId{2}, kLettersAtOnce + 1);
  EXPECT_EQ(due(outbox, kStart), Numbers{}) << "the rest of a batch goes again in its time";
  EXPECT_EQ(due(outbox, kStart + kLettersAgain), Numbers{kLettersAtOnce + 2});
  (void)outbox.taken(kStart, PartitionId{2}, kLettersAtOnce + 2);
  EXPECT_EQ(outbox.size(), 0U);
}

TEST(Outbox, WhatIsTakenIsKeptUntilItsReceiverStillHasItALongTimeLater) {
  Outbox outbox;
  outbox.open();
  outbox.add(letter(3));
  outbox.add(letter(4));
  (void)due(outbox, kStart);
  EXPECT_EQ(outbox.taken(kStart, PartitionId{2}, 4).gone, Numbers{});
  EXPECT_EQ(outbox.next_deadline(), kStart + kLettersKeptFor);
  std::vector<SendLetters> asked;
  outbox.due(kStart + kLettersKeptFor, asked);
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_TRUE(asked[0].letters.empty());
  EXPECT_EQ(asked[0].after, 4U);
  EXPECT_EQ(outbox.next_deadline(), kStart + kLettersKeptFor + kLettersAgain) << "asked again where it does not answer";
  EXPECT_EQ(outbox.taken(kStart + kLettersKeptFor, PartitionId{2}, 4).gone, (Numbers{3, 4}));
  EXPECT_EQ(outbox.next_deadline(), kNever);
}

TEST(Outbox, WhatItsReceiverHasLostGoesAgainBeforeWhatIsNew) {
  Outbox outbox;
  outbox.open();
  for (std::uint64_t i = 3; i <= 5; ++i) outbox.add(letter(i));
  (void)due(outbox, kStart);
  (void)outbox.taken(kStart, PartitionId{2}, 5);
  outbox.add(letter(6));
  std::vector<SendLetters> batch;
  outbox.due(kStart, batch);
  EXPECT_EQ(numbers(batch), Numbers{6});
  EXPECT_EQ(batch[0].after, 5U) << "so that it sees that there is a hole";
  const Outbox::Taken said = outbox.taken(kStart, PartitionId{2}, 3);
  EXPECT_EQ(said.again, 2U);
  EXPECT_FALSE(said.missing);
  EXPECT_EQ(said.gone, Numbers{});
  EXPECT_EQ(outbox.size(), 3U);
  batch.clear();
  outbox.due(kStart, batch);
  EXPECT_EQ(numbers(batch), (Numbers{4, 5, 6}));
  EXPECT_EQ(batch[0].after, 3U);
  (void)outbox.taken(kStart, PartitionId{2}, 6);
  EXPECT_EQ(outbox.taken(kStart + kLettersKeptFor, PartitionId{2}, 6).gone, (Numbers{3, 4, 5, 6}));
}

TEST(Outbox, OfThoseThatWereTakenTheLatestAreKeptAndAMissingOneIsSaid) {
  Outbox outbox;
  outbox.open();
  Numbers gone;
  for (std::uint64_t i = 1; i <= kLettersKeptMax + 2; ++i) {
    outbox.add(letter(i));
    for (std::uint64_t number : outbox.taken(kStart, PartitionId{2}, i).gone) gone.push_back(number);
  }
  EXPECT_EQ(gone, (Numbers{1, 2}));
  Outbox::Taken said = outbox.taken(kStart, PartitionId{2}, 1);
  EXPECT_EQ(said.again, kLettersKeptMax);
  EXPECT_TRUE(said.missing) << "the second is lost for good";
  said = outbox.taken(kStart, PartitionId{2}, 1);
  EXPECT_FALSE(said.missing) << "it is said once";
}

TEST(Outbox, LongLettersAreKeptInSmallerNumber) {
  Outbox outbox;
  outbox.open();
  RunWanted wanted;
  wanted.inputs = Payload::inline_json('"' + std::string(kLettersKeptBytes / 2, 'x') + '"');
  for (std::uint64_t i = 1; i <= 3; ++i)
    outbox.add(std::make_shared<const Letter>(Letter{PartitionId{1}, PartitionId{2}, i, wanted}));
  EXPECT_EQ(outbox.taken(kStart, PartitionId{2}, 3).gone, (Numbers{1, 2}));
}

TEST(Outbox, OneReceiverThatIsAwayDoesNotHoldUpAnother) {
  Outbox outbox;
  outbox.open();
  outbox.add(letter(1, 2));
  outbox.add(letter(2, 3));
  EXPECT_EQ(due(outbox, kStart), (Numbers{1, 2}));
  (void)outbox.taken(kStart, PartitionId{3}, 2);
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
  EXPECT_EQ(sender.letters_waiting(), 0U);
  EXPECT_TRUE(sender.take().letters_gone.empty()) << "its receiver may lose it";
  const Time later = kStart + kLettersAgain + kLettersKeptFor;
  EXPECT_EQ(sender.next_deadline(), later);
  sender.step(later, TimePassed{});
  effects = sender.take();
  ASSERT_EQ(effects.mail.size(), 1U);
  EXPECT_TRUE(effects.mail[0].letters.empty());
  sender.step(later, LettersTaken{PartitionId{2}, number});
  effects = sender.take();
  EXPECT_EQ(effects.letters_gone, Numbers{number});
  EXPECT_EQ(sender.next_deadline(), kNever);
}

TEST(Letters, ThatAreLostForGoodAreTold) {
  Partition sender = partition(1);
  for (int i = 0; i < 3; ++i) sender.step(kStart, LetterPosted{PartitionId{2}, RunWanted{}});
  const std::uint64_t last = sender.take().letters.back()->number;
  sender.step(kStart, LettersTaken{PartitionId{2}, last});
  sender.step(kStart + kLettersKeptFor, LettersTaken{PartitionId{2}, last});
  EXPECT_EQ(sender.take().letters_gone.size(), 3U);
  sender.step(kStart + kLettersKeptFor, LettersTaken{PartitionId{2}, last - 1});
  const Effects effects = sender.take();
  ASSERT_EQ(effects.letters_missed.size(), 1U);
  EXPECT_EQ(effects.letters_missed[0].by, PartitionId{2});
  EXPECT_EQ(effects.letters_missed[0].again, 0U);
  EXPECT_TRUE(effects.letters_missed[0].missing);
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
