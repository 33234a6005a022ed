// Value: parsing, printing and comparing JSON.
#include "common/base/value.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

namespace millrace {
namespace {

std::string again(std::string_view json) {
  Result<Value> value = Value::parse(json);
  return value.ok() ? value->dump() : "error: " + value.error().what;
}
Value parsed(std::string_view json) {
  Result<Value> value = Value::parse(json);
  EXPECT_TRUE(value.ok()) << json;
  return value.ok() ? value.value() : Value();
}
std::string nested(int levels) { return std::string(levels, '[') + std::string(levels, ']'); }

TEST(Value, WhatIsParsedIsPrintedAsItWas) {
  for (const char* json : {"null", "true", "false", "0", "-1", "9223372036854775807", "-9223372036854775808",
                           "9223372036854775808", "18446744073709551615", "1.0", "-0.5", "1e+300", "\"\"", "\"text\"",
                           "[]", "{}", R"({"b":1,"a":[true,null,{"c":"d"}]})", R"("\"\\\n\t\r\b\f\u0001é😀")"}) {
    EXPECT_EQ(again(json), json);
  }
}

TEST(Value, ParsingForgivesSpaceAndKeepsTheOrderOfKeys) {
  EXPECT_EQ(again(" { \"z\" : 1 ,\n\"a\" : [ 1 , 2 ] } "), R"({"z":1,"a":[1,2]})");
  EXPECT_EQ(again(R"("\u00e9\ud83d\ude00\/")"), "\"é😀/\"");
  EXPECT_EQ(again("1E2"), "100.0");
  EXPECT_EQ(again("-0"), "0");
}

TEST(Value, ARepeatedKeyKeepsItsFirstPlaceAndItsLastValue) {
  EXPECT_EQ(again(R"({"a":1,"b":2,"a":3})"), R"({"a":3,"b":2})");
  std::string many = "{";  // enough members for the index of keys
  for (int i = 0; i < 40; ++i) many += "\"k" + std::to_string(i % 20) + "\":" + std::to_string(i) + ",";
  many.back() = '}';
  const Value value = parsed(many);
  ASSERT_EQ(value.as_object().size(), 20U);
  EXPECT_EQ(value.as_object()[0].first, "k0");
  EXPECT_EQ(value.find("k0")->as_int(), 20);
  EXPECT_EQ(value.find("k19")->as_int(), 39);
}

TEST(Value, WhatIsNotJsonIsRefusedWithAReason) {
  for (const char* text : {"", " ", "{", "[1,]", "{\"a\":}", "{a:1}", "'x'", "nul", "1 2", "\"\n\"", "\"\xFF\"", "01",
                           "+1", "NaN", "Infinity", "\"\\ud800\""}) {
    Result<Value> value = Value::parse(text);
    ASSERT_FALSE(value.ok()) << text;
    EXPECT_EQ(value.error().code, Code::kInvalid) << text;
    EXPECT_FALSE(value.error().what.empty());
  }
}

TEST(Value, NumbersOutOfRangeAreRefused) {
  for (const char* text :
       {"18446744073709551616", "-9223372036854775809", "1e400", "-1e400", "123456789012345678901234567890"}) {
    Result<Value> value = Value::parse(text);
    ASSERT_FALSE(value.ok()) << text;
    EXPECT_EQ(value.error().code, Code::kInvalid);
  }
}

TEST(Value, NestingIsBounded) {
  EXPECT_TRUE(Value::parse(nested(Value::kDepthMax)).ok());
  Result<Value> deep = Value::parse(nested(Value::kDepthMax + 1));
  ASSERT_FALSE(deep.ok());
  EXPECT_EQ(deep.error().what, "JSON is nested deeper than 200 levels");
  EXPECT_FALSE(Value::parse(nested(100'000)).ok());
  EXPECT_EQ(again("[1]"), "[1]");  // and the parser is none the worse for it
}

TEST(Value, ALargeDocumentAfterASmallOneIsRead) {
  std::string big = "[";
  for (int i = 0; i < 100'000; ++i) big += std::to_string(i) + ",";
  big.back() = ']';
  EXPECT_EQ(parsed("[1]").as_array().size(), 1U);
  EXPECT_EQ(parsed(big).as_array().size(), 100'000U);
  EXPECT_EQ(again(big), big);
}

TEST(Value, IntegersKeepTheirKind) {
  EXPECT_TRUE(Value(1).is_int());
  EXPECT_TRUE(Value(std::uint64_t{1}).is_int());
  EXPECT_TRUE(Value(std::uint64_t{1} << 63).is_uint());
  EXPECT_FALSE(Value(std::uint64_t{1} << 63).is_int());
  EXPECT_TRUE(parsed("9223372036854775807").is_int());
  EXPECT_TRUE(parsed("9223372036854775808").is_uint());
  EXPECT_TRUE(parsed("1.0").is_double());
  EXPECT_EQ(Value(std::numeric_limits<std::uint64_t>::max()).to_double(), 18446744073709551616.0);
  EXPECT_EQ(Value(-3).to_double(), -3.0);
}

TEST(Value, NumbersAreEqualByValue) {
  EXPECT_EQ(Value(1), Value(1.0));
  EXPECT_EQ(Value(1.0), Value(1));
  EXPECT_NE(Value(1), Value(1.5));
  EXPECT_NE(Value(1), Value("1"));
  EXPECT_NE(Value(1), Value(true));
  EXPECT_NE(Value(0), Value());
  EXPECT_EQ(Value(0.0), Value(-0.0));
  EXPECT_NE(parsed("9007199254740993"), Value(9007199254740992.0));
  EXPECT_EQ(parsed("9223372036854775808"), Value(9223372036854775808.0));
  EXPECT_NE(parsed("9223372036854775807"), Value(9223372036854775808.0));
  EXPECT_NE(parsed("18446744073709551615"), Value(18446744073709551616.0));
  EXPECT_NE(parsed("-1"), parsed("18446744073709551615"));
  EXPECT_NE(Value(-1.0), parsed("18446744073709551615"));
}

TEST(Value, ObjectsAreEqualInAnyOrderAndArraysAreNot) {
  EXPECT_EQ(parsed(R"({"a":1,"b":[2]})"), parsed(R"({"b":[2.0],"a":1})"));
  EXPECT_NE(parsed(R"({"a":1})"), parsed(R"({"a":1,"b":2})"));
  EXPECT_NE(parsed(R"({"a":1,"b":2})"), parsed(R"({"a":1,"c":2})"));
  EXPECT_NE(parsed(R"({"a":1})"), parsed(R"({"a":2})"));
  EXPECT_NE(parsed("[1,2]"), parsed("[2,1]"));
  EXPECT_NE(parsed("[1]"), parsed("[1,1]"));
}

TEST(Value, MembersAreFoundSetAndAppended) {
  Value value;
  value.set("a", 1);
  value.set("b", "x");
  value.set("a", 2);
  EXPECT_EQ(value.dump(), R"({"a":2,"b":"x"})");
  EXPECT_EQ(value.find("b")->as_string(), "x");
  EXPECT_EQ(value.find("c"), nullptr);
  EXPECT_EQ(Value(1).find("a"), nullptr);
  Value list;
  list.push_back(1);
  list.push_back(nullptr);
  EXPECT_EQ(list.dump(), "[1,null]");
}

TEST(Value, KindsHaveTheNamesThatUsersWrite) {
  const Value values[] = {Value(),
                          Value(true),
                          Value(1),
                          Value(std::uint64_t{1} << 63),
                          Value(1.0),
                          Value("x"),
                          Value(Value::Array{}),
                          Value(Value::Object{})};
  const char* const names[] = {"null", "boolean", "integer", "integer", "number", "string", "array", "object"};
  for (std::size_t i = 0; i < std::size(values); ++i) EXPECT_STREQ(values[i].kind_name(), names[i]);
}

TEST(Value, FloatsPrintShortAndAlwaysAsFloats) {
  EXPECT_EQ(Value(1.0).dump(), "1.0");
  EXPECT_EQ(Value(0.1).dump(), "0.1");
  EXPECT_EQ(Value(-0.0).dump(), "-0.0");
  EXPECT_EQ(Value(1e22).dump(), "1e+22");
  EXPECT_EQ(Value(123456789.0).dump(), "123456789.0");
}

TEST(Value, RandomFloatsSurviveTheRoundTrip) {
  std::mt19937_64 random(11);
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t bits = random();
    double d = 0;
    static_assert(sizeof d == sizeof bits);
    std::memcpy(&d, &bits, sizeof d);
    if (!std::isfinite(d)) continue;
    const Value back = parsed(Value(d).dump());
    ASSERT_TRUE(back.is_double()) << Value(d).dump();
    ASSERT_EQ(back.as_double(), d);
  }
}

TEST(Value, RandomTreesSurviveTheRoundTrip) {
  std::mt19937 random(12);
  const auto below = [&](unsigned n) { return random() % n; };
  const auto tree = [&](auto& self, int depth) -> Value {
    switch (below(depth > 0 ? 8 : 6)) {
      case 0: return nullptr;
      case 1: return below(2) == 0;
      case 2: return static_cast<std::int64_t>(random()) - 1'000'000'000;
      case 3: return (std::uint64_t{random()} << 32) | random();
      case 4: return static_cast<double>(random()) / 7;
      case 5: {
        std::string text;
        for (unsigned i = below(8); i > 0; --i) text += static_cast<char>(below(128));
        return text;
      }
      case 6: {
        Value::Array items;
        for (unsigned i = below(5); i > 0; --i) items.push_back(self(self, depth - 1));
        return items;
      }
      default: {
        Value::Object members;
        for (unsigned i = below(30); i > 0; --i) members.emplace_back("k" + std::to_string(i), self(self, depth - 1));
        return members;
      }
    }
  };
  for (int i = 0; i < 1000; ++i) {
    const Value value = tree(tree, 4);
    const Value back = parsed(value.dump());
    ASSERT_EQ(back, value);
    ASSERT_EQ(back.dump(), value.dump());
    ASSERT_EQ(parsed(value.dump_pretty()).dump(), value.dump());
  }
}

TEST(Value, PrettyPrintingIndentsWhatIsNotEmpty) {
  EXPECT_EQ(parsed(R"({"a":[1,{}],"b":{},"c":[]})").dump_pretty(),
            "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": {},\n  \"c\": []\n}");
  EXPECT_EQ(Value(1).dump_pretty(), "1");
}

TEST(Value, BytesThatAreNotUtf8BecomeReplacementCharacters) {
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(to_valid_utf8("plain é€😀"), "plain é€😀");
  EXPECT_EQ(to_valid_utf8("a\xFFz"), "a" + bad + "z");
  EXPECT_EQ(to_valid_utf8("\xC3"), bad);                                // cut short
  EXPECT_EQ(to_valid_utf8("\xC0\xAF"), bad + bad);                      // overlong
  EXPECT_EQ(to_valid_utf8("\xE0\x80\xAF"), bad + bad + bad);            // overlong
  EXPECT_EQ(to_valid_utf8("\xED\xA0\x80"), bad + bad + bad);            // surrogate
  EXPECT_EQ(to_valid_utf8("\xF4\x90\x80\x80"), bad + bad + bad + bad);  // beyond the last code point
  EXPECT_EQ(to_valid_utf8("\xF4\x8F\xBF\xBF"), "\xF4\x8F\xBF\xBF");
  EXPECT_EQ(Value("a\xFF").dump(), "\"a" + bad + "\"");
  EXPECT_TRUE(Value::parse(Value("\xF0\x9F\x98 \x80").dump()).ok());
}

}  // namespace
}  // namespace millrace
