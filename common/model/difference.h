// Difference: how two definitions of a workflow differ in structure: nodes, edges, what is said about the whole.
//
// Nodes are matched by id; one is unchanged if everything that was written about it is, and it waits for the same
// nodes. In the packed form (no ids) node i is matched with node i.
// Promises: deterministic; in the order of the later definition, what was removed in that of the earlier one.
// Threads: pure functions. Fails: never.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/model/workflow.h"

namespace millrace {

struct NodeDifference {
  std::string id;
  std::vector<std::string> what;  // the keys that differ, as a workflow file has them
  bool operator==(const NodeDifference&) const = default;
};

struct WorkflowDifference {
  std::vector<std::string> added;  // nodes
  std::vector<std::string> removed;
  std::vector<NodeDifference> changed;
  std::vector<std::pair<std::string, std::string>> edges_added;  // from, to; both nodes are in both definitions
  std::vector<std::pair<std::string, std::string>> edges_removed;
  std::vector<std::string> settings;  // keys of the workflow itself that differ
  bool empty() const {
    return added.empty() && removed.empty() && changed.empty() && edges_added.empty() && edges_removed.empty() &&
           settings.empty();
  }
  bool operator==(const WorkflowDifference&) const = default;
};

WorkflowDifference difference(const WorkflowSpec& before, const WorkflowSpec& after);

// For each node of `after` the node of `before` that it still is; nothing: it is new, or has changed.
std::vector<std::optional<std::uint32_t>> unchanged_nodes(const WorkflowSpec& before, const WorkflowSpec& after);

}  // namespace millrace
