// Machine: what one evaluation spends and how it fails. Held: a value it works on, owned or on loan.
//
// Promises: after the first failure everything is a no-op that yields null, so operators need not check each other.
// Threads: lives on the stack of one evaluation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/expr/syntax.h"

namespace millrace::expr {

// Values of the scope and of the syntax tree are borrowed until something has to be built from them.
class Held {
 public:
  Held() = default;                              // null
  Held(Value value) : own_(std::move(value)) {}  // NOLINT: implicit on purpose
  static Held loan(const Value& value) {
    Held held;
    held.loan_ = &value;
    return held;
  }

  const Value& get() const { return loan_ != nullptr ? *loan_ : own_; }
  const Value* operator->() const { return &get(); }
  bool is_loan() const { return loan_ != nullptr; }
  Value& own() { return own_; }  // of what is not a loan

  // A value inside this one, held the same way. Consumes this.
  Held part(const Value& inside) && {
    if (is_loan()) return loan(inside);
    return Held(std::move(const_cast<Value&>(inside)));  // it lies in own_, which is ours and not const
  }

 private:
  Value own_;
  const Value* loan_ = nullptr;
};

class Machine {
 public:
  Machine(std::string_view text, const Limits& limits)
      : limits_(limits), steps_left_(limits.steps_max), bytes_left_(limits.result_max) {
    read(text);
  }

  bool failed() const { return error_.has_value(); }
  Error take_error() { return std::move(*error_); }

  // Both answer whether there is enough left, and fail when there is not.
  bool steps(std::uint64_t count);
  bool bytes(std::size_t count);
  bool scan(std::size_t length) { return steps(1 + length / kScanBytes); }  // reading through a string

  // The text that a failure from now on is about: all of `text`, then parts of it. An empty one is not quoted.
  void read(std::string_view text) {
    text_ = text;
    focus_ = {0, static_cast<std::uint32_t>(text.size())};
  }
  void focus(Span span) { focus_ = span; }
  std::string quote(Span span) const;

  Held fail(std::string message, std::string expected = "", std::string hint = "", std::string limit = "");
  // "expected X, got Y"; `who` is an operator or a filter.
  Held wrong(std::string_view who, std::string_view expected, const Value& got);

  Value take(Held held);     // copies a loan and pays for it
  void pay(const Value& v);  // for all bytes of a value

 private:
  static constexpr std::size_t kScanBytes = 256;

  std::string_view text_;
  const Limits& limits_;
  std::uint64_t steps_left_;
  std::size_t bytes_left_;
  Span focus_;
  std::optional<Error> error_;
};

std::string kind_phrase(const Value& value);  // "an integer", "null"
bool deeper_than(const Value& value, int levels);

// Evaluates a tree. On failure the machine has failed and the result is null.
Held evaluate(const Node& node, const Scope& scope, Machine& machine);

}  // namespace millrace::expr
