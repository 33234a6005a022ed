#include "common/base/value.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <unordered_map>

#include <simdjson.h>

namespace millrace {
namespace {

namespace dom = simdjson::dom;

// Past this many members a hash index finds repeated keys; below it a scan is faster.
constexpr std::size_t kScanMembersMax = 16;

Value convert(const dom::element& element);

Value convert_object(const dom::object& object) {
  Value::Object members;
  members.reserve(object.size());
  std::unordered_map<std::string_view, std::size_t> index;  // views into the document, alive during the call
  for (dom::key_value_pair field : object) {
    Value value = convert(field.value);
    std::size_t at = members.size();
    if (object.size() > kScanMembersMax) {
      at = index.try_emplace(field.key, members.size()).first->second;
    } else {
      for (std::size_t i = 0; i < members.size(); ++i) {
        if (members[i].first == field.key) at = i;
      }
    }
    if (at < members.size()) members[at].second = std::move(value);
    else members.emplace_back(std::string(field.key), std::move(value));
  }
  return members;
}

Value convert(const dom::element& element) {
  switch (element.type()) {
    case dom::element_type::NULL_VALUE: return nullptr;
    case dom::element_type::BOOL: return bool{element};
    case dom::element_type::INT64: return std::int64_t{element};
    case dom::element_type::UINT64: return std::uint64_t{element};
    case dom::element_type::DOUBLE: return double{element};
    case dom::element_type::STRING: return std::string_view{element};
    case dom::element_type::ARRAY: {
      dom::array array = element;
      Value::Array items;
      items.reserve(array.size());
      for (dom::element item : array) items.push_back(convert(item));
      return items;
    }
    case dom::element_type::OBJECT: return convert_object(element);
  }
  return nullptr;
}

void dump_double(std::string& out, double d) {
  assert(std::isfinite(d));  // no way in: parse refuses, arithmetic checks
  char buffer[32];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, d);
  assert(error == std::errc{});
  std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  out += text;
  if (text.find_first_of(".e") == std::string_view::npos) out += ".0";
}

template <class Integer>
void dump_integer(std::string& out, Integer i) {
  char buffer[24];
  out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, i).ptr);
}

// Length of the valid UTF-8 sequence at `p` (at most `left` bytes), or 0.
std::size_t utf8_length(const unsigned char* p, std::size_t left) {
  auto tail = [&](std::size_t i) { return i < left && (p[i] & 0xC0) == 0x80; };
  if (p[0] < 0x80) return 1;
  if (p[0] >= 0xC2 && p[0] <= 0xDF) return tail(1) ? 2 : 0;
  if (p[0] >= 0xE0 && p[0] <= 0xEF) {
    if (!tail(1) || !tail(2)) return 0;
    if (p[0] == 0xE0 && p[1] < 0xA0) return 0;  // overlong
    if (p[0] == 0xED && p[1] > 0x9F) return 0;  // surrogate
    return 3;
  }
  if (p[0] >= 0xF0 && p[0] <= 0xF4) {
    if (!tail(1) || !tail(2) || !tail(3)) return 0;
    if (p[0] == 0xF0 && p[1] < 0x90) return 0;  // overlong
    if (p[0] == 0xF4 && p[1] > 0x8F) return 0;  // above U+10FFFF
    return 4;
  }
  return 0;
}

void indent_to(std::string& out, int spaces) {
  out += '\n';
  out.append(static_cast<std::size_t>(spaces), ' ');
}

void dump_pretty_to(std::string& out, const Value& value, int indent, int at) {
  if (value.is_array() && !value.as_array().empty()) {
    out += '[';
    const char* comma = "";
    for (const Value& item : value.as_array()) {
      out += comma;
      indent_to(out, at + indent);
      dump_pretty_to(out, item, indent, at + indent);
      comma = ",";
    }
    indent_to(out, at);
    out += ']';
  } else if (value.is_object() && !value.as_object().empty()) {
    out += '{';
    const char* comma = "";
    for (const auto& [key, member] : value.as_object()) {
      out += comma;
      indent_to(out, at + indent);
      append_json_string(out, key);
      out += ": ";
      dump_pretty_to(out, member, indent, at + indent);
      comma = ",";
    }
    indent_to(out, at);
    out += '}';
  } else {
    value.dump_to(out);
  }
}

// Exact comparison of any two numbers.
bool numbers_equal(const Value& a, const Value& b) {
  if (a.is_double() && b.is_double()) return a.as_double() == b.as_double();
  if (a.is_double()) return numbers_equal(b, a);
  if (b.is_double()) {
    double d = b.as_double();
    if (std::trunc(d) != d || d < -9223372036854775808.0 || d >= 18446744073709551616.0) return false;
    if (a.is_int()) return d < 9223372036854775808.0 && static_cast<std::int64_t>(d) == a.as_int();
    return d >= 0 && static_cast<std::uint64_t>(d) == a.as_uint();
  }
  if (a.is_int() != b.is_int()) return false;
  return a.is_int() ? a.as_int() == b.as_int() : a.as_uint() == b.as_uint();
}

}  // namespace

Value::Value(std::uint64_t u) {
  if (u <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) data_ = static_cast<std::int64_t>(u);
  else data_ = u;
}

double Value::to_double() const {
  if (is_int()) return static_cast<double>(as_int());
  if (is_uint()) return static_cast<double>(as_uint());
  return as_double();
}

