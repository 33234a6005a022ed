#include "common/expr/lexer.h"

#include <charconv>
#include <cmath>
#include <utility>

namespace millrace::expr {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

constexpr std::string_view kSymbols[] = {"==", "!=", "<=", ">=", "//", "(", ")", "[", "]", "{", "}", ",",
                                         ":",  ".",  "|",  "=",  "<",  ">", "+", "-", "*", "/", "%"};

struct Foreign {  // what other languages write, and what we say instead
  std::string_view written;
  const char* hint;
};
constexpr Foreign kForeign[] = {
    {"&&", "write `and`"}, {"!", "write `not`"}, {"~", "write `+`, or put both in one text"}};

std::string describe(char c) {
  if (c >= 0x20 && c < 0x7F) return std::string("`") + c + "`";
  static constexpr char kHex[] = "0123456789abcdef";
  auto byte = static_cast<unsigned char>(c);
  return std::string("byte 0x") + kHex[byte >> 4] + kHex[byte & 15];
}

void append_utf8(std::string& out, std::uint32_t code) {
  auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | (code >> 6));
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | (code >> 12));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | (code >> 18));
    put(0x80 | ((code >> 12) & 0x3F));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

}  // namespace

bool starts_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool continues_name(char c) { return starts_name(c) || is_digit(c); }

Token Lexer::make(TokenKind kind, std::size_t begin) const {
  return {
      kind, {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(at_)}, text_.substr(begin, at_ - begin), {}};
}

Token Lexer::fail(std::size_t offset, std::string message, std::string expected, std::string hint) {
  if (!error_) {
    error_ = SyntaxError{static_cast<std::uint32_t>(offset), std::move(message), std::move(expected), std::move(hint)};
  }
  at_ = text_.size();
  return make(TokenKind::kEnd, at_);
}

Token Lexer::next() {
  while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  if (at_ >= text_.size()) return make(TokenKind::kEnd, at_);
  const std::size_t begin = at_;
  const char c = text_[at_];
  if (starts_name(c)) {
    while (at_ < text_.size() && continues_name(text_[at_])) ++at_;
    return make(TokenKind::kName, begin);
  }
  if (is_digit(c)) return number();
  if (c == '\'' || c == '"') return string();
  const std::string_view rest = text_.substr(at_);
  if (rest.substr(0, 2) == "||") return fail(begin, "`||` is not an operator", "", "write `or`");
  for (std::string_view symbol : kSymbols) {
    if (rest.substr(0, symbol.size()) != symbol) continue;
    at_ += symbol.size();
    return make(TokenKind::kSymbol, begin);
  }
  for (const Foreign& foreign : kForeign) {
    if (rest.substr(0, foreign.written.size()) == foreign.written) {
      return fail(begin, "`" + std::string(foreign.written) + "` is not an operator", "", foreign.hint);
    }
  }
  return fail(begin, "unexpected " + describe(c), "", "names with other characters are written ['like-this']");
}

Token Lexer::number() {
  const std::size_t begin = at_;
  auto digits = [&] {
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
  };
  auto digit_at = [&](std::size_t i) { return i < text_.size() && is_digit(text_[i]); };
  digits();
  bool fraction = false;
  if (at_ < text_.size() && text_[at_] == '.' && digit_at(at_ + 1)) {
    fraction = true;
    ++at_;
    digits();
  }
  if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
    const bool sign = at_ + 1 < text_.size() && (text_[at_ + 1] == '+' || text_[at_ + 1] == '-');
    if (digit_at(at_ + (sign ? 2 : 1))) {
      fraction = true;
      at_ += sign ? 2 : 1;
      digits();
    }
  }
  if (at_ < text_.size() && continues_name(text_[at_])) {
    return fail(begin, "a number runs into a name", "", "names that start with a digit are written ['1st']");
  }
  Token token = make(TokenKind::kNumber, begin);
  const char* first = token.text.data();
  const char* last = first + token.text.size();
  if (fraction) {
    double d = 0;
    if (std::from_chars(first, last, d).ec != std::errc{} || !std::isfinite(d)) {
      return fail(begin, "the number is out of range", "a number that a 64-bit float can hold");
    }
    token.value = d;
  } else {
    std::uint64_t u = 0;
    if (std::from_chars(first, last, u).ec != std::errc{}) {
      return fail(begin, "the integer is out of range", "at most 18446744073709551615");
    }
    token.value = u;
  }
  return token;
}

Token Lexer::string() {
  const std::size_t begin = at_;
  const char quote = text_[at_++];
  std::string out;
  while (at_ < text_.size() && text_[at_] != quote) {
    if (text_[at_] != '\\') {
      out += text_[at_++];
    } else if (!escape(out)) {
      return make(TokenKind::kEnd, at_);
    }
  }
  if (at_ >= text_.size()) return fail(begin, "the string is never closed", std::string("a closing ") + quote);
  ++at_;
  Token token = make(TokenKind::kString, begin);
  token.value = std::move(out);
  return token;
}

bool Lexer::hex4(std::uint32_t& code) {
  if (text_.size() - at_ < 4) return false;
  const char* first = text_.data() + at_;
  code = 0;
  auto [end, error] = std::from_chars(first, first + 4, code, 16);
  if (error != std::errc{} || end != first + 4) return false;
  at_ += 4;
  return true;
}

bool Lexer::escape(std::string& out) {
  const std::size_t begin = at_++;
  const char c = at_ < text_.size() ? text_[at_++] : '\0';
  switch (c) {
    case '\\':
    case '\'':
    case '"':
    case '/': out += c; return true;
    case 'n': out += '\n'; return true;
    case 't': out += '\t'; return true;
    case 'r': out += '\r'; return true;
    case 'b': out += '\b'; return true;
    case 'f': out += '\f'; return true;
    case 'u': {
      std::uint32_t code = 0;
      bool good = hex4(code) && !(code >= 0xDC00 && code <= 0xDFFF);
      if (good && code >= 0xD800 && code <= 0xDBFF) {
        std::uint32_t low = 0;
        good = text_.substr(at_, 2) == "\\u";
        if (good) at_ += 2;
        good = good && hex4(low) && low >= 0xDC00 && low <= 0xDFFF;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      }
      if (good) {
        append_utf8(out, code);
        return true;
      }
      fail(begin, "\\u must name a character", "four hex digits, or two such escapes that form a surrogate pair");
      return false;
    }
    default:
      fail(begin, "unknown escape in a string", R"(one of \\ \' \" \/ \n \t \r \b \f \uXXXX)",
           "a backslash itself is written \\\\");
      return false;
  }
}

bool Lexer::keyword_argument_follows() const {
  std::size_t i = at_;
  while (i < text_.size() && is_space(text_[i])) ++i;
  return text_.substr(i, 1) == "=" && text_.substr(i, 2) != "==";
}

}  // namespace millrace::expr
