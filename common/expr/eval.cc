#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "common/expr/filters.h"
#include "common/expr/machine.h"
#include "common/expr/operators.h"

namespace millrace::expr {
namespace {

using Kind = Node::Kind;

// Walks the tree. Before an operator works, the machine is focused on the text it came from, so that whatever fails
// quotes the smallest expression that is at fault.
class Evaluator {
 public:
  Evaluator(const Scope& scope, Machine& m) : scope_(scope), m_(m) {}

  Held run(const Node& node) {
    m_.focus(node.span);
    if (!m_.steps(1)) return {};
    switch (node.kind) {
      case Kind::kLiteral: return Held::loan(node.literal);
      case Kind::kPath: return path(node);
      case Kind::kList: return list(node);
      case Kind::kObject: return object(node);
      case Kind::kNot: {
        Held operand = run(node.children[0]);
        return m_.failed() ? Held() : Held(!truthy(operand.get()));
      }
      case Kind::kNegate: {
        Held operand = run(node.children[0]);
        m_.focus(node.span);
        return m_.failed() ? Held() : negate(m_, operand.get());
      }
      case Kind::kAnd: return logical(node, false);
      case Kind::kOr: return logical(node, true);
      case Kind::kCompare: return comparison(node);
      case Kind::kArithmetic: return chain(node);
      case Kind::kConditional: return conditional(node);
      case Kind::kFiltered: return filtered(node);
    }
    return {};
  }

 private:
  Held list(const Node& node) {
    Value::Array items;
    items.reserve(node.children.size());
    for (const Node& child : node.children) {
      Held item = run(child);
      if (!m_.bytes(sizeof(Value))) return {};
      items.push_back(m_.take(std::move(item)));
    }
    return m_.failed() ? Held() : Held(Value(std::move(items)));
  }

  Held object(const Node& node) {
    Value::Object members;
    members.reserve(node.children.size());
    for (std::size_t i = 0; i < node.children.size(); ++i) {
      Held item = run(node.children[i]);
      if (!m_.bytes(sizeof(Value::Member) + node.keys[i].size())) return {};
      members.emplace_back(node.keys[i], m_.take(std::move(item)));
    }
    return m_.failed() ? Held() : Held(Value(std::move(members)));
  }

  // The first operand that decides, as it is; the last one when none does.
  Held logical(const Node& node, bool decides) {
    Held operand;
    for (const Node& child : node.children) {
      operand = run(child);
      if (m_.failed()) return {};
      if (truthy(operand.get()) == decides) break;
    }
    return operand;
  }

  Held comparison(const Node& node) {
    Held left = run(node.children[0]);
    for (std::size_t i = 0; i < node.ops.size(); ++i) {
      Held right = run(node.children[i + 1]);
      m_.focus(between(node.children[i], node.children[i + 1]));
      if (m_.failed()) return {};
      const bool holds = compare(m_, node.ops[i], left.get(), right.get());
      if (m_.failed()) return {};
      if (!holds) return Value(false);
      left = std::move(right);
    }
    return Value(true);
  }

  Held chain(const Node& node) {
    Held left = run(node.children[0]);
    for (std::size_t i = 0; i < node.ops.size(); ++i) {
      Held right = run(node.children[i + 1]);
      m_.focus(between(node.children[0], node.children[i + 1]));
      if (m_.failed()) return {};
      left = arithmetic(m_, node.ops[i], std::move(left), right.get());
    }
    return left;
  }

  Held conditional(const Node& node) {
    Held condition = run(node.children[0]);
    if (m_.failed()) return {};
    return run(node.children[truthy(condition.get()) ? 1 : 2]);
  }

  Held filtered(const Node& node) {
    const bool of_view = is_view_filter(node);
    Held subject = of_view ? viewed(node) : run(node.children[0]);
    for (std::size_t at = of_view ? 1 : 0; at < node.filters.size(); ++at) {
      const FilterCall& call = node.filters[at];
      std::vector<Held> arguments(call.filter->parameters.size());
      for (std::size_t i = 0; i < call.arguments.size(); ++i) arguments[call.places[i]] = run(call.arguments[i]);
      m_.focus({node.span.begin, call.span.end});
      if (!m_.steps(1)) return {};
      Call now{m_, *call.filter, std::move(subject), std::move(arguments)};
      subject = call.filter->apply(now);
    }
    return m_.failed() ? Held() : std::move(subject);
  }

  // What the scope does not hold whole, and of which no more than an element or the length is read.
  const ListView* view_of(const Node& path) const {
    const bool named = !path.root.empty() && !path.segments.empty() && path.segments[0].kind == Segment::Kind::kName;
    if (!named || !scope_.has_root(path.root) || scope_.borrow(path.root) != nullptr) return nullptr;
    return scope_.list(path.root, path.segments[0].name);
  }

  bool is_view_filter(const Node& node) const {
    static constexpr std::string_view kOfViews[] = {"length", "count", "first", "last"};
    if (node.filters.empty() || !is_bare_path(node.children[0])) return false;
    return std::ranges::find(kOfViews, node.filters[0].filter->name) != std::end(kOfViews) &&
           view_of(node.children[0]) != nullptr;
  }

