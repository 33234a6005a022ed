#include "common/spec/yaml_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>

namespace millrace {
namespace {

enum class NumberForm : std::uint8_t { kNone, kDecimal, kOctal, kHex, kFloat };

bool all_in(std::string_view text, std::string_view set) {
  return !text.empty() && text.find_first_not_of(set) == std::string_view::npos;
}

std::string_view take_digits(std::string_view& rest) {
  const std::size_t count = std::min(rest.find_first_not_of("0123456789"), rest.size());
  const std::string_view digits = rest.substr(0, count);
  rest.remove_prefix(count);
  return digits;
}

// The core schema's regular expressions for numbers, by hand.
NumberForm number_form(std::string_view text) {
  if (text.starts_with("0o")) return all_in(text.substr(2), "01234567") ? NumberForm::kOctal : NumberForm::kNone;
  if (text.starts_with("0x")) {
    return all_in(text.substr(2), "0123456789abcdefABCDEF") ? NumberForm::kHex : NumberForm::kNone;
  }
  if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
  const bool whole = !take_digits(text).empty();
  if (text.empty()) return whole ? NumberForm::kDecimal : NumberForm::kNone;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    if (take_digits(text).empty() && !whole) return NumberForm::kNone;
  } else if (!whole) {
    return NumberForm::kNone;
  }
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
    if (take_digits(text).empty()) return NumberForm::kNone;
  }
  return text.empty() ? NumberForm::kFloat : NumberForm::kNone;
}

bool is_not_finite(std::string_view text) {
  if (text == ".nan" || text == ".NaN" || text == ".NAN") return true;
  if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
  return text == ".inf" || text == ".Inf" || text == ".INF";
}

template <class T>
std::optional<T> exact(std::string_view digits, int base) {
  T number{};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, base);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return number;
}

Error problem(std::string message, std::string expected) {
  std::string what = message;
  return Error{Code::kInvalid,
               std::move(what),
               {{"", 0, 0, std::move(message), std::move(expected), "quote it if it is meant as text"}},
               ""};
}

Result<Value> integer(std::string_view text, std::string_view digits, int base) {
  if (digits.starts_with('+')) digits.remove_prefix(1);
  if (const auto i = exact<std::int64_t>(digits, base)) return Value(*i);
  if (!digits.starts_with('-')) {
    if (const auto u = exact<std::uint64_t>(digits, base)) return Value(*u);
  }
  return problem("the integer " + std::string(text.substr(0, 40)) + " does not fit in 64 bits",
                 "an integer from -2^63 to 2^64 - 1");
}

Result<Value> floating(std::string_view text) {
  std::string_view digits = text.starts_with('+') ? text.substr(1) : text;
  double number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error == std::errc::result_out_of_range) {
    // Too small reads as zero, as everywhere; too large has no JSON.
    const std::size_t exponent = digits.find_first_of("eE");
    if (exponent != std::string_view::npos && digits.substr(exponent + 1).starts_with('-')) return Value(0.0);
    return problem("the number " + std::string(text.substr(0, 40)) + " is too large", "a finite number");
  }
  return Value(number);
}

}  // namespace

Result<Value> plain_scalar(std::string_view text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return Value();
  if (text == "true" || text == "True" || text == "TRUE") return Value(true);
  if (text == "false" || text == "False" || text == "FALSE") return Value(false);
  if (is_not_finite(text)) return problem("'" + std::string(text) + "' has no JSON", "a finite number");
  switch (number_form(text)) {
    case NumberForm::kNone: return Value(text);
    case NumberForm::kDecimal: return integer(text, text, 10);
    case NumberForm::kOctal: return integer(text, text.substr(2), 8);
    case NumberForm::kHex: return integer(text, text.substr(2), 16);
    case NumberForm::kFloat: return floating(text);
  }
  return Value(text);
}

Value to_value(const YamlDocument& document, std::uint32_t index, Report& report) {
  const YamlNode& node = document.node(index);
  switch (node.kind) {
    case YamlKind::kNull: return nullptr;
    case YamlKind::kText: return node.text;
    case YamlKind::kPlain: {
      Result<Value> value = plain_scalar(node.text);
      if (value.ok()) return std::move(value).value();
      const Problem& found = value.error().details.front();
      report.add(document.problem_at(node.offset, found.message, found.expected, found.hint));
      return nullptr;
    }
    case YamlKind::kSequence: {
      Value::Array items;
      items.reserve(node.children.size());
      for (std::uint32_t child : node.children) items.push_back(to_value(document, child, report));
      return items;
    }
    case YamlKind::kMapping: {
      Value::Object members;
      members.reserve(node.children.size() / 2);
      for (std::size_t i = 0; i + 1 < node.children.size(); i += 2) {
        members.emplace_back(document.node(node.children[i]).text, to_value(document, node.children[i + 1], report));
      }
      return members;
    }
  }
  return nullptr;
}

Result<Value> parse_yaml_value(std::string_view text, std::string_view file_name) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && (text[first] == '{' || text[first] == '[' || text[first] == '"')) {
    if (Result<Value> json = Value::parse(text); json.ok()) return json;  // otherwise YAML, which has places to show
  }
  Result<YamlDocument> document = YamlDocument::read(text, file_name);
  if (!document.ok()) return document.error();
  Report report = document->report();
  Value value = to_value(*document, document->root(), report);
  if (!report.empty()) return std::move(report).to_error(document->file());
  return value;
}

}  // namespace millrace
