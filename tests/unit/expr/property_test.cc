// Whatever the text, compiling and evaluating end with a value or an error; and what is built from known pieces means
// what its pieces mean. Seeds are fixed: a failure repeats.
#include <limits>
#include <random>

#include "tests/unit/expr/support.h"

namespace millrace::expr {
namespace {

const Value& roots() {
  static const Value kRoots =
      json(R"({"a": {"b": [1, 2.5, "x", null, {"c": true}], "s": "some text"}, "n": 3, "l": [3, 1, 2], "z": null})");
  return kRoots;
}

class Generator {
 public:
  explicit Generator(std::uint32_t seed) : random_(seed) {}

  std::size_t below(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }
  template <std::size_t N>
  std::string pick(const char* const (&from)[N]) {
    return from[below(N)];
  }

  // Text that compiles more often than not.
  std::string expression(int depth) {
    if (depth == 0) {
      return pick({"1", "0", "-2", "2.5", "'x'", "''", "true", "null", "[]", "{}", "a", "a.b", "a.s", "n", "l", "z",
                   "a.b[-1].c", "18446744073709551615", "'{{'"});
    }
    const auto sub = [&] { return expression(depth - 1); };
    switch (below(12)) {
      case 0: return "(" + sub() + ")";
      case 1: return "[" + sub() + ", " + sub() + "]";
      case 2: return "{'k': " + sub() + "}";
      case 3: return "not " + sub();
      case 4: return "-" + sub();
      case 5: return sub() + " if " + sub() + " else " + sub();
      case 6: return "(" + sub() + ")[" + sub() + "]";
      case 7: return "(" + sub() + ")[" + sub() + ":" + sub() + "]";
      case 8: return "(" + sub() + ") | " + filter_names()[below(filter_names().size())];
      case 9: return "(" + sub() + ") | " + filter_names()[below(filter_names().size())] + "(" + sub() + ")";
      default:
        return sub() +
               pick({" + ", " - ", " * ", " / ", " // ", " % ", " == ", " != ", " < ", " <= ", " > ", " >= ", " in ",
                     " not in ", " and ", " or "}) +
               sub();
    }
  }

  // Tokens thrown together.
  std::string soup() {
    std::string out;
    for (std::size_t i = below(30); i > 0; --i) {
      out += pick({"{{", "}}", "{",  "}", "[",  "]",   "(",    ")",       "'",        "\"",   "\\", "a", "n",   ".",
                   ":",  ",",  "|",  "=", "==", "not", "in",   "if",      "else",     "and",  "or", "1", "1.5", "e9",
                   "-",  "+",  "//", "%", " ",  "\n",  "sort", "default", "\xC3\xA9", "\xFF", "<",  ">", "!"});
    }
    return out;
  }
  std::string bytes() {
    std::string out;
    for (std::size_t i = below(40); i > 0; --i) out += static_cast<char>(below(256));
    return out;
  }

