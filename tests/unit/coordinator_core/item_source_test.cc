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

TEST(Collected, NamesWhatIsStoredAndStoresWhatHasGrown) {
  std::vector<std::string> stored;
  const auto store = [&](std::string json) {
    stored.push_back(json);
    return hash128(stored.back());
  };
  Collected all;
  all.add(0, 2, Payload::inline_json("[0,1]"));
  all.store_grown(8, store);
  EXPECT_TRUE(stored.empty());
  all.add(2, 2, Payload::inline_json("[2222,3]"));
  all.store_grown(8, store);
  EXPECT_EQ(stored, std::vector<std::string>{"[0,1,2222,3]"});
  all.add_nothing(4);
  all.add_null(5);
  all.add_one(6, Payload::reference(Hash128{6, 6}, 100));
  all.add(7, 3, Payload::reference(Hash128{7, 7}, 300));
  const Composed list = all.composed(store);
  EXPECT_EQ(list.count, 4U + 1 + 1 + 3);
  ASSERT_EQ(list.pieces.size(), 4U);
  EXPECT_EQ(list.pieces[0].hash, hash128("[0,1,2222,3]"));
  EXPECT_EQ(list.pieces[1].text, "null");
  EXPECT_EQ(list.pieces[2].kind, Piece::Kind::kItem);
  EXPECT_EQ(list.pieces[3].count, 3U);
  EXPECT_EQ(stored.size(), 1U) << "what was stored is not stored again";
  EXPECT_EQ(all.list([&](const Hash128& hash) -> std::string_view {
    return hash == hash128(stored[0]) ? std::string_view(stored[0]) : hash == Hash128{6, 6} ? "{}" : "[7,8,9]";
  }),
            "[0,1,2222,3,null,{},7,8,9]");
}

TEST(ItemSource, GoesOverAListReferencePieceByPiece) {
  Composed list;
  list.add({Piece::Kind::kText, "[0],1", {}, 2, 5});
  list.add({Piece::Kind::kItems, "", Hash128{1, 1}, 100, 300});
  list.add({Piece::Kind::kItem, "", Hash128{2, 2}, 1, 9});
  ItemSource source = ItemSource::of(list);
  EXPECT_EQ(source.count(), 103U);
  std::uint32_t taken = 0;
  EXPECT_EQ(source.slice(0, 10, 1000, taken), "[[0],1]") << "to the end of the piece";
  EXPECT_EQ(taken, 2U);
  EXPECT_TRUE(source.has(1));
  EXPECT_FALSE(source.has(2));
  std::string hundred = "[";
  for (int i = 0; i < 100; ++i) hundred += (i == 0 ? "" : ",") + std::to_string(1000 + i);
  const auto text = [](std::string json) { return std::make_shared<const std::string>(std::move(json)); };
  EXPECT_FALSE(source.give(1, text(hundred + ",7]"))) << "one too many";
  EXPECT_FALSE(source.give(1, text("[1]")));
  EXPECT_TRUE(source.give(1, text(hundred + "]")));
  EXPECT_TRUE(source.give(2, text("[1]")));
  EXPECT_EQ(source.slice(2, 2, 1000, taken), "[1000,1001]");
  EXPECT_EQ(source.slice(100, 10, 1000, taken), "[1098,1099]");
  EXPECT_EQ(source.slice(102, 10, 1000, taken), "[[1]]");
  source.forget_but([](std::uint32_t first, std::uint32_t end) { return first <= 102 && 102 < end; });
  EXPECT_FALSE(source.has(100));
  EXPECT_TRUE(source.has(102));
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
