#include "common/model/composed.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace millrace {
namespace {

struct Store {
  std::map<Hash128, std::string> texts;
  Hash128 put(const std::string& text) { return texts[hash128(text)] = text, hash128(text); }
  StoredText find() const {
    return [this](const Hash128& hash) {
      const auto found = texts.find(hash);
      return found == texts.end() ? nullptr : &found->second;
    };
  }
};

Piece text(std::string elements, std::uint32_t count) {
  const std::uint64_t bytes = elements.size();
  return {Piece::Kind::kText, std::move(elements), {}, count, bytes};
}
Piece named(Piece::Kind kind, const Hash128& hash, std::uint32_t count, std::uint64_t bytes) {
  return {kind, "", hash, count, bytes};
}

Composed list_of(Store& store) {
  Composed list;
  list.add(named(Piece::Kind::kItems, store.put("[0, [1], 2]"), 3, 11));
  list.add(text("[3],null", 2));
  list.add(named(Piece::Kind::kItem, store.put(R"({"five":5})"), 1, 10));
  list.failed = 1;
  return list;
}

TEST(Composed, IsReadAsItWasStored) {
  Store store;
  const Composed list = list_of(store);
  EXPECT_TRUE(is_composed(list.store()));
  EXPECT_FALSE(is_composed(R"("#millrace list 1")")) << "a text of a user";
  const Result<Composed> read = Composed::parse(list.store());
  ASSERT_TRUE(read.ok()) << read.error().what;
  EXPECT_EQ(*read, list);
  EXPECT_EQ(read->count, 6U);
  EXPECT_FALSE(Value::parse(list.store()).ok()) << "who does not know of it takes it for no value";
}

TEST(Composed, ListsArePutTogetherFromWhatIsThere) {
  Store store;
  const std::string stored = list_of(store).store();
  const Whole whole = whole_of(stored, store.find(), 1000);
  EXPECT_EQ(whole.json, R"([0, [1], 2,[3],null,{"five":5}])");
  EXPECT_TRUE(whole.missing.empty());
  EXPECT_EQ(whole.problem, "");

  const Hash128 first = hash128("[0, [1], 2]");
  store.texts.erase(first);
  EXPECT_EQ(whole_of(stored, store.find(), 1000).missing, std::vector{first});
  EXPECT_NE(whole_of(stored, store.find(), 20).problem.find("at most 20"), std::string::npos);
  EXPECT_EQ(whole_of("[1]", store.find(), 1).json, "[1]") << "any value is its own whole";
}

TEST(Composed, ObjectsHoldListsAndListsHoldNone) {
  Store store;
  const Hash128 list = store.put(list_of(store).store());
  Composed object;
  object.list = false;
  object.add(text(R"({"rows":)", 0));
  object.add(named(Piece::Kind::kValue, list, 0, 40));
  object.add(text("}", 0));
  ASSERT_TRUE(Composed::parse(object.store()).ok());
  const Whole whole = whole_of(object.store(), store.find(), 1000);
  EXPECT_EQ(whole.json, R"({"rows":[0, [1], 2,[3],null,{"five":5}]})");

  Composed nested;
  nested.add(named(Piece::Kind::kItem, list, 1, 40));
  EXPECT_NE(whole_of(nested.store(), store.find(), 1000).problem, "");
  Composed deep;
  deep.list = false;
  deep.add(named(Piece::Kind::kValue, store.put(object.store()), 0, 40));
  EXPECT_NE(whole_of(deep.store(), store.find(), 1000).problem, "");
}

TEST(ListReader, ReadsElementsAndAsksForTheirPiecesAlone) {
  Store store;
  std::vector<Hash128> asked;
  ListReader reader(*Composed::parse(list_of(store).store()), [&](const Hash128& hash) {
    asked.push_back(hash);
    return store.find()(hash);
  });
  EXPECT_EQ(reader.count(), 6U);
  EXPECT_EQ(reader.element(1)->dump(), "[1]");
  EXPECT_EQ(asked.size(), 1U);
  EXPECT_EQ(reader.element(3)->dump(), "[3]") << "the first of a text is an array itself";
  EXPECT_EQ(reader.element(4)->dump(), "null");
  EXPECT_EQ(asked.size(), 1U) << "texts are here";
  store.texts.clear();
  EXPECT_EQ(reader.element(5), nullptr);
  store.put(R"({"five":5})");
  EXPECT_EQ(reader.element(5)->dump(), R"({"five":5})");
  EXPECT_EQ(reader.element(1)->dump(), "[1]") << "it was read before";
  store.texts[hash128("[0, [1], 2]")] = "[0]";
  EXPECT_EQ(reader.problem(), "");
  EXPECT_TRUE(reader.element(2)->is_null());
  EXPECT_NE(reader.problem(), "");
}

TEST(Composed, WhatCouldNotHaveBeenStoredIsRefused) {
  Store store;
  const std::string good = list_of(store).store();
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string bad = good;
    const std::size_t at = bad.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return Composed::parse(bad.replace(at, from.size(), to)).ok();
  };
  EXPECT_FALSE(with("list 1", "list 2"));
  EXPECT_FALSE(with("list 1", "value 1")) << "pieces of a list in no list";
  EXPECT_FALSE(with("\"count\":6", "\"count\":7"));
  EXPECT_FALSE(with("\"failed\":1", "\"failed\":-1"));
  EXPECT_FALSE(with("[3],null", "[3],nul"));
  EXPECT_FALSE(with("[3],null", "3],[nul")) << "not elements";
  EXPECT_FALSE(with("\"items\"", "\"other\""));
  EXPECT_FALSE(with("\"item\"", "\"value\""));
  EXPECT_FALSE(with(to_string(hash128("[0, [1], 2]")), "0"));
  EXPECT_FALSE(with(",3,11]", ",3]"));
  EXPECT_FALSE(Composed::parse("#millrace list 1\n").ok());
  EXPECT_FALSE(Composed::parse("#millrace ").ok());
  EXPECT_FALSE(Composed::parse("[]").ok());
}

}  // namespace
}  // namespace millrace
