#include "common/expr/syntax.h"

namespace millrace::expr {

const char* spelling(Op op) {
  switch (op) {
    case Op::kEqual: return "==";
    case Op::kNotEqual: return "!=";
    case Op::kLess: return "<";
    case Op::kLessEqual: return "<=";
    case Op::kGreater: return ">";
    case Op::kGreaterEqual: return ">=";
    case Op::kIn: return "in";
    case Op::kNotIn: return "not in";
    case Op::kAdd: return "+";
    case Op::kSubtract: return "-";
    case Op::kMultiply: return "*";
    case Op::kDivide: return "/";
    case Op::kFloorDivide: return "//";
    case Op::kModulo: return "%";
  }
  return "";
}

bool is_bare_path(const Node& node) {
  return node.kind == Node::Kind::kPath && !node.root.empty() && node.segments.size() == 1 &&
         node.segments[0].kind == Segment::Kind::kName;
}

void collect_references(const Node& node, std::vector<Reference>& out) {
  if (node.kind == Node::Kind::kPath && !node.root.empty()) {
    const bool named = !node.segments.empty() && node.segments[0].kind == Segment::Kind::kName;
    out.push_back({node.root, named ? node.segments[0].name : "", !named, node.span.begin});
  }
  // A conditional is written `then if condition else other` but kept condition first.
  if (node.kind == Node::Kind::kConditional && node.children.size() == 3) {
    for (std::size_t i : {1U, 0U, 2U}) collect_references(node.children[i], out);
  } else {
    for (const Node& child : node.children) collect_references(child, out);
  }
  for (const Segment& segment : node.segments) {
    for (const Node& bound : segment.bounds) collect_references(bound, out);
  }
  for (const FilterCall& call : node.filters) {
    for (const Node& argument : call.arguments) collect_references(argument, out);
  }
}

}  // namespace millrace::expr
