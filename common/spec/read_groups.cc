// Sub-graphs and loops, written out to plain nodes: see docs/adr/0016.
#include <algorithm>
#include <string>
#include <utility>

#include "common/expr/expression.h"
#include "common/spec/keys.h"
#include "common/spec/reader.h"

namespace millrace {
namespace {

constexpr std::size_t kWrittenOutMax = 32 * 1024 * 1024;  // bytes of text of all rounds of all loops
constexpr std::size_t kGroupHandlersMax = 32;

const Entry* find_entry(const std::vector<Entry>& entries, std::string_view name) {
  const auto found = std::ranges::find(entries, name, [](const Entry& e) -> std::string_view { return e.name; });
  return found == entries.end() ? nullptr : &*found;
}

bool is_mapping(const Reader& reader, std::uint32_t index) { return reader.at(index).kind == YamlKind::kMapping; }

// The entries of the nodes of a sub-graph; nothing: it is none.
std::optional<std::vector<Entry>> nodes_of(const Reader& reader, const Entry& entry) {
  if (!is_mapping(reader, entry.value)) return std::nullopt;
  const std::vector<Entry> entries = reader.entries(entry.value);
  const Entry* nodes = find_entry(entries, "nodes");
  if (nodes == nullptr) return std::nullopt;
  return is_mapping(reader, nodes->value) ? reader.entries(nodes->value) : std::vector<Entry>();
}

// "{{ X }}" -> "{{ not (X) }}"
Value negated(const std::string& condition) {
  const std::size_t open = condition.find("{{");
  const std::size_t close = condition.rfind("}}");
  return "{{ not (" + condition.substr(open + 2, close - open - 2) + ") }}";
}

// Bytes of text below a value of the document, up to a limit.
std::size_t text_below(const Reader& reader, std::uint32_t index, std::size_t limit) {
  const YamlNode& node = reader.at(index);
  std::size_t bytes = node.text.size() + 1;
  for (std::size_t i = 0; i < node.children.size() && bytes < limit; ++i)
    bytes += text_below(reader, node.children[i], limit - bytes);
  return bytes;
}

std::string local_name(const std::string& id) { return id.substr(id.rfind('/') + 1); }

}  // namespace

// ---------------------------------------------------------------- which nodes there are

std::vector<Planned> Groups::plan(Reader& reader, const std::vector<Entry>& entries) {
  std::vector<Planned> out;
  plan_entries(reader, entries, "", 0, out);
  return out;
}

void Groups::plan_entries(Reader& reader, const std::vector<Entry>& entries, const std::string& scope,
                          std::uint32_t round, std::vector<Planned>& out) {
  for (const Entry& entry : entries) {
    if (too_many_) return;
    if (out.size() >= kYamlNodesMax && !scope.empty()) {
      too_many_ = true;
      reader.problem(entry.key, "with the nodes of its sub-graphs, in each round of a loop, the workflow has too many",
                     "at most " + std::to_string(kYamlNodesMax), "fewer rounds, or a workflow that starts itself");
      return;
    }
    const std::string id = scope.empty() ? entry.name : scope + '/' + entry.name;
    if (!scope.empty() && id.size() > kNodePathMax)
      reader.problem(entry.key, "node '" + id.substr(0, 40) + "...' has too long an id with those of its sub-graphs",
                     "at most " + std::to_string(kNodePathMax) + " bytes");
    if (round > 0 && std::ranges::find(keys::kRoundRoots, entry.name) != keys::kRoundRoots.end())
      reader.problem(entry.key, "node '" + id + "' has a name that a loop gives", "another id");
    if (nodes_of(reader, entry)) plan_group(reader, entry, scope, round, out);
    else out.push_back({id, entry, scope, round, Part::kNode, 0});
  }
}

void Groups::plan_group(Reader& reader, const Entry& entry, const std::string& scope, std::uint32_t round,
                        std::vector<Planned>& out) {
  const std::string id = scope.empty() ? entry.name : scope + '/' + entry.name;
  const auto number = static_cast<std::uint32_t>(groups_.size());
  groups_.emplace_back();
  const auto here = [&] { return static_cast<std::uint32_t>(out.size()); };
  groups_[number].end = here();
  groups_[number].entry_offset = reader.at(entry.key).offset;
  out.push_back({id, entry, scope, round, Part::kGroupEnd, number});
  groups_[number].gate = here();
  reader.beginnings.emplace(groups_[number].end, here());
  reader.parts.insert(here());
  out.push_back({id + "/begin", entry, scope, round, Part::kGate, number});
  const std::vector<Entry> keys = reader.entries(entry.value);
  if (const Entry* loop = find_entry(keys, "loop"))
    read_loop(reader, loop->value, "node '" + id + "'", groups_[number]);
  const std::vector<Entry> inner = *nodes_of(reader, entry);
  if (groups_[number].loop.rounds == 0) {
    const std::uint32_t first = here();
    plan_entries(reader, inner, id, round, out);
    groups_[number].bodies.push_back({first, here(), groups_[number].end, std::nullopt});
    return;
  }
  // Each round is read anew: what they come to together is bounded like what aliases come to.
  const std::size_t bytes = text_below(reader, entry.value, kWrittenOutMax + 1) * groups_[number].loop.rounds;
  written_out_ += bytes;
  if (written_out_ > kWrittenOutMax) {
    too_many_ = true;
    reader.problem(entry.key, "the rounds of node '" + id + "' come to " + std::to_string(bytes) + " bytes of text",
                   "at most " + std::to_string(kWrittenOutMax) + " in all loops together", "fewer rounds");
    return;
  }
  for (std::uint32_t k = 1; k <= groups_[number].loop.rounds && !too_many_; ++k) {
    const std::string inside = id + '/' + std::to_string(k);
    const std::uint32_t end = here();
    out.push_back({inside, entry, inside, k, Part::kRoundEnd, number});
    const std::uint32_t first = here();
    plan_entries(reader, inner, inside, k, out);
    groups_[number].bodies.push_back({first, here(), end, here()});
    reader.parts.insert(here());
    out.push_back({inside + "/again", entry, inside, k, Part::kAgain, number});
  }
}

void Groups::read_loop(Reader& reader, std::uint32_t index, const std::string& where, Group& group) {
  const std::string what = "'loop' of " + where;
  if (!reader.expect_mapping(index, what)) return;
  for (const Entry& entry : reader.entries(index)) {
    const std::string part = "'" + entry.name + "' in " + what;
    if (entry.name == "until") {
      group.until = entry.value;
    } else if (entry.name == "max_rounds") {
      group.loop.rounds = static_cast<std::uint32_t>(reader.read_integer(entry.value, part, 1, kRoundsMax).value_or(1));
    } else if (entry.name == "on_max_rounds") {
      group.loop.fails = reader.read_word(entry.value, part, keys::kOnMaxRounds) != "end";
    } else {
      reader.unknown_key(entry, what, keys::kLoop);
    }
  }
  if (group.loop.rounds == 0) reader.problem(index, what + " has no 'max_rounds'", "how many rounds there may be");
  if (!group.until)
    reader.problem(index, what + " has no 'until'", "one expression like \"{{ nodes.check.ok }}\", or false");
}

// ---------------------------------------------------------------- what they are

void Groups::read(Reader& reader, const Planned& part, std::uint32_t node) {
  Group& group = groups_[part.group];
  reader.spec.specs[node].value = Value();  // for now: it is a node that the core decides
  switch (part.part) {
    case Part::kGroupEnd: return read_group(reader, part, node, group);
    case Part::kRoundEnd: reader.spec.specs[node].flow.round = part.round; return read_end(reader, part, node, part.id);
    case Part::kAgain: return read_again(reader, part, node, group);
    case Part::kGate:
    case Part::kNode: return;
  }
}

void Groups::read_group(Reader& reader, const Planned& part, std::uint32_t node, Group& group) {
  const std::string where = "node '" + part.id + "'";
  const std::vector<Entry> entries = reader.entries(part.entry.value);
  const std::uint32_t gate = *group.gate;
  const bool depends_on = find_entry(entries, "depends_on") != nullptr;
  for (const Entry& entry : entries) {
    if (entry.name == "nodes") {
      if (!reader.expect_mapping(entry.value, "'nodes' of " + where)) continue;
      if (reader.entries(entry.value).empty())
        reader.problem(entry.value, where + " is a sub-graph without nodes", "at least one node");
    } else if (entry.name == "depends_on") {
      read_depends_on(reader, entry.value, where, gate);
    } else if (entry.name == "description") {
      static_cast<void>(reader.read_string(entry.value, "'description' of " + where));
    } else if (entry.name == "on_failure") {
      read_handler_key(reader, entry, where, node);
      if (reader.spec.specs[node].flow.on_failure.size() > kGroupHandlersMax)
        reader.problem(entry.value, "'on_failure' of " + where + " has too many entries",
                       "at most " + std::to_string(kGroupHandlersMax) + " of a sub-graph");
    } else if (entry.name == "when" || entry.name == "join" || entry.name == "on_upstream_failure") {
      read_flow_key(reader, entry, where, gate, depends_on);
    } else if (entry.name != "outputs" && entry.name != "loop") {
      reader.problem(entry.key, "unknown key '" + entry.name + "' in " + where + ", which is a sub-graph",
                     "one of " + list_words(keys::kGroupNode), reader.suggestion(entry.name, keys::kGroupNode));
    }
  }
  if (group.loop.rounds > 0) reader.spec.specs[node].flow.loop = group.loop;
  else read_end(reader, part, node, part.id);
}

// What a sub-graph, or one round, ends in: its outputs. Without them link() makes one of what nothing waits for.
void Groups::read_end(Reader& reader, const Planned& part, std::uint32_t node, const std::string& inside) {
  const std::vector<Entry> entries = reader.entries(part.entry.value);
  const Entry* outputs = find_entry(entries, "outputs");
  if (outputs == nullptr) return;
  const std::string what = "'outputs' of node '" + part.id + "'";
  if (!reader.expect_mapping(outputs->value, what)) return;
  const std::string scope = std::exchange(reader.scope, inside);
  check_expressions(reader, outputs->value, {what, node, /*core=*/true, /*all_nodes=*/true});
  reader.spec.specs[node].value = reader.value(outputs->value);
  reader.scope = scope;
}

void Groups::read_again(Reader& reader, const Planned& part, std::uint32_t node, const Group& group) {
  if (!group.until) return;
  const std::string what = "'until' in 'loop' of node '" + part.id.substr(0, part.id.size() - 8) + "'";
  const Value value = reader.value(*group.until);
  FlowSpec& flow = reader.spec.specs[node].flow;
  if (value.is_bool()) {
    flow.when = Value(!value.as_bool());
    return;
  }
  const YamlNode& written = reader.at(*group.until);
  const Result<expr::TextTemplate> compiled = expr::TextTemplate::compile(written.text);
  const bool scalar = written.kind == YamlKind::kPlain || written.kind == YamlKind::kText;
  if (!scalar || (compiled.ok() && !compiled->is_single_expression())) {
    reader.problem(*group.until, what + " is " + kind_of(written),
                   "one expression like \"{{ nodes.check.ok }}\", or true or false");
    return;
  }
  check_expressions(reader, *group.until, {what, node, /*core=*/true, /*all_nodes=*/true});
  if (compiled.ok()) flow.when = negated(value.as_string());
}

// ---------------------------------------------------------------- what waits for what

void Groups::add_edge(Reader& reader, std::uint32_t node, std::uint32_t upstream, std::uint32_t offset) {
  reader.edges.push_back({node, upstream, offset});
  upstream_[node].push_back(upstream);
}

void Groups::set_gate(Reader& reader, const Group& group, std::uint32_t node, std::uint32_t gate) {
  std::string& known = reader.spec.specs[node].flow.gate;
  if (!known.empty()) return;  // that of a sub-graph further in, which has this one
  known = reader.spec.ids[gate];
  add_edge(reader, node, gate, group.entry_offset);
}

// The innermost first: what they wait for inside is known when their own beginnings are looked for.
void Groups::link(Reader& reader) {
  if (groups_.empty() || too_many_) return;
  const WorkflowSpec& spec = reader.spec;
  upstream_.assign(spec.ids.size(), {});
  aside_.assign(spec.ids.size(), false);
  cleans_.assign(spec.ids.size(), false);
  for (const Edge& edge : reader.edges) upstream_[edge.node].push_back(edge.upstream);
  const auto mark = [&](const std::string& id, bool cleans) {
    const auto found = reader.node_index.find(id);
    if (found == reader.node_index.end()) return;
    aside_[found->second] = true;
    if (cleans) cleans_[found->second] = true;
  };
  for (const NodeSpec& node : spec.specs) {
    for (const std::string& id : node.flow.on_failure) mark(id, false);
    if (!node.flow.stand_in.empty()) mark(node.flow.stand_in, false);
    if (!node.flow.compensate.empty()) mark(node.flow.compensate, true);
  }
  for (const std::string& id : spec.on_failure) mark(id, true);
  for (const std::string& id : spec.finally_run) mark(id, true);
  for (auto group = groups_.rbegin(); group != groups_.rend(); ++group) {
    if (aside_[group->end])
      reader.report.add(reader.document.problem_at(
          group->entry_offset, "node '" + spec.ids[group->end] + "' is a sub-graph and is to clean up or to stand in",
          "a node without 'nodes'", ""));
    std::uint32_t gate = *group->gate;
    for (const Body& body : group->bodies) {
      link_body(reader, *group, body, gate);
      if (!body.again) continue;
      add_edge(reader, *body.again, body.end, group->entry_offset);
      add_edge(reader, group->end, body.end, group->entry_offset);
      gate = *body.again;
    }
    if (group->loop.rounds > 0) add_edge(reader, group->end, *group->bodies.back().again, group->entry_offset);
    link_handlers(reader, *group);
  }
}

// Its nodes wait for its gate, and run only if that did; its end waits for those that nothing else waits for.
void Groups::link_body(Reader& reader, const Group& group, const Body& body, std::uint32_t gate) {
  std::vector<bool> followed(body.last - body.first, false);
  for (std::uint32_t node = body.first; node < body.last; ++node) {
    if (cleans_[node]) continue;
    for (std::uint32_t up : upstream_[node]) {
      if (up >= body.first && up < body.last && !aside_[node]) followed[up - body.first] = true;
    }
    set_gate(reader, group, node, gate);
  }
  set_gate(reader, group, body.end, gate);
  if (body.again) set_gate(reader, group, *body.again, gate);
  Value::Object outputs;
  const std::string& scope = reader.spec.ids[body.end];
  for (std::uint32_t node = body.first; node < body.last; ++node) {
    if (followed[node - body.first] || aside_[node]) continue;
    add_edge(reader, body.end, node, group.entry_offset);
    const std::string& id = reader.spec.ids[node];
    if (id.rfind('/') == scope.size()) outputs.emplace_back(local_name(id), "{{ nodes['" + local_name(id) + "'] }}");
  }
  std::optional<Value>& value = reader.spec.specs[body.end].value;
  if (value && value->is_null()) value = Value(std::move(outputs));
}

// What handles the failure of a sub-graph handles that of each of its nodes.
void Groups::link_handlers(Reader& reader, const Group& group) {
  const std::vector<std::string> handlers = reader.spec.specs[group.end].flow.on_failure;
  const std::uint32_t last = group.bodies.back().again.value_or(group.bodies.back().last - 1);
  for (const std::string& id : handlers) {
    const auto handler = reader.node_index.find(id);
    if (handler == reader.node_index.end()) continue;
    for (std::uint32_t node = *group.gate; node <= last; ++node) {
      if (cleans_[node] || node == handler->second) continue;
      std::vector<std::string>& of_node = reader.spec.specs[node].flow.on_failure;
      if (std::ranges::find(of_node, id) == of_node.end()) of_node.push_back(id);
      add_edge(reader, handler->second, node, group.entry_offset);
    }
  }
}

}  // namespace millrace