 private:
  std::mt19937 random_;
};

// What must hold of any text: it ends, it repeats, and its result is JSON.
void check(const std::string& text) {
  SCOPED_TRACE(text);
  Limits limits;
  limits.steps_max = 20'000;
  limits.result_max = 200'000;
  const std::string once = render(text, roots(), limits);
  EXPECT_EQ(render(text, roots(), limits), once);
  EXPECT_EQ(eval(text, roots(), limits), eval(text, roots(), limits));
  if (once.rfind("error: ", 0) != 0) {
    Result<Value> read = Value::parse(once);
    ASSERT_TRUE(read.ok()) << once;
    EXPECT_EQ(read->dump(), once);
  }
  if (text.find("{{") == std::string::npos) { EXPECT_EQ(once, Value(text).dump()); }
  Result<TextTemplate> compiled = TextTemplate::compile(text, limits);
  if (compiled.ok()) {
    for (const Reference& reference : compiled->references()) {
      EXPECT_LT(reference.offset, text.size());
      EXPECT_TRUE(!reference.dynamic || reference.head.empty());
    }
  } else {
    ASSERT_EQ(compiled.error().details.size(), 1U);
    EXPECT_GE(compiled.error().details[0].column, 1);
    EXPECT_LE(static_cast<std::size_t>(compiled.error().details[0].column), text.size() + 1);
  }
}

TEST(ExpressionProperty, AnyTextEndsWithAValueOrAnError) {
  Generator random(20'240'601);
  for (int i = 0; i < 5000 && !::testing::Test::HasFailure(); ++i) {
    check("{{ " + random.expression(1 + static_cast<int>(random.below(4))) + " }}");
    check(random.soup());
    check(random.bytes());
  }
}

TEST(ExpressionProperty, MostGeneratedExpressionsCompileAndManyHaveAValue) {
  Generator random(7);
  int compiled = 0;
  int valued = 0;
  for (int i = 0; i < 2000; ++i) {
    Result<Expression> expression = Expression::compile(random.expression(2));
    if (!expression.ok()) continue;
    ++compiled;
    valued += expression->evaluate(ObjectScope(roots())).ok() ? 1 : 0;
  }
  EXPECT_GT(compiled, 1200);
  EXPECT_GT(valued, 400);
}

TEST(ExpressionProperty, ParenthesesAndTemplatesDoNotChangeTheMeaning) {
  Generator random(99);
  for (int i = 0; i < 3000; ++i) {
    const std::string text = random.expression(3);
    Result<Expression> compiled = Expression::compile(text);
    if (!compiled.ok()) continue;
    Result<Value> value = compiled->evaluate(ObjectScope(roots()));
    const std::string wrapped = eval("((" + text + "))", roots());
    const std::string field = render("{{ " + text + " }}", roots());
    EXPECT_EQ(wrapped.rfind("error: ", 0) == 0, !value.ok()) << text;
    EXPECT_EQ(field.rfind("error: ", 0) == 0, !value.ok()) << text;
    if (!value.ok()) continue;
    EXPECT_EQ(wrapped, value->dump()) << text;
    EXPECT_EQ(field, value->dump()) << text;
  }
}

TEST(ExpressionProperty, IntegerArithmeticAgreesWithA128BitMachine) {
  __extension__ typedef __int128 Wide;
  Generator random(5);
  const Wide min = std::numeric_limits<std::int64_t>::min();
  const Wide max = std::numeric_limits<std::uint64_t>::max();
  const auto number = [&]() -> Wide {
    const Wide edges[] = {
        0, 1, -1, 2, min, min + 1, max, max - 1, Wide{1} << 32, -(Wide{1} << 31), (Wide{1} << 63) - 1};
    if (random.below(2) == 0) return edges[random.below(std::size(edges))];
    return static_cast<std::int64_t>(random.below(2'000'000)) - 1'000'000;
  };
  const auto value = [](Wide i) {
    return i < 0 ? Value(static_cast<std::int64_t>(i)) : Value(static_cast<std::uint64_t>(i));
  };
  for (int i = 0; i < 5000; ++i) {
    const Wide a = number();
    const Wide b = number();
    Value scope;
    scope.set("x", value(a));
    scope.set("y", value(b));
    const auto expect = [&](const char* text, Wide exact) {
      const std::string got = eval(text, scope);
      if (exact < min || exact > max) {
        EXPECT_NE(got.find("integer overflow"), std::string::npos) << text << " " << scope.dump();
      } else {
        EXPECT_EQ(got, value(exact).dump()) << text << " " << scope.dump();
      }
    };
    expect("x + y", a + b);
    expect("x - y", a - b);
    if (a < (Wide{1} << 62) && a > -(Wide{1} << 62)) expect("x * y", a * b);
    if (b != 0) {
      const Wide rest = ((a % b) + b) % b;
      expect("x % y", rest);
      expect("x // y", (a - rest) / b);
    }
    EXPECT_EQ(eval("x < y", scope), a < b ? "true" : "false");
    EXPECT_EQ(eval("x == y", scope), a == b ? "true" : "false");
  }
}

}  // namespace
}  // namespace millrace::expr
