#include "coordinator/core/outbox.h"

#include <algorithm>
#include <utility>

namespace millrace {

void Outbox::add(SharedLetter letter) {
  const PartitionId to = letter->to;
  const std::uint64_t number = letter->number;
  size_ += lines_[to].waiting.emplace(number, std::move(letter)).second ? 1 : 0;
}

std::vector<std::uint64_t> Outbox::taken(PartitionId to, std::uint64_t until) {
  std::vector<std::uint64_t> gone;
  auto line = lines_.find(to);
  if (line == lines_.end()) return gone;
  auto& waiting = line->second.waiting;
  while (!waiting.empty() && waiting.begin()->first <= until) {
    gone.push_back(waiting.begin()->first);
    waiting.erase(waiting.begin());
  }
  size_ -= gone.size();
  if (until >= line->second.sent) line->second.sent = 0;  // else the rest of the batch goes again in its time
  if (waiting.empty()) lines_.erase(line);
  return gone;
}

void Outbox::due(Time now, std::vector<SendLetters>& out) {
  if (!open_) return;
  for (auto& [to, line] : lines_) {
    if (line.sent != 0 && now < line.again) continue;
    SendLetters batch{to, {}};
    for (auto it = line.waiting.begin(); it != line.waiting.end() && batch.letters.size() < kLettersAtOnce; ++it)
      batch.letters.push_back(it->second);
    line.sent = batch.letters.back()->number;
    line.again = now + kLettersAgain;
    out.push_back(std::move(batch));
  }
}

Time Outbox::next_deadline() const {
  Time next = kNever;
  if (!open_) return next;
  for (const auto& [to, line] : lines_) next = std::min(next, line.sent == 0 ? Time{} : line.again);
  return next;
}

bool Inbox::take(PartitionId from, std::uint64_t number, bool again) {
  Mark& mark = marks_[from];
  if (number <= mark.number && !again) return false;
  mark.number = std::max(mark.number, number);
  ++mark.taken;
  return true;
}

Mark Inbox::mark(PartitionId from) const {
  auto it = marks_.find(from);
  return it == marks_.end() ? Mark{} : it->second;
}

}  // namespace millrace
