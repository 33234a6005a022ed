// TaskLogs: what tasks print, gathered into few messages and bounded in rate.
//
// Promises: text of one stream keeps its order; pieces are valid UTF-8 (what is not becomes U+FFFD; a character is
// never cut in two); a piece is passed on when it is kLogPiece long, kLogEvery after its first byte, or when the task
// ends. A task may print kLogRate a second and as much at once; the rest is dropped, and a line says how much. Threads:
// one. Fails: never.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/base/ids.h"
#include "common/base/time.h"
#include "worker/core/recent.h"
#include "worker/executors/executor.h"

namespace millrace {

constexpr std::size_t kLogPiece = 32 * 1024;
constexpr std::size_t kLogRate = 256 * 1024;  // bytes a second and task
constexpr Duration kLogEvery = 100ms;

class TaskLogs {
 public:
  using Sink = std::function<void(const AttemptId&, LogStream, std::string text)>;
  explicit TaskLogs(Sink sink) : sink_(std::move(sink)) {}

  void add(Time now, const AttemptId& attempt, LogStream stream, std::string_view bytes);
  void end(const AttemptId& attempt);  // passes on what is left
  void pass(Time now);                 // passes on what has waited long enough
  Time next_deadline() const { return due_; }
  std::uint64_t bytes() const { return bytes_; }  // that tasks printed, since it was made
  std::uint64_t bytes_dropped() const { return bytes_dropped_; }

 private:
  struct Task {
    std::array<std::string, 2> text;  // by LogStream
    Time due = kNever;
    Time filled{};  // when `allowance` was right
    double allowance = kLogRate;
    std::size_t dropped = 0;
    LogStream dropped_from = LogStream::kStdout;
  };
  static std::size_t admit(Time now, Task& task, std::string_view bytes);
  static void note_dropped(Task& task);
  void pass_on(const AttemptId& attempt, Task& task, LogStream stream, bool all);

  Sink sink_;
  std::unordered_map<AttemptId, Task, AttemptHash> tasks_;  // those that printed
  Time due_ = kNever;
  std::uint64_t bytes_ = 0, bytes_dropped_ = 0;
};

}  // namespace millrace
