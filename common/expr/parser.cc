#include "common/expr/parser.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/expr/filters.h"

namespace millrace::expr {
namespace {

using Kind = Node::Kind;

constexpr std::string_view kKeywords[] = {"and", "or", "not", "in", "if", "else", "is"};

bool is_keyword(std::string_view word) {
  return std::find(std::begin(kKeywords), std::end(kKeywords), word) != std::end(kKeywords);
}

// Recursive descent, one function a level of precedence. After the first error the current token is kEnd for ever, so
// every loop ends and every function returns; the half-built tree is dropped.
class Parser {
 public:
  Parser(std::string_view text, std::size_t offset, Ending ending, const Limits& limits)
      : text_(text), offset_(offset), ending_(ending), limits_(limits), lexer_(text, offset) {
    advance();
  }

  Result<Parsed> run() {
    Parsed parsed;
    if (at_end_of_expression()) fail_here("the expression is empty", "a value");
    parsed.root = expression();
    if (!error_ && !at_end_of_expression()) unexpected("an operator or the end of the expression");
    if (error_) return to_error(with_place(*error_));
    parsed.end = ending_ == Ending::kText ? text_.size() : token_.span.begin + 2;
    return parsed;
  }

 private:
  // Counts one level of nesting for as long as it lives.
  class Nest {
   public:
    explicit Nest(Parser& parser) : parser_(parser) {
      if (++parser_.depth_ > parser_.limits_.depth_max) {
        parser_.fail_here("the expression is nested too deeply",
                          "at most " + std::to_string(parser_.limits_.depth_max) + " levels");
      }
    }
    ~Nest() { --parser_.depth_; }
    Nest(const Nest&) = delete;
    Nest& operator=(const Nest&) = delete;

   private:
    Parser& parser_;
  };

  // --- tokens ---
  void advance() {
    last_end_ = token_.span.end;
    token_ = lexer_.next();
    if (lexer_.error() && !error_) error_ = lexer_.error();
  }
  bool symbol(std::string_view spelled) const { return token_.kind == TokenKind::kSymbol && token_.text == spelled; }
  bool word(std::string_view spelled) const { return token_.kind == TokenKind::kName && token_.text == spelled; }
  bool accept(std::string_view spelled) {
    if (!symbol(spelled)) return false;
    advance();
    return true;
  }
  bool accept_word(std::string_view spelled) {
    if (!word(spelled)) return false;
    advance();
    return true;
  }
  void expect(std::string_view spelled) {
    if (!accept(spelled)) unexpected("`" + std::string(spelled) + "`");
  }
  bool at_end_of_expression() const {
    if (ending_ == Ending::kText) return token_.kind == TokenKind::kEnd;
    return symbol("}") && text_.substr(token_.span.end, 1) == "}";
  }

  // --- errors ---
  void fail(std::uint32_t offset, std::string message, std::string expected = "", std::string hint = "") {
    if (!error_) error_ = SyntaxError{offset, std::move(message), std::move(expected), std::move(hint)};
    const auto end = static_cast<std::uint32_t>(text_.size());
    token_ = {TokenKind::kEnd, {end, end}, {}, {}};
    lexer_ = Lexer(text_, text_.size());
  }
  void fail_here(std::string message, std::string expected = "", std::string hint = "") {
    fail(token_.span.begin, std::move(message), std::move(expected), std::move(hint));
  }
  void unexpected(std::string expected) {
    if (token_.kind == TokenKind::kEnd) return fail_here("the expression ends too early", std::move(expected));
    std::string hint;
    if (word("is")) hint = "compare with ==, for example `x == null`";
    else if (symbol("=")) hint = "write == to compare";
    else if (symbol("(")) hint = "there are no functions; filters are written `value | name(...)`";
    else if (symbol(".")) hint = "put what stands before the dot in parentheses";
    std::string found = "unexpected `" + std::string(token_.text.substr(0, kQuoteMax)) + "`";
    fail_here(std::move(found), std::move(expected), std::move(hint));
  }
  // Text that runs out inside braces is best reported where the braces open.
  SyntaxError with_place(SyntaxError problem) const {
    if (ending_ == Ending::kBraces && problem.offset >= text_.size()) {
      return {static_cast<std::uint32_t>(offset_ - 2), "`{{` is never closed", "`}}`",
              "two literal braces are written {{ '{{' }}"};
    }
    return problem;
  }

  // --- building ---
  Node start(Kind kind, std::uint32_t begin) const {
    Node node;
    node.kind = kind;
    node.span = {begin, begin};
    return node;
  }
  Node& close(Node& node) const {
    node.span.end = last_end_;
    return node;
  }
  Node literal(Value value) {
    Node node = start(Kind::kLiteral, token_.span.begin);
    node.literal = std::move(value);
    advance();
    return close(node);
  }

