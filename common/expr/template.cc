#include <algorithm>
#include <utility>

#include "common/expr/machine.h"
#include "common/expr/parser.h"

namespace millrace::expr {
namespace {

// The value of an evaluation that ended: copied out of the scope if it was borrowed, and no deeper than JSON may be.
Result<Value> finish(Machine& m, Held held) {
  const bool built = !held.is_loan();
  Value value = m.take(std::move(held));
  if (!m.failed() && built && deeper_than(value, Value::kDepthMax)) {
    m.fail("the result is nested deeper than " + std::to_string(Value::kDepthMax) + " levels", "", "", "depth_max");
  }
  if (m.failed()) return m.take_error();
  return value;
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool all_space(std::string_view text) { return std::all_of(text.begin(), text.end(), is_space); }

// One string: pieces of text and expressions in turn.
struct Piece {
  std::string text;  // when there is no expression
  bool is_expression = false;
  Node node;
};
struct Pieces {
  std::string text;  // all of it; the spans of the nodes count in it
  std::vector<Piece> pieces;
  bool single = false;  // one expression and nothing but white space
};

Result<Pieces> compile_pieces(std::string_view text, const Limits& limits) {
  Pieces out;
  out.text = std::string(text);
  std::size_t expressions = 0;
  bool words = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t braces = text.find("{{", at);
    const std::string_view literal = text.substr(at, braces - at);
    if (!literal.empty()) {
      words = words || !all_space(literal);
      out.pieces.push_back({std::string(literal), false, {}});
    }
    if (braces == std::string_view::npos) break;
    Result<Parsed> parsed = parse(text, braces + 2, Ending::kBraces, limits);
    if (!parsed.ok()) return parsed.error();
    at = parsed->end;
    out.pieces.push_back({"", true, std::move(parsed->root)});
    ++expressions;
  }
  out.single = expressions == 1 && !words;
  return out;
}

Held render_pieces(const Pieces& template_, const Scope& scope, const Renderer& renderer, Machine& m) {
  m.read(template_.text);
  if (template_.single) {
    for (const Piece& piece : template_.pieces) {
      if (piece.is_expression) return evaluate(piece.node, scope, m);
    }
  }
  std::string out;
  for (const Piece& piece : template_.pieces) {
    const std::size_t before = out.size();
    if (piece.is_expression) {
      Held held = evaluate(piece.node, scope, m);
      if (m.failed()) return {};
      m.focus(piece.node.span);
      if (!held->is_string()) m.pay(held.get());  // before the text of a big value is written
      if (!m.failed()) renderer(held.get(), out);
    } else {
      out += piece.text;
    }
    if (!m.bytes(out.size() - before)) return {};
  }
  return Value(std::move(out));
}

void collect(const Pieces& pieces, std::vector<Reference>& out) {
  for (const Piece& piece : pieces.pieces) {
    if (piece.is_expression) collect_references(piece.node, out);
  }
}

}  // namespace

void render_default(const Value& value, std::string& out) {
  if (value.is_null()) return;
  if (value.is_string()) out += value.as_string();
  else value.dump_to(out);
}

// --- ObjectScope ---

bool ObjectScope::has_root(std::string_view root) const { return roots_.find(root) != nullptr; }
const Value* ObjectScope::borrow(std::string_view root) const { return roots_.find(root); }
Value ObjectScope::root(std::string_view root) const {
  const Value* found = roots_.find(root);
  return found == nullptr ? Value() : *found;
}
const Value* ObjectScope::member(std::string_view root, std::string_view head) const {
  const Value* found = roots_.find(root);
  return found == nullptr ? nullptr : found->find(head);
}

// --- Expression ---

struct Expression::Body {
  std::string text;
  Node root;
  std::vector<Reference> references;
};

Result<Expression> Expression::compile(std::string_view text, const Limits& limits) {
  Result<Parsed> parsed = parse(text, 0, Ending::kText, limits);
  if (!parsed.ok()) return parsed.error();
  auto body = std::make_shared<Body>();
  body->text = std::string(text);
  body->root = std::move(parsed->root);
  collect_references(body->root, body->references);
  Expression expression;
  expression.body_ = std::move(body);
  return expression;
}

Result<Value> Expression::evaluate(const Scope& scope, const Limits& limits) const {
  Machine m(body_->text, limits);
  Held held = expr::evaluate(body_->root, scope, m);
  m.focus(body_->root.span);
  return finish(m, std::move(held));
}

const std::vector<Reference>& Expression::references() const { return body_->references; }
const std::string& Expression::text() const { return body_->text; }

// --- TextTemplate ---

struct TextTemplate::Body {
  Pieces pieces;
  std::vector<Reference> references;
};

Result<TextTemplate> TextTemplate::compile(std::string_view text, const Limits& limits) {
  Result<Pieces> pieces = compile_pieces(text, limits);
  if (!pieces.ok()) return pieces.error();
  auto body = std::make_shared<Body>();
  body->pieces = std::move(pieces).value();
  collect(body->pieces, body->references);
  TextTemplate compiled;
  compiled.body_ = std::move(body);
  return compiled;
}

Result<Value> TextTemplate::render(const Scope& scope, const Renderer& renderer, const Limits& limits) const {
  Machine m(body_->pieces.text, limits);
  return finish(m, render_pieces(body_->pieces, scope, renderer, m));
}

const std::vector<Reference>& TextTemplate::references() const { return body_->references; }
bool TextTemplate::is_single_expression() const { return body_->pieces.single; }
bool TextTemplate::is_literal() const {
  const auto& pieces = body_->pieces.pieces;
  return std::none_of(pieces.begin(), pieces.end(), [](const Piece& piece) { return piece.is_expression; });
}

// --- Template ---

namespace {

// A value with its strings compiled. What holds no expression is kept as one literal, however big.
struct Tree {
  enum class Kind : std::uint8_t { kLiteral, kText, kList, kObject };
  Kind kind = Kind::kLiteral;
  Value literal;
  Pieces text;
  std::vector<std::string> keys;
  std::vector<Tree> children;
};

std::string step(const std::string& path, const std::string& key) { return path.empty() ? key : path + "." + key; }
std::string step(const std::string& path, std::size_t i) { return path + "[" + std::to_string(i) + "]"; }

Error at_path(Error error, const std::string& path) {
  if (path.empty()) return error;
  error.what = path + ": " + error.what;
  for (Problem& problem : error.details) problem.message = path + ": " + problem.message;
  return error;
}

bool has_expression(const Value& value) {
  if (value.is_string()) return value.as_string().find("{{") != std::string::npos;
  if (value.is_array()) return std::any_of(value.as_array().begin(), value.as_array().end(), has_expression);
  if (!value.is_object()) return false;
  return std::any_of(value.as_object().begin(), value.as_object().end(),
                     [](const Value::Member& member) { return has_expression(member.second); });
}

Result<Tree> compile_tree(const Value& value, const Limits& limits, const std::string& path,
                          std::vector<Reference>& refs) {
  Tree tree;
  if (!has_expression(value)) {
    tree.literal = value;
    return tree;
  }
  if (value.is_string()) {
    Result<Pieces> pieces = compile_pieces(value.as_string(), limits);
    if (!pieces.ok()) return at_path(pieces.error(), path);
    tree.kind = Tree::Kind::kText;
    tree.text = std::move(pieces).value();
    collect(tree.text, refs);
    return tree;
  }
  const auto add = [&](const Value& child, const std::string& child_path) -> Status {
    Result<Tree> compiled = compile_tree(child, limits, child_path, refs);
    if (!compiled.ok()) return compiled.error();
    tree.children.push_back(std::move(compiled).value());
    return Done{};
  };
  if (value.is_array()) {
    tree.kind = Tree::Kind::kList;
    for (std::size_t i = 0; i < value.as_array().size(); ++i) {
      if (Status added = add(value.as_array()[i], step(path, i)); !added.ok()) return added.error();
    }
  } else {
    tree.kind = Tree::Kind::kObject;
    for (const auto& [key, member] : value.as_object()) {
      tree.keys.push_back(key);
      if (Status added = add(member, step(path, key)); !added.ok()) return added.error();
    }
  }
  return tree;
}

struct Rendering {
  const Scope& scope;
  const Renderer& renderer;
  Machine& m;
  std::string failed_at;  // the path of the string that failed, built on the way out

