// Filters on any value and on numbers: default, type, conversions, JSON, rounding.
#include <cctype>
#include <charconv>
#include <cmath>
#include <utility>

#include "common/expr/filters.h"
#include "common/expr/operators.h"

namespace millrace::expr {
namespace {

constexpr int kDigitsMax = 15;  // a float has no more that are exact
constexpr int kIndentMax = 8;

std::string_view trimmed(std::string_view text) {
  static constexpr std::string_view kSpace = " \t\r\n\f\v";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string_view without_plus(std::string_view text) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  return text;
}

// A float without a fraction as an integer; false where it is outside 64 bits.
bool to_integer(double d, Value& out) {
  if (!(d >= -9223372036854775808.0 && d < 18446744073709551616.0)) return false;
  out = d < 0 ? Value(static_cast<std::int64_t>(d)) : Value(static_cast<std::uint64_t>(d));
  return true;
}

Held f_default(Call& call) { return call.on().is_null() ? std::move(call.arguments[0]) : std::move(call.subject); }

Held f_type(Call& call) { return Value(call.on().kind_name()); }

Held f_int(Call& call) {
  const Value& v = call.on();
  if (v.is_integer()) return std::move(call.subject);
  if (v.is_bool()) return Value(v.as_bool() ? 1 : 0);
  Value out;
  if (v.is_double()) {
    if (!to_integer(std::trunc(v.as_double()), out)) return call.m.fail("`int`: the number does not fit 64 bits");
    return out;
  }
  if (!v.is_string()) return call.wrong("a number, a boolean or a string of digits", v);
  if (!call.m.scan(v.as_string().size())) return {};
  const std::string_view text = without_plus(trimmed(v.as_string()));
  const char* end = text.data() + text.size();
  std::int64_t i = 0;
  auto parsed = std::from_chars(text.data(), end, i);
  if (parsed.ec == std::errc{} && parsed.ptr == end) return Value(i);
  std::uint64_t u = 0;
  parsed = std::from_chars(text.data(), end, u);
  if (parsed.ec == std::errc{} && parsed.ptr == end && !text.empty()) return Value(u);
  return call.m.fail("`int` expected a string that is an integer of 64 bits", "digits");
}

Held f_float(Call& call) {
  const Value& v = call.on();
  if (v.is_number()) return Value(v.to_double());
  if (v.is_bool()) return Value(v.as_bool() ? 1.0 : 0.0);
  if (!v.is_string()) return call.wrong("a number, a boolean or a string that is a number", v);
  if (!call.m.scan(v.as_string().size())) return {};
  const std::string_view text = without_plus(trimmed(v.as_string()));
  const char* end = text.data() + text.size();
  double d = 0;
  auto parsed = std::from_chars(text.data(), end, d);
  if (parsed.ec == std::errc{} && parsed.ptr == end && std::isfinite(d)) return Value(d);
  return call.m.fail("`float` expected a string that is a finite number", "a number");
}

Held f_string(Call& call) {
  if (call.on().is_string()) return std::move(call.subject);
  call.m.pay(call.on());
  if (call.m.failed()) return {};
  std::string out;
  render_default(call.on(), out);
  return call.text(std::move(out));
}

Held f_bool(Call& call) {
  const Value& v = call.on();
  if (!v.is_string()) return Value(truthy(v));
  std::string word(trimmed(std::string_view(v.as_string()).substr(0, 16)));
  for (char& c : word) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const char* yes : {"true", "yes", "on", "1"}) {
    if (word == yes) return Value(true);
  }
  for (const char* no : {"false", "no", "off", "0", ""}) {
    if (word == no) return Value(false);
  }
  return call.m.fail("`bool` expected true, false, yes, no, on, off, 1 or 0 in a string", "true or false");
}

Held f_tojson(Call& call) {
  const Value& indent = call.argument(0);
  if (!indent.is_null() && !(indent.is_int() && indent.as_int() >= 0 && indent.as_int() <= kIndentMax)) {
    return call.wrong_argument(0, "an integer from 0 to 8");
  }
  call.m.pay(call.on());
  if (call.m.failed()) return {};
  const bool pretty = indent.is_int() && indent.as_int() > 0;
  return call.text(pretty ? call.on().dump_pretty(static_cast<int>(indent.as_int())) : call.on().dump());
}

Held f_fromjson(Call& call) {
  const Value& v = call.on();
  if (!v.is_string()) return call.wrong("a string of JSON", v);
  if (!call.m.scan(v.as_string().size())) return {};
  Result<Value> parsed = Value::parse(v.as_string());
  if (!parsed.ok()) return call.m.fail("`fromjson`: " + parsed.error().what, "JSON");
  call.m.pay(parsed.value());
  return std::move(parsed).value();
}

Held f_abs(Call& call) {
  const Value& v = call.on();
  if (!v.is_number()) return call.wrong("a number", v);
  if (v.is_double()) return Value(std::fabs(v.as_double()));
  return v.is_int() && v.as_int() < 0 ? negate(call.m, v) : std::move(call.subject);
}

// Rounds the decimal text of the exact value, halves to even, as Python does.
Held f_round(Call& call) {
  const Value& v = call.on();
  const Value& digits = call.argument(0);
  if (!v.is_number()) return call.wrong("a number", v);
  if (!digits.is_null() && !(digits.is_int() && digits.as_int() >= 0 && digits.as_int() <= kDigitsMax)) {
    return call.wrong_argument(0, "an integer from 0 to 15");
  }
  if (v.is_integer()) return std::move(call.subject);
  char buffer[400];  // 309 digits before the point, at most 15 behind it
  const int places = digits.is_null() ? 0 : static_cast<int>(digits.as_int());
  auto written = std::to_chars(buffer, buffer + sizeof buffer, v.as_double(), std::chars_format::fixed, places);
  double rounded = v.as_double();
  std::from_chars(buffer, written.ptr, rounded);
  if (!digits.is_null()) return Value(rounded);
  Value out;
  if (!to_integer(rounded, out))
    return call.m.fail("`round`: the number does not fit 64 bits", "", "`round(0)` keeps a float");
  return out;
}

}  // namespace

std::vector<Filter> value_filters() {
  return {
      {"default", {"value"}, 1, f_default},
      {"type", {}, 0, f_type},
      {"int", {}, 0, f_int},
      {"float", {}, 0, f_float},
      {"string", {}, 0, f_string},
      {"bool", {}, 0, f_bool},
      {"tojson", {"indent"}, 0, f_tojson},
      {"fromjson", {}, 0, f_fromjson},
      {"abs", {}, 0, f_abs},
      {"round", {"digits"}, 0, f_round},
  };
}

}  // namespace millrace::expr
