#include "coordinator/shell/redis_reads.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "coordinator/shell/listing.h"
#include "coordinator/shell/member_codec.h"
#include "coordinator/shell/packed_events.h"
#include "coordinator/shell/redis_find.h"
#include "coordinator/shell/redis_keys.h"
#include "coordinator/shell/redis_run.h"
#include "coordinator/shell/redis_sweep.h"
#include "coordinator/shell/run_codec.h"

namespace millrace {
namespace {

using Commands = std::vector<RedisCommand>;
using Replies = std::vector<RedisReply>;
using Answer = std::optional<StoreAnswer>;

constexpr std::size_t kEventEntriesPage = 256;  // stream entries, each of up to 4,096 events
constexpr std::size_t kLogEntriesPage = 1000;
constexpr std::size_t kKeysPage = 1000;
constexpr std::size_t kEventPositionsMax = 4096;

template <class T>
T number_of(std::string_view text) {
  T value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

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

OwnerRecord owner_of(const std::vector<RedisReply>& fields, std::size_t first) {
  OwnerRecord record;
  auto text = [&](std::size_t i) { return std::string_view(fields[first + i].text); };
  if (fields.size() < first + 5) return record;
  record.owner = text(0);
  record.epoch = {.counter = number_of<std::uint32_t>(text(1)), .nonce = number_of<std::uint64_t>(text(2))};
  record.beat = number_of<std::uint64_t>(text(3));
  record.number = number_of<std::uint64_t>(text(4));
  if (fields.size() < first + 7) return record;
  record.heir = text(5);
  record.since = from_us(number_of<std::int64_t>(text(6)));
  return record;
}

// A read of one command.
template <class Parse>
class SingleRead : public RedisRead {
 public:
  SingleRead(RedisCommand command, Parse parse) : command_(std::move(command)), parse_(std::move(parse)) {}
  Answer step(Replies& replies, Commands& commands) override {
    if (!replies.empty()) return parse_(replies.front());
    commands.push_back(std::move(command_));
    return std::nullopt;
  }

 private:
  RedisCommand command_;
  Parse parse_;
};

template <class Parse>
std::unique_ptr<RedisRead> single(RedisCommand command, Parse parse) {
  return std::make_unique<SingleRead<Parse>>(std::move(command), std::move(parse));
}

class FailedRead : public RedisRead {
 public:
  explicit FailedRead(Error error) : error_(std::move(error)) {}
  Answer step(Replies&, Commands&) override { return ReadFailed{error_}; }

 private:
  Error error_;
};

// ---------------------------------------------------------------- a page of live runs

class ActiveRead : public RedisRead {
 public:
  ActiveRead(PartitionId partition, std::optional<RunPosition> after)
      : partition_(partition), after_(std::move(after)) {}

  Answer step(Replies& replies, Commands& commands) override {
    switch (stage_) {
      case Stage::kStart: ask_index(commands); return std::nullopt;
      case Stage::kIndex: return take_index(replies.front(), commands);
      case Stage::kSizes: take_sizes(replies, commands); return std::nullopt;
      case Stage::kRuns: return take_runs(replies);
    }
    return std::nullopt;
  }

 private:
  enum class Stage : std::uint8_t { kStart, kIndex, kSizes, kRuns };

  // From the cursor's score on, itself included: runs of equal score are told apart by id.
  void ask_index(Commands& commands) {
    stage_ = Stage::kIndex;
    std::string from = after_.has_value() ? std::to_string(after_->score) : "-inf";
    commands.push_back({"ZRANGEBYSCORE", partition_key(partition_, "active"), from, "+inf", "WITHSCORES", "LIMIT", "0",
                        std::to_string(asked_)});
  }

  Answer take_index(const RedisReply& reply, Commands& commands) {
    for (std::size_t i = 0; i + 1 < reply.items.size(); i += 2) {
      RunPosition position{.score = number_of<std::uint64_t>(reply.items[i + 1].text), .id = reply.items[i].text};
      if (!after_.has_value() || *after_ < position) positions_.push_back(std::move(position));
    }
    more_ = reply.items.size() == 2 * asked_;
    if (positions_.empty() && more_) {  // more runs of one score than were asked for
      asked_ *= 2;
      ask_index(commands);
      return std::nullopt;
    }
    if (positions_.size() > kActivePageRuns) cut(kActivePageRuns);
    if (positions_.empty()) return ActivePage{};
    stage_ = Stage::kSizes;
    for (const RunPosition& position : positions_) commands.push_back({"HGET", key(position), ".m"});
    return std::nullopt;
  }

  void take_sizes(const Replies& replies, Commands& commands) {
    std::size_t records = 0;
    for (std::size_t i = 0; i < positions_.size(); ++i) {
      records += records_hint(replies[i].text);
      if (i > 0 && records > kActivePageRecords) cut(i);
    }
    stage_ = Stage::kRuns;
    for (const RunPosition& position : positions_) commands.push_back({"HGETALL", key(position)});
  }

  Answer take_runs(const Replies& replies) {
    ActivePage page;
    for (std::size_t i = 0; i < positions_.size(); ++i) {
      auto run = parse_run_id(positions_[i].id);
      if (!run.has_value()) {
        page.damaged.push_back(missing(positions_[i]));
        continue;
      }
      auto stored = read_run(*run, replies[i]);
      if (!stored.ok()) page.damaged.push_back(stored.error());
      else if (!stored->has_value()) page.damaged.push_back(missing(positions_[i]));
      else page.runs.push_back(std::move(**stored));
    }
    if (more_) page.next = to_token(positions_.back());
    return page;
  }

  void cut(std::size_t size) {
    positions_.resize(size);
    more_ = true;
  }
  std::string key(const RunPosition& position) const { return partition_key(partition_, "r:") + position.id; }
  Error missing(const RunPosition& position) const {
    return {Code::kInternal,
            "run " + position.id + ", key " + key(position) + ": is listed as live but not there",
            {},
            "damaged"};
  }

  PartitionId partition_;
  std::optional<RunPosition> after_;
  Stage stage_ = Stage::kStart;
  std::size_t asked_ = 2 * kActivePageRuns;
  std::vector<RunPosition> positions_;
  bool more_ = false;
};

// ---------------------------------------------------------------- events of a run

class EventsRead : public RedisRead {
 public:
  EventsRead(const ReadRunEvents& read, EventPositions& positions)
      : read_(read), limit_(std::min(read.limit, kReadLimitMax)), positions_(&positions) {}

  Answer step(Replies& replies, Commands& commands) override {
    if (replies.empty()) {
      commands.push_back(header_command(read_.run));
      return std::nullopt;
    }
    if (!started_) return start(replies.front(), commands);
    return take_page(replies.front(), commands);
  }

 private:
  Answer start(const RedisReply& reply, Commands& commands) {
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

  void ask(const std::string& from, Commands& commands) {
    commands.push_back({"XRANGE", partition_key(partition_of(read_.run), "events"), from, "+", "COUNT",
                        std::to_string(kEventEntriesPage)});
  }

  Answer take_page(const RedisReply& reply, Commands& commands) {
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

  Answer finish() {
    if (positions_->size() >= kEventPositionsMax) positions_->clear();
    if (position_.seq > 0) positions_->insert_or_assign(read_.run, position_);
    return std::move(answer_);
  }

  Answer damaged(const std::string& why) const {
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

  Answer step(Replies& replies, Commands& commands) override {
    if (!replies.empty()) {
      for (const RedisReply& entry : replies.front().items) {
        Answer answer = take(entry);
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
  Answer take(const RedisReply& entry) {
    const std::string* packed = entry_value(entry);
    if (packed == nullptr) return damaged("an entry does not parse");
    auto line = decode_log(read_.run, *packed);
    if (!line.ok()) return damaged(line.error().what);
    answer_.cursor = entry.items[0].text;
    bool wanted =
        (read_.node.empty() || read_.node == line->node) && (read_.attempt == 0 || read_.attempt == line->attempt);
    if (!wanted) return std::nullopt;
    answer_.lines.push_back(std::move(*line));
    if (answer_.lines.size() < limit_) return std::nullopt;
    return std::move(answer_);
  }

  Answer damaged(const std::string& why) const {
    return ReadFailed{Error{Code::kInternal, "logs, key " + log_key(read_.run) + ": " + why, {}, "damaged"}};
  }

  ReadRunLogs read_;
  std::size_t limit_;
  LogsAnswer answer_;
};

// ---------------------------------------------------------------- members

// Publishes and reads; a record that does not open is another version's and is left aside.
class MembersRead : public RedisRead {
 public:
  explicit MembersRead(const MemberRecord& self)
      : name_(self.name), sealed_(name_.empty() ? "" : encode_member(self)) {}

  Answer step(Replies& replies, Commands& commands) override {
    if (replies.empty()) {
      if (!name_.empty()) {
        commands.push_back({"HGET", kMembersKey, name_});
        commands.push_back({"HSET", kMembersKey, name_, sealed_});
      }
      commands.push_back({"HGETALL", kMembersKey});
      return std::nullopt;
    }
    MembersAnswer answer;
    if (!name_.empty() && !replies.front().is_nil()) answer.before = decode_member(name_, replies.front().text);
    const std::vector<RedisReply>& fields = replies.back().items;
    for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
      if (auto member = decode_member(fields[i].text, fields[i + 1].text)) answer.members.push_back(std::move(*member));
    }
    std::ranges::sort(answer.members, {}, &MemberRecord::name);
    return answer;
  }

 private:
  std::string name_;
  std::string sealed_;
};

// ---------------------------------------------------------------- a repair

class RepairRead : public RedisRead {
 public:
  RepairRead(const RepairPartition& repair, Commands values, Commands calls)
      : repair_(repair), values_(std::move(values)), calls_(std::move(calls)) {}

  Answer step(Replies& replies, Commands& commands) override {
    if (!values_.empty()) {
      commands = std::exchange(values_, {});
      return std::nullopt;
    }
    if (!calls_.empty()) {
      commands = std::exchange(calls_, {});
      called_ = true;
      return std::nullopt;
    }
    RepairAnswer answer{repair_.after};
    if (!called_) return answer;
    for (const RedisReply& reply : replies) {
      const CommitResult result = parse_result(reply.text);
      if (result == CommitResult::kUnknown)
        return ReadFailed{Error{Code::kUnavailable, "repair: refused by the store: " + reply.text, {}, {}}};
      if (result != CommitResult::kApplied && result != CommitResult::kAlready) return answer;
      ++answer.number;
    }
    return answer;
  }

 private:
  RepairPartition repair_;
  Commands values_;
  Commands calls_;
  bool called_ = false;
};

// ---------------------------------------------------------------- one for each arm

struct Maker {
  const RedisReadContext& context;

  std::unique_ptr<RedisRead> operator()(const ReadOwner& read) const {
    return single(
        {"HMGET", partition_key(read.partition, "owner"), "owner", "epoch", "nonce", "beat", "n", "heir", "since"},
        [](const RedisReply& reply) -> Answer {
          return OwnerAnswer{owner_of(reply.items, 0), false};
        });
  }
  std::unique_ptr<RedisRead> operator()(const TakePartition& read) const {
    return owner_call({"FCALL", "millrace_take", "1", partition_key(read.partition), read.seen.owner,
                       std::to_string(read.seen.epoch.counter), std::to_string(read.seen.epoch.nonce),
                       std::to_string(read.seen.beat), std::to_string(read.seen.number), read.owner,
                       std::to_string(read.epoch.counter), std::to_string(read.epoch.nonce),
                       std::to_string(to_us(read.now)), "1"});
  }
  std::unique_ptr<RedisRead> operator()(const ReleasePartition& read) const {
    return owner_call({"FCALL", "millrace_release", "1", partition_key(read.partition),
                       std::to_string(read.epoch.counter), std::to_string(read.epoch.nonce), read.heir,
                       std::to_string(read.expects)});
  }
  std::unique_ptr<RedisRead> operator()(const MeetMembers& read) const {
    return std::make_unique<MembersRead>(read.self);
  }
  std::unique_ptr<RedisRead> operator()(const ForgetMember& read) const {
    return single({"HDEL", kMembersKey, read.name}, [](const RedisReply&) -> Answer { return MembersAnswer{}; });
  }
  std::unique_ptr<RedisRead> operator()(const RepairPartition& read) const {
    return make_repair(read, {}, {});  // nothing is kept here
  }
  std::unique_ptr<RedisRead> operator()(const LoadActive& read) const {
    std::optional<RunPosition> after;
    if (!read.cursor.empty()) {
      after = parse_token(read.cursor);
      if (!after.has_value())
        return std::make_unique<FailedRead>(Error{Code::kInvalid, "load active: bad cursor", {}, {}});
    }
    return std::make_unique<ActiveRead>(read.partition, std::move(after));
  }
  std::unique_ptr<RedisRead> operator()(const LoadRun& read) const {
    return single({"HGETALL", run_key(read.run)}, [run = read.run](const RedisReply& reply) -> Answer {
      auto stored = read_run(run, reply);
      if (!stored.ok()) return ReadFailed{stored.error()};
      return RunAnswer{std::move(*stored)};
    });
  }
  std::unique_ptr<RedisRead> operator()(const LoadDefinition& read) const {
    return single({"GET", definition_key(read.partition, read.definition)},
                  [hash = read.definition](const RedisReply& reply) -> Answer {
                    if (reply.is_nil()) return DefinitionAnswer{hash, nullptr};
                    auto bytes = decode_content(hash, reply.text);
                    if (!bytes.ok()) return ReadFailed{bytes.error()};
                    return DefinitionAnswer{hash, std::make_shared<const std::string>(std::move(*bytes))};
                  });
  }
  std::unique_ptr<RedisRead> operator()(const LoadValue& read) const {
    return single({"GET", blob_key(read.hash)}, [hash = read.hash](const RedisReply& reply) -> Answer {
      if (reply.is_nil()) return ValueAnswer{hash, std::nullopt};
      auto bytes = decode_content(hash, reply.text);
      if (!bytes.ok()) return ReadFailed{bytes.error()};
      return ValueAnswer{hash, std::move(*bytes)};
    });
  }
  std::unique_ptr<RedisRead> operator()(const FindKey& read) const {
    return single({"HGET", partition_key(read.partition, "keys"), key_field(read.tenant, read.key)},
                  [](const RedisReply& reply) -> Answer {
                    if (reply.is_nil()) return KeyAnswer{};
                    auto key = decode_key(reply.text);
                    if (!key.ok()) return ReadFailed{key.error()};
                    return KeyAnswer{key->run, key->request};
                  });
  }
  std::unique_ptr<RedisRead> operator()(const ScanKeys& read) const {
    const std::string cursor = read.cursor.empty() ? "0" : read.cursor;
    return single({"HSCAN", partition_key(read.partition, "keys"), cursor, "COUNT", std::to_string(kKeysPage)},
                  [](const RedisReply& reply) -> Answer {
                    KeysAnswer answer;
                    if (reply.items.size() != 2)
                      return ReadFailed{Error{Code::kInternal, "scan keys: no page", {}, {}}};
                    const std::vector<RedisReply>& fields = reply.items[1].items;
                    for (std::size_t i = 0; i < fields.size(); i += 2)
                      answer.fingerprints.push_back(key_fingerprint(fields[i].text));
                    if (reply.items[0].text != "0") answer.next = reply.items[0].text;
                    return answer;
                  });
  }
  std::unique_ptr<RedisRead> operator()(const FindRuns& read) const {
    std::optional<RunPosition> before;
    if (!read.query.page.empty()) {
      before = parse_token(read.query.page);
      if (!before.has_value())
        return std::make_unique<FailedRead>(Error{Code::kInvalid, "list runs: bad page token", {}, {}});
    }
    return make_find(read, context.partitions, std::move(before));
  }
  std::unique_ptr<RedisRead> operator()(const ReadRunEvents& read) const {
    return std::make_unique<EventsRead>(read, *context.positions);
  }
  std::unique_ptr<RedisRead> operator()(const ReadRunLogs& read) const {
    if (!read.since.empty() && !parse_stream_id(read.since).has_value())
      return std::make_unique<FailedRead>(Error{Code::kInvalid, "read logs: bad cursor", {}, {}});
    return std::make_unique<LogsRead>(read);
  }
  std::unique_ptr<RedisRead> operator()(const ReadFleet&) const {
    return single({"SMEMBERS", kFleetKey}, [](const RedisReply& reply) -> Answer {
      FleetAnswer answer;
      for (const RedisReply& name : reply.items) answer.names.push_back(name.text);
      std::ranges::sort(answer.names);
      return answer;
    });
  }

  std::unique_ptr<RedisRead> operator()(const ScanRuns& read) const { return make_scan(read); }
  std::unique_ptr<RedisRead> operator()(const ReadFinished& read) const { return make_finished(read); }
  std::unique_ptr<RedisRead> operator()(const Sweep& read) const { return make_sweep(read, context.partitions); }
  std::unique_ptr<RedisRead> operator()(const ExamineStore&) const { return make_examine(); }

  static std::unique_ptr<RedisRead> owner_call(RedisCommand command) {
    return single(std::move(command), [](const RedisReply& reply) -> Answer {
      bool taken = !reply.items.empty() && reply.items[0].integer == 1;
      return OwnerAnswer{owner_of(reply.items, 1), taken};
    });
  }
};

}  // namespace

std::unique_ptr<RedisRead> make_repair(const RepairPartition& repair, std::vector<RedisCommand> values,
                                       std::vector<RedisCommand> calls) {
  return std::make_unique<RepairRead>(repair, std::move(values), std::move(calls));
}

std::unique_ptr<RedisRead> make_read(const StoreRead& read, const RedisReadContext& context) {
  return std::visit(Maker{context}, read);
}

}  // namespace millrace
