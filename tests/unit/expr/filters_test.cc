// Filters: corners that the page of examples leaves out, and that all of them are total.
#include <algorithm>

#include "tests/unit/expr/support.h"

namespace millrace::expr {
namespace {

const Value& roots() {
  static const Value kRoots = json(R"({
    "null": 0, "people": [{"n": "b", "a": 2, "t": ["x"]}, {"n": "a", "a": 1, "t": ["y", "z"]}, {"n": "c", "a": 2}], "z": null
  })");
  return kRoots;
}
std::string eval(std::string_view text) { return expr::eval(text, roots()); }

TEST(Filters, EveryFilterIsTotalOverEveryKindOfSubjectAndArgument) {
  const char* const values[] = {"null",    "true", "0",   "-5",         "18446744073709551615", "2.5", "''",
                                "' Text'", "[]",   "[1]", "['a', 'b']", "[[1], null, {}]",      "{}",  "{'k': [1]}"};
  const char* const arguments[] = {"",      "(null)", "(1)",        "(-1)",      "('a')",      "('')",
                                   "([1])", "({})",   "('a', 'b')", "(1, true)", "(1.5, 'a')", "('k', 1)"};
  int compiled_calls = 0;
  int values_given = 0;
  for (const std::string& filter : filter_names()) {
    for (const char* value : values) {
      for (const char* argument : arguments) {
        const std::string text = std::string(value) + " | " + filter + argument;
        Result<Expression> compiled = Expression::compile(text);
        if (!compiled.ok()) continue;
        ++compiled_calls;
        Result<Value> result = compiled->evaluate(ObjectScope(roots()));
        if (result.ok()) {
          ++values_given;
          const std::string dumped = result->dump();
          EXPECT_EQ(json(dumped).dump(), dumped) << text;
        } else {
          EXPECT_NE(result.error().what.find("`" + text + "`: "), std::string::npos) << result.error().what;
          EXPECT_NE(result.error().what.find("`" + filter + "`"), std::string::npos) << text;
        }
      }
    }
  }
  EXPECT_GT(compiled_calls, 1500);
  EXPECT_GT(values_given, 300);
}

TEST(Filters, AFilterNamesWhatItExpectedAndWhatItGot) {
  EXPECT_EQ(eval("1 | lower"), "error: `1 | lower`: `lower` expected a string, got an integer");
  EXPECT_EQ(eval("z | keys"), "error: `z | keys`: `keys` expected an object, got null; `| default(...)` replaces null");
  EXPECT_EQ(eval("[1, 'a'] | sum"), "error: `[1, 'a'] | sum`: `sum` expected numbers only, got a string");
  EXPECT_EQ(eval("[[], 1] | max"), "error: `[[], 1] | max`: `max` expected all numbers or all strings, got an array");
  EXPECT_EQ(eval("'a' | startswith(1)"),
            "error: `'a' | startswith(1)`: argument `prefix` of `startswith` expected a string, got an integer");
  EXPECT_EQ(eval("[1] | first | upper | lower"),
            "error: `[1] | first | upper`: `upper` expected a string, got an integer");
  EXPECT_EQ(eval("[1] | map('x')"),
            "error: `[1] | map('x')`: `map`: an element is an integer and has no element to index with a string");
}

TEST(Filters, SortIsStableAndReverseKeepsEqualOnesInTheirOrder) {
  EXPECT_EQ(eval("people | sort('a') | map('n')"), R"(["a","b","c"])");
  EXPECT_EQ(eval("people | sort('a', true) | map('n')"), R"(["b","c","a"])");
  EXPECT_EQ(eval("people | sort(reverse=true, attribute='n') | map('n')"), R"(["c","b","a"])");
  EXPECT_EQ(eval("[2, 1.5, 18446744073709551615, -1] | sort"), "[-1,1.5,2,18446744073709551615]");
  EXPECT_EQ(eval("['b', 'B', '', 'a'] | sort"), R"(["","B","a","b"])");
  EXPECT_EQ(eval("[] | sort"), "[]");

  Value many;  // enough of them that an unstable sort would show
  for (int i = 0; i < 300; ++i) many.push_back(Value(Value::Object{{"key", Value(i % 2)}, {"i", Value(i)}}));
  Value scope;
  scope.set("many", many);
  EXPECT_EQ(expr::eval("(many | sort('key') | map('i'))[:150] | sort == (many | sort('key') | map('i'))[:150]", scope),
            "true");
  EXPECT_EQ(expr::eval("(many | sort('key', true) | map('i'))[:3]", scope), "[1,3,5]");
}

TEST(Filters, MapFollowsADottedPath) {
  EXPECT_EQ(eval("people | map('t.0')"), R"(["x","y",null])");
  EXPECT_EQ(eval("people | map('t.5')"), "[null,null,null]");
  EXPECT_EQ(eval("people | map('')"), "[null,null,null]");
  EXPECT_EQ(eval("[{'a': {'b': {'c': 1}}}] | map('a.b.c')"), "[1]");
}

TEST(Filters, UniqueGoesByEquality) {
  EXPECT_EQ(eval("[1, 1.0, true, '1', null, null, [1], [1.0], {'a': 1, 'b': 2}, {'b': 2, 'a': 1}] | unique"),
            R"([1,true,"1",null,[1],{"a":1,"b":2}])");
  EXPECT_EQ(eval("[0.0, -0.0, 0] | unique"), "[0.0]");
  EXPECT_EQ(eval("[9007199254740993, 9007199254740992, 9007199254740992.0] | unique"),
            "[9007199254740993,9007199254740992]");
}

TEST(Filters, RoundingIsThatOfPython) {
  EXPECT_EQ(eval("[0.5 | round, 1.5 | round, 2.5 | round, -0.5 | round, -1.5 | round]"), "[0,2,2,0,-2]");
  EXPECT_EQ(eval("2.675 | round(2)"), "2.67");
  EXPECT_EQ(eval("1e300 | round(3)"), "1e+300");
  EXPECT_EQ(eval("7 | round(2)"), "7");
  EXPECT_EQ(eval("2.7 | round(0)"), "3.0");
  EXPECT_EQ(eval("[2.9 | int, -2.9 | int, 0.9 | int]"), "[2,-2,0]");
}

TEST(Filters, ConversionsTakeWhatIsClearAndNothingElse) {
  EXPECT_EQ(eval("[true | int, '+7' | int, ' -7\\n' | int, '1e3' | float, '+.5' | float, false | float]"),
            "[1,7,-7,1000.0,0.5,0.0]");
  EXPECT_EQ(eval("['TRUE' | bool, ' on ' | bool, '' | bool, 'Off' | bool, 2 | bool, z | bool]"),
            "[true,true,false,false,true,false]");
  for (const char* text :
       {"'' | int", "'+' | int", "'+-1' | int", "'1 2' | int", "'0x10' | int", "'nan' | float", "'inf' | float",
        "'1e999' | float", "'' | float", "'1,5' | float", "'truely' | bool", "[] | int", "z | float"}) {
    EXPECT_EQ(eval(text).substr(0, 6), "error:") << text;
  }
}

TEST(Filters, TextIsSplitReplacedAndCased) {
  EXPECT_EQ(eval("'' | split(',')"), R"([""])");
  EXPECT_EQ(eval("'' | split"), "[]");
  EXPECT_EQ(eval("'  ' | split"), "[]");
  EXPECT_EQ(eval("'a--b--' | split('--')"), R"(["a","b",""])");
  EXPECT_EQ(eval("'aaa' | replace('aa', 'b')"), "\"ba\"");
  EXPECT_EQ(eval("'abc' | replace('b', '')"), "\"ac\"");
  EXPECT_EQ(eval("'x' | replace('', 'y')").substr(0, 6), "error:");
  EXPECT_EQ(eval("'x' | split('')").substr(0, 6), "error:");
  EXPECT_EQ(eval("'ÉA z1b-c' | lower"), "\"Éa z1b-c\"");
  EXPECT_EQ(eval("'élan vital 2nd' | title"), "\"élan Vital 2nd\"");
  EXPECT_EQ(eval("'' | capitalize"), "\"\"");
  EXPECT_EQ(eval("' \\t\\n' | trim"), "\"\"");
}

TEST(Filters, RangesEndBeforeTheirEnd) {
  EXPECT_EQ(eval("0 | range"), "[]");
  EXPECT_EQ(eval("-3 | range"), "[]");
  EXPECT_EQ(eval("-2 | range(1)"), "[-2,-1,0]");
  EXPECT_EQ(eval("5 | range(1)"), "[]");
  EXPECT_EQ(eval("-9223372036854775808 | range(9223372036854775807)").substr(0, 6), "error:");
}

TEST(Filters, JsonRoundTrips) {
  EXPECT_EQ(eval("people | tojson | fromjson == people"), "true");
  EXPECT_EQ(eval("{'a': [1]} | tojson(2)"), R"("{\n  \"a\": [\n    1\n  ]\n}")");
  EXPECT_EQ(eval("'1' | tojson(9)").substr(0, 6), "error:");
  EXPECT_EQ(eval("'18446744073709551616' | fromjson").substr(0, 6), "error:");
}

TEST(Filters, NamesAreListedInOrder) {
  const auto& names = filter_names();
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_GE(names.size(), 39U);
}

}  // namespace
}  // namespace millrace::expr
