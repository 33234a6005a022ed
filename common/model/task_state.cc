#include "common/model/task_state.h"

#include <array>

namespace millrace {
namespace {

// Index = enumerator.
constexpr std::array<std::string_view, 10> kTaskWords = {"pending", "ready",     "waiting", "retrying", "dispatched",
                                                         "running", "succeeded", "failed",  "skipped",  "cancelled"};
constexpr std::array<std::string_view, 9> kRunWords = {"accepted",  "running",  "paused", "failing",  "cancelling",
                                                       "succeeded", "degraded", "failed", "cancelled"};
constexpr std::array<std::string_view, 36> kReasonWords = {"",
                                                           "error",
                                                           "timeout",
                                                           "lost",
                                                           "poisoned",
                                                           "upstream_failed",
                                                           "fail_fast",
                                                           "cancel_requested",
                                                           "invalid_output",
                                                           "invalid_input",
                                                           "expression",
                                                           "oom",
                                                           "crashed",
                                                           "refused",
                                                           "missing_value",
                                                           "no_worker",
                                                           "label",
                                                           "condition",
                                                           "not_chosen",
                                                           "upstream_skipped",
                                                           "fallback",
                                                           "timer",
                                                           "signal",
                                                           "approval",
                                                           "rejected",
                                                           "paused",
                                                           "child",
                                                           "shared",
                                                           "node_timeout",
                                                           "run_timeout",
                                                           "deadline",
                                                           "rounds",
                                                           "cpu",
                                                           "processes",
                                                           "cache",
                                                           "cached"};
constexpr std::array<std::string_view, 17> kWaitWords = {
    "",       "slot",     "label",   "limit",     "paused",   "breaker",  "value", "adoption", "timer",
    "signal", "approval", "backoff", "no_worker", "resource", "fallback", "child", "cache"};

static_assert(kTaskWords.size() == static_cast<std::size_t>(TaskState::kCancelled) + 1);
static_assert(kRunWords.size() == static_cast<std::size_t>(RunState::kCancelled) + 1);
static_assert(kReasonWords.size() == static_cast<std::size_t>(kReasonLast) + 1);
static_assert(kWaitWords.size() == static_cast<std::size_t>(kWaitReasonLast) + 1);

template <class E, std::size_t N>
std::optional<E> parse(const std::array<std::string_view, N>& words, std::string_view word) {
  for (std::size_t i = 0; i < N; ++i) {
    if (words[i] == word) return static_cast<E>(i);
  }
  return std::nullopt;
}

}  // namespace

std::string_view to_string(TaskState state) { return kTaskWords[static_cast<std::size_t>(state)]; }
std::string_view to_string(RunState state) { return kRunWords[static_cast<std::size_t>(state)]; }
std::string_view to_string(Reason reason) { return kReasonWords[static_cast<std::size_t>(reason)]; }
std::string_view to_string(WaitReason reason) { return kWaitWords[static_cast<std::size_t>(reason)]; }
std::optional<TaskState> parse_task_state(std::string_view word) { return parse<TaskState>(kTaskWords, word); }
std::optional<RunState> parse_run_state(std::string_view word) { return parse<RunState>(kRunWords, word); }

}  // namespace millrace
