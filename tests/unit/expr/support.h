// What every test of expressions starts from.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "common/expr/expression.h"

namespace millrace::expr {

inline Value json(std::string_view text) {
  Result<Value> value = Value::parse(text);
  EXPECT_TRUE(value.ok()) << text;
  return value.ok() ? value.value() : Value();
}

// The result as JSON, or "error: " and the message, whether it comes from compiling or from evaluating.
inline std::string show(const Result<Value>& result) {
  return result.ok() ? result.value().dump() : "error: " + result.error().what;
}
inline std::string eval(std::string_view text, const Value& roots, const Limits& limits = {}) {
  Result<Expression> compiled = Expression::compile(text, limits);
  if (!compiled.ok()) return "error: " + compiled.error().what;
  return show(compiled->evaluate(ObjectScope(roots), limits));
}
inline std::string render(std::string_view text, const Value& roots, const Limits& limits = {}) {
  Result<TextTemplate> compiled = TextTemplate::compile(text, limits);
  if (!compiled.ok()) return "error: " + compiled.error().what;
  return show(compiled->render(ObjectScope(roots), render_default, limits));
}

}  // namespace millrace::expr
