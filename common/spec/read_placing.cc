// What a node asks of its worker: `requires`, `resources`, `affinity`, `anti_affinity`.
#include <algorithm>

#include "common/spec/keys.h"
#include "common/spec/reader.h"

namespace millrace {
namespace {

constexpr std::string_view kAnyValue = "*";

bool is_scalar(const YamlNode& node) { return node.kind == YamlKind::kPlain || node.kind == YamlKind::kText; }

// A label's value is text: what was written, also where it looks like a number (`gpus: 8`).
std::optional<std::string> read_label_value(Reader& reader, std::uint32_t index, const std::string& what) {
  const YamlNode& node = reader.at(index);
  if (is_scalar(node) && !node.text.empty() && node.text.size() <= kLabelMax) return node.text;
  reader.problem(index, what + " is " + kind_of(node),
                 "a label's value: text of at most " + std::to_string(kLabelMax) + " bytes");
  return std::nullopt;
}

void read_label_values(Reader& reader, std::uint32_t index, const std::string& what, LabelRule& rule) {
  const YamlNode& node = reader.at(index);
  if (is_scalar(node) && node.text == kAnyValue) return;  // none: any
  if (node.kind != YamlKind::kSequence) {
    if (auto value = read_label_value(reader, index, what)) rule.values.push_back(std::move(*value));
    return;
  }
  if (node.children.empty() || node.children.size() > kLabelValuesMax) {
    reader.problem(index, what + " is a list of " + std::to_string(node.children.size()),
                   "1 to " + std::to_string(kLabelValuesMax) + " values");
  }
  for (std::uint32_t item : node.children) {
    if (auto value = read_label_value(reader, item, "an entry of " + what)) rule.values.push_back(std::move(*value));
  }
  std::ranges::sort(rule.values);
  rule.values.erase(std::unique(rule.values.begin(), rule.values.end()), rule.values.end());
}

void read_rule(Reader& reader, const Entry& entry, const std::string& where, NodeSpec& spec) {
  const std::string what = "label '" + entry.name + "' in 'requires' of " + where;
  LabelRule rule{entry.name, false, {}};
  if (entry.name.empty() || entry.name.size() > kLabelMax || entry.name.find('=') != std::string::npos) {
    reader.problem(entry.key, what + " cannot be a label's name",
                   "1 to " + std::to_string(kLabelMax) + " bytes without '='");
  }
  switch (reader.at(entry.value).kind) {
    case YamlKind::kPlain:
    case YamlKind::kText:
    case YamlKind::kSequence: read_label_values(reader, entry.value, what, rule); break;
    case YamlKind::kMapping:
      rule.negated = true;
      for (const Entry& member : reader.entries(entry.value)) {
        if (member.name == "not") read_label_values(reader, member.value, "'not' of " + what, rule);
        else reader.unknown_key(member, what, keys::kLabelRule);
      }
      if (reader.at(entry.value).children.empty()) reader.problem(entry.value, what + " is empty", "{not: VALUE}");
      break;
    case YamlKind::kNull:
      reader.problem(entry.value, what + " is empty", "a value, a list of values, \"*\", or {not: ...}");
      break;
  }
  spec.labels.push_back(std::move(rule));
}

void read_requires(Reader& reader, std::uint32_t index, const std::string& where, NodeSpec& spec) {
  if (!reader.expect_mapping(index, "'requires' of " + where)) return;
  const std::vector<Entry> entries = reader.entries(index);
  if (entries.size() > kLabelRulesMax) {
    reader.problem(index, "'requires' of " + where + " has " + std::to_string(entries.size()) + " labels",
                   "at most " + std::to_string(kLabelRulesMax));
    return;
  }
  for (const Entry& entry : entries) read_rule(reader, entry, where, spec);
  std::ranges::sort(spec.labels);
}

void read_resource(Reader& reader, const Entry& entry, const std::string& where, NodeSpec& spec) {
  const std::string what = "'" + entry.name + "' in 'resources' of " + where;
  if (!is_resource_name(entry.name)) {
    reader.problem(entry.key, what + " cannot be a resource's name", "cpu, memory, or a name like a node id");
    return;
  }
  const YamlNode& node = reader.at(entry.value);
  const Result<std::uint64_t> amount =
      is_scalar(node) ? parse_amount(entry.name, node.text) : Result<std::uint64_t>(Error{Code::kInvalid, "", {}, {}});
  if (amount.ok() && *amount > 0) {
    spec.resources.push_back({entry.name, *amount});
    return;
  }
  const bool bare = entry.name == "memory" && !node.text.empty() &&
                    node.text.find_first_not_of("0123456789.") == std::string::npos && is_scalar(node);
  reader.problem(entry.value, what + " is " + kind_of(node), std::string(amount_expected(entry.name)) + ", more than 0",
                 bare ? "did you mean '" + node.text + "GiB'?" : "");
}

void read_resources(Reader& reader, std::uint32_t index, const std::string& where, NodeSpec& spec) {
  if (!reader.expect_mapping(index, "'resources' of " + where)) return;
  const std::vector<Entry> entries = reader.entries(index);
  if (entries.size() > kResourcesMax) {
    reader.problem(index, "'resources' of " + where + " has " + std::to_string(entries.size()) + " entries",
                   "at most " + std::to_string(kResourcesMax));
    return;
  }
  for (const Entry& entry : entries) read_resource(reader, entry, where, spec);
  std::ranges::sort(spec.resources);
}

// A node's id, or a key that other tasks have, too.
void read_hint(Reader& reader, std::uint32_t index, const std::string& what, std::uint32_t node,
               std::vector<PlaceHint>& hints) {
  const std::optional<std::string> text = reader.read_string(index, what);
  if (!text) return;
  if (text->empty() || text->size() > kLabelMax) {
    reader.problem(index, what + " has " + std::to_string(text->size()) + " bytes",
                   "the id of a node, or a key of 1 to " + std::to_string(kLabelMax) + " bytes");
    return;
  }
  const std::optional<std::uint32_t> named = reader.find_node(*text);
  if (named == node) {
    reader.problem(index, what + " names the node itself", "the id of another node, or a key that tasks share");
    return;
  }
  check_expressions(reader, index, {what, node, /*core=*/true});
  hints.push_back({named.has_value(), named ? reader.spec.ids[*named] : reader.qualified(*text)});
}

void read_affinity(Reader& reader, std::uint32_t index, const std::string& where, std::uint32_t node, NodeSpec& spec) {
  if (!reader.expect_mapping(index, "'affinity' of " + where)) return;
  for (const Entry& entry : reader.entries(index)) {
    if (entry.name == "sticky") read_hint(reader, entry.value, "'sticky' of " + where, node, spec.sticky);
    else reader.unknown_key(entry, "'affinity' of " + where, keys::kAffinity);
  }
}

void read_anti_affinity(Reader& reader, std::uint32_t index, const std::string& where, std::uint32_t node,
                        NodeSpec& spec) {
  const std::string what = "'anti_affinity' of " + where;
  const YamlNode& written = reader.at(index);
  if (written.kind != YamlKind::kSequence) return read_hint(reader, index, what, node, spec.apart);
  if (written.children.size() > kHintsMax) {
    reader.problem(index, what + " has " + std::to_string(written.children.size()) + " entries",
                   "at most " + std::to_string(kHintsMax));
    return;
  }
  for (std::uint32_t item : written.children) read_hint(reader, item, "an entry of " + what, node, spec.apart);
}

}  // namespace

bool read_placing_key(Reader& reader, const Entry& entry, const std::string& where, std::uint32_t node) {
  NodeSpec& spec = reader.spec.specs[node];
  if (entry.name == "requires") read_requires(reader, entry.value, where, spec);
  else if (entry.name == "resources") read_resources(reader, entry.value, where, spec);
  else if (entry.name == "affinity") read_affinity(reader, entry.value, where, node, spec);
  else if (entry.name == "anti_affinity") read_anti_affinity(reader, entry.value, where, node, spec);
  else return false;
  return true;
}

}  // namespace millrace
