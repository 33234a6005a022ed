// Plan: what a task calls other tasks. '/' stands between the id of a sub-graph and those of its nodes, so an id says
// in which it is; a name is looked for there first, then further out.
#include "coordinator/core/plan.h"

namespace millrace {
namespace {

// "g/h/x" -> "g/h"; "x" -> "".
std::string_view outer(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

// What a sub-graph begins with, or a loop goes on by: no name means it.
bool is_part(const WorkflowSpec& workflow, std::uint32_t node) {
  const std::string& id = workflow.ids[node];
  return (id.ends_with("/begin") || id.ends_with("/again")) && workflow.specs[node].value == Value();
}

}  // namespace

void Plan::find_scopes() {
  for (const std::string& id : workflow_.ids) {
    for (std::string_view scope = outer(id); !scope.empty(); scope = outer(scope)) scopes_.emplace(scope);
  }
}

// The sub-graph that a task is in; that of a node that a sub-graph ends in is that sub-graph.
std::string_view Plan::scope_of(TaskIndex task) const {
  const std::string& id = workflow_.ids[task.value];
  return scopes_.contains(id) ? std::string_view(id) : outer(id);
}

std::optional<TaskIndex> Plan::find_from(TaskIndex from, std::string_view name) const {
  if (scopes_.empty()) return find(name);
  if (name == "previous") {
    if (const std::optional<TaskIndex> closer = round_end(from)) return previous_end(*closer);
  }
  for (std::string_view scope = scope_of(from); !scope.empty(); scope = outer(scope)) {
    const auto found = by_id_.find(std::string(scope) + '/' + std::string(name));
    if (found != by_id_.end() && !is_part(workflow_, found->second)) return TaskIndex{found->second};
  }
  return find(name);
}

std::string Plan::name_from(TaskIndex from, TaskIndex of) const {
  if (scopes_.empty()) return id(of);
  const std::string& id = workflow_.ids[of.value];
  if (is_part(workflow_, of.value)) return id;
  for (std::string_view scope = scope_of(from); !scope.empty(); scope = outer(scope)) {
    if (outer(id) == scope) return id.substr(scope.size() + 1);
  }
  return id;
}

std::optional<TaskIndex> Plan::round_end(TaskIndex task) const {
  if (scopes_.empty()) return std::nullopt;
  for (std::string_view scope = scope_of(task); !scope.empty(); scope = outer(scope)) {
    const auto end = by_id_.find(scope);
    if (end == by_id_.end()) continue;
    const Flow* flow = this->flow(TaskIndex{end->second});
    if (flow != nullptr && flow->round > 0) return TaskIndex{end->second};
  }
  return std::nullopt;
}

std::optional<TaskIndex> Plan::previous_end(TaskIndex round_end) const {
  const std::string& id = workflow_.ids[round_end.value];
  const std::uint32_t round = flow(round_end)->round;
  const auto found = by_id_.find(std::string(outer(id)) + '/' + std::to_string(round - 1));
  return found == by_id_.end() ? std::nullopt : std::optional(TaskIndex{found->second});
}

std::uint32_t Plan::round_of(TaskIndex task) const {
  const std::optional<TaskIndex> end = round_end(task);
  return end ? flow(*end)->round : 0;
}

}  // namespace millrace
