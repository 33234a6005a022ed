#include "coordinator/shell/plan_cache.h"

#include "common/wire/codec.h"

namespace millrace {

const CachedPlan* PlanCache::find(const Hash128& definition) {
  auto it = plans_.find(definition);
  if (it == plans_.end()) return nullptr;
  it->second.used = ++uses_;
  return &it->second.cached;
}

Result<const CachedPlan*> PlanCache::put(const Hash128& definition, std::shared_ptr<const std::string> bytes) {
  if (const CachedPlan* known = find(definition)) return known;
  if (hash128(*bytes) != definition)
    return Error{Code::kInvalid, "definition: its bytes do not have the hash it was sent under", {}, ""};
  Result<WorkflowSpec> spec = decode_definition(*bytes);
  if (!spec.ok()) return spec.error();
  Result<std::shared_ptr<const Plan>> plan = Plan::build(std::move(spec).value(), definition);
  if (!plan.ok()) return plan.error();
  nodes_ += (*plan)->node_count();
  auto [it, fresh] = plans_.emplace(definition, Entry{{std::move(plan).value(), std::move(bytes)}, ++uses_});
  make_room();
  return &it->second.cached;
}

// Forgets the least recently used plans that no run holds.
void PlanCache::make_room() {
  while (nodes_ > kNodesMax || plans_.size() > kPlansMax) {
    auto oldest = plans_.end();
    for (auto it = plans_.begin(); it != plans_.end(); ++it) {
      bool free = it->second.cached.plan.use_count() == 1 && it->second.used != uses_;
      if (free && (oldest == plans_.end() || it->second.used < oldest->second.used)) oldest = it;
    }
    if (oldest == plans_.end()) return;
    nodes_ -= oldest->second.cached.plan->node_count();
    plans_.erase(oldest);
  }
}

}  // namespace millrace
