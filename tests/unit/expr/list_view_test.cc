// Lists that a scope does not hold whole: what expressions ask of it.
#include <map>

#include "tests/unit/expr/support.h"

namespace millrace::expr {
namespace {

class Squares final : public ListView {
 public:
  std::uint64_t count() const override { return 1'000'000; }
  const Value* element(std::uint64_t index) const override {
    ++asked;
    if (index == gap) return nullptr;
    return &(elements_[index] = Value::Object{{"square", index * index}});
  }
  mutable int asked = 0;
  std::uint64_t gap = ~0ULL;

 private:
  mutable std::map<std::uint64_t, Value> elements_;
};

class ViewScope final : public Scope {
 public:
  bool has_root(std::string_view root) const override { return root == "nodes"; }
  Value root(std::string_view /*root*/) const override { return Value(); }
  const Value* member(std::string_view /*root*/, std::string_view head) const override {
    ++wholes;
    return head == "few" ? &few_ : nullptr;
  }
  const ListView* list(std::string_view /*root*/, std::string_view head) const override {
    return head == "squares" ? &squares : nullptr;
  }
  Squares squares;
  mutable int wholes = 0;

 private:
  Value few_ = Value::Array{1, 2, 3};
};

std::string seen(const ViewScope& scope, std::string_view text) {
  const Result<Expression> compiled = Expression::compile(text);
  return compiled.ok() ? show(compiled->evaluate(scope)) : "error: " + compiled.error().what;
}

TEST(ListView, LengthAndElementsAreReadWithoutTheWhole) {
  const ViewScope scope;
  EXPECT_EQ(seen(scope, "nodes.squares | length"), "1000000");
  EXPECT_EQ(seen(scope, "nodes.squares | count > 5"), "true");
  EXPECT_EQ(scope.squares.asked, 0);
  EXPECT_EQ(seen(scope, "nodes.squares[3].square"), "9");
  EXPECT_EQ(seen(scope, "nodes['squares'][-1].square"), "999998000001");
  EXPECT_EQ(seen(scope, "nodes.squares[1000000]"), "null");
  EXPECT_EQ(seen(scope, "nodes.squares[-1000001]"), "null");
  EXPECT_EQ(seen(scope, "(nodes.squares | first).square + (nodes.squares | last).square"), "999998000001");
  EXPECT_EQ(seen(scope, "nodes.squares[nodes.few[1]].square"), "4");
  EXPECT_EQ(scope.squares.asked, 5);
  EXPECT_EQ(scope.wholes, 1) << "of the short list alone";
}

TEST(ListView, ASliceReadsItsElementsAlone) {
  const ViewScope scope;
  EXPECT_EQ(seen(scope, "nodes.squares[2:4]"), R"([{"square":4},{"square":9}])");
  EXPECT_EQ(seen(scope, "nodes.squares[-1:] | length"), "1");
  EXPECT_EQ(seen(scope, "nodes.squares[:0]"), "[]");
  EXPECT_EQ(scope.squares.asked, 3);
  EXPECT_NE(seen(scope, "nodes.squares[:]").find("error:"), std::string::npos) << "a million is too much";
}

TEST(ListView, AWrongIndexSaysWhatIsExpected) {
  const ViewScope scope;
  EXPECT_NE(seen(scope, "nodes.squares[1.5]").find("an integer"), std::string::npos);
}

TEST(ListView, WhateverElseReadsTheWhole) {
  const ViewScope scope;
  EXPECT_EQ(seen(scope, "nodes.squares == null"), "true") << "this scope has none";
  EXPECT_EQ(scope.wholes, 1);
  EXPECT_EQ(seen(scope, "nodes.squares | default([]) | length"), "0");
  EXPECT_EQ(scope.wholes, 2);
}

TEST(ListView, AnElementThatIsNotHereReadsAsNull) {
  ViewScope scope;
  scope.squares.gap = 7;
  EXPECT_EQ(seen(scope, "nodes.squares[7].square"), "null");
}

TEST(Template, IsBareWhereItIsOneNameAndNothingElse) {
  const auto bare = [](const Value& value) {
    const Result<Template> compiled = Template::compile(value);
    const Reference* found = compiled.ok() ? compiled->bare() : nullptr;
    return found == nullptr ? std::string() : found->root + "." + found->head;
  };
  EXPECT_EQ(bare(" {{ nodes.a }} "), "nodes.a");
  EXPECT_EQ(bare("{{ nodes['a-b'] }}"), "nodes.a-b");
  EXPECT_EQ(bare("{{ nodes.a[0] }}"), "");
  EXPECT_EQ(bare("{{ nodes.a.b }}"), "");
  EXPECT_EQ(bare("{{ nodes.a | length }}"), "");
  EXPECT_EQ(bare("{{ nodes }}"), "");
  EXPECT_EQ(bare("x{{ nodes.a }}"), "");
  EXPECT_EQ(bare("x"), "");
  EXPECT_EQ(bare(Value::Array{"{{ nodes.a }}"}), "");
}

}  // namespace
}  // namespace millrace::expr
