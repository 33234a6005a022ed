// Value: a JSON value. Objects keep the order of their keys; integers are exact in 64 bits.
//
// Promises: parse and dump round-trip; parsing is bounded (depth kDepthMax, caller bounds the bytes) and never throws.
// Integers outside [-2^63, 2^64) and numbers that are not finite are refused. Within an object a repeated key keeps
// its first place and its last value. Threads: a plain value; parse uses a thread-local parser.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/result.h"

namespace millrace {

class Value {
 public:
  using Array = std::vector<Value>;
  using Member = std::pair<std::string, Value>;
  using Object = std::vector<Member>;
  static constexpr int kDepthMax = 200;

  Value() = default;
  Value(std::nullptr_t) {}                              // NOLINT: implicit on purpose, as are the next ones
  Value(bool b) : data_(b) {}                           // NOLINT
  Value(int i) : data_(std::int64_t{i}) {}              // NOLINT
  Value(std::int64_t i) : data_(i) {}                   // NOLINT
  Value(std::uint64_t u);                               // NOLINT: stored as int64 where it fits
  Value(double d) : data_(d) {}                         // NOLINT
  Value(const char* s) : data_(std::string(s)) {}       // NOLINT
  Value(std::string s) : data_(std::move(s)) {}         // NOLINT
  Value(std::string_view s) : data_(std::string(s)) {}  // NOLINT
  Value(Array a) : data_(std::move(a)) {}               // NOLINT
  Value(Object o) : data_(std::move(o)) {}              // NOLINT

  bool is_null() const { return data_.index() == 0; }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_int() const { return std::holds_alternative<std::int64_t>(data_); }    // fits int64
  bool is_uint() const { return std::holds_alternative<std::uint64_t>(data_); }  // only above int64's range
  bool is_integer() const { return is_int() || is_uint(); }
  bool is_double() const { return std::holds_alternative<double>(data_); }
  bool is_number() const { return is_integer() || is_double(); }
  bool is_string() const { return std::holds_alternative<std::string>(data_); }
  bool is_array() const { return std::holds_alternative<Array>(data_); }
  bool is_object() const { return std::holds_alternative<Object>(data_); }

  // Each asks for the kind it names: anything else is our own mistake.
  bool as_bool() const { return get<bool>(); }
  std::int64_t as_int() const { return get<std::int64_t>(); }
  std::uint64_t as_uint() const { return get<std::uint64_t>(); }
  double as_double() const { return get<double>(); }
  const std::string& as_string() const { return get<std::string>(); }
  std::string& as_string() { return get<std::string>(); }
  const Array& as_array() const { return get<Array>(); }
  Array& as_array() { return get<Array>(); }
  const Object& as_object() const { return get<Object>(); }
  Object& as_object() { return get<Object>(); }
  double to_double() const;  // any number

  const Value* find(std::string_view key) const;  // member of an object; null where absent or not an object
  void set(std::string_view key, Value value);    // on an object (null becomes one): replaces or appends
  void push_back(Value value);                    // on an array (null becomes one)

  const char* kind_name() const;  // "null", "boolean", "integer", "number", "string", "array", "object"

  static Result<Value> parse(std::string_view json);
  std::string dump() const;  // compact: {"a":1,"b":[true]}; 1.0 prints as 1.0
  void dump_to(std::string& out) const;
  std::string dump_pretty(int indent = 2) const;

  // Structural equality as JSON users expect it: 1 == 1.0, object members in any order.
  friend bool operator==(const Value& a, const Value& b);

 private:
  template <class T>
  const T& get() const {
    const T* p = std::get_if<T>(&data_);
    assert(p);
    return *p;
  }
  template <class T>
  T& get() {
    T* p = std::get_if<T>(&data_);
    assert(p);
    return *p;
  }

  std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string, Array, Object> data_;
};

// Text as a JSON string literal with its quotes; bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text);
std::string to_valid_utf8(std::string_view bytes);

}  // namespace millrace
