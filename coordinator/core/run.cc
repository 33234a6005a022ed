#include "coordinator/core/run.h"

#include <algorithm>

namespace millrace {

Run::Run(std::shared_ptr<const RunInfo> i, std::shared_ptr<const Plan> p)
    : info(std::move(i)),
      plan(std::move(p)),
      frontier(plan->dag()),
      states(plan->node_count(), TaskState::kPending),
      tasks(plan->node_count()),
      sums(plan->node_count()),
      seen(plan->node_count()) {
  by_state[static_cast<std::size_t>(TaskState::kPending)] = plan->node_count();
}

std::string key_name(const RunInfo& info) { return info.tenant + '\0' + info.key; }

namespace {

template <class T>
void fetch(const T& what) {
  static constexpr std::size_t kLine = 64;
  const auto* bytes = reinterpret_cast<const char*>(&what);
  for (std::size_t at = 0; at < sizeof(T); at += kLine) __builtin_prefetch(bytes + at);
  __builtin_prefetch(bytes + sizeof(T) - 1);  // it may begin within a line
}

void fetch_row(const Adjacency& rows, std::uint32_t vertex) {
  __builtin_prefetch(rows.targets.data() + rows.offsets[vertex]);
}

// Of very many the first will do.
std::span<const std::uint32_t> some_of(std::span<const std::uint32_t> row) {
  static constexpr std::size_t kMost = 16;
  return row.first(std::min(row.size(), kMost));
}

}  // namespace

void Run::look_ahead_to_end(TaskIndex task, Glance glance) const {
  const std::uint32_t t = task.value;
  const Adjacency& downstream = plan->dag().downstream();
  switch (glance) {
    case Glance::kFar:
      fetch(tasks[t]);
      __builtin_prefetch(&states[t]);
      __builtin_prefetch(&sums[t]);
      __builtin_prefetch(&seen[t]);
      __builtin_prefetch(&downstream.offsets[t]);
      return frontier.look_ahead(t);
    case Glance::kNear: return fetch_row(downstream, t);
    case Glance::kNext:
      for (const std::uint32_t next : some_of(downstream.of(t))) frontier.look_ahead(next);
      return;
    case Glance::kNow:
      for (const std::uint32_t next : some_of(downstream.of(t))) {
        if (frontier.unmet(next) != 1) continue;
        fetch(tasks[next]);
        __builtin_prefetch(&states[next]);
        __builtin_prefetch(&plan->ranks()[next]);
        if (!plan->workflow().spec_of.empty()) __builtin_prefetch(&plan->workflow().spec_of[next]);
      }
      return;
  }
}

void Run::look_ahead_to_grant(TaskIndex task, Glance glance) const {
  const std::uint32_t t = task.value;
  const Adjacency& upstream = plan->dag().upstream();
  switch (glance) {
    case Glance::kFar:
      fetch(tasks[t]);
      __builtin_prefetch(&states[t]);
      __builtin_prefetch(&upstream.offsets[t]);
      return;
    case Glance::kNear: return fetch_row(upstream, t);
    case Glance::kNext:
      for (const std::uint32_t up : some_of(upstream.of(t))) __builtin_prefetch(&seen[up]);
      return;
    case Glance::kNow:
      for (const std::uint32_t up : some_of(upstream.of(t))) {
        if (seen[up].has_output) __builtin_prefetch(&tasks[up].output);
      }
      return;
  }
}

}  // namespace millrace
