// Parser: expression text to a syntax tree.
//
// Promises: total; recursion is bounded by Limits::depth_max; the first problem is reported with its place.
#pragma once

#include <string_view>

#include "common/base/result.h"
#include "common/expr/lexer.h"
#include "common/expr/syntax.h"

namespace millrace::expr {

enum class Ending : std::uint8_t {
  kText,    // the expression is all there is
  kBraces,  // the expression ends at `}}`; text before `offset` ended in `{{`
};

struct Parsed {
  Node root;
  std::size_t end = 0;  // where the text goes on: after `}}`, or its end
};

// Spans count from the start of `text`, not from `offset`.
Result<Parsed> parse(std::string_view text, std::size_t offset, Ending ending, const Limits& limits);

Error to_error(const SyntaxError& problem);

}  // namespace millrace::expr