  // `operand (op operand)*`; one operand alone is itself. `next_op` consumes an operator when there is one.
  template <class NextOp>
  Node chain(Kind kind, Node (Parser::*operand)(), NextOp next_op) {
    Node first = (this->*operand)();
    std::optional<Op> op = next_op();
    if (!op) return first;
    Node node = start(kind, first.span.begin);
    node.children.push_back(std::move(first));
    while (op) {
      node.ops.push_back(*op);
      node.children.push_back((this->*operand)());
      op = next_op();
    }
    return close(node);
  }
  // The same for `and` and `or`, where the operators are all alike and `ops` says nothing.
  Node words(Kind kind, std::string_view spelled, Node (Parser::*operand)()) {
    return chain(kind, operand, [&]() -> std::optional<Op> {
      if (accept_word(spelled)) return Op::kEqual;
      return std::nullopt;
    });
  }

  // --- grammar, from the loosest to the tightest ---
  Node expression() {
    Nest nest(*this);
    Node value = disjunction();
    if (!accept_word("if")) return value;
    Node node = start(Kind::kConditional, value.span.begin);
    node.children.push_back(disjunction());
    node.children.push_back(std::move(value));
    if (!accept_word("else")) unexpected("`else`");
    node.children.push_back(expression());
    return close(node);
  }
  Node disjunction() { return words(Kind::kOr, "or", &Parser::conjunction); }
  Node conjunction() { return words(Kind::kAnd, "and", &Parser::negation); }
  Node negation() {
    if (!word("not")) return comparison();
    Nest nest(*this);
    Node node = start(Kind::kNot, token_.span.begin);
    advance();
    node.children.push_back(negation());
    return close(node);
  }
  Node comparison() {
    return chain(Kind::kCompare, &Parser::sum, [this]() -> std::optional<Op> {
      if (accept("==")) return Op::kEqual;
      if (accept("!=")) return Op::kNotEqual;
      if (accept("<=")) return Op::kLessEqual;
      if (accept("<")) return Op::kLess;
      if (accept(">=")) return Op::kGreaterEqual;
      if (accept(">")) return Op::kGreater;
      if (accept_word("in")) return Op::kIn;
      if (accept_word("not")) {
        if (!accept_word("in")) unexpected("`in` after `not`");
        return Op::kNotIn;
      }
      return std::nullopt;
    });
  }
  Node sum() {
    return chain(Kind::kArithmetic, &Parser::product, [this]() -> std::optional<Op> {
      if (accept("+")) return Op::kAdd;
      if (accept("-")) return Op::kSubtract;
      return std::nullopt;
    });
  }
  Node product() {
    return chain(Kind::kArithmetic, &Parser::filtered, [this]() -> std::optional<Op> {
      if (accept("*")) return Op::kMultiply;
      if (accept("//")) return Op::kFloorDivide;
      if (accept("/")) return Op::kDivide;
      if (accept("%")) return Op::kModulo;
      return std::nullopt;
    });
  }
  Node filtered() {
    Node subject = unary();
    if (!symbol("|")) return subject;
    Node node = start(Kind::kFiltered, subject.span.begin);
    node.children.push_back(std::move(subject));
    while (accept("|")) node.filters.push_back(filter_call());
    return close(node);
  }
  Node unary() {
    if (!symbol("-")) return postfix();
    Nest nest(*this);
    Node node = start(Kind::kNegate, token_.span.begin);
    advance();
    if (!error_) node.children.push_back(unary());
    return close(node);
  }

  FilterCall filter_call() {
    FilterCall call;
    call.span = token_.span;
    if (token_.kind != TokenKind::kName) {
      unexpected("the name of a filter");
      return call;
    }
    call.filter = find_filter(token_.text);
    if (call.filter == nullptr) {
      const std::string near = closest_filter(token_.text);
      fail_here("unknown filter `" + std::string(token_.text.substr(0, kQuoteMax)) + "`", "one of the filters",
                near.empty() ? "" : "did you mean `" + near + "`?");
      return call;
    }
    advance();
    if (accept("(")) {
      while (!error_ && !symbol(")")) {
        argument(call);
        if (!accept(",")) break;
      }
      expect(")");
    }
    call.span.end = last_end_;
    for (std::size_t i = 0; i < call.filter->required; ++i) {
      if (std::find(call.places.begin(), call.places.end(), i) == call.places.end()) {
        fail(call.span.begin,
             std::string("`") + call.filter->name + "` needs its argument `" + call.filter->parameters[i] + "`",
             signature(*call.filter));
        break;
      }
    }
    return call;
  }
  void argument(FilterCall& call) {
    const Filter& filter = *call.filter;
    const std::uint32_t begin = token_.span.begin;
    std::size_t place = call.arguments.size();
    if (token_.kind == TokenKind::kName && lexer_.keyword_argument_follows()) {
      const auto& names = filter.parameters;
      place = static_cast<std::size_t>(std::find(names.begin(), names.end(), token_.text) - names.begin());
      if (place == names.size()) {
        return fail_here("`" + std::string(filter.name) + "` has no argument `" +
                             std::string(token_.text.substr(0, kQuoteMax)) + "`",
                         signature(filter));
      }
      advance();
      expect("=");
    } else if (!call.places.empty() && call.places.back() + 1U != place) {
      return fail_here("a plain argument follows a named one", signature(filter));
    }
    if (place >= filter.parameters.size()) return fail_here("too many arguments", signature(filter));
    if (std::find(call.places.begin(), call.places.end(), place) != call.places.end()) {
      return fail(begin, "an argument is given twice", signature(filter));
    }
    call.places.push_back(static_cast<std::uint8_t>(place));
    call.arguments.push_back(expression());
  }

