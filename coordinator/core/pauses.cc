#include "coordinator/core/pauses.h"

#include <utility>

#include "common/model/requirements.h"
#include "coordinator/core/home.h"

namespace millrace {

PartitionId home_of(const PauseName& what, std::uint16_t partitions) {
  if (what.kind == PauseKind::kWorkflow) return home_of(what.tenant, what.name, partitions);
  return home_of("", "queue/" + what.name, partitions);
}

void Pauses::set(Pause pause) {
  ByName& names = kinds_[static_cast<std::size_t>(pause.what.kind)][pause.what.tenant];
  std::string name = pause.what.name;
  if (names.insert_or_assign(std::move(name), std::move(pause)).second) ++size_;
}

void Pauses::lift(const PauseName& what) {
  ByTenant& tenants = kinds_[static_cast<std::size_t>(what.kind)];
  const auto names = tenants.find(what.tenant);
  if (names == tenants.end() || names->second.erase(what.name) == 0) return;
  --size_;
  if (names->second.empty()) tenants.erase(names);
}

const Pause* Pauses::find(PauseKind kind, std::string_view tenant, std::string_view name) const {
  const ByTenant& tenants = kinds_[static_cast<std::size_t>(kind)];
  const auto names = tenants.find(tenant);
  if (names == tenants.end()) return nullptr;
  const auto found = names->second.find(name);
  return found == names->second.end() ? nullptr : &found->second;
}

const Pause* Pauses::of_workflow(std::string_view tenant, std::string_view workflow) const {
  return find(PauseKind::kWorkflow, tenant, workflow);
}

const Pause* Pauses::of_queue(std::string_view queue) const {
  return find(PauseKind::kQueue, "", queue_or_default(queue));
}

std::vector<Pause> Pauses::list() const {
  std::vector<Pause> all;
  for (const ByTenant& tenants : kinds_) {
    for (const auto& [tenant, names] : tenants) {
      for (const auto& [name, pause] : names) all.push_back(pause);
    }
  }
  return all;
}

}  // namespace millrace
