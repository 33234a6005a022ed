// Mask: keeps secrets out of what a task says. One for each attempt that has secrets.
//
// Promises: every occurrence of a secret, as it is, as JSON writes it, percent-encoded or base64-encoded, becomes `***`
// in text, and in every string, number and key of JSON, which stays JSON. A stream is masked across the borders of its
// pieces: what may be the beginning of a secret is held back until the next piece or flush(). What a task does to a
// secret beyond that (reversing it, cutting it up) is not seen. Threads: one. Fails: never.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/value.h"

namespace millrace {

class Mask {
 public:
  void add(std::string_view secret);
  bool empty() const { return words_.empty(); }
  std::string text(std::string_view text) const;
  std::string json(std::string_view json) const;                  // what does not parse is masked as text
  std::string stream(std::size_t which, std::string_view piece);  // which: 0 or 1
  std::string flush(std::size_t which);

 private:
  // Base64 shares its first and last letter with what stands before and after a secret: only some bits of them are its.
  struct Word {
    std::string text;
    int head_bits = 0;  // free bits of the first letter; 0: the letter is the word's own
    int tail_bits = 0;  // of the last
    std::string core() const { return text.substr(head_bits > 0, text.size() - (head_bits > 0) - (tail_bits > 0)); }
    bool fits(std::size_t at, char letter) const;
    bool operator==(const Word&) const = default;
  };

  bool holds(std::string_view text) const;
  std::string masked_text(std::string text, bool more) const;  // more: may come
  Value masked(const Value& value) const;
  std::size_t kept_back(std::string_view text) const;
  std::vector<Word> words_;  // longest first
  std::array<std::string, 2> held_;
};

}  // namespace millrace
