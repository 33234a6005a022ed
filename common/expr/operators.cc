#include "common/expr/operators.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "common/base/hash.h"

namespace millrace::expr {
namespace {

__extension__ typedef __int128 Int128;

// Comparing an integer with a float is exact where the wide float holds every 64-bit integer.
static_assert(std::numeric_limits<long double>::digits >= 64);

Int128 wide(const Value& v) { return v.is_int() ? Int128{v.as_int()} : Int128{v.as_uint()}; }

long double precise(const Value& v) {
  if (v.is_int()) return static_cast<long double>(v.as_int());
  if (v.is_uint()) return static_cast<long double>(v.as_uint());
  return v.as_double();
}

Held from_wide(Machine& m, Int128 i) {
  constexpr Int128 kMin = std::numeric_limits<std::int64_t>::min();
  constexpr Int128 kMax = std::numeric_limits<std::uint64_t>::max();
  if (i < kMin || i > kMax) return m.fail("integer overflow", "a result that fits 64 bits");
  if (i < 0) return Value(static_cast<std::int64_t>(i));
  return Value(static_cast<std::uint64_t>(i));
}

Held from_double(Machine& m, double d) {
  if (!std::isfinite(d)) return m.fail("the result is not a finite number");
  return Value(d);
}

Held integers(Machine& m, Op op, Int128 a, Int128 b) {
  Int128 result = 0;
  if (op == Op::kAdd) return from_wide(m, a + b);
  if (op == Op::kSubtract) return from_wide(m, a - b);
  if (op == Op::kMultiply) {
    if (__builtin_mul_overflow(a, b, &result)) return m.fail("integer overflow", "a result that fits 64 bits");
    return from_wide(m, result);
  }
  if (b == 0) return m.fail("division by zero");
  Int128 quotient = a / b;
  Int128 rest = a % b;
  if (rest != 0 && (rest < 0) != (b < 0)) {  // round down, so that the rest has the sign of the divisor
    quotient -= 1;
    rest += b;
  }
  return from_wide(m, op == Op::kModulo ? rest : quotient);
}

Held floats(Machine& m, Op op, double a, double b) {
  if (op == Op::kAdd) return from_double(m, a + b);
  if (op == Op::kSubtract) return from_double(m, a - b);
  if (op == Op::kMultiply) return from_double(m, a * b);
  if (b == 0) return m.fail("division by zero");
  if (op == Op::kDivide) return from_double(m, a / b);
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  if (op == Op::kModulo) return from_double(m, rest);
  return from_double(m, std::round((a - rest) / b));
}

bool same_strings(Machine& m, const std::string& a, const std::string& b) {
  return a.size() == b.size() && m.scan(a.size()) && a == b;
}

bool equal_arrays(Machine& m, const Value::Array& a, const Value::Array& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!equal(m, a[i], b[i])) return false;
  }
  return true;
}

// Members in the order of their keys: two sorted lists compare pair by pair, in n log n whatever their order was.
std::vector<const Value::Member*> by_key(Machine& m, const Value::Object& members) {
  std::vector<const Value::Member*> sorted;
  if (!m.steps(members.size())) return sorted;
  sorted.reserve(members.size());
  for (const Value::Member& member : members) sorted.push_back(&member);
  std::sort(sorted.begin(), sorted.end(), [](auto* x, auto* y) { return x->first < y->first; });
  return sorted;
}

bool equal_objects(Machine& m, const Value::Object& a, const Value::Object& b) {
  if (a.size() != b.size()) return false;
  bool same_order = true;
  for (std::size_t i = 0; same_order && i < a.size(); ++i) same_order = same_strings(m, a[i].first, b[i].first);
  if (same_order) {
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (!equal(m, a[i].second, b[i].second)) return false;
    }
    return true;
  }
  auto left = by_key(m, a);
  auto right = by_key(m, b);
  if (left.size() != right.size()) return false;  // the budget is spent
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (left[i]->first != right[i]->first || !equal(m, left[i]->second, right[i]->second)) return false;
  }
  return true;
}

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// Where the character number `n` starts; the end of the text when there are fewer.
std::size_t character_offset(std::string_view text, std::size_t n) {
  std::size_t at = 0;
  for (; n > 0 && at < text.size(); --n) {
    ++at;
    while (at < text.size() && is_continuation(text[at])) ++at;
  }
  return at;
}

// A slice bound as Python reads it: negative counts from the end, too far is the end.
std::size_t clamp(Int128 at, std::size_t size) {
  if (at < 0) at += static_cast<Int128>(size);
  if (at < 0) return 0;
  return at > static_cast<Int128>(size) ? size : static_cast<std::size_t>(at);
}

}  // namespace

