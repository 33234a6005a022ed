#include "coordinator/core/variables.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace millrace {
namespace {

// Of a record whose output is what it has set; null: it cannot be read.
Value members_of(const TaskRecord& record) {
  if (!record.output.is_inline()) return Value();
  Result<Value> value = Value::parse(record.output.json());
  return value.ok() && value->is_object() ? std::move(value).value() : Value();
}

}  // namespace

std::vector<std::uint32_t> in_order(const std::vector<std::uint32_t>& setters, const RecordOf& record) {
  std::vector<std::pair<Time, std::uint32_t>> ended;
  for (std::uint32_t node : setters) {
    if (record(node).state == TaskState::kSucceeded) ended.emplace_back(record(node).ended, node);
  }
  std::ranges::sort(ended);
  std::vector<std::uint32_t> out;
  for (const auto& [when, node] : ended) out.push_back(node);
  return out;
}

Value variables_json(const std::vector<std::uint32_t>& setters, const RecordOf& record) {
  Value all = Value::Object{};
  for (std::uint32_t node : in_order(setters, record)) {
    Value members = members_of(record(node));
    if (!members.is_object()) continue;
    for (auto& [name, value] : members.as_object()) all.set(name, std::move(value));
  }
  return all;
}

std::vector<VariableView> variables_view(const std::vector<std::uint32_t>& setters, const RecordOf& record,
                                         const std::function<std::string(std::uint32_t)>& id) {
  std::map<std::string, VariableView> all;
  for (std::uint32_t node : in_order(setters, record)) {
    const Value members = members_of(record(node));
    if (!members.is_object()) continue;
    for (const auto& [name, value] : members.as_object()) {
      VariableView& variable = all[name];
      variable = {name, Payload::inline_json(value.dump()), variable.version + 1, id(node)};
    }
  }
  std::vector<VariableView> out;
  for (auto& [name, variable] : all) out.push_back(std::move(variable));
  return out;
}

}  // namespace millrace
