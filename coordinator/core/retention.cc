#include "coordinator/core/retention.h"

#include <algorithm>

namespace millrace {

std::string workflow_key(std::string_view tenant, std::string_view workflow) {
  std::string key;
  key.reserve(tenant.size() + workflow.size() + 1);
  key.append(tenant).append(1, '\0').append(workflow);
  return key;
}

// ---------------------------------------------------------------- Kept

void Kept::ended(const RunInfo& info) {
  auto [at, fresh] = ended_.try_emplace(workflow_key(info.tenant, info.workflow));
  ++at->second;
  changed_.insert(at->first);
}

void Kept::found(const RunRow& row, std::uint32_t epoch) {
  const bool accepted_here =
      make_run_id(partition_of(row.run), epoch, static_cast<std::uint32_t>(row.run.value)) == row.run;
  if (!accepted_here) ++definitions_[row.definition];
  if (row.ended == Time{} || row.epoch == epoch) return;
  const std::string key = workflow_key(row.tenant, row.workflow);
  ++ended_[key];
  changed_.insert(key);
}

bool Kept::deleted(const RunRow& row) {
  const std::string key = workflow_key(row.tenant, row.workflow);
  if (auto at = ended_.find(key); at != ended_.end() && at->second > 0) --at->second;
  changed_.insert(key);
  auto definition = definitions_.find(row.definition);
  if (definition == definitions_.end()) return false;
  if (--definition->second > 0) return false;
  definitions_.erase(definition);
  return true;
}

std::vector<std::pair<std::string, std::uint64_t>> Kept::take_changed() {
  std::vector<std::pair<std::string, std::uint64_t>> counts;
  for (const std::string& key : std::exchange(changed_, {})) {
    auto at = ended_.find(key);
    counts.emplace_back(key, at == ended_.end() ? 0 : at->second);
    if (at != ended_.end() && at->second == 0) ended_.erase(at);
  }
  return counts;
}

// ---------------------------------------------------------------- Retention

void Retention::begin() {
  for (Source& source : sources_) source = Source{};
  passed_.clear();
  sweeping_ = true;
}

std::vector<std::pair<PartitionId, std::string>> Retention::wanted() const {
  std::vector<std::pair<PartitionId, std::string>> pages;
  if (!sweeping_) return pages;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    const Source& source = sources_[i];
    if (source.rows.empty() && !source.exhausted)
      pages.emplace_back(PartitionId{static_cast<std::uint16_t>(i)}, source.next);
  }
  return pages;
}

void Retention::add(PartitionId partition, std::vector<RunRow> rows, std::string next) {
  Source& source = sources_[partition.value];
  std::ranges::move(rows, std::back_inserter(source.rows));
  source.exhausted = next.empty();
  source.next = std::move(next);
}

std::map<std::string, std::uint64_t> Retention::excess(const std::map<std::string, std::uint64_t>& by_workflow) const {
  std::map<std::string, std::uint64_t> over;
  if (policy_.count == 0) return over;
  for (const auto& [workflow, runs] : by_workflow) {
    if (runs > policy_.count) over.emplace(workflow, runs - policy_.count);
  }
  return over;
}

Retention::Source* Retention::oldest() {
  Source* first = nullptr;
  for (Source& source : sources_) {
    if (source.rows.empty()) continue;
    const RunRow& row = source.rows.front();
    if (first == nullptr ||
        std::pair(row.accepted, row.run) < std::pair(first->rows.front().accepted, first->rows.front().run))
      first = &source;
  }
  return first;
}

Retention::Chosen Retention::choose(Time now, std::size_t at_most, View view) {
  Chosen chosen;
  const bool by_age = policy_.age > Duration::zero();
  auto some_left = [&] {
    return std::ranges::any_of(view.excess, [&](const auto& over) { return passed_[over.first] < over.second; });
  };
  while (sweeping_ && chosen.passed < at_most) {
    if (std::ranges::any_of(sources_, [](const Source& s) { return s.rows.empty() && !s.exhausted; })) break;
    Source* source = oldest();
    const bool too_young = source != nullptr && (!by_age || source->rows.front().accepted > now - policy_.age);
    if (source == nullptr || (too_young && !some_left())) {
      sweeping_ = false;
      break;
    }
    RunRow row = std::move(source->rows.front());
    source->rows.pop_front();
    ++chosen.passed;
    if (row.ended == Time{}) continue;
    const std::string key = workflow_key(row.tenant, row.workflow);
    auto over = view.excess.find(key);
    const bool too_many = over != view.excess.end() && passed_[key] < over->second;
    const bool too_old = by_age && row.ended <= now - policy_.age;
    if ((too_many || too_old) && view.ours(partition_of(row.run))) {
      if (over != view.excess.end() && over->second > 0) --over->second;
      chosen.deletes.push_back(std::move(row));
    } else {
      ++passed_[key];
    }
  }
  return chosen;
}

}  // namespace millrace
