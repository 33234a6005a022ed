// What fan-outs go over, sets of items, and outputs put in order.
#include "coordinator/core/item_source.h"

#include <gtest/gtest.h>

#include "coordinator/core/collected.h"
#include "coordinator/core/fanout.h"

namespace millrace {
namespace {

std::string slice(const ItemSource& source, std::uint32_t first, std::uint32_t most, std::size_t bytes = 1'000) {
  std::uint32_t taken = 0;
  const std::string json = source.slice(first, most, bytes, taken);
  return json + " " + std::to_string(taken);
}

ItemSource over(const std::string& json) { return ItemSource::over(Value::parse(json).value()).value(); }
ItemSource range(const std::string& json) { return ItemSource::range(Value::parse(json).value()).value(); }

TEST(ItemSource, GivesAnyPartOfAListAsItWasWritten) {
  Value::Array items;
  for (int i = 0; i < 300; ++i) items.push_back(Value("a,\"]" + std::to_string(i)));
  const ItemSource source = ItemSource::over(items).value();
  ASSERT_EQ(source.count(), 300U);
  for (const std::uint32_t first : {0U, 1U, 63U, 64U, 65U, 128U, 299U}) {
    EXPECT_EQ(slice(source, first, 1), R"(["a,\"])" + std::to_string(first) + R"("] 1)") << first;
  }
  EXPECT_EQ(slice(over(R"([{"a":[1,{"b":2}]},null,[],"x"])"), 0, 9), R"([{"a":[1,{"b":2}]},null,[],"x"] 4)");
}

TEST(ItemSource, StopsAtTheBytesItMayTakeButGivesOneAlways) {
  const ItemSource source = over(R"(["aaaaaaaaaa","b","c"])");
  EXPECT_EQ(slice(source, 0, 3, 4), R"(["aaaaaaaaaa"] 1)");
  EXPECT_EQ(slice(source, 1, 3, 9), R"(["b","c"] 2)");
}

TEST(ItemSource, RangesCountUpAndDownAndToTheEdgeOfIntegers) {
  EXPECT_EQ(slice(range(R"({"to":3})"), 0, 9), "[0,1,2] 3");
  EXPECT_EQ(slice(range(R"({"from":5,"to":0,"step":-2})"), 1, 9), "[3,1] 2");
  EXPECT_EQ(range(R"({"from":3,"to":3})").count(), 0U);
  EXPECT_EQ(range(R"({"from":5,"to":3})").count(), 0U);
  EXPECT_EQ(slice(range(R"({"from":9223372036854775805,"to":9223372036854775807})"), 0, 9),
            "[9223372036854775805,9223372036854775806] 2");
  EXPECT_EQ(range(R"({"from":-9223372036854775808,"to":9223372036854775807})").count(), 18446744073709551615U);
  EXPECT_FALSE(ItemSource::range(Value::parse(R"({"to":1.5})").value()).ok());
  EXPECT_FALSE(ItemSource::range(Value::parse(R"({"to":1,"step":0})").value()).ok());
}

TEST(ItemRanges, KnowWhatTheyHold) {
  ItemRanges some;
  some.add(5, 10);
  some.add(0, 3);
  some.add(3, 5);
  EXPECT_EQ(some.ranges(), (std::map<std::uint32_t, std::uint32_t>{{0, 10}}));
  some.remove(2, 4);
  some.remove(8, 20);
  EXPECT_EQ(some.ranges(), (std::map<std::uint32_t, std::uint32_t>{{0, 2}, {4, 8}}));
  EXPECT_EQ(some.count(), 6U);
  EXPECT_TRUE(some.overlaps(1, 3));
  EXPECT_FALSE(some.overlaps(2, 4));
  EXPECT_TRUE(some.contains(7));
  EXPECT_FALSE(some.contains(8));
  some.add_apart(8, 9);
  EXPECT_EQ(some.ranges().size(), 3U);
}

TEST(Collected, PutsOutputsInOrderWhateverOrderTheyComeIn) {
  Collected all;
  all.add(4, 2, Payload::inline_json("[4,5]"));
  all.add_null(0);
  all.add_nothing(3);
  all.add(1, 2, Payload::reference(Hash128{1, 2}, 5));
  all.add(6, 1, Payload::inline_json("[[6]]"));
  EXPECT_EQ(all.references(), std::vector{(Hash128{1, 2})});
  EXPECT_EQ(all.list([](const Hash128&) { return std::string_view("[1,2]"); }), "[null,1,2,4,5,[6]]");
}

TEST(Pace, SizesChunksSoThatOverheadIsSmallAndEverySlotHasWork) {
  Pace pace;
  EXPECT_EQ(pace.chunk(100'000, 4), 1U) << "nothing is known";
  pace.learn(1, 10us, 500us);
  EXPECT_EQ(pace.chunk(100'000, 4), 950U) << "19 times the overhead";
  EXPECT_EQ(pace.chunk(100, 4), 6U) << "so that each slot still gets four";
  EXPECT_EQ(pace.chunk(1, 4), 1U);
  Pace slow;
  slow.learn(1, 2s, 500us);
  EXPECT_EQ(slow.chunk(100'000, 4), 1U) << "long items travel alone";
}

}  // namespace
}  // namespace millrace
