// Walking over the elements of JSON arrays as text, without building values.
//
// Promises: the text is an array that is known to be valid; an element is lent as it stands there, without white space
// around it. Of a text that is not, something within its bounds is given. Threads: values.
#pragma once

#include <cstddef>
#include <string_view>

namespace millrace {

class ElementCursor {
 public:
  // `at`: where an element begins, as at() said; zero: the first.
  explicit ElementCursor(std::string_view array, std::size_t at = 0) : text_(array), at_(at) {
    if (at_ != 0) return;
    skip();
    if (at_ < text_.size() && text_[at_] == '[') ++at_;
    skip();
  }
  std::size_t at() const { return at_; }

  bool next(std::string_view& element) {
    skip();
    if (at_ >= text_.size() || text_[at_] == ']') return false;
    const std::size_t begin = at_;
    for (int depth = 0; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') pass_text();
      else if (c == '[' || c == '{') ++depth;
      else if ((c == ']' || c == '}') && depth-- == 0) break;
      else if (c == ',' && depth == 0) break;
    }
    std::size_t end = at_ < text_.size() ? at_ : text_.size();
    while (end > begin && is_space(text_[end - 1])) --end;
    element = text_.substr(begin, end - begin);
    if (at_ < text_.size() && text_[at_] == ',') ++at_;
    skip();
    return true;
  }

 private:
  static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
  void skip() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  void pass_text() {  // to its closing quote
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\') ++at_;
    }
  }

  std::string_view text_;
  std::size_t at_;
};

}  // namespace millrace
