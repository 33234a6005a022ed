// The syntax tree of an expression.
//
// Chains (a + b - c, a and b and c, x | f | g, a.b[0].c) are one node with many children, so the depth of the tree
// follows the nesting of the text alone and walking it by recursion is safe under Limits::depth_max.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/expr/expression.h"

namespace millrace::expr {

struct Filter;

enum class Op : std::uint8_t {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
};
const char* spelling(Op op);

struct Span {  // bytes [begin, end) of the compiled text
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
};

struct Segment;     // one step of a path: .name, [index], [from:to]
struct FilterCall;  // | name(arguments)

struct Expression::Node {
  enum class Kind : std::uint8_t {
    kLiteral,      // literal
    kPath,         // root (or children[0] when root is empty), then segments
    kList,         // children
    kObject,       // keys[i]: children[i]
    kNot,          // children[0]
    kNegate,       // children[0]
    kAnd,          // children, two or more
    kOr,           // children, two or more
    kCompare,      // children[0] ops[0] children[1] ops[1] ...; true when every neighbouring pair compares true
    kArithmetic,   // the same shape, from left to right
    kConditional,  // condition, then, else
    kFiltered,     // children[0], then filters
  };
  Kind kind = Kind::kLiteral;
  Span span;
  Value literal;
  std::string root;
  std::vector<Node> children;
  std::vector<Op> ops;
  std::vector<std::string> keys;
  std::vector<Segment> segments;
  std::vector<FilterCall> filters;
};
using Node = Expression::Node;

struct Segment {
  enum class Kind : std::uint8_t { kName, kIndex, kSlice };
  Kind kind = Kind::kName;
  Span span;
  std::string name;          // kName: also ['name']
  std::vector<Node> bounds;  // kIndex: the index; kSlice: those of from and to that are written
  bool has_from = false;
  bool has_to = false;
};

struct FilterCall {
  const Filter* filter = nullptr;
  Span span;
  std::vector<Node> arguments;
  std::vector<std::uint8_t> places;  // arguments[i] is parameter places[i]
};

// root.name, and nothing else.
bool is_bare_path(const Node& node);

// All roots the tree reads, in the order of the text.
void collect_references(const Node& node, std::vector<Reference>& out);

}  // namespace millrace::expr
