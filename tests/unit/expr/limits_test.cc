// Nothing is unbounded: text, nesting, steps and bytes each have a limit, and reaching one is a clean error.
#include <algorithm>
#include <chrono>

#include "tests/unit/expr/support.h"

namespace millrace::expr {
namespace {

std::string repeat(std::string_view part, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += part;
  return out;
}

const Value kNothing = Value(Value::Object{});

TEST(ExpressionLimits, NestingOfAnyKindIsBounded) {
  const int deep = 10'000;
  const std::string nested[] = {
      repeat("(", deep) + "1" + repeat(")", deep),
      repeat("[", deep) + repeat("]", deep),
      repeat("{'a':", deep) + "1" + repeat("}", deep),
      repeat("-", deep) + "1",
      repeat("not ", deep) + "1",
      repeat("1 if 1 else ", 5000) + "1",
      "a" + repeat("[a", deep) + repeat("]", deep),
      "a" + repeat("|default(a", 5000) + repeat(")", 5000),
      repeat("(", deep),
  };
  for (const std::string& text : nested) {
    const std::string got = eval(text, kNothing);
    EXPECT_NE(got.find("the expression is nested too deeply"), std::string::npos) << text.substr(0, 20) << ": " << got;
    EXPECT_NE(got.find("at most 64 levels"), std::string::npos) << got;
  }
  EXPECT_EQ(eval(repeat("(", 63) + "1" + repeat(")", 63), kNothing), "1");
}

TEST(ExpressionLimits, LongChainsAreNotNesting) {
  EXPECT_EQ(eval("0" + repeat(" + 1", 10'000), kNothing), "10000");
  EXPECT_EQ(eval("0" + repeat(" or 0", 10'000), kNothing), "0");
  EXPECT_EQ(eval("1" + repeat(" and 1", 10'000), kNothing), "1");
  EXPECT_EQ(eval("1" + repeat(" < 2 > 1", 5'000), kNothing), "true");
  EXPECT_EQ(eval("null" + repeat(".x", 20'000), kNothing), "null");
  EXPECT_EQ(eval("1" + repeat("|abs", 10'000), kNothing), "1");
}

TEST(ExpressionLimits, TextOfAnExpressionIsBoundedPlainTextIsNot) {
  Limits limits;
  limits.text_max = 10;
  EXPECT_EQ(eval("123456789", kNothing, limits), "123456789");
  EXPECT_EQ(eval("12345678901", kNothing, limits),
            "error: the text is too long for an expression at column 1; expected at most 10 bytes");
  EXPECT_EQ(render("plain text of any length", kNothing, limits), "\"plain text of any length\"");
  EXPECT_EQ(render("{{ 1 }}    ", kNothing, limits).substr(0, 29), "error: the text is too long f");
}

TEST(ExpressionLimits, StepsAreCountedForEveryElementTouched) {
  Limits limits;
  limits.steps_max = 1000;
  const Value roots = json("{\"l\": " + eval("400 | range", kNothing) + "}");
  EXPECT_EQ(eval("l | sum", roots, limits), "79800");
  for (const char* text :
       {"2000 | range", "[l | sum, l | sum, l | sum]", "l | sort | first", "[l | unique, l | unique]",
        "l == l and l == l and l == l", "[399 in l, 399 in l, 399 in l]", "[l | map('x'), l | map('y'), l]"}) {
    Result<Expression> compiled = Expression::compile(text);
    ASSERT_TRUE(compiled.ok()) << text;
    Result<Value> value = compiled->evaluate(ObjectScope(roots), limits);
    if (std::string_view(text).find("map") != std::string_view::npos) {
      EXPECT_FALSE(value.ok()) << text;
      continue;
    }
    ASSERT_FALSE(value.ok()) << text;
    EXPECT_EQ(value.error().name, "steps_max") << text << ": " << value.error().what;
    EXPECT_EQ(value.error().code, Code::kFailed);
  }
}

TEST(ExpressionLimits, BytesAreCountedForEveryStringAndContainerBuilt) {
  Limits limits;
  limits.result_max = 10'000;
  const Value roots = json("{\"s\": \"" + std::string(4000, 'x') + "\", \"l\": " + eval("100 | range", kNothing) + "}");
  EXPECT_EQ(eval("s + s | length", roots, limits).substr(0, 6), "error:");
  EXPECT_EQ(eval("(s + s) | length", roots, limits), "8000");
  for (const char* text :
       {"s + s + s", "[s, s, s]", "{'a': s, 'b': s, 'c': s}", "s | replace('x', 'xxx')", "s | split('x')",
        "[s, s, s] | join", "[s | upper, s | lower, s]", "l + l + l", "l | reverse + l | reverse + l",
        "[l, l, l] | tojson", "300 | range", "s[1:] + s[1:] + s[1:]", "[s | tojson, s | tojson]"}) {
    Result<Expression> compiled = Expression::compile(text);
    ASSERT_TRUE(compiled.ok()) << text;
    Result<Value> value = compiled->evaluate(ObjectScope(roots), limits);
    ASSERT_FALSE(value.ok()) << text;
    EXPECT_EQ(value.error().name, "result_max") << text << ": " << value.error().what;
  }
  EXPECT_EQ(render("{{ s }}{{ s }}{{ s }}", roots, limits), "error: `s`: the evaluation builds more than 10000 bytes");
}

TEST(ExpressionLimits, ABorrowedValueCostsNothingUntilItIsTheResult) {
  Limits limits;
  limits.result_max = 1000;
  const Value roots = json("{\"s\": \"" + std::string(4000, 'x') + "\"}");
  EXPECT_EQ(eval("s | length", roots, limits), "4000");
  EXPECT_EQ(eval("[] or s == s", roots, limits), "true");
  EXPECT_EQ(eval("s", roots, limits), "error: `s`: the evaluation builds more than 1000 bytes");
}

TEST(ExpressionLimits, AResultIsNeverDeeperThanJsonMayBe) {
  const auto nested = [](int levels) { return json(repeat("[", levels) + repeat("]", levels)); };
  const Value roots = Value(Value::Object{{"x", nested(190)}});
  EXPECT_EQ(eval(repeat("[", 10) + "x" + repeat("]", 10), roots), nested(200).dump());
  EXPECT_NE(eval(repeat("[", 11) + "x" + repeat("]", 11), roots).find("nested deeper than 200 levels"),
            std::string::npos);

  Result<Template> compiled = Template::compile(json(repeat("[", 11) + "\"{{ x }}\"" + repeat("]", 11)));
  ASSERT_TRUE(compiled.ok());
  EXPECT_EQ(show(compiled->render(ObjectScope(roots))), "error: the result is nested deeper than 200 levels");

  Value too_deep = nested(199);
  for (int i = 0; i < 2; ++i) too_deep = Value(Value::Array{std::move(too_deep)});
  EXPECT_FALSE(Template::compile(too_deep).ok());
}

TEST(ExpressionLimits, ABombEndsSoon) {
  const auto begin = std::chrono::steady_clock::now();
  Value big = Value(Value::Object{});
  for (int i = 0; i < 20'000; ++i) big.as_object().emplace_back("key" + std::to_string(i), Value(i));
  Value backwards = big;
  std::reverse(backwards.as_object().begin(), backwards.as_object().end());
  Value::Object members{{"a", big}, {"b", backwards}, {"s", Value(std::string(1'000'000, 'a'))}};
  const Value roots = Value(std::move(members));

  EXPECT_EQ(eval("a == b", roots), "true");
  EXPECT_NE(eval("1" + repeat(" and a == b", 4000), roots).find("steps"), std::string::npos);
  EXPECT_NE(eval("not 1" + repeat(" or 'b' in s", 5000), roots).find("steps"), std::string::npos);
  EXPECT_EQ(eval("s[:500000] + 'b' in s", roots), "false");
  EXPECT_NE(eval("1000000000000 | range", roots).find("steps"), std::string::npos);
  EXPECT_NE(eval("'a'" + repeat(" | replace('a', 'aaaaaaaaaa')", 50), roots).find("evaluation"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

}  // namespace
}  // namespace millrace::expr
