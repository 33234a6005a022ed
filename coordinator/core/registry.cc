#include "coordinator/core/registry.h"

#include <algorithm>

namespace millrace {

Result<const RegisteredWorkflow*> Registry::find(const Key& key, std::uint32_t version) const {
  auto it = workflows_.find(key);
  if (it == workflows_.end() || !it->second.exists()) {
    return Error{Code::kNotFound,
                 "no workflow '" + key.second + "' is registered" +
                     (key.first == "default" ? "" : " for tenant '" + key.first + "'"),
                 {},
                 ""};
  }
  const RegisteredWorkflow& workflow = it->second;
  if (workflow.find(version) == nullptr) {
    return Error{Code::kNotFound,
                 "workflow '" + key.second + "' has no version " + std::to_string(version) + ": there are " +
                     std::to_string(workflow.versions.front().version) + " to " +
                     std::to_string(workflow.versions.back().version),
                 {},
                 ""};
  }
  return &workflow;
}

Result<Registry::Change> Registry::apply(Time now, const Key& key, const Hash128& definition, std::string caller) {
  auto it = workflows_.find(key);
  if (it == workflows_.end() && workflows_.size() >= kWorkflowsMax) {
    return Error{Code::kRefused,
                 "the partition of '" + key.second + "' has " + std::to_string(workflows_.size()) +
                     " registered workflows, the most that it keeps",
                 {},
                 "workflows_full"};
  }
  Change change;
  RegisteredWorkflow& workflow = workflows_[key];
  workflow.tenant = key.first;
  workflow.name = key.second;
  change.workflow = &workflow;
  if (workflow.exists() && workflow.versions.back().definition == definition) return change;
  add(workflow, {0, definition, now, std::move(caller), 0}, change);
  return change;
}

Result<Registry::Change> Registry::roll_back(Time now, const Key& key, std::uint32_t version, std::string caller) {
  if (version == 0) return Error{Code::kInvalid, "a rollback names the version to go back to", {}, ""};
  Result<const RegisteredWorkflow*> found = find(key, version);
  if (!found.ok()) return std::move(found).error();
  RegisteredWorkflow& workflow = workflows_.at(key);
  Change change;
  change.workflow = &workflow;
  const Hash128 definition = workflow.find(version)->definition;
  if (workflow.versions.back().definition == definition) return change;
  add(workflow, {0, definition, now, std::move(caller), version}, change);
  return change;
}

Result<Registry::Change> Registry::erase(const Key& key) {
  Change change;
  if (auto it = workflows_.find(key); it != workflows_.end() && !it->second.exists()) {  // asked again
    change.workflow = &it->second;
    return change;
  }
  Result<const RegisteredWorkflow*> found = find(key, 0);
  if (!found.ok()) return std::move(found).error();
  RegisteredWorkflow& workflow = workflows_.at(key);
  change.workflow = &workflow;
  change.changed = true;
  drop(workflow, workflow.versions.size(), change);
  return change;
}

void Registry::restore(RegisteredWorkflow workflow) {
  for (const WorkflowVersion& version : workflow.versions) ++uses_[version.definition];
  Key key{workflow.tenant, workflow.name};
  workflows_.insert_or_assign(std::move(key), std::move(workflow));
}

void Registry::add(RegisteredWorkflow& workflow, WorkflowVersion version, Change& change) {
  version.version = ++workflow.latest;
  ++uses_[version.definition];
  workflow.versions.push_back(std::move(version));
  change.changed = true;
  if (workflow.versions.size() > kVersionsMax) drop(workflow, workflow.versions.size() - kVersionsMax, change);
}

void Registry::drop(RegisteredWorkflow& workflow, std::size_t versions, Change& change) {
  const auto end = workflow.versions.begin() + static_cast<std::ptrdiff_t>(versions);
  for (auto it = workflow.versions.begin(); it != end; ++it) {
    auto used = uses_.find(it->definition);
    if (--used->second > 0) continue;
    change.dropped.push_back(it->definition);
    uses_.erase(used);
  }
  workflow.versions.erase(workflow.versions.begin(), end);
}

}  // namespace millrace
