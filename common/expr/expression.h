// Expressions: what stands between `{{` and `}}`, and templates, the JSON values that hold them in their strings.
//
// Promises: pure and total. Compilation and evaluation never throw, end within their limits and report the place of
// what is wrong. A compiled Expression or Template is immutable and cheap to copy (shared inside); any thread may
// evaluate it. Messages name kinds and quote the expression, never the values it saw (they may be secrets).
// Codes: kInvalid at compile time, kFailed at evaluation; a spent budget has the name of its limit in Error::name.
// Grammar, semantics and filters with examples: docs/expressions.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/value.h"

namespace millrace::expr {

// What an expression reads: `nodes.fetch.body[0]` has root "nodes" and head "fetch" (the first path segment, when it
// is a literal name); `inputs.k` has head "k". A root that is read whole (`inputs | keys`) or with a computed
// first segment (`nodes[inputs.which]`) has an empty head and `dynamic` set.
struct Reference {
  std::string root;
  std::string head;
  bool dynamic = false;
  std::uint32_t offset = 0;  // byte offset in the compiled text, for error positions
  bool operator==(const Reference&) const = default;
};

// A list that is not held whole. An element is lent for the length of the evaluation; null: the scope has not got it,
// has noted that, and the result does not count.
class ListView {
 public:
  virtual ~ListView() = default;
  virtual std::uint64_t count() const = 0;
  virtual const Value* element(std::uint64_t index) const = 0;  // below count()
};

// Names an expression can see. `root` is for roots read whole; `member` for root.head, so that a scope need not build
// the object of all nodes. A missing member is null (not an error); a missing root is an error. `borrow` is for roots
// the scope already holds as one value: it saves the copy, and it is how a root that is not an object (`item`) is seen
// as what it is. Pointers stay good for the length of the evaluation.
class Scope {
 public:
  virtual ~Scope() = default;
  virtual bool has_root(std::string_view root) const = 0;
  virtual Value root(std::string_view root) const = 0;
  virtual const Value* member(std::string_view root, std::string_view head) const = 0;  // null: absent
  virtual const Value* borrow(std::string_view /*root*/) const { return nullptr; }      // null: must be built
  // Asked before `member` where only the length or single elements of root.head are read; null: it is no such list.
  virtual const ListView* list(std::string_view /*root*/, std::string_view /*head*/) const { return nullptr; }
};

// The common scope: an object of roots.
class ObjectScope : public Scope {
 public:
  explicit ObjectScope(const Value& roots) : roots_(roots) {}
  bool has_root(std::string_view root) const override;
  Value root(std::string_view root) const override;
  const Value* member(std::string_view root, std::string_view head) const override;
  const Value* borrow(std::string_view root) const override;

 private:
  const Value& roots_;  // a loan for the scope's life
};

struct Limits {
  std::uint32_t text_max = 64 * 1024;         // bytes of one expression or string with `{{` in it (plain text: any)
  std::uint32_t depth_max = 64;               // nesting of the syntax tree
  std::uint32_t steps_max = 1'000'000;        // evaluation steps; every element a filter touches is one
  std::size_t result_max = 64 * 1024 * 1024;  // bytes of strings and containers built
};

// Turns a value into text inside mixed text. The default: null is '', strings as they are, 1.0 is 1.0, containers are
// compact JSON. An importer for another system brings its own.
using Renderer = std::function<void(const Value&, std::string& out)>;
void render_default(const Value& value, std::string& out);

// Positions of an error: byte offset in the text that was compiled (Problem.column = offset + 1, Problem.line = 1).
class Expression {
 public:
  struct Node;
  static Result<Expression> compile(std::string_view text, const Limits& limits = {});  // without the braces

  Result<Value> evaluate(const Scope& scope, const Limits& limits = {}) const;
  const std::vector<Reference>& references() const;
  const std::string& text() const;

 private:
  struct Body;
  std::shared_ptr<const Body> body_;
};

// One string field: literal text, one expression, or a mixture. `{{ '{{' }}` writes two braces.
class TextTemplate {
 public:
  static Result<TextTemplate> compile(std::string_view text, const Limits& limits = {});
  // A field that is one expression (white space around it aside) keeps its type; mixed text becomes a string.
  Result<Value> render(const Scope& scope, const Renderer& renderer = render_default, const Limits& limits = {}) const;
  const std::vector<Reference>& references() const;
  bool is_literal() const;  // no expression inside
  bool is_single_expression() const;

 private:
  struct Body;
  std::shared_ptr<const Body> body_;
};

// A JSON value with templates in its strings, at any depth. Object keys are never templated.
class Template {
 public:
  // On error the problem's `message` names the path inside the value ("env.PATH: ...").
  static Result<Template> compile(const Value& value, const Limits& limits = {});
  Result<Value> render(const Scope& scope, const Renderer& renderer = render_default, const Limits& limits = {}) const;
  const std::vector<Reference>& references() const;
  bool is_literal() const;
  const Reference* bare() const;  // that it is, where it is one root.head and nothing else; null: it is more

 private:
  struct Body;
  std::shared_ptr<const Body> body_;
};

// Truth as in Python: null, false, 0, 0.0, "", [] and {} are false.
bool truthy(const Value& value);

// Names of all filters, for "did you mean".
const std::vector<std::string>& filter_names();

}  // namespace millrace::expr
