#include <gtest/gtest.h>

#include <chrono>

#include "common/spec/yaml_source.h"
#include "common/spec/yaml_value.h"

namespace millrace {
namespace {

// The value as JSON, or the problems, one a line.
std::string read(std::string_view text) {
  Result<Value> value = parse_yaml_value(text, "f");
  if (value.ok()) return value->dump();
  std::string lines;
  for (const Problem& problem : value.error().details) lines += format(problem) + "\n";
  return lines;
}

std::string limit_of(std::string_view text, const YamlLimits& limits = {}) {
  Result<YamlDocument> document = YamlDocument::read(text, "f", limits);
  if (document.ok()) return "none";
  EXPECT_EQ(document.error().code, Code::kInvalid);
  EXPECT_EQ(document.error().details.size(), 1U);
  return document.error().name;
}

std::string times(int n, std::string_view text) {
  std::string out;
  for (int i = 0; i < n; ++i) out += text;
  return out;
}

TEST(Yaml, PlainScalarsFollowTheCoreSchema) {
  EXPECT_EQ(read("[null, ~, Null, true, False, TRUE]"), "[null,null,null,true,false,true]");
  EXPECT_EQ(read("[yes, no, on, off, y, nUll, tRue]"), R"(["yes","no","on","off","y","nUll","tRue"])");
  EXPECT_EQ(read("[0, 007, -5, +5, 0o17, 0xFf, 0b1, 1_000]"), R"([0,7,-5,5,15,255,"0b1","1_000"])");
  EXPECT_EQ(read("[1.0, .5, 1., -1.5e3, 1e2, ., e5, 1e, 1.2.3]"),
            R"([1.0,0.5,1.0,-1500.0,100.0,".","e5","1e","1.2.3"])");
  EXPECT_EQ(read("[12:30:00, 2024-01-01, 1h, +]"), R"(["12:30:00","2024-01-01","1h","+"])");
}

TEST(Yaml, IntegersAreExactIn64Bits) {
  EXPECT_EQ(read("[9223372036854775807, 18446744073709551615, -9223372036854775808]"),
            "[9223372036854775807,18446744073709551615,-9223372036854775808]");
  EXPECT_EQ(read("a: 18446744073709551616"),
            "f:1:4: the integer 18446744073709551616 does not fit in 64 bits; expected an integer from -2^63 to 2^64 - "
            "1; quote it if it is meant as text\n");
}

TEST(Yaml, WhatJsonCannotSayIsAProblemEachInItsPlace) {
  EXPECT_EQ(read("a: .nan\nb:\n  - -.inf\n  - 1e999\n  - '.nan'\n"),
            "f:1:4: '.nan' has no JSON; expected a finite number; quote it if it is meant as text\n"
            "f:3:5: '-.inf' has no JSON; expected a finite number; quote it if it is meant as text\n"
            "f:4:5: the number 1e999 is too large; expected a finite number; quote it if it is meant as text\n");
  EXPECT_EQ(read("1e-999"), "0.0");
}

TEST(Yaml, QuotedBlockAndTaggedScalarsStayText) {
  EXPECT_EQ(read("[\"5\", 'true', !!str 5, ! 5, \"\"]"), R"(["5","true","5","5",""])");
  EXPECT_EQ(read("a: |\n  5\nb: >-\n  x\n  y\n"), R"({"a":"5\n","b":"x y"})");
  EXPECT_EQ(read("[!!int 5]").substr(0, 20), "f:1:2: unknown tag '");
}

TEST(Yaml, EscapesBecomeUtf8) {
  EXPECT_EQ(read("\"\\N\\_\\L \\xe9 \\u20ac \\U0001F600 \xC3\xA9\""),
            "\"\xC2\x85\xC2\xA0\xE2\x80\xA8 \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 \xC3\xA9\"");
}

TEST(Yaml, KeepsTheOrderOfKeysAndTheirText) {
  EXPECT_EQ(read("b: 1\na: 2\n1: x\ntrue: y\n"), R"({"b":1,"a":2,"1":"x","true":"y"})");
}

TEST(Yaml, EmptyTextIsNull) {
  for (const char* text : {"", "\n\n", "# only a comment\n", "---\n", "\xEF\xBB\xBF"}) EXPECT_EQ(read(text), "null");
}

TEST(Yaml, JsonIsYaml) {
  EXPECT_EQ(read("{\"a\": [1, 2.0, \"\\ud83d\\ude00\"], \"b\": null}"),
            "{\"a\":[1,2.0,\"\xF0\x9F\x98\x80\"],\"b\":null}");
}

TEST(Yaml, AliasesShareWhatTheyName) {
  EXPECT_EQ(read("a: &x [1, 2]\nb: *x\nc: {d: *x}\n"), R"({"a":[1,2],"b":[1,2],"c":{"d":[1,2]}})");
  EXPECT_EQ(read("a: &x [1, *x]"),
            "f:1:11: an alias inside the value that it stands for; expected an alias after the end of what it names\n");
  EXPECT_EQ(read("a: *x").substr(0, 16), "f:1:4: not YAML:");
}

TEST(Yaml, ReportsKeysThatComeTwiceOrAreNotText) {
  EXPECT_EQ(read("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 2\n[x]: 1\n"),
            "f:5:3: duplicate key 'c'; expected each key once; the first is in line 3\n"
            "f:6:1: duplicate key 'a'; expected each key once; the first is in line 1\n"
            "f:7:1: a key that is not text; expected a text as key\n");
  EXPECT_EQ(read("x: {{ inputs.a }}\n"),
            "f:1:5: a key that is not text; expected a text as key; an expression needs quotes: \"{{ ... }}\"\n");
}

TEST(Yaml, OneDocumentInUtf8) {
  EXPECT_EQ(read("a: 1\n---\nb: 2\n"), "f:2:1: a second document; expected one document in a file\n");
  EXPECT_EQ(read("a: 1\nb: \xFF\n"),
            "f:2:4: a byte that must not be in YAML text; expected UTF-8 without control characters\n");
  EXPECT_EQ(read(std::string_view("a: \0", 4)).substr(0, 6), "f:1:4:");
  EXPECT_EQ(read("a: x\x04y: 2").substr(0, 6), "f:1:5:");
}

TEST(Yaml, SyntaxErrorsSayWhatWouldHaveBeenRight) {
  EXPECT_EQ(read("a:\n  run: sleep 1; echo '{\"x\": 1}'\n"),
            "f:2:27: not YAML: illegal map value; expected a text that contains ': ' in quotes, or on lines of its own "
            "behind '|'; keys of one mapping begin in one column\n");
  EXPECT_NE(read("a: 1\n\tb: 2\n").find("spaces"), std::string::npos) << read("a: 1\n\tb: 2\n");
  EXPECT_NE(read("a: [1, 2\n").find("a ']' that closes the list"), std::string::npos);
  EXPECT_NE(read("a: {b: 2\n").find("a '}' that closes the mapping"), std::string::npos);
  EXPECT_NE(read("a: @b\n").find("in quotes"), std::string::npos);
  EXPECT_NE(read("a:\n    b: 1\n  c: 1\n").find("in one column"), std::string::npos);
}

TEST(Yaml, SyntaxErrorsHaveTheirPlace) {
  EXPECT_EQ(read("a: 1\n  b: 2\n").substr(0, 16), "f:2:4: not YAML:");
  EXPECT_EQ(read("a: [1, 2\n").substr(0, 15), "f:2:1: not YAML");
  EXPECT_EQ(read("\xC3\xA9: \xC3\xA9\n\xC3\xA9\xC3\xA9: [}\n").substr(0, 7), "f:2:6: ");  // characters, not bytes
}

// Where the marked byte of the only scalar's text is found in the source.
std::string place_of(std::string_view source, std::string_view marked) {
  YamlDocument document = std::move(YamlDocument::read(source, "f")).value();
  const std::uint32_t scalar = document.node(document.root()).children.at(1);
  const std::size_t at = document.node(scalar).text.find(marked);
  EXPECT_NE(at, std::string::npos) << document.node(scalar).text;
  const Place place = document.place(document.offset_in(scalar, at));
  return std::to_string(place.line) + ":" + std::to_string(place.column);
}

TEST(Yaml, FindsExpressionsInEveryStyleOfScalar) {
  EXPECT_EQ(place_of("a: x {{ HERE }}\n", "HERE"), "1:9");
  EXPECT_EQ(place_of("a: 'it''s {{ ''HERE'' }}'\n", "HERE"), "1:16");
  EXPECT_EQ(place_of("a: \"\\t\\u00e9 {{ \\\"HERE\\\" }}\"\n", "HERE"), "1:19");
  EXPECT_EQ(place_of("a: |\n  one {{ x }}\n  two {{ y }}\n\n    {{ HERE }}\n", "HERE"), "5:8");
  EXPECT_EQ(place_of("a: |\r\n  {{ x }}\r\n  {{ x +\r\n  HERE }}\r\n", "HERE"), "4:3");
  EXPECT_EQ(place_of("a: >-\n  one\n  {{ x }} two\n  {{ x +\n  HERE }}\n", "HERE"), "5:3");
  EXPECT_EQ(place_of("a: one\n  two {{ HERE }}\n", "HERE"), "2:10");
  EXPECT_EQ(place_of("a: &anchor !!str x {{ HERE }}\n", "HERE"), "1:23");
  EXPECT_EQ(place_of("a: HERE {{ x }}\n", "HERE"), "1:4");  // before any expression: the scalar
}

TEST(Yaml, LimitsHoldOnBytesDepthNodesAndAliases) {
  EXPECT_EQ(limit_of("a: 1", {.bytes_max = 3}), "yaml_bytes_max");
  EXPECT_EQ(limit_of("a: 1", {.bytes_max = 4}), "none");
  EXPECT_EQ(limit_of("[[[1]]]", {.depth_max = 3}), "none");
  EXPECT_EQ(limit_of("[[[[1]]]]", {.depth_max = 3}), "yaml_depth_max");
  EXPECT_EQ(limit_of("a:\n b:\n  c:\n   d: 1", {.depth_max = 3}), "yaml_depth_max");
  EXPECT_EQ(limit_of("[1, 2, 3]", {.nodes_max = 4}), "none");
  EXPECT_EQ(limit_of("[1, 2, 3, 4]", {.nodes_max = 4}), "yaml_nodes_max");
  EXPECT_EQ(limit_of("[&a 1, *a, *a]", {.aliases_max = 2}), "none");
  EXPECT_EQ(limit_of("[&a 1, *a, *a, *a]", {.aliases_max = 2}), "yaml_aliases_max");
  EXPECT_EQ(limit_of("{a: &a [[1]], b: [*a]}", {.depth_max = 3}), "yaml_depth_max");  // through the alias
  EXPECT_EQ(limit_of("[" + times(5'000, "{},") + "]", {.pending_max = 1'000}), "yaml_pending_max");
  EXPECT_EQ(limit_of("[" + times(5'000, "{},") + "]", {.pending_max = 50'000}), "none");
  EXPECT_EQ(limit_of("[&a abcd, *a, *a]", {.expanded_bytes_max = 11}), "yaml_bytes_max");
}

TEST(Yaml, AnAliasBombIsRefusedBeforeAnythingIsExpanded) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string below = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + below + times(9, ", " + below) + "]\n";
  }
  EXPECT_EQ(limit_of(bomb), "yaml_nodes_max");
}

