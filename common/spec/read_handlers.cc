// Nodes that handle failures and clean up: `on_failure` and `compensate` of a node, `on_failure` and `finally` of the
// workflow.
#include <algorithm>
#include <map>
#include <set>

#include "common/spec/keys.h"
#include "common/spec/reader.h"

namespace millrace {
namespace {

enum class Kind : std::uint8_t { kNone, kCompensate, kOnFailure, kFinally };

const char* word_of(Kind kind) {
  switch (kind) {
    case Kind::kCompensate: return "compensate";
    case Kind::kOnFailure: return "on_failure";
    case Kind::kFinally: return "finally";
    case Kind::kNone: break;
  }
  return "";
}

// One id that is a node and not the one that names it.
bool read_id(Reader& reader, std::uint32_t index, const std::string& what, std::optional<std::uint32_t> node,
             std::vector<std::string>& ids) {
  const YamlNode& written = reader.at(index);
  if (written.kind != YamlKind::kPlain && written.kind != YamlKind::kText) {
    reader.problem(index, what + " has an entry that is " + kind_of(written), "the id of a node");
    return false;
  }
  const std::optional<std::uint32_t> found = reader.find_node(written.text);
  if (!found) {
    reader.problem(index, what + " names '" + written.text + "', which is not a node", "the id of a node",
                   reader.suggest_node(written.text));
    return false;
  }
  if (node && *found == *node) {
    reader.problem(index, what + " names the node itself", "the id of another node");
    return false;
  }
  if (node) reader.edges.push_back({*found, *node, written.offset});
  const std::string& id = reader.spec.ids[*found];
  if (std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
  return true;
}

void read_ids(Reader& reader, std::uint32_t index, const std::string& what, std::optional<std::uint32_t> node,
              std::vector<std::string>& ids) {
  if (reader.at(index).kind != YamlKind::kSequence) {
    (void)read_id(reader, index, what, node, ids);
    return;
  }
  const std::vector<std::uint32_t>& items = reader.at(index).children;
  if (items.empty() || items.size() > kHandlersMax)
    reader.problem(index, what + " has " + std::to_string(items.size()) + " entries",
                   "1 to " + std::to_string(kHandlersMax) + " ids of nodes");
  for (std::uint32_t item : items) (void)read_id(reader, item, what, node, ids);
}

}  // namespace

bool read_handler_key(Reader& reader, const Entry& entry, const std::string& where, std::uint32_t node) {
  FlowSpec& flow = reader.spec.specs[node].flow;
  const std::string what = "'" + entry.name + "' of " + where;
  if (entry.name == "on_failure") {
    read_ids(reader, entry.value, what, node, flow.on_failure);
  } else if (entry.name == "compensate") {
    std::vector<std::string> one;
    if (read_id(reader, entry.value, what, node, one)) flow.compensate = one.front();
  } else {
    return false;
  }
  return true;
}

std::vector<std::string> read_handlers(Reader& reader, std::uint32_t index, const std::string& what) {
  std::vector<std::string> ids;
  read_ids(reader, index, what, std::nullopt, ids);
  return ids;
}

void check_cleanup(Reader& reader) {
  const WorkflowSpec& spec = reader.spec;
  std::vector<Kind> kinds(spec.ids.size(), Kind::kNone);
  const std::uint32_t top = reader.document.root();
  const auto mark = [&](const std::string& id, Kind kind) {
    const auto found = reader.node_index.find(id);
    if (found == reader.node_index.end()) return;
    Kind& known = kinds[found->second];
    if (known != Kind::kNone)
      reader.problem(top, "node '" + id + "' is named by '" + word_of(known) + "' and by '" + word_of(kind) + "'",
                     "a node that cleans up in one way, once");
    known = kind;
  };
  for (const NodeSpec& node : spec.specs) {
    if (!node.flow.compensate.empty()) mark(node.flow.compensate, Kind::kCompensate);
  }
  for (const std::string& id : spec.on_failure) mark(id, Kind::kOnFailure);
  for (const std::string& id : spec.finally_run) mark(id, Kind::kFinally);
  if (std::ranges::none_of(kinds, [](Kind kind) { return kind == Kind::kNone; }) && !kinds.empty())
    reader.problem(top, "every node is there to clean up", "at least one node of the work itself");
  for (const Edge& edge : reader.edges) {
    const Kind before = kinds[edge.upstream];
    const Kind kind = kinds[edge.node];
    if (before == Kind::kNone || (before == kind && kind != Kind::kCompensate)) continue;
    reader.report.add(reader.document.problem_at(edge.offset,
                                                 "node '" + spec.ids[edge.node] + "' waits for '" +
                                                     spec.ids[edge.upstream] +
                                                     "', which runs when everything else "
                                                     "has ended ('" +
                                                     word_of(before) + "')",
                                                 "nodes of the work itself", ""));
  }
}

void read_stand_in(Reader& reader, std::uint32_t index, const std::string& what, std::uint32_t node) {
  std::vector<std::string> one;
  if (!read_id(reader, index, what, node, one)) return;
  reader.spec.specs[node].flow.stand_in = one.front();
  reader.stand_ins.push_back(reader.edges.back());
}

void check_stand_ins(Reader& reader) {
  const WorkflowSpec& spec = reader.spec;
  std::map<std::string_view, std::string> others;  // what runs for a reason of its own, and which
  std::set<std::string_view> cleaning;
  const auto take = [&](const std::vector<std::string>& ids, const char* why, bool cleans) {
    for (const std::string& id : ids) {
      others.emplace(id, std::string("'") + why + "'");
      if (cleans) cleaning.insert(id);
    }
  };
  for (const NodeSpec& node : spec.specs) {
    take(node.flow.on_failure, "on_failure", false);
    if (!node.flow.compensate.empty()) {
      others.emplace(node.flow.compensate, "'compensate'");
      cleaning.insert(node.flow.compensate);
    }
    if (!node.flow.branch) continue;
    for (const BranchCase& one : node.flow.branch->cases) take(one.to, "branch", false);
    take(node.flow.branch->otherwise, "branch", false);
  }
  take(spec.on_failure, "on_failure", true);
  take(spec.finally_run, "finally", true);
  std::map<std::uint32_t, std::uint32_t> used;  // stand-in -> for whom
  for (const Edge& edge : reader.stand_ins) {
    const std::string& id = spec.ids[edge.node];
    const std::string& failed = spec.ids[edge.upstream];
    const auto add = [&](std::string message, std::string expected) {
      reader.report.add(reader.document.problem_at(edge.offset, std::move(message), std::move(expected), ""));
    };
    if (const auto [known, fresh] = used.emplace(edge.node, edge.upstream); !fresh)
      add("node '" + id + "' stands in for '" + spec.ids[known->second] + "' and for '" + failed + "'",
          "a node of its own for each 'fallback'");
    if (const auto other = others.find(id); other != others.end())
      add("node '" + id + "' stands in for '" + failed + "' and is named by " + other->second,
          "a node that is there for this 'fallback' alone");
    if (cleaning.contains(failed))
      add("node '" + failed + "' is there to clean up: no node can stand in for it", "a 'fallback: {value: ...}'");
  }
}

}  // namespace millrace