bool truthy(const Value& value) {
  if (value.is_null()) return false;
  if (value.is_bool()) return value.as_bool();
  if (value.is_double()) return value.as_double() != 0;
  if (value.is_int()) return value.as_int() != 0;
  if (value.is_uint()) return true;
  if (value.is_string()) return !value.as_string().empty();
  if (value.is_array()) return !value.as_array().empty();
  return !value.as_object().empty();
}

bool equal(Machine& m, const Value& a, const Value& b) {
  if (!m.steps(1)) return false;
  if (a.is_string() && b.is_string()) return same_strings(m, a.as_string(), b.as_string());
  if (a.is_array() && b.is_array()) return equal_arrays(m, a.as_array(), b.as_array());
  if (a.is_object() && b.is_object()) return equal_objects(m, a.as_object(), b.as_object());
  return a == b;
}

bool less(const Value& a, const Value& b) {
  if (a.is_string()) return a.as_string() < b.as_string();
  return precise(a) < precise(b);
}

bool compare(Machine& m, Op op, const Value& a, const Value& b) {
  if (op == Op::kEqual) return equal(m, a, b);
  if (op == Op::kNotEqual) return !equal(m, a, b);
  if (op == Op::kIn) return contains(m, b, a, "`in`");
  if (op == Op::kNotIn) return !contains(m, b, a, "`not in`");
  if (!(a.is_number() && b.is_number()) && !(a.is_string() && b.is_string())) {
    const char* hint = a.is_null() || b.is_null() ? "`| default(...)` replaces null" : "";
    m.fail(std::string("`") + spelling(op) + "` expected two numbers or two strings, got " + kind_phrase(a) + " and " +
               kind_phrase(b),
           "two numbers or two strings", hint);
    return false;
  }
  if (a.is_string()) m.scan(std::min(a.as_string().size(), b.as_string().size()));
  if (op == Op::kLess) return less(a, b);
  if (op == Op::kGreater) return less(b, a);
  return op == Op::kLessEqual ? !less(b, a) : !less(a, b);
}

bool contains(Machine& m, const Value& whole, const Value& part, std::string_view who) {
  if (whole.is_array()) {
    const auto& items = whole.as_array();
    return std::any_of(items.begin(), items.end(), [&](const Value& item) { return equal(m, item, part); });
  }
  if (whole.is_object()) {
    return part.is_string() && m.steps(1 + whole.as_object().size() / 16) && whole.find(part.as_string()) != nullptr;
  }
  if (!whole.is_string()) {
    m.wrong(who, "an array, an object or a string to look in", whole);
    return false;
  }
  if (!part.is_string()) {
    m.wrong(who, "a string to look for in a string", part);
    return false;
  }
  return m.scan(whole.as_string().size()) && find_text(whole.as_string(), part.as_string()) != std::string_view::npos;
}

Held arithmetic(Machine& m, Op op, Held a, const Value& b) {
  if (!m.steps(1)) return {};
  if (a->is_number() && b.is_number()) {
    if (a->is_integer() && b.is_integer() && op != Op::kDivide) return integers(m, op, wide(a.get()), wide(b));
    return floats(m, op, a->to_double(), b.to_double());
  }
  const bool strings = a->is_string() && b.is_string();
  const bool arrays = a->is_array() && b.is_array();
  if (op != Op::kAdd || !(strings || arrays)) {
    std::string needs = op == Op::kAdd ? "two numbers, two strings or two arrays" : "two numbers";
    std::string hint;
    if (a->is_null() || b.is_null()) hint = "`| default(...)` replaces null";
    else if (op == Op::kAdd && (a->is_string() || b.is_string())) hint = "`| string` turns a value into text";
    std::string got = kind_phrase(a.get()) + " and " + kind_phrase(b);
    return m.fail(std::string("`") + spelling(op) + "` expected " + needs + ", got " + got, needs, hint);
  }
  Held sum = m.take(std::move(a));  // of a chain only the first operand is copied; the rest is appended
  m.pay(b);
  if (m.failed()) return {};
  if (strings) sum.own().as_string() += b.as_string();
  else sum.own().as_array().insert(sum.own().as_array().end(), b.as_array().begin(), b.as_array().end());
  return sum;
}

Held negate(Machine& m, const Value& a) {
  if (a.is_integer()) return from_wide(m, -wide(a));
  if (a.is_double()) return Value(-a.as_double());
  return m.wrong("unary `-`", "a number", a);
}