const Value* Value::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  for (const Member& member : as_object()) {
    if (member.first == key) return &member.second;
  }
  return nullptr;
}

void Value::set(std::string_view key, Value value) {
  if (is_null()) data_ = Object{};
  for (Member& member : as_object()) {
    if (member.first == key) {
      member.second = std::move(value);
      return;
    }
  }
  as_object().emplace_back(std::string(key), std::move(value));
}

void Value::push_back(Value value) {
  if (is_null()) data_ = Array{};
  as_array().push_back(std::move(value));
}

const char* Value::kind_name() const {
  static constexpr const char* kNames[] = {"null",   "boolean", "integer", "integer",
                                           "number", "string",  "array",   "object"};
  return kNames[data_.index()];
}

Result<Value> Value::parse(std::string_view json) {
  if (json.empty())  // it may point nowhere
    return Error{Code::kInvalid, std::string("not JSON: ") + simdjson::error_message(simdjson::EMPTY), {}, ""};
  static constexpr std::size_t kFirstCapacity = 4096;
  thread_local dom::parser parser;
  // It takes several times the text; what a large one took is not kept for the next.
  static constexpr std::size_t kKeptMax = 1024 * 1024;
  struct Trim {
    ~Trim() {
      if (parser.capacity() > kKeptMax) parser = dom::parser();
    }
  } const trim;
  if (parser.max_depth() != static_cast<std::size_t>(kDepthMax) &&
      parser.allocate(kFirstCapacity, kDepthMax) != simdjson::SUCCESS) {
    return Error{Code::kUnavailable, "no memory to parse JSON", {}, ""};
  }
  dom::element root;
  auto error = parser.parse(json.data(), json.size(), true).get(root);
  if (error == simdjson::DEPTH_ERROR) return Error{Code::kInvalid, "JSON is nested deeper than 200 levels", {}, ""};
  if (error == simdjson::NUMBER_ERROR) {
    return Error{Code::kInvalid,
                 "JSON holds a number that is out of range or not finite (integers are exact in 64 bits)",
                 {},
                 ""};
  }
  if (error) return Error{Code::kInvalid, std::string("not JSON: ") + simdjson::error_message(error), {}, ""};
  return convert(root);
}

void Value::dump_to(std::string& out) const {
  if (is_null()) out += "null";
  else if (is_bool()) out += as_bool() ? "true" : "false";
  else if (is_int()) dump_integer(out, as_int());
  else if (is_uint()) dump_integer(out, as_uint());
  else if (is_double()) dump_double(out, as_double());
  else if (is_string()) append_json_string(out, as_string());
  else if (is_array()) {
    out += '[';
    const char* comma = "";
    for (const Value& item : as_array()) {
      out += comma;
      item.dump_to(out);
      comma = ",";
    }
    out += ']';
  } else {
    out += '{';
    const char* comma = "";
    for (const auto& [key, member] : as_object()) {
      out += comma;
      append_json_string(out, key);
      out += ':';
      member.dump_to(out);
      comma = ",";
    }
    out += '}';
  }
}

std::string Value::dump() const {
  std::string out;
  dump_to(out);
  return out;
}

std::string Value::dump_pretty(int indent) const {
  std::string out;
  dump_pretty_to(out, *this, indent, 0);
  return out;
}

bool operator==(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return numbers_equal(a, b);
  if (a.data_.index() != b.data_.index()) return false;
  if (a.is_null()) return true;
  if (a.is_bool()) return a.as_bool() == b.as_bool();
  if (a.is_string()) return a.as_string() == b.as_string();
  if (a.is_array()) return a.as_array() == b.as_array();
  const Value::Object& left = a.as_object();
  if (left.size() != b.as_object().size()) return false;
  for (std::size_t i = 0; i < left.size(); ++i) {
    // Same place first: objects that were built alike compare without a search.
    const Value::Member& twin = b.as_object()[i];
    const Value* other = twin.first == left[i].first ? &twin.second : b.find(left[i].first);
    if (other == nullptr || !(left[i].second == *other)) return false;
  }
  return true;
}

void append_json_string(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  for (std::size_t i = 0; i < text.size();) {
    unsigned char c = bytes[i];
    if (c >= 0x20 && c < 0x80) {
      if (c == '"' || c == '\\') out += '\\';
      out += static_cast<char>(c);
      ++i;
    } else if (c < 0x20) {
      switch (c) {
        case '\n': out += "\\n"; break;
        case '\t': out += "\\t"; break;
        case '\r': out += "\\r"; break;
        case '\b': out += "\\b"; break;
        case '\f': out += "\\f"; break;
        default:
          out += "\\u00";
          out += kHex[c >> 4];
          out += kHex[c & 15];
      }
      ++i;
    } else {
      std::size_t length = utf8_length(bytes + i, text.size() - i);
      if (length == 0) {
        out += "\xEF\xBF\xBD";
        ++i;
      } else {
        out.append(text.substr(i, length));
        i += length;
      }
    }
  }
  out += '"';
}

std::string to_valid_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  for (std::size_t i = 0; i < bytes.size();) {
    std::size_t length = utf8_length(p + i, bytes.size() - i);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
      ++i;
    } else {
      out.append(bytes.substr(i, length));
      i += length;
    }
  }
  return out;
}

}  // namespace millrace
