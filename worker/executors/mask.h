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
  bool holds(std::string_view text) const;
  Value masked(const Value& value) const;
  std::size_t kept_back(std::string_view text) const;
  std::vector<std::string> words_;  // longest first
  std::array<std::string, 2> held_;
};

}  // namespace millrace