Held member(Machine& m, Held whole, std::string_view name, const Subject& subject) {
  if (whole->is_null()) return {};
  if (!whole->is_object()) {
    return m.fail(
        subject.name(m) + " is " + kind_phrase(whole.get()) + " and has no member `" + std::string(name) + "`",
        "an object", whole->is_array() ? "arrays are indexed with [0]" : "");
  }
  if (!m.steps(1 + whole->as_object().size() / 16)) return {};
  const Value* found = whole->find(name);
  return found == nullptr ? Held() : std::move(whole).part(*found);
}

Held index(Machine& m, Held whole, const Value& at, const Subject& subject) {
  if (whole->is_null()) return {};
  if (whole->is_object() && at.is_string()) return member(m, std::move(whole), at.as_string(), subject);
  if (!whole->is_array() || at.is_string()) {  // a computed key is a value, which messages do not show
    return m.fail(
        subject.name(m) + " is " + kind_phrase(whole.get()) + " and has no element to index with " + kind_phrase(at),
        whole->is_object() ? "a string as the index"
        : at.is_string()   ? "an object"
                           : "an array",
        whole->is_string() ? "a part of a string is written [0:1]" : "");
  }
  if (!at.is_integer()) return m.wrong("an index of an array", "an integer", at);
  const auto& items = whole->as_array();
  const std::optional<std::uint64_t> i = place_in(at, items.size());
  return i ? std::move(whole).part(items[*i]) : Held();
}

std::optional<std::uint64_t> place_in(const Value& index, std::uint64_t size) {
  Int128 i = wide(index);
  if (i < 0) i += static_cast<Int128>(size);
  if (i < 0 || i >= static_cast<Int128>(size)) return std::nullopt;
  return static_cast<std::uint64_t>(i);
}

std::pair<std::uint64_t, std::uint64_t> range_in(const Value& from, const Value& to, std::uint64_t size) {
  const std::uint64_t begin = from.is_null() ? 0 : clamp(wide(from), size);
  return {begin, std::max<std::uint64_t>(begin, to.is_null() ? size : clamp(wide(to), size))};
}

Held slice(Machine& m, const Value& whole, const Value& from, const Value& to, const Subject& subject) {
  if (whole.is_null()) return {};
  for (const Value* bound : {&from, &to}) {
    if (!bound->is_null() && !bound->is_integer()) return m.wrong("a slice", "integers or nothing as bounds", *bound);
  }
  if (!whole.is_array() && !whole.is_string()) {
    return m.fail(subject.name(m) + " is " + kind_phrase(whole) + " and cannot be sliced", "an array or a string");
  }
  if (whole.is_string() && !m.scan(whole.as_string().size())) return {};
  const std::size_t size = whole.is_string() ? characters(whole.as_string()) : whole.as_array().size();
  const auto [begin, end] = range_in(from, to, size);
  if (whole.is_string()) {
    const std::string_view text = whole.as_string();
    const std::string_view rest = text.substr(character_offset(text, begin));
    const std::string_view part = rest.substr(0, character_offset(rest, end - begin));
    if (!m.bytes(part.size())) return {};
    return Value(part);
  }
  const auto& items = whole.as_array();
  Value::Array part;
  part.reserve(end - begin);
  for (std::size_t i = begin; i < end && m.steps(1); ++i) part.push_back(m.take(Held::loan(items[i])));
  return Value(std::move(part));
}

std::uint64_t hash(Machine& m, const Value& value) {
  if (!m.steps(1)) return 0;
  if (value.is_null()) return 1;
  if (value.is_bool()) return value.as_bool() ? 2 : 3;
  if (value.is_number()) {
    const double d = value.to_double() + 0.0;  // integers that round to one float share a hash; -0.0 becomes 0.0
    std::uint64_t bits = 0;
    std::memcpy(&bits, &d, sizeof bits);
    return bits * 0x9E3779B97F4A7C15ULL + 4;
  }
  if (value.is_string()) return m.scan(value.as_string().size()) ? hash64(value.as_string(), 5) : 0;
  if (value.is_array()) {
    std::uint64_t sum = 6;
    for (const Value& item : value.as_array()) sum = sum * 0x100000001B3ULL + hash(m, item);
    return sum;
  }
  std::uint64_t sum = 7;  // members in any order
  for (const auto& [key, item] : value.as_object()) {
    if (m.scan(key.size())) sum += hash64(key, hash(m, item));
  }
  return sum;
}

std::size_t find_text(std::string_view text, std::string_view part, std::size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (part.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

std::size_t characters(std::string_view text) {
  // A stray continuation byte belongs to what stands before it, as in character_offset.
  if (text.empty()) return 0;
  return 1 + static_cast<std::size_t>(
                 std::count_if(text.begin() + 1, text.end(), [](char c) { return !is_continuation(c); }));
}

std::vector<std::string_view> split_characters(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const std::size_t length = character_offset(text, 1);
    out.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace millrace::expr
