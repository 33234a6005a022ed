#include "coordinator/core/tries.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "common/base/hash.h"

namespace millrace {

namespace {

// Failures that another try cannot mend.
bool worth_retrying(Reason reason) {
  switch (reason) {
    case Reason::kError:
    case Reason::kTimeout:
    case Reason::kInvalidOutput:
    case Reason::kOutOfMemory:
    case Reason::kCpu:
    case Reason::kProcesses:
    case Reason::kChild:
    case Reason::kCrashed: return true;
    case Reason::kNone:
    case Reason::kLost:
    case Reason::kPoisoned:
    case Reason::kUpstreamFailed:
    case Reason::kFailFast:
    case Reason::kCancelRequested:
    case Reason::kInvalidInput:
    case Reason::kExpression:
    case Reason::kRefused:
    case Reason::kMissingValue:
    case Reason::kNoWorker:
    case Reason::kLabel:
    case Reason::kCondition:
    case Reason::kNotChosen:
    case Reason::kUpstreamSkipped:
    case Reason::kFallback:
    case Reason::kTimer:
    case Reason::kSignal:
    case Reason::kApproval:
    case Reason::kRejected:
    case Reason::kPaused:
    case Reason::kShared:
    case Reason::kNodeTimeout:
    case Reason::kRunTimeout:
    case Reason::kDeadline:
    case Reason::kRounds:
    case Reason::kCache:
    case Reason::kCached: return false;
  }
  return false;
}

// '*' stands for anything; a text without one may stand anywhere.
bool matches(std::string_view pattern, std::string_view text) {
  if (pattern.find('*') == std::string_view::npos) return text.find(pattern) != std::string_view::npos;
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t from = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      from = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++from;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool is_reason(std::string_view word) {
  for (std::uint8_t i = 1; i <= static_cast<std::uint8_t>(kReasonLast); ++i) {
    if (to_string(static_cast<Reason>(i)) == word) return true;
  }
  return false;
}

}  // namespace

bool wants_retry(const RetryPolicy& retry, Reason reason, const std::string& message) {
  if (retry.on.empty()) return worth_retrying(reason);
  return std::ranges::any_of(retry.on, [&](const std::string& one) {
    return one == to_string(reason) || (!is_reason(one) && matches(one, message));
  });
}

Duration backoff_of(const RetryPolicy& policy, std::uint32_t failures, const AttemptId& attempt) {
  double delay = static_cast<double>(policy.backoff.initial.count()) * std::pow(policy.backoff.factor, failures - 1);
  const auto most = static_cast<double>(policy.backoff.max.count());
  if (!(delay < most)) delay = most;  // not a number, too
  std::uint64_t words[] = {attempt.run.value, std::uint64_t{attempt.task.value} << 32 | attempt.number};
  std::uint64_t hash = hash64({reinterpret_cast<const char*>(words), sizeof words});
  delay *= 1.0 + policy.backoff.jitter * static_cast<double>(hash >> 11) / 9007199254740992.0;
  return Duration{static_cast<Duration::rep>(delay)};
}

void note(TaskRecord& record, const Attempt& attempt, const Outcome& outcome) {
  record.tries = attempt.id.number;
  record.epoch = attempt.id.epoch;
  record.worker = attempt.worker.name;
  record.ready = attempt.ready;
  record.dispatched = attempt.dispatched;
  record.queued += (attempt.dispatched - attempt.ready) + outcome.waited;
  record.ran = outcome.ran;
}

void note_error(TaskRecord& record, ErrorInfo error) {
  if (error.losses.empty() && record.error != nullptr) error.losses = record.error->losses;
  record.error = std::make_shared<const ErrorInfo>(std::move(error));
}

void note_loss(TaskRecord& record, Time now, std::string_view how) {
  if (record.losses < UINT16_MAX) ++record.losses;
  ErrorInfo error{"lost: " + std::string(how), ""};
  if (record.error != nullptr) error.losses = record.error->losses;
  if (error.losses.size() >= kLostAttemptsKept) error.losses.erase(error.losses.begin());
  error.losses.push_back({record.tries, record.worker == nullptr ? "" : *record.worker, record.dispatched, now,
                          clip(std::string(how), 256)});
  record.error = std::make_shared<const ErrorInfo>(std::move(error));
}

}  // namespace millrace
