#include "coordinator/shell/redis_history.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "coordinator/shell/listing.h"
#include "coordinator/shell/packed_events.h"
#include "coordinator/shell/redis_keys.h"
#include "coordinator/shell/redis_run.h"
#include "coordinator/shell/run_codec.h"

namespace millrace {
namespace {

constexpr std::size_t kEventEntriesPage = 256;  // stream entries, each of up to 4,096 events
constexpr std::size_t kLogEntriesPage = 1000;
constexpr std::size_t kEventPositionsMax = 4096;

// "<a>-<b>" as stream ids and cursors are written.
std::optional<std::pair<std::uint64_t, std::uint64_t>> parse_stream_id(std::string_view text) {
  std::pair<std::uint64_t, std::uint64_t> id;
  std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const char* end = text.data() + text.size();
  auto first = std::from_chars(text.data(), text.data() + dash, id.first);
  auto second = std::from_chars(text.data() + dash + 1, end, id.second);
  if (first.ec != std::errc() || first.ptr != text.data() + dash) return std::nullopt;
  if (second.ec != std::errc() || second.ptr != end) return std::nullopt;
  return id;
}

// The value of the one field of a stream entry [id, [field, value]]; null if it is not of that shape.
const std::string* entry_value(const RedisReply& entry) {
  if (entry.items.size() != 2 || entry.items[1].items.size() < 2) return nullptr;
  return &entry.items[1].items[1].text;
}

// ---------------------------------------------------------------- events of a run

class EventsRead : public RedisRead {
 public:
  EventsRead(const ReadRunEvents& read, EventPositions& positions)
      : read_(read), limit_(std::min(read.limit, kReadLimitMax)), positions_(&positions) {}

  ReadAnswer step(RedisReplies& replies, RedisCommands& commands) override {
    if (replies.empty()) {
      commands.push_back(header_command(read_.run));
      return std::nullopt;
    }
    if (!started_) return start(replies.front(), commands);
    return take_page(replies.front(), commands);
  }

 private:
  ReadAnswer start(const RedisReply& reply, RedisCommands& commands) {
    started_ = true;
    auto header = read_header(read_.run, reply);
    if (!header.ok()) return ReadFailed{header.error()};
    if (!header->has_value()) return EventsAnswer{};
    last_ = (**header).record.record.seq;
    if (read_.since >= last_ || limit_ == 0) return EventsAnswer{};
    std::string from = stream_id((**header).info.epoch, (**header).info.commit);
    auto known = positions_->find(read_.run);
    if (known != positions_->end() && known->second.seq <= read_.since) from = known->second.entry;
    ask(from, commands);
    return std::nullopt;
  }

  void ask(const std::string& from, RedisCommands& commands) {
    commands.push_back({"XRANGE", partition_key(partition_of(read_.run), "events"), from, "+", "COUNT",
                        std::to_string(kEventEntriesPage)});
  }

  ReadAnswer take_page(const RedisReply& reply, RedisCommands& commands) {
    for (const RedisReply& entry : reply.items) {
      const std::string* packed = entry_value(entry);
      const std::string id = entry.items.empty() ? std::string() : entry.items[0].text;
      auto numbers = parse_stream_id(id);
      if (packed == nullptr || !numbers.has_value()) return damaged("entry " + id + " does not parse");
      StreamPlace place{.partition = partition_of(read_.run),
                        .epoch = static_cast<std::uint32_t>(numbers->first),
                        .commit = numbers->second};
      auto events = decode_events(place, *packed);
      if (!events.ok() && events.error().name == "newer_version") return ReadFailed{events.error()};
      if (!events.ok()) return damaged(events.error().what);
      for (Event& event : *events) {
        if (event.run != read_.run || event.seq <= read_.since) continue;
        position_ = {.seq = event.seq, .entry = id};
        answer_.events.push_back(std::move(event));
        if (answer_.events.size() == limit_ || position_.seq >= last_) return finish();
      }
    }
    if (reply.items.size() < kEventEntriesPage) return finish();
    ask("(" + reply.items.back().items[0].text, commands);
    return std::nullopt;
  }

  ReadAnswer finish() {
    if (positions_->size() >= kEventPositionsMax) positions_->clear();
    if (position_.seq > 0) positions_->insert_or_assign(read_.run, position_);
    return std::move(answer_);
  }

  ReadAnswer damaged(const std::string& why) const {
    std::string key = partition_key(partition_of(read_.run), "events");
    return ReadFailed{
        Error{Code::kInternal, "events of run " + to_string(read_.run) + ", key " + key + ": " + why, {}, "damaged"}};
  }

  ReadRunEvents read_;
  std::size_t limit_;
  EventPositions* positions_;
  bool started_ = false;
  std::uint64_t last_ = 0;  // seq of the run's latest event
  EventPosition position_;
  EventsAnswer answer_;
};

// ---------------------------------------------------------------- logs of a run

class LogsRead : public RedisRead {
 public:
  explicit LogsRead(const ReadRunLogs& read) : read_(read), limit_(std::min(read.limit, kReadLimitMax)) {
    answer_.cursor = read.since;
  }

  ReadAnswer step(RedisReplies& replies, RedisCommands& commands) override {
    if (!replies.empty()) {
      for (const RedisReply& entry : replies.front().items) {
        ReadAnswer answer = take(entry);
        if (answer.has_value()) return answer;
      }
      if (replies.front().items.size() < kLogEntriesPage) return std::move(answer_);
    }
    if (limit_ == 0) return std::move(answer_);
    std::string from = answer_.cursor.empty() ? "-" : "(" + answer_.cursor;
    commands.push_back({"XRANGE", log_key(read_.run), from, "+", "COUNT", std::to_string(kLogEntriesPage)});
    return std::nullopt;
  }

 private:
  ReadAnswer take(const RedisReply& entry) {
    const std::string* packed = entry_value(entry);
    if (packed == nullptr) return damaged("an entry does not parse");
    auto line = decode_log(read_.run, *packed);
    if (!line.ok()) return damaged(line.error().what);
    answer_.cursor = entry.items[0].text;
    bool wanted = is_line_of(line->node, read_.node) && (read_.attempt == 0 || read_.attempt == line->attempt);
    if (!wanted) return std::nullopt;
    answer_.lines.push_back(std::move(*line));
    if (answer_.lines.size() < limit_) return std::nullopt;
    return std::move(answer_);
  }

  ReadAnswer damaged(const std::string& why) const {
    return ReadFailed{Error{Code::kInternal, "logs, key " + log_key(read_.run) + ": " + why, {}, "damaged"}};
  }

  ReadRunLogs read_;
  std::size_t limit_;
  LogsAnswer answer_;
};

}  // namespace

std::unique_ptr<RedisRead> make_events(const ReadRunEvents& read, EventPositions& positions) {
  return std::make_unique<EventsRead>(read, positions);
}

std::unique_ptr<RedisRead> make_logs(const ReadRunLogs& read) {
  if (!read.since.empty() && !parse_stream_id(read.since).has_value()) return nullptr;
  return std::make_unique<LogsRead>(read);
}

}  // namespace millrace
