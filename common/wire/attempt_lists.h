// Lists of attempts as both directions of the worker protocol send them.
#pragma once

#include <vector>

#include "common/wire/shapes.h"
#include "worker.pb.h"

namespace millrace {

void write(const std::vector<AttemptId>& attempts, pb::AttemptList* out);
std::vector<AttemptId> read_attempt_list(Reader& in, const pb::AttemptList& list);

// Of a group that has `attempts` (all of them but AssignGroup): for count_entries.
constexpr auto kCountAttempts = [](const auto& group) { return group.attempts().task_deltas_size(); };
constexpr auto kCountRestsOn = [](const auto& group) { return group.rests_on().task_deltas_size(); };
constexpr auto kSameGroup = [](const auto& a, const auto& b) { return same_group(a.attempt, b.attempt); };

}  // namespace millrace
