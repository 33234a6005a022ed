// What a node says about whether it runs: `when`, `branch`, `join`, `on_upstream_failure`, `fallback`.
#include <algorithm>

#include "common/expr/expression.h"
#include "common/spec/keys.h"
#include "common/spec/reader.h"

namespace millrace {
namespace {

constexpr const char* kConditionRule = "one expression like \"{{ inputs.mode == 'fast' }}\", or true or false";

// Text around an expression would make any condition true.
bool is_condition(const YamlNode& node, const Value& value) {
  if (value.is_bool()) return true;
  if (node.kind != YamlKind::kPlain && node.kind != YamlKind::kText) return false;
  const Result<expr::TextTemplate> compiled = expr::TextTemplate::compile(node.text);
  return !compiled.ok() || compiled->is_single_expression();  // one that does not compile is reported as such
}

Value read_condition(Reader& reader, std::uint32_t index, const std::string& what, std::uint32_t node,
                     bool depends_on) {
  Value value = reader.value(index);
  const YamlNode& written = reader.at(index);
  if (is_condition(written, value)) {
    check_expressions(reader, index, {what, node, /*core=*/true, depends_on});
  } else {
    const bool bare = written.kind == YamlKind::kPlain || written.kind == YamlKind::kText;
    const bool braces = written.text.find("{{") != std::string::npos;
    reader.problem(index, what + " is " + kind_of(written), kConditionRule,
                   bare && !braces ? "did you mean \"{{ " + written.text.substr(0, 60) + " }}\"?" : "");
  }
  return value;
}

void read_join(Reader& reader, std::uint32_t index, const std::string& where, FlowSpec& flow) {
  const YamlNode& written = reader.at(index);
  if (written.kind == YamlKind::kPlain || written.kind == YamlKind::kText) {
    if (written.text == "all") return;
    if (written.text == "any") {
      flow.join = 1;
      return;
    }
  }
  if (!reader.value(index).is_integer()) {
    reader.problem(index, "'join' of " + where + " is " + kind_of(written), "all, any, or how many must succeed");
    return;
  }
  flow.join = static_cast<std::uint32_t>(reader.read_integer(index, "'join' of " + where, 1, kJoinMax).value_or(0));
}

// {value: ANYTHING}, {node: ID}, the node that runs in its place, or {cached: true}.
void read_fallback(Reader& reader, std::uint32_t index, const std::string& where, std::uint32_t node, bool depends_on) {
  const std::string what = "'fallback' of " + where;
  if (const YamlNode& written = reader.at(index); written.kind == YamlKind::kPlain && written.text == "cached") {
    reader.spec.specs[node].flow.fallback_cached = true;
    return;
  }
  if (!reader.expect_mapping(index, what)) return;
  std::uint32_t found = 0;
  for (const Entry& entry : reader.entries(index)) {
    if (entry.name == "value") {
      ++found;
      check_expressions(reader, entry.value, {what, node, /*core=*/true, depends_on});
      reader.spec.specs[node].flow.fallback = reader.value(entry.value);
    } else if (entry.name == "node") {
      ++found;
      read_stand_in(reader, entry.value, "'node' in " + what, node);
    } else if (entry.name == "cached") {
      ++found;
      reader.spec.specs[node].flow.fallback_cached =
          reader.read_boolean(entry.value, "'cached' in " + what).value_or(false);
    } else {
      reader.unknown_key(entry, what, keys::kFallback);
    }
  }
  if (found == 0)
    reader.problem(index, what + " has neither a 'value' nor a 'node'",
                   "{value: ANYTHING}, {node: ID} or {cached: true}");
  if (found > 1)
    reader.problem(index, what + " has more than one of 'value', 'node' and 'cached'", "one of them",
                   "the node may have a 'fallback: {value: ...}' of its own");
}

// Nodes that a case leads to. Each waits for the branch node.
std::vector<std::string> read_targets(Reader& reader, std::uint32_t index, const std::string& what,
                                      std::uint32_t node) {
  std::vector<std::uint32_t> items;
  if (reader.at(index).kind == YamlKind::kSequence) items = reader.at(index).children;
  else items.push_back(index);
  std::vector<std::string> targets;
  for (std::uint32_t item : items) {
    const YamlNode& written = reader.at(item);
    if (written.kind != YamlKind::kPlain && written.kind != YamlKind::kText) {
      reader.problem(item, what + " has an entry that is " + kind_of(written), "the id of a node");
      continue;
    }
    std::optional<std::uint32_t> found = reader.find_node(written.text);
    if (const auto begin = found ? reader.beginnings.find(*found) : reader.beginnings.end();
        begin != reader.beginnings.end())
      found = begin->second;
    if (!found) {
      reader.problem(item, what + " names '" + written.text + "', which is not a node", "the id of a node",
                     reader.suggest_node(written.text));
    } else if (*found == node) {
      reader.problem(item, what + " names the branch itself", "the id of another node");
    } else {
      reader.edges.push_back({*found, node, written.offset});
      targets.push_back(reader.spec.ids[*found]);
    }
  }
  return targets;
}

void read_case(Reader& reader, std::uint32_t index, const std::string& where, std::uint32_t node, bool depends_on,
               BranchSpec& branch) {
  const std::string what = "case " + std::to_string(branch.cases.size() + 1) + " of " + where;
  BranchCase& one = branch.cases.emplace_back();
  if (!reader.expect_mapping(index, what)) return;
  bool when = false;
  bool to = false;
  for (const Entry& entry : reader.entries(index)) {
    if (entry.name == "when") {
      when = true;
      one.when = read_condition(reader, entry.value, "'when' of " + what, node, depends_on);
    } else if (entry.name == "to") {
      to = true;
      one.to = read_targets(reader, entry.value, "'to' of " + what, node);
    } else {
      reader.unknown_key(entry, what, keys::kBranchCase);
    }
  }
  if (!when) reader.problem(index, what + " has no 'when'", kConditionRule, "what runs otherwise stands in 'default'");
  if (!to) reader.problem(index, what + " has no 'to'", "the id of a node, or a list of ids");
}

void read_cases(Reader& reader, std::uint32_t index, const std::string& where, std::uint32_t node, bool depends_on,
                BranchSpec& branch) {
  const YamlNode& written = reader.at(index);
  if (written.kind != YamlKind::kSequence || written.children.empty() || written.children.size() > kBranchCasesMax) {
    const bool list = written.kind == YamlKind::kSequence;
    reader.problem(
        index,
        "'cases' of " + where +
            (list ? " has " + std::to_string(written.children.size()) + " entries" : " is " + kind_of(written)),
        "a list of 1 to " + std::to_string(kBranchCasesMax) + " cases: {when: EXPRESSION, to: NODES}");
    return;
  }
  for (std::uint32_t item : written.children) read_case(reader, item, where, node, depends_on, branch);
}

}  // namespace

bool read_flow_key(Reader& reader, const Entry& entry, const std::string& where, std::uint32_t node, bool depends_on) {
  FlowSpec& flow = reader.spec.specs[node].flow;
  const std::string what = "'" + entry.name + "' of " + where;
  if (entry.name == "when") {
    flow.when = read_condition(reader, entry.value, what, node, depends_on);
  } else if (entry.name == "join") {
    read_join(reader, entry.value, where, flow);
  } else if (entry.name == "on_upstream_failure") {
    const auto word = reader.read_word(entry.value, what, keys::kOnUpstreamFailure);
    flow.on_upstream_failure = word == "run" ? OnUpstreamFailure::kRun : OnUpstreamFailure::kSkip;
  } else if (entry.name == "fallback") {
    read_fallback(reader, entry.value, where, node, depends_on);
  } else if (entry.name == "cache") {
    read_cache(reader, entry.value, where, node, depends_on);
  } else {
    return read_foreach_key(reader, entry, where, node, depends_on);
  }
  return true;
}

// `branch:` is a list of cases, or a mapping with `cases`, `default` and `choose`.
void read_branch(Reader& reader, std::uint32_t index, const std::string& where, std::uint32_t node, bool depends_on) {
  BranchSpec& branch = reader.spec.specs[node].flow.branch.emplace();
  if (reader.at(index).kind == YamlKind::kSequence) {
    read_cases(reader, index, where, node, depends_on, branch);
    return;
  }
  if (!reader.expect_mapping(index, "'branch' of " + where)) return;
  bool cases = false;
  for (const Entry& entry : reader.entries(index)) {
    const std::string what = "'" + entry.name + "' in 'branch' of " + where;
    if (entry.name == "cases") {
      cases = true;
      read_cases(reader, entry.value, where, node, depends_on, branch);
    } else if (entry.name == "default") {
      branch.otherwise = read_targets(reader, entry.value, what, node);
    } else if (entry.name == "choose") {
      branch.first = reader.read_word(entry.value, what, keys::kChoose) == "first";
    } else {
      reader.unknown_key(entry, "'branch' of " + where, keys::kBranch);
    }
  }
  if (!cases)
    reader.problem(index, "'branch' of " + where + " has no 'cases'", "a list of {when: EXPRESSION, to: NODES}");
}

}  // namespace millrace
