// Lexer: expression text to tokens, one at a time.
//
// Promises: total and linear; after kEnd it returns kEnd for ever. It never looks past the token it returns, so a
// parser can stop at the `}}` of a template and leave the rest of the text alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/value.h"
#include "common/expr/syntax.h"

namespace millrace::expr {

enum class TokenKind : std::uint8_t { kEnd, kName, kNumber, kString, kSymbol };

struct Token {
  TokenKind kind = TokenKind::kEnd;
  Span span;
  std::string_view text;  // as written
  Value value;            // of numbers and strings
};

struct SyntaxError {
  std::uint32_t offset = 0;
  std::string message;
  std::string expected;
  std::string hint;
};

class Lexer {
 public:
  Lexer(std::string_view text, std::size_t offset) : text_(text), at_(offset) {}

  Token next();  // kEnd at the end and at the first error
  const std::optional<SyntaxError>& error() const { return error_; }
  bool keyword_argument_follows() const;  // the next thing is a single `=`

 private:
  Token make(TokenKind kind, std::size_t begin) const;
  Token number();
  Token string();
  bool escape(std::string& out);
  bool hex4(std::uint32_t& code);
  Token fail(std::size_t offset, std::string message, std::string expected = "", std::string hint = "");

  std::string_view text_;  // a loan for the lexer's life
  std::size_t at_;
  std::optional<SyntaxError> error_;
};

bool starts_name(char c);
bool continues_name(char c);

}  // namespace millrace::expr
