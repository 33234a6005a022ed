#include "coordinator/core/outbox.h"

#include <algorithm>
#include <utility>

namespace millrace {

void Outbox::add(SharedLetter letter) {
  const PartitionId to = letter->to;
  const std::uint64_t number = letter->number;
  size_ += lines_[to].waiting.emplace(number, std::move(letter)).second ? 1 : 0;
}

Outbox::Taken Outbox::taken(Time now, PartitionId to, std::uint64_t until) {
  Taken answer;
  const auto found = lines_.find(to);
  if (found == lines_.end()) return answer;
  Line& line = found->second;
  answer.again = take_back(line, until);
  answer.missing = until < std::min(line.taken, line.dropped);
  size_ += answer.again;
  line.taken = until;
  while (!line.waiting.empty() && line.waiting.begin()->first <= until) {
    line.kept_bytes += size_of(*line.waiting.begin()->second);
    line.kept.push_back({std::move(line.waiting.begin()->second), now});
    line.waiting.erase(line.waiting.begin());
    --size_;
  }
  drop_kept(line, now, answer.gone);
  if (until >= line.sent || answer.again > 0) line.sent = 0;  // else the rest of the batch goes again in its time
  if (line.waiting.empty()) line.again = Time{};
  return answer;
}

// What it has not, though it has said so before: it goes once more, in its place.
std::size_t Outbox::take_back(Line& line, std::uint64_t until) {
  std::size_t again = 0;
  for (; !line.kept.empty() && line.kept.back().letter->number > until; ++again) {
    SharedLetter letter = std::move(line.kept.back().letter);
    line.kept.pop_back();
    line.kept_bytes -= size_of(*letter);
    line.waiting.emplace(letter->number, std::move(letter));
  }
  return again;
}

// Those that it still has after so long; of too many the oldest.
void Outbox::drop_kept(Line& line, Time now, std::vector<std::uint64_t>& gone) {
  while (!line.kept.empty() && (line.kept.front().taken + kLettersKeptFor <= now ||
                                line.kept.size() > kLettersKeptMax || line.kept_bytes > kLettersKeptBytes)) {
    const Letter& letter = *line.kept.front().letter;
    line.dropped = letter.number;
    line.kept_bytes -= size_of(letter);
    gone.push_back(letter.number);
    line.kept.pop_front();
  }
}

void Outbox::due(Time now, std::vector<SendLetters>& out) {
  if (!open_) return;
  for (auto& [to, line] : lines_) {
    if (due_at(line) > now) continue;
    SendLetters batch{to, {}, line.taken};
    for (auto it = line.waiting.begin(); it != line.waiting.end() && batch.letters.size() < kLettersAtOnce; ++it)
      batch.letters.push_back(it->second);
    line.sent = batch.letters.empty() ? 0 : batch.letters.back()->number;
    line.again = now + kLettersAgain;
    out.push_back(std::move(batch));
  }
}

Time Outbox::due_at(const Line& line) {
  if (!line.waiting.empty()) return line.sent == 0 ? Time{} : line.again;
  return line.kept.empty() ? kNever : std::max(line.kept.front().taken + kLettersKeptFor, line.again);
}

Time Outbox::next_deadline() const {
  Time next = kNever;
  if (!open_) return next;
  for (const auto& [to, line] : lines_) next = std::min(next, due_at(line));
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