  void failed_under(const std::string& key) {
    const bool dot = !failed_at.empty() && failed_at[0] != '[';
    failed_at.insert(0, dot ? key + "." : key);
  }
};

Value render_tree(const Tree& tree, Rendering& r) {
  switch (tree.kind) {
    case Tree::Kind::kLiteral: r.m.read(""); return r.m.take(Held::loan(tree.literal));
    case Tree::Kind::kText: return r.m.take(render_pieces(tree.text, r.scope, r.renderer, r.m));
    case Tree::Kind::kList: {
      Value::Array items;
      for (std::size_t i = 0; i < tree.children.size(); ++i) {
        items.push_back(render_tree(tree.children[i], r));
        if (!r.m.failed()) continue;
        r.failed_under(step("", i));
        return {};
      }
      return items;
    }
    case Tree::Kind::kObject: {
      Value::Object members;
      for (std::size_t i = 0; i < tree.children.size(); ++i) {
        members.emplace_back(tree.keys[i], render_tree(tree.children[i], r));
        if (!r.m.failed()) continue;
        r.failed_under(tree.keys[i]);
        return {};
      }
      return members;
    }
  }
  return {};
}

}  // namespace

struct Template::Body {
  Tree tree;
  std::vector<Reference> references;
};

Result<Template> Template::compile(const Value& value, const Limits& limits) {
  if (deeper_than(value, Value::kDepthMax)) {
    return to_error(
        {0, "the value is nested too deeply", "at most " + std::to_string(Value::kDepthMax) + " levels", ""});
  }
  auto body = std::make_shared<Body>();
  Result<Tree> tree = compile_tree(value, limits, "", body->references);
  if (!tree.ok()) return tree.error();
  body->tree = std::move(tree).value();
  Template compiled;
  compiled.body_ = std::move(body);
  return compiled;
}

Result<Value> Template::render(const Scope& scope, const Renderer& renderer, const Limits& limits) const {
  Machine m("", limits);
  Rendering r{scope, renderer, m, ""};
  Value value = render_tree(body_->tree, r);
  if (m.failed()) return at_path(m.take_error(), r.failed_at);
  m.read("");
  return finish(m, Held(std::move(value)));
}

const std::vector<Reference>& Template::references() const { return body_->references; }
bool Template::is_literal() const { return body_->tree.kind == Tree::Kind::kLiteral; }

const Reference* Template::bare() const {
  const Tree& tree = body_->tree;
  if (tree.kind != Tree::Kind::kText || !tree.text.single) return nullptr;
  const auto piece = std::ranges::find_if(tree.text.pieces, &Piece::is_expression);
  return is_bare_path(piece->node) ? &body_->references.front() : nullptr;
}

}  // namespace millrace::expr
