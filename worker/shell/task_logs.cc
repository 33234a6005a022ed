#include "worker/shell/task_logs.h"

#include <algorithm>
#include <utility>

#include "common/base/value.h"

namespace millrace {
namespace {

constexpr double kResume = 16 * 1024;  // after dropping: how much must be allowed again before text is taken

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// How many bytes at the end are the beginning of a character whose rest is still to come.
std::size_t unfinished(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto c = static_cast<unsigned char>(text[text.size() - back]);
    if ((c & 0xC0) == 0x80) continue;
    const std::size_t length = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

}  // namespace

// How many of the bytes are taken now.
std::size_t TaskLogs::admit(Time now, Task& task, std::string_view bytes) {
  if (task.filled != Time{}) {
    const double seconds = std::chrono::duration<double>(now - task.filled).count();
    task.allowance = std::min<double>(kLogRate, task.allowance + seconds * kLogRate);
  }
  task.filled = now;
  if (task.dropped > 0 && task.allowance < kResume) return 0;
  auto taken = std::min(bytes.size(), static_cast<std::size_t>(task.allowance));
  if (taken < bytes.size()) {
    while (taken > 0 && is_continuation(bytes[taken])) --taken;
  }
  task.allowance -= static_cast<double>(taken);
  return taken;
}

void TaskLogs::note_dropped(Task& task) {
  if (task.dropped == 0) return;
  std::string& text = task.text[static_cast<std::size_t>(task.dropped_from)];
  text += "\n[" + std::to_string(task.dropped) + " bytes of log dropped: more than " + std::to_string(kLogRate / 1024) +
          " KiB a second]\n";
  task.dropped = 0;
}

void TaskLogs::add(Time now, const AttemptId& attempt, LogStream stream, std::string_view bytes) {
  Task& task = tasks_[attempt];
  const std::size_t taken = admit(now, task, bytes);
  bytes_ += bytes.size();
  if (taken > 0) note_dropped(task);
  if (taken < bytes.size()) {
    task.dropped += bytes.size() - taken;
    task.dropped_from = stream;
    bytes_dropped_ += bytes.size() - taken;
  }
  std::string& text = task.text[static_cast<std::size_t>(stream)];
  text += bytes.substr(0, taken);
  if (text.size() >= kLogPiece) pass_on(attempt, task, stream, false);
  if (task.due == kNever && !text.empty()) task.due = now + kLogEvery;
  due_ = std::min(due_, task.due);
}

void TaskLogs::pass_on(const AttemptId& attempt, Task& task, LogStream stream, bool all) {
  std::string& text = task.text[static_cast<std::size_t>(stream)];
  const std::size_t length = text.size() - (all ? 0 : unfinished(text));
  for (std::size_t at = 0; at < length;) {
    std::size_t end = std::min(length, at + kLogPiece);
    for (int back = 0; back < 3 && end < length && is_continuation(text[end]); ++back) --end;
    sink_(attempt, stream, to_valid_utf8(std::string_view(text).substr(at, end - at)));
    at = end;
  }
  text.erase(0, length);
}

void TaskLogs::end(const AttemptId& attempt) {
  auto it = tasks_.find(attempt);
  if (it == tasks_.end()) return;
  note_dropped(it->second);
  for (const LogStream stream : {LogStream::kStdout, LogStream::kStderr}) pass_on(attempt, it->second, stream, true);
  tasks_.erase(it);
  if (tasks_.empty()) due_ = kNever;
}

void TaskLogs::pass(Time now) {
  if (now < due_) return;
  due_ = kNever;
  for (auto& [attempt, task] : tasks_) {
    if (task.due <= now) {
      task.due = kNever;
      for (const LogStream stream : {LogStream::kStdout, LogStream::kStderr}) pass_on(attempt, task, stream, false);
    }
    due_ = std::min(due_, task.due);
  }
}

}  // namespace millrace
