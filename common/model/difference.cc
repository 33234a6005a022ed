#include "common/model/difference.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

namespace millrace {
namespace {

// The nodes of one definition by id. Packed forms have none: there the place is the name.
class Nodes {
 public:
  explicit Nodes(const WorkflowSpec& workflow) : workflow_(workflow) {
    for (std::uint32_t node = 0; node < workflow.ids.size(); ++node) by_id_.emplace(workflow.ids[node], node);
  }
  std::optional<std::uint32_t> find(const WorkflowSpec& other, std::uint32_t node) const {
    if (other.ids.empty() != workflow_.ids.empty()) return std::nullopt;
    if (other.ids.empty()) return node < workflow_.node_count() ? std::optional(node) : std::nullopt;
    auto it = by_id_.find(other.ids[node]);
    return it == by_id_.end() ? std::nullopt : std::optional(it->second);
  }

 private:
  const WorkflowSpec& workflow_;
  std::unordered_map<std::string_view, std::uint32_t> by_id_;  // lookups only
};

std::vector<std::string> upstream_ids(const WorkflowSpec& workflow, std::uint32_t node) {
  std::vector<std::string> ids;
  for (std::uint32_t up : workflow.upstream.of(node)) ids.push_back(workflow.id(up));
  std::ranges::sort(ids);
  return ids;
}

bool same_upstream(const WorkflowSpec& before, std::uint32_t a, const WorkflowSpec& after, std::uint32_t b) {
  if (before.upstream.of(a).size() != after.upstream.of(b).size()) return false;
  if (before.ids.empty() && after.ids.empty()) return std::ranges::equal(before.upstream.of(a), after.upstream.of(b));
  return upstream_ids(before, a) == upstream_ids(after, b);
}

// What of an executor's own fields differs.
void differing_fields(const Value& before, const Value& after, std::vector<std::string>& what) {
  static const Value::Object kNone;
  const Value::Object& a = before.is_object() ? before.as_object() : kNone;
  const Value::Object& b = after.is_object() ? after.as_object() : kNone;
  for (const auto& [name, value] : b) {
    const Value* old = before.is_object() ? before.find(name) : nullptr;
    if (old == nullptr || !(*old == value)) what.push_back(name);
  }
  for (const auto& [name, value] : a) {
    if (!after.is_object() || after.find(name) == nullptr) what.push_back(name);
  }
}

std::vector<std::string> differing_keys(const NodeSpec& a, const NodeSpec& b) {
  std::vector<std::string> what;
  const auto say = [&](bool differs, const char* key) {
    if (differs) what.emplace_back(key);
  };
  say(a.executor != b.executor, "executor");
  say(a.value != b.value, "value");
  differing_fields(a.fields, b.fields, what);
  say(a.retry != b.retry, "retry");
  say(a.on_loss != b.on_loss, "on_loss");
  say(a.timeout != b.timeout, "timeout");
  say(a.priority != b.priority, "priority");
  say(a.queue != b.queue, "queue");
  say(a.labels != b.labels, "requires");
  say(a.resources != b.resources, "resources");
  say(a.sticky != b.sticky, "sticky");
  say(a.apart != b.apart, "anti_affinity");
  say(a.flow.when != b.flow.when, "when");
  say(a.flow.branch != b.flow.branch, "branch");
  say(a.flow.join != b.flow.join, "join");
  say(a.flow.on_upstream_failure != b.flow.on_upstream_failure, "on_upstream_failure");
  say(a.flow.fallback != b.flow.fallback || a.flow.fallback_cached != b.flow.fallback_cached, "fallback");
  say(a.flow.cache != b.flow.cache, "cache");
  say(a.flow.wait != b.flow.wait, "wait");
  say(a.flow.on_failure != b.flow.on_failure, "on_failure");
  say(a.flow.compensate != b.flow.compensate, "compensate");
  say(a.flow.foreach != b.flow.foreach, "foreach");
  say(a.flow.sets != b.flow.sets, "set");
  if (what.empty() && !(a == b)) what.emplace_back("definition");
  return what;
}

std::vector<std::string> differing_settings(const WorkflowSpec& a, const WorkflowSpec& b) {
  std::vector<std::string> what;
  const auto say = [&](bool differs, const char* key) {
    if (differs) what.emplace_back(key);
  };
  say(a.name != b.name, "name");
  say(a.description != b.description, "description");
  say(a.inputs != b.inputs, "inputs");
  say(a.outputs != b.outputs || a.outputs_declared != b.outputs_declared, "outputs");
  say(a.fail_fast != b.fail_fast, "fail_fast");
  say(a.timeout != b.timeout, "timeout");
  say(a.priority != b.priority, "priority");
  say(a.on_failure != b.on_failure, "on_failure");
  say(a.finally_run != b.finally_run, "finally");
  say(a.triggers != b.triggers, "triggers");
  return what;
}

// Edges of `here` between nodes that both have and that `there` does not have.
void edges_only_in(const WorkflowSpec& here, const WorkflowSpec& there,
                   std::vector<std::pair<std::string, std::string>>& edges) {
  const Nodes others(there);
  for (std::uint32_t node = 0; node < here.node_count(); ++node) {
    const std::optional<std::uint32_t> same = others.find(here, node);
    if (!same) continue;
    for (std::uint32_t up : here.upstream.of(node)) {
      const std::optional<std::uint32_t> from = others.find(here, up);
      if (from && !std::ranges::binary_search(there.upstream.of(*same), *from))
        edges.emplace_back(here.id(up), here.id(node));
    }
  }
}

}  // namespace

std::vector<std::optional<std::uint32_t>> unchanged_nodes(const WorkflowSpec& before, const WorkflowSpec& after) {
  const Nodes earlier(before);
  std::vector<std::optional<std::uint32_t>> same(after.node_count());
  for (std::uint32_t node = 0; node < after.node_count(); ++node) {
    const std::optional<std::uint32_t> was = earlier.find(after, node);
    if (was && before.spec(*was) == after.spec(node) && same_upstream(before, *was, after, node)) same[node] = was;
  }
  return same;
}

WorkflowDifference difference(const WorkflowSpec& before, const WorkflowSpec& after) {
  WorkflowDifference found;
  const Nodes earlier(before);
  const Nodes later(after);
  for (std::uint32_t node = 0; node < after.node_count(); ++node) {
    const std::optional<std::uint32_t> was = earlier.find(after, node);
    if (!was) found.added.push_back(after.id(node));
    else if (std::vector<std::string> what = differing_keys(before.spec(*was), after.spec(node)); !what.empty())
      found.changed.push_back({after.id(node), std::move(what)});
  }
  for (std::uint32_t node = 0; node < before.node_count(); ++node) {
    if (!later.find(before, node)) found.removed.push_back(before.id(node));
  }
  edges_only_in(after, before, found.edges_added);
  edges_only_in(before, after, found.edges_removed);
  found.settings = differing_settings(before, after);
  return found;
}

}  // namespace millrace
