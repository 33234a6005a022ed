#include "cli/difference.h"

#include "cli/text.h"

namespace millrace {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + printable(word);
  return text;
}

Value texts_json(const std::vector<std::string>& texts) { return Value::Array(texts.begin(), texts.end()); }

Value edges_json(const std::vector<std::pair<std::string, std::string>>& edges) {
  Value::Array rows;
  for (const auto& [from, to] : edges) rows.push_back(Value::Object{{"from", from}, {"to", to}});
  return rows;
}

}  // namespace

std::string difference_text(const WorkflowDifference& difference) {
  std::string out;
  for (const std::string& id : difference.added) out += "+ node " + printable(id) + "\n";
  for (const std::string& id : difference.removed) out += "- node " + printable(id) + "\n";
  for (const NodeDifference& node : difference.changed)
    out += "~ node " + printable(node.id) + ": " + joined(node.what) + "\n";
  for (const auto& [from, to] : difference.edges_added)
    out += "+ edge " + printable(from) + " -> " + printable(to) + "\n";
  for (const auto& [from, to] : difference.edges_removed)
    out += "- edge " + printable(from) + " -> " + printable(to) + "\n";
  if (!difference.settings.empty()) out += "~ workflow: " + joined(difference.settings) + "\n";
  return out;
}

Value difference_json(const WorkflowDifference& difference) {
  Value::Array changed;
  for (const NodeDifference& node : difference.changed)
    changed.push_back(Value::Object{{"node", node.id}, {"keys", texts_json(node.what)}});
  return Value::Object{{"added", texts_json(difference.added)},
                       {"removed", texts_json(difference.removed)},
                       {"changed", std::move(changed)},
                       {"edges_added", edges_json(difference.edges_added)},
                       {"edges_removed", edges_json(difference.edges_removed)},
                       {"settings", texts_json(difference.settings)}};
}

}  // namespace millrace
