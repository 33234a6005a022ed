#include "common/model/value_parts.h"

#include <gtest/gtest.h>

#include <string>

#include "common/model/payload.h"

namespace millrace {
namespace {

using Took = PartsIn::Took;

struct Whole {
  std::string text;
  Hash128 hash = hash128(text);
  PartPlace place(std::uint64_t from, std::string_view bytes) const {
    return {text.size(), from, part_check(hash, from, bytes)};
  }
};

TEST(ValueParts, AreTakenInTheirOrderAndTheLastMakesTheWhole) {
  const Whole whole{"abcdefgh"};
  PartsIn parts(whole.hash);
  EXPECT_EQ(parts.take(whole.place(0, "abc"), "abc"), Took::kMore);
  EXPECT_EQ(parts.take(whole.place(0, "abc"), "abc"), Took::kOther) << "it was taken before";
  EXPECT_EQ(parts.take(whole.place(6, "gh"), "gh"), Took::kOther) << "something is missing before it";
  EXPECT_EQ(parts.from(), 3U);
  EXPECT_EQ(parts.take(whole.place(3, "defgh"), "defgh"), Took::kWhole);
}

TEST(ValueParts, OneThatWasHarmedOnItsWayIsNotTaken) {
  const Whole whole{"abcdefgh"};
  PartsIn parts(whole.hash);
  EXPECT_EQ(parts.take(whole.place(0, "abc"), "abX"), Took::kOther);
  EXPECT_EQ(parts.take(whole.place(0, "abc"), "ab"), Took::kOther);
  EXPECT_EQ(parts.from(), 0U);
}

TEST(ValueParts, AWholeThatIsNotWhatItsHashSaysIsForgotten) {
  const Whole whole{"abcdefgh"};
  PartsIn parts(whole.hash);
  EXPECT_EQ(parts.take(whole.place(0, "abXdefgh"), "abXdefgh"), Took::kDamaged);
  EXPECT_EQ(parts.from(), 0U);
  EXPECT_EQ(parts.take(whole.place(0, "abcdefgh"), "abcdefgh"), Took::kWhole);
}

TEST(ValueParts, GoOnBehindWhatWasKeptOfAnEarlierTry) {
  const Whole whole{"abcdefgh"};
  PartsIn parts(whole.hash);
  parts.had("ab");
  parts.had("cd");
  EXPECT_EQ(parts.from(), 4U);
  EXPECT_EQ(parts.take(whole.place(4, "efgh"), "efgh"), Took::kWhole);
}

TEST(ValueParts, AnOlderPeerGivesTheWholeAtOnceWhateverHadCome) {
  const Whole whole{"abcdefgh"};
  PartsIn parts(whole.hash);
  EXPECT_EQ(parts.take(whole.place(0, "abc"), "abc"), Took::kMore);
  EXPECT_EQ(parts.take({}, whole.text), Took::kWhole);
  PartsIn again(whole.hash);
  EXPECT_EQ(again.take({}, "something else"), Took::kDamaged);
}

TEST(ValueParts, OfNothingThereIsOne) {
  const Whole nothing{""};
  PartsIn parts(nothing.hash);
  EXPECT_EQ(parts.take(nothing.place(0, ""), ""), Took::kWhole);
}

TEST(ValueParts, WhatLiesOutsideTheWholeIsDamage) {
  const Whole whole{"abcdefgh"};
  PartsIn parts(whole.hash);
  PartPlace place = whole.place(0, "abcdefgh");
  place.size = 4;
  EXPECT_EQ(parts.take(place, "abcdefgh"), Took::kDamaged);
  place.size = kValueMax + 1;
  EXPECT_EQ(parts.take(place, "abcdefgh"), Took::kDamaged);
}

TEST(ValueParts, ALineThatIsQuickIsAskedForMoreAndASlowOneForLess) {
  PartPace pace;
  for (int i = 0; i < 10; ++i) pace.came(1ms);
  EXPECT_EQ(pace.bytes(), kPartMax);
  pace.came(500ms);
  EXPECT_EQ(pace.bytes(), kPartMax);
  for (int i = 0; i < 10; ++i) pace.came(3s);
  EXPECT_EQ(pace.bytes(), kPartMin);
}

}  // namespace
}  // namespace millrace
