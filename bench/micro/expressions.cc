// Expressions: compiling, paths, templates.
#include <benchmark/benchmark.h>

#include <string>

#include "common/expr/expression.h"

namespace millrace::bench {
namespace {

Value roots() {
  return *Value::parse(R"({"nodes":{"fetch":{"body":[{"name":"ada","score":3.5},{"name":"bob","score":4}],"status":200},
      "n1":{"words":["a","b","c"],"count":3}},"inputs":{"limit":10,"text":"hello"},"run":{"id":"abcdefghijklm"}})");
}

constexpr const char* kExpressions[] = {
    "nodes.fetch.body[1].name",
    "nodes.fetch.status == 200 and nodes.n1.count < inputs.limit",
    "nodes.n1.words | join(', ') | upper",
};

void compile(benchmark::State& state) {
  const std::string text = kExpressions[state.range(0)];
  for (auto _ : state) benchmark::DoNotOptimize(expr::Expression::compile(text).ok());
  state.SetLabel(text);
}

void evaluate(benchmark::State& state) {
  const std::string text = kExpressions[state.range(0)];
  auto compiled = expr::Expression::compile(text);
  if (!compiled.ok()) return state.SkipWithError("does not compile");
  const Value values = roots();
  const expr::ObjectScope scope(values);
  if (!compiled->evaluate(scope).ok()) return state.SkipWithError("does not evaluate");
  for (auto _ : state) benchmark::DoNotOptimize(compiled->evaluate(scope).ok());
  state.SetLabel(text);
}

void render(benchmark::State& state) {
  auto field = Value::parse(R"({"url":"https://example/{{ inputs.text }}/{{ run.id }}","n":"{{ nodes.n1.count }}",
      "headers":{"x":"plain","y":"{{ nodes.fetch.body[0].name | upper }}"}})");
  auto compiled = expr::Template::compile(*field);
  if (!compiled.ok()) return state.SkipWithError("does not compile");
  const Value values = roots();
  const expr::ObjectScope scope(values);
  if (!compiled->render(scope).ok()) return state.SkipWithError("does not render");
  for (auto _ : state) benchmark::DoNotOptimize(compiled->render(scope).ok());
}

BENCHMARK(compile)->Name("expr_compile")->DenseRange(0, 2);
BENCHMARK(evaluate)->Name("expr_evaluate")->DenseRange(0, 2);
BENCHMARK(render)->Name("expr_render_template");

}  // namespace
}  // namespace millrace::bench
