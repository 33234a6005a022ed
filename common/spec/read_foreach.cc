// What a node goes over: `foreach`, `max_parallel`, `chunk`, `on_item_error`, `collect`.
#include <algorithm>

#include "common/expr/expression.h"
#include "common/spec/keys.h"
#include "common/spec/reader.h"

namespace millrace {
namespace {

constexpr const char* kForeachRule =
    "one expression like \"{{ nodes.list.rows }}\", a list, or a range {from: 0, to: 100, step: 1}";

bool is_text(const YamlNode& node) { return node.kind == YamlKind::kPlain || node.kind == YamlKind::kText; }

bool is_expression(const YamlNode& node) {
  if (!is_text(node) || node.text.find("{{") == std::string::npos) return false;
  const Result<expr::TextTemplate> compiled = expr::TextTemplate::compile(node.text);
  return !compiled.ok() || compiled->is_single_expression();  // one that does not compile is reported as such
}

void read_bounds(Reader& reader, std::uint32_t index, const std::string& where, ForeachSpec& fan) {
  fan.kind = ForeachKind::kRange;
  bool to = false;
  for (const Entry& entry : reader.entries(index)) {
    if (std::ranges::find(keys::kRange, entry.name) == keys::kRange.end()) {
      reader.unknown_key(entry, "'foreach' of " + where, keys::kRange);
      continue;
    }
    to |= entry.name == "to";
    const Value value = reader.value(entry.value);
    if (!value.is_integer() && !is_expression(reader.at(entry.value)))
      reader.problem(entry.value,
                     "'" + entry.name + "' in 'foreach' of " + where + " is " + kind_of(reader.at(entry.value)),
                     "a whole number, or one expression that gives one");
    else if (value == Value(0) && entry.name == "step")
      reader.problem(entry.value, "'step' in 'foreach' of " + where + " is 0", "a whole number other than 0");
  }
  if (!to)
    reader.problem(index, "'foreach' of " + where + " is a mapping without 'to'", kForeachRule,
                   "the members of an object: foreach: \"{{ inputs.object }}\"");
}

void read_over(Reader& reader, std::uint32_t index, const std::string& where, std::uint32_t node, bool depends_on) {
  ForeachSpec& fan = *reader.spec.specs[node].flow.foreach;
  const YamlNode& written = reader.at(index);
  fan.over = reader.value(index);
  if (written.kind == YamlKind::kMapping) {
    read_bounds(reader, index, where, fan);
  } else if (written.kind != YamlKind::kSequence && !is_expression(written)) {
    const bool bare = is_text(written) && written.text.find("{{") == std::string::npos && !fan.over.is_number();
    reader.problem(index, "'foreach' of " + where + " is " + kind_of(written), kForeachRule,
                   bare ? "did you mean \"{{ " + written.text.substr(0, 60) + " }}\"?" : "");
    return;
  }
  check_expressions(reader, index, {"'foreach' of " + where, node, /*core=*/true, depends_on});
}

void read_chunk(Reader& reader, std::uint32_t index, const std::string& what, ForeachSpec& fan) {
  if (is_text(reader.at(index)) && reader.at(index).text == "auto") return;
  if (!reader.value(index).is_integer()) {
    reader.problem(index, what + " is " + kind_of(reader.at(index)), "auto, or how many items one attempt takes");
    return;
  }
  fan.chunk = static_cast<std::uint32_t>(reader.read_integer(index, what, 1, kChunkMax).value_or(0));
}

void read_collect(Reader& reader, std::uint32_t index, const std::string& what, std::uint32_t node, ForeachSpec& fan) {
  fan.collect = reader.value(index);
  if (fan.collect->is_bool()) return;
  ExpressionPlace place{what, node, /*core=*/true, false};
  place.more = keys::kCollectRoots;
  place.only_more = true;
  check_expressions(reader, index, place);
}

}  // namespace

bool read_foreach_key(Reader& reader, const Entry& entry, const std::string& where, std::uint32_t node,
                      bool depends_on) {
  static constexpr std::string_view kKeys[] = {"foreach", "max_parallel", "chunk", "on_item_error", "collect"};
  if (std::ranges::find(kKeys, entry.name) == std::end(kKeys)) return false;
  NodeSpec& spec = reader.spec.specs[node];
  if (!spec.flow.foreach) {
    reader.problem(entry.key, "'" + entry.name + "' of " + where + ", which has no 'foreach'", "a 'foreach' beside it");
    return true;
  }
  ForeachSpec& fan = *spec.flow.foreach;
  const std::string what = "'" + entry.name + "' of " + where;
  if (entry.name == "foreach") {
    read_over(reader, entry.value, where, node, depends_on);
  } else if (entry.name == "max_parallel") {
    fan.parallel_max = static_cast<std::uint32_t>(reader.read_integer(entry.value, what, 1, kParallelMax).value_or(0));
  } else if (entry.name == "chunk") {
    read_chunk(reader, entry.value, what, fan);
  } else if (entry.name == "on_item_error") {
    const auto word = reader.read_word(entry.value, what, keys::kOnItemError);
    fan.on_error = word == "continue" ? OnItemError::kContinue
                   : word == "drop"   ? OnItemError::kDrop
                                      : OnItemError::kFail;
  } else {
    read_collect(reader, entry.value, what, node, fan);
  }
  return true;
}

}  // namespace millrace