TEST(Yaml, DepthOf200000IsRefusedWithoutDeepRecursion) {
  for (const char* level : {"[", "- ", "{a: ", "? ", "[{a: ", "- - ? "}) {
    const std::string limit = limit_of(times(200'000, level));
    EXPECT_TRUE(limit == "yaml_depth_max" || limit == "yaml_pending_max" || limit.empty()) << level << limit;
  }
  EXPECT_EQ(limit_of(times(200'000, "[") + times(200'000, "]")), "yaml_depth_max");
  std::string stairs;
  for (int i = 0; i < 1000; ++i) stairs += times(i, " ") + "a:\n";
  EXPECT_EQ(limit_of(stairs), "yaml_depth_max");
}

TEST(Yaml, HugeTextsAreRefusedInBoundedTime) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(limit_of(times(2'000'000, "[")), "yaml_depth_max");
  EXPECT_EQ(limit_of("[" + times(1'500'000, "a,")), "yaml_nodes_max");
  EXPECT_EQ(limit_of("[" + times(500'000, "{},")), "yaml_pending_max");
  EXPECT_EQ(limit_of(times(1'100'000, "- a\n")), "yaml_nodes_max");
  EXPECT_EQ(limit_of("a: " + std::string(8'000'000, 'x')), "none");
  EXPECT_EQ(limit_of("a: |\n" + times(100'000, "  f(a, [b], {c: d});\n")), "none");  // code is not a collection
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(150));
}

}  // namespace
}  // namespace millrace