  Node postfix() {
    Node base = primary();
    while (!error_ && (symbol(".") || symbol("["))) {
      if (base.kind != Kind::kPath) {
        Node path = start(Kind::kPath, base.span.begin);
        path.children.push_back(std::move(base));
        base = std::move(path);
      }
      base.segments.push_back(segment());
      close(base);
    }
    return base;
  }
  Segment segment() {
    Segment segment;
    segment.span = token_.span;
    if (accept(".")) {
      if (token_.kind != TokenKind::kName) unexpected("a name; other keys are written ['like-this'], indexes [0]");
      segment.name = std::string(token_.text);
      advance();
    } else {
      expect("[");
      subscript(segment);
      expect("]");
    }
    segment.span.end = last_end_;
    return segment;
  }
  void subscript(Segment& segment) {
    segment.has_from = !symbol(":");
    if (segment.has_from) segment.bounds.push_back(expression());
    if (accept(":")) {
      segment.kind = Segment::Kind::kSlice;
      segment.has_to = !symbol("]");
      if (segment.has_to) segment.bounds.push_back(expression());
    } else if (!error_ && segment.bounds[0].kind == Kind::kLiteral && segment.bounds[0].literal.is_string()) {
      segment.name = segment.bounds[0].literal.as_string();
      segment.bounds.clear();
    } else {
      segment.kind = Segment::Kind::kIndex;
    }
  }

  Node primary() {
    switch (token_.kind) {
      case TokenKind::kNumber:
      case TokenKind::kString: return literal(std::move(token_.value));
      case TokenKind::kName: return name();
      case TokenKind::kSymbol:
        if (symbol("(")) return parenthesised();
        if (symbol("[")) return list();
        if (symbol("{")) return object();
        break;
      case TokenKind::kEnd: break;
    }
    unexpected("a value");
    return {};
  }
  Node name() {
    if (word("true") || word("True")) return literal(true);
    if (word("false") || word("False")) return literal(false);
    if (word("null") || word("none") || word("None")) return literal(nullptr);
    if (is_keyword(token_.text)) {
      unexpected("a value");
      return {};
    }
    Node node = start(Kind::kPath, token_.span.begin);
    node.root = std::string(token_.text);
    advance();
    return close(node);
  }
  Node parenthesised() {
    const std::uint32_t begin = token_.span.begin;
    advance();
    Node inner = expression();
    expect(")");
    inner.span = {begin, last_end_};
    return inner;
  }
  Node list() {
    Node node = start(Kind::kList, token_.span.begin);
    advance();
    while (!error_ && !symbol("]")) {
      node.children.push_back(expression());
      if (!accept(",")) break;
    }
    expect("]");
    return close(node);
  }
  Node object() {
    Node node = start(Kind::kObject, token_.span.begin);
    std::set<std::string> seen;
    advance();
    while (!error_ && !symbol("}")) {
      if (token_.kind != TokenKind::kString) {
        unexpected("a key in quotes");
        break;
      }
      std::string key = token_.value.as_string();
      if (!seen.insert(key).second) {
        fail_here("the key stands in the object twice");
        break;
      }
      advance();
      expect(":");
      node.keys.push_back(std::move(key));
      node.children.push_back(expression());
      if (!accept(",")) break;
    }
    expect("}");
    return close(node);
  }

  static constexpr std::size_t kQuoteMax = 64;

  std::string_view text_;
  std::size_t offset_;
  Ending ending_;
  const Limits& limits_;
  Lexer lexer_;
  Token token_;
  std::uint32_t last_end_ = 0;
  std::uint32_t depth_ = 0;
  std::optional<SyntaxError> error_;
};

}  // namespace

Error to_error(const SyntaxError& problem) {
  const int column = static_cast<int>(problem.offset) + 1;
  std::string what = problem.message + " at column " + std::to_string(column);
  if (!problem.expected.empty()) what += "; expected " + problem.expected;
  if (!problem.hint.empty()) what += "; " + problem.hint;
  return Error{Code::kInvalid, std::move(what), {{"", 1, column, problem.message, problem.expected, problem.hint}}, ""};
}

Result<Parsed> parse(std::string_view text, std::size_t offset, Ending ending, const Limits& limits) {
  if (text.size() > limits.text_max) {
    return to_error(
        {0, "the text is too long for an expression", "at most " + std::to_string(limits.text_max) + " bytes", ""});
  }
  return Parser(text, offset, ending, limits).run();
}

}  // namespace millrace::expr