  Held viewed(const Node& node) {
    const ListView& list = *view_of(node.children[0]);
    const std::string_view filter = node.filters[0].filter->name;
    if (!m_.steps(2)) return {};
    if (filter == "length" || filter == "count") return Value(list.count());
    if (list.count() == 0) return {};
    return element(list, filter == "first" ? 0 : list.count() - 1);
  }

  static Held element(const ListView& list, std::uint64_t index) {
    const Value* found = list.element(index);
    return found == nullptr ? Held() : Held::loan(*found);
  }

  static bool is_part_of_list(const Node& path) {
    return path.segments.size() >= 2 && path.segments[1].kind != Segment::Kind::kName;
  }

  Held part_of_view(const Node& node, const ListView& list) {
    const Segment& segment = node.segments[1];
    std::vector<Held> bounds;
    for (const Node& bound : segment.bounds) bounds.push_back(run(bound));
    m_.focus({node.span.begin, segment.span.end});
    if (!m_.steps(2)) return {};
    for (const Held& bound : bounds) {
      const bool open = segment.kind == Segment::Kind::kSlice && bound->is_null();
      if (!open && !bound->is_integer()) return m_.wrong("an index of an array", "an integer", bound.get());
    }
    const Value open;
    if (segment.kind == Segment::Kind::kIndex) {
      const std::optional<std::uint64_t> index = place_in(bounds[0].get(), list.count());
      return index ? element(list, *index) : Held();
    }
    const auto [begin, end] = range_in(segment.has_from ? bounds.front().get() : open,
                                       segment.has_to ? bounds.back().get() : open, list.count());
    Value::Array part;
    for (std::uint64_t i = begin; i < end && m_.steps(1); ++i) part.push_back(m_.take(element(list, i)));
    return m_.failed() ? Held() : Held(Value(std::move(part)));
  }

  // root.head is asked of the scope alone; only a root read whole, or through an index that is no name, is built.
  Held path(const Node& node) {
    std::size_t next = 0;
    Held at;
    if (node.root.empty()) {
      at = run(node.children[0]);
    } else if (const ListView* list = is_part_of_list(node) ? view_of(node) : nullptr; list != nullptr) {
      at = part_of_view(node, *list);
      next = 2;
    } else {
      at = start(node, next);
    }
    for (; next < node.segments.size() && !m_.failed(); ++next) at = walk(node, next, std::move(at));
    return m_.failed() ? Held() : std::move(at);
  }

  Held start(const Node& node, std::size_t& next) {
    const Span name{node.span.begin, node.segments.empty() ? node.span.end : node.segments[0].span.begin};
    if (!scope_.has_root(node.root)) {
      m_.focus(name);
      return m_.fail("there is no such name here", "", "text in an expression is written in quotes");
    }
    if (const Value* whole = scope_.borrow(node.root)) return Held::loan(*whole);
    if (node.segments.empty()) return build(node.root);
    const Segment& first = node.segments[0];
    if (first.kind == Segment::Kind::kName) {
      next = 1;
      return head(node.root, first.name);
    }
    if (first.kind == Segment::Kind::kSlice) return build(node.root);
    Held key = run(first.bounds[0]);
    if (m_.failed()) return {};
    next = 1;
    if (key->is_string()) return head(node.root, key->as_string());
    m_.focus({node.span.begin, first.span.end});
    return index(m_, build(node.root), key.get(), {"", name});
  }
  Held head(const std::string& root, const std::string& name) {
    const Value* found = scope_.member(root, name);
    return found == nullptr ? Held() : Held::loan(*found);
  }
  Held build(const std::string& root) {
    Value whole = scope_.root(root);
    m_.pay(whole);
    return m_.failed() ? Held() : Held(std::move(whole));
  }

  Held walk(const Node& node, std::size_t i, Held at) {
    const Segment& segment = node.segments[i];
    std::vector<Held> bounds;
    for (const Node& bound : segment.bounds) bounds.push_back(run(bound));
    m_.focus({node.span.begin, segment.span.end});
    if (!m_.steps(1)) return {};
    const Subject subject{"", {node.span.begin, segment.span.begin}};
    switch (segment.kind) {
      case Segment::Kind::kName: return member(m_, std::move(at), segment.name, subject);
      case Segment::Kind::kIndex: return index(m_, std::move(at), bounds[0].get(), subject);
      case Segment::Kind::kSlice: {
        const Value open;
        const Value& from = segment.has_from ? bounds.front().get() : open;
        const Value& to = segment.has_to ? bounds.back().get() : open;
        return slice(m_, at.get(), from, to, subject);
      }
    }
    return {};
  }

  static Span between(const Node& first, const Node& last) { return {first.span.begin, last.span.end}; }

  const Scope& scope_;
  Machine& m_;
};

}  // namespace

Held evaluate(const Node& node, const Scope& scope, Machine& machine) { return Evaluator(scope, machine).run(node); }

}  // namespace millrace::expr
