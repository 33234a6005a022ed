// Any bytes as an expression and as a field: both end within their limits with a value or an error that has a place.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/expr/expression.h"

namespace {

using millrace::Error;
using millrace::Result;
using millrace::Value;
using namespace millrace::expr;

// Asserts are on in every build, but a fuzzer should say which promise broke.
void promise(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

const Value& roots() {
  static const Value kRoots = Value::parse(R"({
    "a": {"b": [1, 2.5, "x", null, {"c": true}], "s": "some text", "o": {"k": 1, "l": 2}},
    "n": 3, "l": [3, 1, 2], "z": null, "u": 18446744073709551615
  })")
                                  .value();
  return kRoots;
}

Limits small_limits() {
  Limits limits;
  limits.text_max = 4096;
  limits.steps_max = 50'000;
  limits.result_max = 1'000'000;
  return limits;
}

void check_error(const Error& error, std::size_t size) {
  promise(!error.what.empty(), "an error says what is wrong");
  promise(error.details.size() == 1, "an error has one place");
  const int column = error.details[0].column;
  promise(column >= 1 && static_cast<std::size_t>(column) <= size + 1, "the place of an error is in the text");
}

// Values leave an expression as JSON and come back as they were.
void check_value(const Value& value) {
  const std::string text = value.dump();
  const Result<Value> back = Value::parse(text);
  promise(back.ok(), "a result is JSON");
  promise(back->dump() == text, "a result survives the round trip");
}

void check_references(const std::vector<Reference>& references, std::size_t size) {
  for (const Reference& reference : references) {
    promise(!reference.root.empty() && reference.offset < size, "a reference has a root and a place");
  }
}

void check_expression(std::string_view text, const Limits& limits) {
  Result<Expression> compiled = Expression::compile(text, limits);
  if (!compiled.ok()) return check_error(compiled.error(), text.size());
  check_references(compiled->references(), text.size());
  const ObjectScope scope(roots());
  Result<Value> once = compiled->evaluate(scope, limits);
  Result<Value> again = compiled->evaluate(scope, limits);
  promise(once.ok() == again.ok(), "evaluation repeats");
  if (!once.ok()) return check_error(once.error(), text.size());
  check_value(once.value());
  promise(once.value() == again.value(), "evaluation repeats");

  // The same expression as a field has the same value.
  Limits wider = limits;
  wider.text_max += 16;
  Result<TextTemplate> field = TextTemplate::compile("{{ " + std::string(text) + " }}", wider);
  promise(field.ok() && field->is_single_expression(), "an expression is a field");
  Result<Value> rendered = field->render(scope, render_default, limits);
  promise(rendered.ok() && rendered.value() == once.value(), "a field of one expression keeps its value");
}

void check_field(std::string_view text, const Limits& limits) {
  Result<TextTemplate> compiled = TextTemplate::compile(text, limits);
  const bool literal = text.find("{{") == std::string_view::npos;
  if (!compiled.ok()) {
    promise(!literal, "plain text always compiles");
    return check_error(compiled.error(), text.size());
  }
  promise(compiled->is_literal() == literal, "text without braces is literal");
  check_references(compiled->references(), text.size());
  Result<Value> value = compiled->render(ObjectScope(roots()), render_default, limits);
  if (literal)
    promise(value.ok() && value->is_string() && value->as_string() == text, "literal text renders to itself");
  if (!value.ok()) return check_error(value.error(), text.size());
  promise(compiled->is_single_expression() || value->is_string(), "mixed text renders to a string");

  // As a value among others it means the same.
  Result<Template> tree = Template::compile(Value(Value::Array{Value(text), Value(1)}), limits);
  promise(tree.ok() && tree->is_literal() == literal, "a field compiles as a part of a value");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Limits limits = small_limits();
  check_expression(text, limits);
  if (text.size() <= limits.text_max) check_field(text, limits);
  return 0;
}
