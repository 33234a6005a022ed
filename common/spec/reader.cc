#include "common/spec/reader.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/base/units.h"
#include "common/expr/expression.h"
#include "common/spec/keys.h"

namespace millrace {
namespace {

constexpr std::size_t kShownTextMax = 40;

std::string number_text(double number) { return Value(number).dump(); }

}  // namespace

std::string kind_of(const YamlNode& node) {
  const std::string shown = node.text.size() > kShownTextMax ? node.text.substr(0, kShownTextMax) + "..." : node.text;
  switch (node.kind) {
    case YamlKind::kNull: return "empty";
    case YamlKind::kSequence: return "a list";
    case YamlKind::kMapping: return "a mapping";
    case YamlKind::kText: return "the text '" + to_valid_utf8(shown) + "'";
    case YamlKind::kPlain: break;
  }
  const Result<Value> value = plain_scalar(node.text);
  if (!value.ok()) return "not a JSON value";
  if (value->is_bool()) return "the boolean " + shown;
  if (value->is_number()) return "the number " + shown;
  return "the text '" + to_valid_utf8(shown) + "'";
}

std::vector<Entry> Reader::entries(std::uint32_t mapping) const {
  std::vector<Entry> found;
  const std::vector<std::uint32_t>& children = at(mapping).children;
  for (std::size_t i = 0; i + 1 < children.size(); i += 2) {
    found.push_back({at(children[i]).text, children[i], children[i + 1]});
  }
  return found;
}

std::string Reader::qualified(const std::string& text) const {
  if (round == 0 || text.find("{{") == std::string::npos) return text;
  const Result<expr::TextTemplate> compiled = expr::TextTemplate::compile(text);
  if (!compiled.ok()) return text;
  std::set<std::uint32_t> places;
  for (const expr::Reference& one : compiled->references()) {
    if (std::ranges::find(keys::kRoundRoots, one.root) != keys::kRoundRoots.end()) places.insert(one.offset);
  }
  std::string out;
  std::size_t from = 0;
  for (std::uint32_t place : places) {
    out.append(text, from, place - from).append("nodes.");
    from = place;
  }
  return out.append(text, from);
}

namespace {

void qualify(const Reader& reader, Value& value) {
  if (value.is_string()) {
    value = Value(reader.qualified(value.as_string()));
  } else if (value.is_array()) {
    for (Value& one : value.as_array()) qualify(reader, one);
  } else if (value.is_object()) {
    for (auto& [key, member] : value.as_object()) qualify(reader, member);
  }
}

}  // namespace

Value Reader::value(std::uint32_t index) {
  Value value = to_value(document, index, report);
  if (round > 0) qualify(*this, value);
  return value;
}

std::optional<std::uint32_t> Reader::find_node(std::string_view name) const {
  for (std::string_view around = scope; !around.empty();) {
    const auto found = node_index.find(std::string(around) + '/' + std::string(name));
    if (found != node_index.end() && !parts.contains(found->second)) return found->second;
    const std::size_t slash = around.rfind('/');
    around = slash == std::string_view::npos ? std::string_view() : around.substr(0, slash);
  }
  const auto found = node_index.find(name);
  return found == node_index.end() ? std::nullopt : std::optional(found->second);
}

void Reader::problem(std::uint32_t index, std::string message, std::string expected, std::string hint) {
  report.add(document.problem_at(at(index).offset, std::move(message), std::move(expected), std::move(hint)));
}

void Reader::problem_in(std::uint32_t scalar, std::size_t text_offset, std::string message, std::string expected,
                        std::string hint) {
  report.add(document.problem_at(document.offset_in(scalar, text_offset), std::move(message), std::move(expected),
                                 std::move(hint)));
}

std::string Reader::suggestion(std::string_view word, std::span<const std::string_view> candidates) const {
  return report.full() ? "" : did_you_mean(word, candidates);
}

std::string Reader::suggest_node(std::string_view id) const {
  if (report.full()) return "";
  const std::vector<std::string_view> ids(spec.ids.begin(), spec.ids.end());
  return did_you_mean(id, ids);
}

void Reader::wrong_kind(std::uint32_t index, const std::string& what, std::string expected, std::string hint) {
  problem(index, what + " is " + kind_of(at(index)), std::move(expected), std::move(hint));
}

bool Reader::expect_mapping(std::uint32_t index, const std::string& what) {
  if (at(index).kind == YamlKind::kMapping) return true;
  wrong_kind(index, what, "a mapping of names to values");
  return false;
}

std::optional<std::string> Reader::read_string(std::uint32_t index, const std::string& what) {
  const YamlNode& node = at(index);
  if (node.kind == YamlKind::kText) return node.text;
  if (node.kind == YamlKind::kPlain) {
    const Result<Value> value = plain_scalar(node.text);
    if (value.ok() && value->is_string()) return node.text;
    wrong_kind(index, what, "text", "write \"" + node.text.substr(0, kShownTextMax) + "\" with quotes for text");
    return std::nullopt;
  }
  wrong_kind(index, what, "text");
  return std::nullopt;
}

std::optional<bool> Reader::read_boolean(std::uint32_t index, const std::string& what) {
  if (at(index).kind == YamlKind::kPlain) {
    const Result<Value> value = plain_scalar(at(index).text);
    if (value.ok() && value->is_bool()) return value->as_bool();
  }
  wrong_kind(index, what, "true or false");
  return std::nullopt;
}

std::optional<std::int64_t> Reader::read_integer(std::uint32_t index, const std::string& what, std::int64_t min,
                                                 std::int64_t max) {
  if (at(index).kind == YamlKind::kPlain) {
    const Result<Value> value = plain_scalar(at(index).text);
    if (value.ok() && value->is_int() && value->as_int() >= min && value->as_int() <= max) return value->as_int();
  }
  wrong_kind(index, what, "an integer from " + std::to_string(min) + " to " + std::to_string(max));
  return std::nullopt;
}

std::optional<double> Reader::read_number(std::uint32_t index, const std::string& what, double min, double max) {
  if (at(index).kind == YamlKind::kPlain) {
    const Result<Value> value = plain_scalar(at(index).text);
    if (value.ok() && value->is_number() && value->to_double() >= min && value->to_double() <= max) {
      return value->to_double();
    }
  }
  wrong_kind(index, what, "a number from " + number_text(min) + " to " + number_text(max));
  return std::nullopt;
}

std::optional<Duration> Reader::read_duration(std::uint32_t index, const std::string& what, Duration min) {
  const YamlNode& node = at(index);
  const bool scalar = node.kind == YamlKind::kPlain || node.kind == YamlKind::kText;
  const Result<Duration> duration = parse_duration(node.text);
  if (scalar && duration.ok() && *duration >= min) return *duration;
  std::string expected = "a duration with its unit";
  expected += min > Duration::zero() ? ", longer than 0s: 100ms, 30s, 5m, 1h, 2d" : ": 100ms, 30s, 5m, 1h, 2d";
  const bool bare = !node.text.empty() && node.text.find_first_not_of("0123456789.") == std::string::npos;
  wrong_kind(index, what, std::move(expected), bare && !report.full() ? "did you mean '" + node.text + "s'?" : "");
  return std::nullopt;
}

std::optional<std::string> Reader::read_word(std::uint32_t index, const std::string& what,
                                             std::span<const std::string_view> words) {
  const YamlNode& node = at(index);
  const bool scalar = node.kind == YamlKind::kPlain || node.kind == YamlKind::kText;
  if (scalar && std::ranges::find(words, node.text) != words.end()) return node.text;
  wrong_kind(index, what, "one of " + list_words(words), scalar ? suggestion(node.text, words) : "");
  return std::nullopt;
}

void Reader::unknown_key(const Entry& entry, const std::string& where, std::span<const std::string_view> known) {
  std::string hint = suggestion(entry.name, known);
  if (entry.name == "<<") hint = "merge keys are not part of YAML 1.2: repeat the entries";
  problem(entry.key, "unknown key '" + entry.name + "' in " + where, "one of " + list_words(known), std::move(hint));
}

}  // namespace millrace
