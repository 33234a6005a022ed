// Expressions: what docs/expressions.md does not show by example.
#include <thread>

#include "tests/unit/expr/support.h"

namespace millrace::expr {
namespace {

const Value& roots() {
  static const Value kRoots = json(R"({
    "a": {"n": 1, "s": "text", "f": 2.5, "t": true, "z": null, "list": [10, 20, 30], "o": {"k": {"deep": 1}}},
    "item": 7, "list": [[1, 2], [3]], "word": "hello", "nothing": null
  })");
  return kRoots;
}
std::string eval(std::string_view text) { return expr::eval(text, roots()); }

struct Case {
  const char* text;
  const char* result;
};
void expect_all(std::initializer_list<Case> cases) {
  for (const Case& c : cases) EXPECT_EQ(eval(c.text), c.result) << c.text;
}
// The error contains the message; nothing is said of the rest.
void expect_errors(std::initializer_list<Case> cases) {
  for (const Case& c : cases) {
    const std::string got = eval(c.text);
    EXPECT_EQ(got.substr(0, 7), "error: ") << c.text;
    EXPECT_NE(got.find(c.result), std::string::npos) << c.text << "\n  gave " << got;
  }
}

TEST(Expression, IntegersAreExactOverTheWholeRangeOf64Bits) {
  expect_all({
      {"9223372036854775807 + 1", "9223372036854775808"},
      {"18446744073709551615 - 18446744073709551615", "0"},
      {"-9223372036854775807 - 1", "-9223372036854775808"},
      {"4294967296 * 4294967295", "18446744069414584320"},
      {"-3037000500 * 3037000499", "-9223372033963249500"},
      {"18446744073709551615 // 2", "9223372036854775807"},
      {"18446744073709551615 % 10", "5"},
      {"-(-9223372036854775808)", "9223372036854775808"},
      {"[18446744073709551614, 1] | sum", "18446744073709551615"},
      {"'18446744073709551615' | int", "18446744073709551615"},
      {"'-9223372036854775808' | int", "-9223372036854775808"},
      {"18446744073709551615 | abs", "18446744073709551615"},
      {"-9223372036854775808 | abs", "9223372036854775808"},
      {"18446744073709551615 == 18446744073709551616.0", "false"},
      {"18446744073709551615 < 18446744073709551616.0", "true"},
      {"-1 < 18446744073709551615", "true"},
  });
  expect_errors({
      {"18446744073709551615 + 1", "integer overflow"},
      {"-9223372036854775808 - 1", "integer overflow"},
      {"-18446744073709551615", "integer overflow"},
      {"18446744073709551615 * 18446744073709551615", "integer overflow"},
      {"18446744073709551615 * -18446744073709551615", "integer overflow"},
      {"-9223372036854775808 * 18446744073709551615", "integer overflow"},
      {"[18446744073709551615, 1] | sum", "integer overflow"},
      {"'18446744073709551616' | int", "64 bits"},
      {"(1e19 * 2) | int", "64 bits"},
      {"1e300 | round", "64 bits"},
      {"1 % 0", "division by zero"},
      {"1.5 % 0", "division by zero"},
      {"0 / 0", "division by zero"},
      {"1e308 + 1e308", "not a finite number"},
      {"1e308 // 1e-308", "not a finite number"},
      {"1e999", "out of range"},
  });
}

TEST(Expression, DivisionRoundsDownAndTheRestHasTheSignOfTheDivisor) {
  expect_all({{"7 // 2", "3"},
              {"-7 // 2", "-4"},
              {"7 // -2", "-4"},
              {"-7 // -2", "3"},
              {"6 // -2", "-3"},
              {"7 % 3", "1"},
              {"-7 % 3", "2"},
              {"7 % -3", "-2"},
              {"-7 % -3", "-1"},
              {"-7.5 // 2", "-4.0"},
              {"-7.5 % 2", "0.5"},
              {"7.5 % -2", "-0.5"},
              {"1 / 4", "0.25"}});
}

TEST(Expression, PrecedenceIsThatOfPython) {
  expect_all({{"1 + 2 * 3 - 4", "3"},
              {"2 * 3 % 4", "2"},
              {"10 - 3 - 2", "5"},
              {"- 2 * 3", "-6"},
              {"1 + 1 == 2", "true"},
              {"not 1 == 2", "true"},
              {"not true or true", "true"},
              {"true or false and false", "true"},
              {"false and true or true", "true"},
              {"1 if false else 2 if false else 3", "3"},
              {"1 < 2 == true", "false"},
              {"(1 < 2) == true", "true"},
              {"3 > 2 > 1", "true"},
              {"3 > 2 > 2", "false"},
              {"1 in [1] in [[1]]", "true"},
              {"not 1 in [2]", "true"},
              {"-1 | abs", "1"},
              {"2 + -1 | abs", "3"},
              {"(2 + -3) | abs", "1"},
              {"'a' + 'B' | lower", "\"ab\""},
              {"[1] + [2] | length",
               "error: `[1] + [2] | length`: `+` expected two numbers, two strings or two arrays, "
               "got an array and an integer"}});
}

TEST(Expression, LogicalOperatorsReturnAnOperandAndStopAtTheOneThatDecides) {
  expect_all({{"0 or '' or [] or 'x' or 1 // 0", "\"x\""},
              {"0 or ''", "\"\""},
              {"1 and 'a' and {}", "{}"},
              {"1 and 0 and 1 // 0", "0"},
              {"null or null", "null"},
              {"1 > 2 > 1 // 0", "false"},
              {"1 // 0 if false else 'fine'", "\"fine\""}});
}

TEST(Expression, TruthIsAsInPython) {
  for (const char* text : {"null", "false", "0", "0.0", "-0.0", "''", "[]", "{}"}) {
    EXPECT_EQ(eval(std::string("not ") + text), "true") << text;
  }
  for (const char* text : {"true", "1", "-1", "0.1", "18446744073709551615", "'0'", "'false'", "[0]", "{'a': null}"}) {
    EXPECT_EQ(eval(std::string("not ") + text), "false") << text;
  }
}

TEST(Expression, PathsReadWhatIsThereAndNullWhereNothingIs) {
  expect_all({{"a.n", "1"},
              {"a['n']", "1"},
              {"a[\"o\"]['k'].deep", "1"},
              {"a['o' if true else 'n'].k.deep", "1"},
              {"(a).o.k", "{\"deep\":1}"},
              {"((a).o).k.deep", "1"},
              {"a . list [ 0 ]", "10"},
              {"a.list[-3]", "10"},
              {"a.list[-4]", "null"},
              {"a.list[3]", "null"},
              {"a.list[18446744073709551615]", "null"},
              {"a.z.x.y[0]['q']", "null"},
              {"nothing.x", "null"},
              {"nothing[0]", "null"},
              {"nothing", "null"},
              {"item", "7"},
              {"list[0][1]", "2"},
              {"list[0:1][0]", "[1,2]"},
              {"list[-1]", "[3]"},
              {"[1, 2, 3][1]", "2"},
              {"{'k': [5]}.k[0]", "5"},
              {"({'k': {'m': 1}} | values)[0].m", "1"},
              {"a.list[2:1]", "[]"},
              {"a.list[-2:]", "[20,30]"},
              {"a.list[:99]", "[10,20,30]"},
              {"a.list[:]", "[10,20,30]"},
              {"a.list[-99:1]", "[10]"},
              {"word[1:-1]", "\"ell\""},
              {"'a\\u00e9\\ud83d\\ude00z'[1:3]", "\"é😀\""},
              {"a.o.in", "null"},
              {"a.o.if.else", "null"}});
  expect_errors({{"a.n.x", "`a.n.x`: `a.n` is an integer and has no member `x`"},
                 {"item.x", "`item` is an integer and has no member `x`"},
                 {"item[0]", "`item` is an integer and has no element"},
                 {"word[0]", "a part of a string is written [0:1]"},
                 {"list.x", "arrays are indexed with [0]"},
                 {"a.o[0]", "is an object and has no element to index with an integer"},
                 {"a[0]", "`a` is an object and has no element to index with an integer"},
                 {"a.t[1:]", "`a.t` is a boolean and cannot be sliced"},
                 {"a.list[true]", "an index of an array expected an integer, got a boolean"},
                 {"a.list['0':]", "a slice expected integers"},
                 {"b.x", "`b`: there is no such name here"},
                 {"1 + (2 + unknown.x.y)", "`unknown`: there is no such name here"}});
}

TEST(Expression, LiteralsAreReadAsWritten) {
  expect_all({{"''", "\"\""},
              {R"('\\ \' \" \/ \n\t\r\b\f')", R"("\\ ' \" / \n\t\r\b\f")"},
              {R"("\u0041\u20ac")", "\"A€\""},
              {"'{{ }} {% #}'", "\"{{ }} {% #}\""},
              {"0", "0"},
              {"007", "7"},
              {"1e2", "100.0"},
              {"1.5E-1", "0.15"},
              {"[ ]", "[]"},
              {"[1, 2,]", "[1,2]"},
              {"{}", "{}"},
              {"{'a': {}, 'b': [],}", "{\"a\":{},\"b\":[]}"},
              {"[null, none, None, true, True, false, False]", "[null,null,null,true,true,false,false]"},
              {" \t\r\n 1 \n", "1"}});
  expect_errors({{"'abc", "the string is never closed at column 1"},
                 {"'abc\\'", "never closed"},
                 {"'\\", "unknown escape"},
                 {"'\\u12'", "\\u must name a character"},
                 {"'\\ud800'", "\\u must name a character"},
                 {"'\\ud800\\u0041'", "\\u must name a character"},
                 {"'\\udc00'", "\\u must name a character"},
                 {"{'a': 1, 'a': 2}", "twice at column 10"},
                 {"{1: 2}", "a key in quotes"},
                 {"1st", "a number runs into a name"},
                 {"1.5.", "expected a name"},
                 {"1_000", "a number runs into a name"}});
}

TEST(Expression, MistakesAreReportedWithTheirPlaceAndTheWayOut) {
  expect_errors(
      {{"", "the expression is empty at column 1; expected a value"},
       {"   ", "the expression is empty"},
       {"1 +", "the expression ends too early at column 4; expected a value"},
       {"(1", "ends too early at column 3; expected `)`"},
       {"[1", "expected `]`"},
       {"{'a'", "expected `:`"},
       {"{'a': 1", "expected `}`"},
       {"1 2", "unexpected `2` at column 3; expected an operator or the end"},
       {"a b", "unexpected `b` at column 3"},
       {"1 if 2", "expected `else`"},
       {"a.", "expected a name"},
       {"a.0", "indexes [0]"},
       {"a[]", "unexpected `]`"},
       {"a['x'", "expected `]`"},
       {"a not b", "expected `in` after `not`"},
       {"and", "unexpected `and`"},
       {"a = 1", "write == to compare"},
       {"a && b", "write `and`"},
       {"a || b", "write `or`"},
       {"!a", "write `not`"},
       {"a ~ b", "write `+`"},
       {"a is none", "x == null"},
       {"f(1)", "there are no functions"},
       {"a | first.n", "in parentheses"},
       {"a @ b", "unexpected `@` at column 3"},
       {"\xC3\xA9", "unexpected byte 0xc3"},
       {"a |", "expected the name of a filter"},
       {"a | 1", "the name of a filter"},
       {"a | frist", "unknown filter `frist` at column 5"},
       {"a | frist", "did you mean `first`?"},
       {"a | sotr", "did you mean `sort`?"},
       {"a | default", "`default` needs its argument `value` at column 5; expected default(value)"},
       {"a | lower(1)", "too many arguments at column 11; expected lower without arguments"},
       {"a | join(',', ',')", "too many arguments"},
       {"a | sort(attr='x')", "`sort` has no argument `attr` at column 10; expected sort([attribute], [reverse])"},
       {"a | sort('x', attribute='y')", "an argument is given twice"},
       {"a | sort(reverse=true, 'x')", "a plain argument follows a named one"},
       {"a | replace('x')", "needs its argument `new`"},
       {"a | join(", "expected a value"},
       {"a | zzzzzzzzzzzz", "unknown filter `zzzzzzzzzzzz` at column 5; expected one of the filters"}});
}

TEST(Expression, AnErrorCarriesLineColumnExpectationAndHint) {
  Result<Expression> compiled = Expression::compile("1 + (2 | lenght)");
  ASSERT_FALSE(compiled.ok());
  EXPECT_EQ(compiled.error().code, Code::kInvalid);
  EXPECT_EQ(
      compiled.error().details,
      (std::vector<Problem>{{"", 1, 10, "unknown filter `lenght`", "one of the filters", "did you mean `length`?"}}));

  Result<Expression> good = Expression::compile("'a' + (a.n < a.s)");
  ASSERT_TRUE(good.ok());
  Result<Value> value = good->evaluate(ObjectScope(roots()));
  ASSERT_FALSE(value.ok());
  EXPECT_EQ(value.error().code, Code::kFailed);
  EXPECT_EQ(value.error().details,
            (std::vector<Problem>{{"", 1, 8,
                                   "`a.n < a.s`: `<` expected two numbers or two strings, got an integer and a string",
                                   "two numbers or two strings", ""}}));
}

TEST(Expression, AMessageQuotesTheExpressionAndNeverAValue) {
  const Value secret = json(R"({"secrets": {"key": "hunter2", "list": ["hunter2"]}})");
  for (const char* text :
       {"secrets.key + 1", "secrets.key | int", "secrets.key | float", "secrets.key | bool", "secrets.key.x",
        "secrets.key | fromjson", "secrets.list | sum", "secrets.key < 1", "-secrets.key", "secrets.key | round",
        "secrets.list | map('x')", "1 in secrets.key", "1['' + secrets.key]", "[[1][secrets.key]]", "1[secrets.key]"}) {
    const std::string got = expr::eval(text, secret);
    EXPECT_EQ(got.substr(0, 7), "error: ") << text;
    EXPECT_EQ(got.find("hunter2"), std::string::npos) << got;
  }
}

TEST(Expression, ALongExpressionIsQuotedInPart) {
  const std::string text = "1 + '" + std::string(200, 'x') + "'";
  const std::string got = eval(text);
  EXPECT_NE(got.find("xxx...`: `+` expected"), std::string::npos) << got;
  EXPECT_LT(got.size(), 260U);
}

TEST(Expression, ReferencesNameEveryRootAndHeadInTheOrderOfTheText) {
  const auto references = [](std::string_view text) {
    Result<Expression> compiled = Expression::compile(text);
    EXPECT_TRUE(compiled.ok()) << text;
    return compiled.ok() ? compiled->references() : std::vector<Reference>{};
  };
  EXPECT_EQ(references("1 + 2"), (std::vector<Reference>{}));
  EXPECT_EQ(references("nodes.x.body[0]"), (std::vector<Reference>{{"nodes", "x", false, 0}}));
  EXPECT_EQ(references("nodes['a-b'].k"), (std::vector<Reference>{{"nodes", "a-b", false, 0}}));
  EXPECT_EQ(references(" inputs "), (std::vector<Reference>{{"inputs", "", true, 1}}));
  EXPECT_EQ(references("nodes[inputs.which].k"),
            (std::vector<Reference>{{"nodes", "", true, 0}, {"inputs", "which", false, 6}}));
  EXPECT_EQ(references("item[0]"), (std::vector<Reference>{{"item", "", true, 0}}));
  EXPECT_EQ(references("nodes[1:inputs.n]"),
            (std::vector<Reference>{{"nodes", "", true, 0}, {"inputs", "n", false, 8}}));
  EXPECT_EQ(references("a.b if c.d else [e.f, {'k': -g.h}]"),
            (std::vector<Reference>{
                {"a", "b", false, 0}, {"c", "d", false, 7}, {"e", "f", false, 17}, {"g", "h", false, 29}}));
  EXPECT_EQ(references("a.b | default(c.d) | join(e.f)"),
            (std::vector<Reference>{{"a", "b", false, 0}, {"c", "d", false, 14}, {"e", "f", false, 26}}));
  EXPECT_EQ(references("not a.b or c.d < e.f and g.h in i.j"), (std::vector<Reference>{{"a", "b", false, 4},
                                                                                       {"c", "d", false, 11},
                                                                                       {"e", "f", false, 17},
                                                                                       {"g", "h", false, 25},
                                                                                       {"i", "j", false, 32}}));
}

// A scope that keeps its members apart, as the engine does, and counts what it is asked.
class CountingScope : public Scope {
 public:
  bool has_root(std::string_view root) const override { return root == "nodes"; }
  Value root(std::string_view) const override {
    ++built;
    return Value(Value::Object{{"x", x}});
  }
  const Value* member(std::string_view, std::string_view head) const override { return head == "x" ? &x : nullptr; }
  Value x = json(R"({"k": [1, 2]})");
  mutable int built = 0;
};

TEST(Expression, ARootIsBuiltOnlyWhenItIsReadWhole) {
  CountingScope scope;
  const auto run = [&](std::string_view text) {
    Result<Expression> compiled = Expression::compile(text);
    return compiled.ok() ? show(compiled->evaluate(scope)) : compiled.error().what;
  };
  EXPECT_EQ(run("nodes.x.k[1]"), "2");
  EXPECT_EQ(run("nodes['x'].k"), "[1,2]");
  EXPECT_EQ(run("nodes['' + 'x'].k"), "[1,2]");
  EXPECT_EQ(run("nodes.y.k"), "null");
  EXPECT_EQ(scope.built, 0);
  EXPECT_EQ(run("nodes | keys"), "[\"x\"]");
  EXPECT_EQ(scope.built, 1);
  EXPECT_EQ(run("nodes[0]"), "error: `nodes[0]`: `nodes` is an object and has no element to index with an integer");
}

TEST(Expression, ManyThreadsMayEvaluateOneExpression) {
  Result<Expression> compiled = Expression::compile("a.list | sum + item");
  ASSERT_TRUE(compiled.ok());
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t, copy = *compiled] {
      for (int i = 0; i < 1000; ++i) wrong[t] += show(copy.evaluate(ObjectScope(roots()))) != "67";
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

}  // namespace
}  // namespace millrace::expr
