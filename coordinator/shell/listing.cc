#include "coordinator/shell/listing.h"

#include <algorithm>
#include <charconv>

namespace millrace {
namespace {

constexpr unsigned kNumberBits = 12;

bool all_labels(const Labels& wanted, const Labels& labels) {
  return std::ranges::all_of(wanted, [&](const auto& label) {
    auto found = labels.find(label.first);
    return found != labels.end() && found->second == label.second;
  });
}

}  // namespace

RunPosition position_of(RunId run, Time accepted) {
  auto ms = static_cast<std::uint64_t>(std::max<std::int64_t>(0, to_us(accepted) / 1000));
  std::uint64_t number = run.value & ((1U << kNumberBits) - 1);
  return {.score = (ms << kNumberBits) | number, .id = to_string(run)};
}

std::string to_token(const RunPosition& position) { return std::to_string(position.score) + "-" + position.id; }

std::optional<RunPosition> parse_token(std::string_view token) {
  std::size_t dash = token.find('-');
  if (dash == std::string_view::npos || dash == 0) return std::nullopt;
  RunPosition position;
  auto [end, failure] = std::from_chars(token.data(), token.data() + dash, position.score);
  if (failure != std::errc() || end != token.data() + dash) return std::nullopt;
  position.id = token.substr(dash + 1);
  if (!parse_run_id(position.id).has_value()) return std::nullopt;
  return position;
}

bool matches(const ListRuns& query, const RunInfo& info, const RunRecord& record) {
  return (query.tenant.empty() || query.tenant == info.tenant) &&
         (query.workflow.empty() || query.workflow == info.workflow) &&
         (query.caller.empty() || query.caller == info.caller) &&
         (!query.state.has_value() || *query.state == record.state) && all_labels(query.labels, info.labels);
}

RunSummary summarize(const RunInfo& info, const RunRecord& record, std::uint32_t tasks_total,
                     std::uint32_t tasks_done) {
  return {.run = info.run,
          .tenant = info.tenant,
          .workflow = info.workflow,
          .labels = info.labels,
          .state = record.state,
          .accepted = info.accepted,
          .ended = record.ended,
          .tasks_total = tasks_total,
          .tasks_done = tasks_done,
          .trace_id = info.trace_id};
}

std::string stream_id(std::uint32_t epoch, std::uint64_t commit) {
  return std::to_string(epoch) + "-" + std::to_string(commit);
}

}  // namespace millrace
