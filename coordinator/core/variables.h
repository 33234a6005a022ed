// Variables of a run: what its `set` nodes have said. Nothing is kept of them but the outputs of these nodes: a
// variable has the value of the latest that names it, in the order of their ends, which is strict
// (Partition::ordered_end). Threads: none. Fails: never.
#pragma once

#include <functional>
#include <vector>

#include "common/base/value.h"
#include "common/model/records.h"
#include "common/model/run_view.h"

namespace millrace {

using RecordOf = std::function<const TaskRecord&(std::uint32_t node)>;

inline RecordOf record_of(const std::vector<TaskRecord>& records) {
  return [&records](std::uint32_t node) -> const TaskRecord& { return records[node]; };
}

// Those of `setters` that have succeeded, the earliest first.
std::vector<std::uint32_t> in_order(const std::vector<std::uint32_t>& setters, const RecordOf& record);
// {name: value}.
Value variables_json(const std::vector<std::uint32_t>& setters, const RecordOf& record);
// By name. `id`: of a node.
std::vector<VariableView> variables_view(const std::vector<std::uint32_t>& setters, const RecordOf& record,
                                         const std::function<std::string(std::uint32_t)>& id);

}  // namespace millrace
