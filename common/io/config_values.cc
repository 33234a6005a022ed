#include "common/io/config_values.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "common/base/units.h"

namespace millrace {
namespace {

std::string join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

}  // namespace

std::optional<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> parse_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<bool> parse_boolean(std::string_view text) {
  if (text == "true" || text == "yes" || text == "on" || text == "1") return true;
  if (text == "false" || text == "no" || text == "off" || text == "0") return false;
  return std::nullopt;
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> pieces;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    if (comma != 0) pieces.emplace_back(text.substr(0, comma));
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  }
  return pieces;
}

std::optional<std::string> check_value(const ConfigOption& option, std::string_view value) {
  switch (option.type) {
    case OptionType::kString:
      if (option.choices.empty() || std::ranges::find(option.choices, value) != option.choices.end()) return {};
      return "one of " + join(option.choices) + " expected";
    case OptionType::kInteger:
      if (parse_integer(value)) return {};
      return "an integer expected";
    case OptionType::kNumber:
      if (parse_number(value)) return {};
      return "a number expected";
    case OptionType::kBoolean:
      if (parse_boolean(value)) return {};
      return "true or false expected";
    case OptionType::kDuration: {
      const Result<Duration> duration = parse_duration(value);
      if (duration.ok()) return {};
      return "a duration such as 100ms or 30s expected";
    }
    case OptionType::kSize: {
      const Result<std::uint64_t> size = parse_size(value);
      if (size.ok()) return {};
      return "a size such as 64KiB expected";
    }
    case OptionType::kKeyValue: {
      const std::size_t equals = value.find('=');
      if (equals != std::string_view::npos && equals > 0) return {};
      return "KEY=VALUE expected";
    }
  }
  return {};
}

}  // namespace millrace
