// Large values of the last seconds: what is known of them, and how long their bytes are kept.
#include "coordinator/shell/value_ring.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

constexpr Time kStart{std::chrono::hours(1)};
constexpr RunId kRun{7};

Hash128 hash(std::string_view text) { return hash128(text); }
ValueWrite write_of(std::string json) {
  return {hash(json), std::make_shared<const std::string>(std::move(json)), kRun};
}
PartTaken so_far(std::string_view text, std::uint64_t have) { return {hash(text), have, have == text.size(), false}; }

TEST(ValueRing, HasWhatWasWrittenAsAWholeAndWhoNeedsIt) {
  ValueRing ring;
  ring.wrote(kStart, write_of("\"a value\""));
  EXPECT_EQ(ring.recent(kStart), std::vector<Hash128>{hash("\"a value\"")});
  const ValueRing::Value* value = ring.find(hash("\"a value\""));
  ASSERT_NE(value, nullptr);
  EXPECT_TRUE(value->has_bytes());
  EXPECT_EQ(value->bytes(), "\"a value\"");
  EXPECT_EQ(value->run, kRun);
  EXPECT_EQ(ring.bytes(), 9U);
}

TEST(ValueRing, PutsPartsTogetherAndTellsOfAValueWhenTheStoreHasAllOfIt) {
  ValueRing ring;
  const std::string text = "one two three";
  ring.took(kStart, kRun, text.size(), 0, text.substr(0, 4), so_far(text, 4));
  EXPECT_TRUE(ring.recent(kStart).empty());
  ring.took(kStart, kRun, text.size(), 0, text.substr(0, 4), so_far(text, 4));  // it came twice
  ring.took(kStart, kRun, text.size(), 4, text.substr(4), so_far(text, text.size()));
  ASSERT_EQ(ring.recent(kStart).size(), 1U);
  EXPECT_EQ(ring.find(hash(text))->bytes(), text);
  EXPECT_TRUE(ring.find(hash(text))->has_bytes());
}

TEST(ValueRing, KnowsOfOneWhosePartsWentAnotherWayAndHasNotItsBytes) {
  ValueRing ring;
  const std::string text = "one two three";
  ring.took(kStart, kRun, text.size(), 4, text.substr(4), so_far(text, text.size()));
  ASSERT_EQ(ring.recent(kStart).size(), 1U);
  EXPECT_FALSE(ring.find(hash(text))->has_bytes());
}

TEST(ValueRing, ForgetsWhatTheStoreSaysIsNotWhatItsHashSays) {
  ValueRing ring;
  ring.took(kStart, kRun, 3, 0, "bad", PartTaken{hash("good"), 0, false, true});
  EXPECT_EQ(ring.find(hash("good")), nullptr);
  EXPECT_EQ(ring.bytes(), 0U);
}

TEST(ValueRing, DropsTheBytesOfTheOldestWhereThereAreTooMany) {
  ValueRing ring;
  const std::string long_text(kValuesKeptBytes / 2, 'a');
  ring.wrote(kStart, write_of(long_text));
  ring.wrote(kStart + 1s, write_of(long_text + "b"));
  EXPECT_LE(ring.bytes(), kValuesKeptBytes);
  EXPECT_EQ(ring.recent(kStart + 1s).size(), 2U) << "it is known that there was one";
  EXPECT_FALSE(ring.find(hash(long_text))->has_bytes());
  EXPECT_TRUE(ring.find(hash(long_text + "b"))->has_bytes());
}

TEST(ValueRing, ForgetsAValueAWhileAfterItsLatestPart) {
  ValueRing ring;
  const std::string text = "one two";
  ring.took(kStart, kRun, text.size(), 0, text.substr(0, 4), so_far(text, 4));
  ring.took(kStart + 20s, kRun, text.size(), 4, text.substr(4), so_far(text, text.size()));
  EXPECT_EQ(ring.recent(kStart + kValuesKeptFor + 1s).size(), 1U);
  EXPECT_TRUE(ring.recent(kStart + 20s + kValuesKeptFor + 1s).empty());
  EXPECT_EQ(ring.find(hash(text)), nullptr);
  EXPECT_EQ(ring.bytes(), 0U);
}

}  // namespace
}  // namespace millrace
