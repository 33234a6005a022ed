// Operators on values: what `==`, `<`, `in`, `+`, `[i]` and `[a:b]` mean. Filters are built from the same ones.
//
// Promises: total; what cannot be done fails the machine and yields null or false. All work is paid for in steps.
// Strings count in characters (code points); an offset inside a character never arises.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/expr/machine.h"

namespace millrace::expr {

bool equal(Machine& m, const Value& a, const Value& b);           // never fails but by its budget
bool compare(Machine& m, Op op, const Value& a, const Value& b);  // any comparing operator
bool contains(Machine& m, const Value& whole, const Value& part, std::string_view who);
Held arithmetic(Machine& m, Op op, Held a, const Value& b);
Held negate(Machine& m, const Value& a);

// Total order of two numbers or two strings. Both must be one or both the other.
bool less(const Value& a, const Value& b);

// What a message calls the value that is indexed: words, or the text it came from.
struct Subject {
  std::string words;  // empty: quote the span
  Span span;
  std::string name(const Machine& m) const { return words.empty() ? m.quote(span) : words; }
};
Held member(Machine& m, Held whole, std::string_view name, const Subject& subject);
Held index(Machine& m, Held whole, const Value& at, const Subject& subject);
Held slice(Machine& m, const Value& whole, const Value& from, const Value& to, const Subject& subject);  // null: open
// Of an array of `size`: where an integer index points, from its end where it is negative; nothing: beyond it. And
// which elements are meant by the bounds of a slice, integers or null.
std::optional<std::uint64_t> place_in(const Value& index, std::uint64_t size);
std::pair<std::uint64_t, std::uint64_t> range_in(const Value& from, const Value& to, std::uint64_t size);

// Consistent with `equal`: equal values have equal hashes.
std::uint64_t hash(Machine& m, const Value& value);

// Helpers for strings; `find_text` is linear in both lengths.
std::size_t find_text(std::string_view text, std::string_view part, std::size_t from = 0);
std::size_t characters(std::string_view text);
std::vector<std::string_view> split_characters(std::string_view text);

}  // namespace millrace::expr
