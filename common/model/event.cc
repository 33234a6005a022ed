#include "common/model/event.h"

#include <array>

namespace millrace {
namespace {

// Index = enumerator. The status is the word after the first underscore.
constexpr std::array<std::string_view, kEventTypes> kWords = {
    "run_accepted", "run_succeeded", "run_degraded",  "run_failed",     "run_cancelled", "task_succeeded",
    "task_failed",  "task_retrying", "task_skipped",  "task_cancelled", "task_waiting",  "task_dispatched",
    "task_running", "owner_changed", "task_progress", "task_tokens",    "run_paused",    "run_resumed"};
static_assert(kWords.size() == static_cast<std::size_t>(EventType::kRunResumed) + 1);

}  // namespace

std::string_view to_string(EventType type) { return kWords[static_cast<std::size_t>(type)]; }

bool is_task_event(EventType type) {
  return type >= EventType::kTaskSucceeded && type <= EventType::kTaskTokens && type != EventType::kOwnerChanged;
}

std::string_view status_word(EventType type) {
  if (type == EventType::kRunResumed) return "running";
  std::string_view word = to_string(type);
  return word.substr(word.find('_') + 1);
}

}  // namespace millrace
