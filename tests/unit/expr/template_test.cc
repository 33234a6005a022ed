// Fields and values with expressions in their strings.
#include "tests/unit/expr/support.h"

namespace millrace::expr {
namespace {

const Value& roots() {
  static const Value kRoots =
      json(R"({"inputs": {"n": 1, "f": 1.0, "s": "text", "z": null, "t": true, "l": [1, {"a": "x"}]}})");
  return kRoots;
}
std::string render(std::string_view text) { return expr::render(text, roots()); }

std::string render_value(std::string_view value, const Limits& limits = {}) {
  Result<Template> compiled = Template::compile(json(value), limits);
  if (!compiled.ok()) return "error: " + compiled.error().what;
  return show(compiled->render(ObjectScope(roots()), render_default, limits));
}

TEST(TextTemplate, OneExpressionKeepsItsTypeWhateverTheSpaceAroundIt) {
  EXPECT_EQ(render("{{inputs.n}}"), "1");
  EXPECT_EQ(render("{{ inputs.f }}"), "1.0");
  EXPECT_EQ(render(" \n\t{{ inputs.l }}\r\n"), R"([1,{"a":"x"}])");
  EXPECT_EQ(render("{{ inputs.z }}"), "null");
  EXPECT_EQ(render("{{ inputs.s }}"), "\"text\"");
}

TEST(TextTemplate, MixedTextBecomesAString) {
  EXPECT_EQ(render("{{ inputs.n }}."), "\"1.\"");
  EXPECT_EQ(render("{{ inputs.n }}{{ inputs.n }}"), "\"11\"");
  EXPECT_EQ(render(" {{ inputs.n }} {{ inputs.n }} "), "\" 1 1 \"");
  EXPECT_EQ(render("<{{ inputs.z }}|{{ inputs.f }}|{{ inputs.t }}|{{ inputs.l }}>"),
            R"("<|1.0|true|[1,{\"a\":\"x\"}]>")");
}

TEST(TextTemplate, TheEndOfAnExpressionIsFoundByReadingIt) {
  EXPECT_EQ(render("{{ {'a': 1} }}"), R"({"a":1})");
  EXPECT_EQ(render("{{{'a': {'b': {}}}}}"), R"({"a":{"b":{}}})");
  EXPECT_EQ(render("{{ '}}' }}"), "\"}}\"");
  EXPECT_EQ(render("{{ \"}}{{\" + '\\'}}' }}"), "\"}}{{'}}\"");
  EXPECT_EQ(render("a }} b"), "\"a }} b\"");
  EXPECT_EQ(render("{ {{ inputs.n }} }"), "\"{ 1 }\"");
  EXPECT_EQ(render("{{ inputs.n }}}}"), "\"1}}\"");
}

TEST(TextTemplate, BracesAreWrittenAsAStringOfBraces) {
  EXPECT_EQ(render("{{ '{{' }} name }}"), "\"{{ name }}\"");
  EXPECT_EQ(render("{ single } {% block %} {# note #}"), "\"{ single } {% block %} {# note #}\"");
}

TEST(TextTemplate, AMistakeIsReportedAtItsPlaceInTheField) {
  EXPECT_EQ(render("ab {{ inputs.n"),
            "error: `{{` is never closed at column 4; expected `}}`; two literal braces are written {{ '{{' }}");
  EXPECT_EQ(render("{{"),
            "error: `{{` is never closed at column 1; expected `}}`; two literal braces are written {{ '{{' }}");
  EXPECT_EQ(render("{{ (1 + }}"), "error: unexpected `}` at column 9; expected a value");
  EXPECT_EQ(render("{{ 1 } }}"),
            "error: unexpected `}` at column 6; expected an operator or the end of the expression");
  EXPECT_EQ(render("{{ }}"), "error: the expression is empty at column 4; expected a value");
  EXPECT_EQ(render("{{ 'it }} and on"), "error: the string is never closed at column 4; expected a closing '");
  EXPECT_EQ(render("x {{ 1 }} {{ 1 + 'a' }}").substr(0, 21), "error: `1 + 'a'`: `+`");

  Result<TextTemplate> compiled = TextTemplate::compile("x {{ 1 }} {{ 1 + 'a' }}");
  ASSERT_TRUE(compiled.ok());
  Result<Value> value = compiled->render(ObjectScope(roots()));
  ASSERT_FALSE(value.ok());
  EXPECT_EQ(value.error().details[0].column, 14);
}

TEST(TextTemplate, SaysWhatItIs) {
  const auto compiled = [](std::string_view text) { return TextTemplate::compile(text).value(); };
  EXPECT_TRUE(compiled("").is_literal());
  EXPECT_TRUE(compiled("text }}").is_literal());
  EXPECT_FALSE(compiled("text }}").is_single_expression());
  EXPECT_FALSE(compiled("{{ 1 }}").is_literal());
  EXPECT_TRUE(compiled(" {{ 1 }} ").is_single_expression());
  EXPECT_FALSE(compiled("{{ 1 }}{{ 2 }}").is_single_expression());
  EXPECT_EQ(compiled("{{ a.b }} and {{ c['d'] }}").references(),
            (std::vector<Reference>{{"a", "b", false, 3}, {"c", "d", false, 17}}));
}

TEST(TextTemplate, TheRendererIsTheCallers) {
  const Renderer shouting = [](const Value& value, std::string& out) {
    out += value.is_null() ? "NONE" : value.dump() + "!";
  };
  Result<TextTemplate> compiled = TextTemplate::compile("{{ inputs.z }} {{ inputs.s }}");
  ASSERT_TRUE(compiled.ok());
  EXPECT_EQ(show(compiled->render(ObjectScope(roots()), shouting)), R"("NONE \"text\"!")");
}

TEST(Template, EveryStringAtAnyDepthIsAFieldAndKeysAreNot) {
  EXPECT_EQ(render_value(R"({"a": ["{{ inputs.n }}", {"b": "n={{ inputs.n }}"}], "{{ k }}": 1, "c": null})"),
            R"({"a":[1,{"b":"n=1"}],"{{ k }}":1,"c":null})");
  EXPECT_EQ(render_value("\"{{ inputs.l }}\""), R"([1,{"a":"x"}])");
  EXPECT_EQ(render_value("17"), "17");
}

TEST(Template, AMistakeNamesThePathInsideTheValue) {
  const std::string text = R"({"env": {"LIST": ["ok", "{{ 1 + }}"]}})";
  Result<Template> compiled = Template::compile(json(text));
  ASSERT_FALSE(compiled.ok());
  EXPECT_EQ(compiled.error().what, "env.LIST[1]: unexpected `}` at column 8; expected a value");
  EXPECT_EQ(compiled.error().details, (std::vector<Problem>{{"", 1, 8, "env.LIST[1]: unexpected `}`", "a value", ""}}));

  EXPECT_EQ(render_value(R"({"env": {"PATH": "{{ 1 // 0 }}"}})"), "error: env.PATH: `1 // 0`: division by zero");
  EXPECT_EQ(render_value(R"([{"a": [0, "{{ 1 // 0 }}"]}])"), "error: [0].a[1]: `1 // 0`: division by zero");
  EXPECT_EQ(render_value(R"("{{ 1 // 0 }}")"), "error: `1 // 0`: division by zero");
}

TEST(Template, SaysWhatItIs) {
  const auto compiled = [](std::string_view value) { return Template::compile(json(value)).value(); };
  EXPECT_TRUE(compiled(R"({"a": ["text", 1]})").is_literal());
  EXPECT_FALSE(compiled(R"({"a": ["text", "{{ 1 }}"]})").is_literal());
  EXPECT_EQ(compiled(R"({"a": "{{ x.y }}", "b": ["{{ nodes['p-q'] }}"]})").references(),
            (std::vector<Reference>{{"x", "y", false, 3}, {"nodes", "p-q", false, 3}}));
}

TEST(Template, OneBudgetHoldsForAllFieldsTogether) {
  Limits limits;
  limits.steps_max = 250;
  EXPECT_EQ(render_value(R"(["{{ 100 | range | length }}"])", limits), "[100]");
  const std::string got = render_value(
      R"(["{{ 100 | range | length }}", "{{ 100 | range | length }}", "{{ 100 | range | length }}"])", limits);
  EXPECT_EQ(got, "error: [2]: `100 | range`: the evaluation takes more than 250 steps");
}

}  // namespace
}  // namespace millrace::expr
