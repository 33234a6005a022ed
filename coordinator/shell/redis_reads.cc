#include "coordinator/shell/redis_reads.h"

#include <algorithm>
#include <iterator>

#include "coordinator/shell/listing.h"
#include "coordinator/shell/member_codec.h"
#include "coordinator/shell/redis_find.h"
#include "coordinator/shell/redis_history.h"
#include "coordinator/shell/redis_keys.h"
#include "coordinator/shell/redis_parts.h"
#include "coordinator/shell/redis_run.h"
#include "coordinator/shell/redis_sweep.h"
#include "coordinator/shell/run_codec.h"

namespace millrace {
namespace {

constexpr std::size_t kKeysPage = 1000;
constexpr char kShelfPage[] = "500";

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
  ReadAnswer step(RedisReplies& replies, RedisCommands& commands) override {
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
  ReadAnswer step(RedisReplies&, RedisCommands&) override { return ReadFailed{error_}; }

 private:
  Error error_;
};

// ---------------------------------------------------------------- a page of live runs

class ActiveRead : public RedisRead {
 public:
  ActiveRead(PartitionId partition, std::optional<RunPosition> after)
      : partition_(partition), after_(std::move(after)) {}

  // A key of another type is a damaged run, and no reason not to serve the others.
  bool takes_error(std::string_view text) const override {
    return (stage_ == Stage::kSizes || stage_ == Stage::kRuns) && text.starts_with("WRONGTYPE");
  }

  ReadAnswer step(RedisReplies& replies, RedisCommands& commands) override {
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
  void ask_index(RedisCommands& commands) {
    stage_ = Stage::kIndex;
    std::string from = after_.has_value() ? std::to_string(after_->score) : "-inf";
    commands.push_back({"ZRANGEBYSCORE", partition_key(partition_, "active"), from, "+inf", "WITHSCORES", "LIMIT", "0",
                        std::to_string(asked_)});
  }

  ReadAnswer take_index(const RedisReply& reply, RedisCommands& commands) {
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

  void take_sizes(const RedisReplies& replies, RedisCommands& commands) {
    std::size_t records = 0;
    for (std::size_t i = 0; i < positions_.size(); ++i) {
      records += replies[i].is_error() ? 0 : records_hint(replies[i].text);
      if (i > 0 && records > kActivePageRecords) cut(i);
    }
    stage_ = Stage::kRuns;
    for (const RunPosition& position : positions_) commands.push_back({"HGETALL", key(position)});
  }

  ReadAnswer take_runs(const RedisReplies& replies) {
    ActivePage page;
    for (std::size_t i = 0; i < positions_.size(); ++i) {
      auto run = parse_run_id(positions_[i].id);
      if (!run.has_value()) {
        page.damaged.push_back(missing(positions_[i]));
        page.damaged_runs.push_back({});
        continue;
      }
      if (replies[i].is_error()) {
        page.damaged.push_back(damaged(positions_[i], replies[i].text));
        page.damaged_runs.push_back(*run);
        continue;
      }
      auto stored = read_run(*run, replies[i]);
      if (stored.ok() && stored->has_value()) {
        page.runs.push_back(std::move(**stored));
        continue;
      }
      page.damaged.push_back(stored.ok() ? missing(positions_[i]) : stored.error());
      page.damaged_runs.push_back(*run);
    }
    if (more_) page.next = to_token(positions_.back());
    return page;
  }

  void cut(std::size_t size) {
    positions_.resize(size);
    more_ = true;
  }
  std::string key(const RunPosition& position) const { return partition_key(partition_, "r:") + position.id; }
  Error missing(const RunPosition& position) const { return damaged(position, "is listed as live but not there"); }
  Error damaged(const RunPosition& position, const std::string& why) const {
    return {Code::kInternal, "run " + position.id + ", key " + key(position) + ": " + why, {}, "damaged"};
  }

  PartitionId partition_;
  std::optional<RunPosition> after_;
  Stage stage_ = Stage::kStart;
  std::size_t asked_ = 2 * kActivePageRuns;
  std::vector<RunPosition> positions_;
  bool more_ = false;
};

// ---------------------------------------------------------------- members

// Publishes and reads; a record that does not open is another version's and is left aside.
class MembersRead : public RedisRead {
 public:
  explicit MembersRead(const MemberRecord& self)
      : name_(self.name), sealed_(name_.empty() ? "" : encode_member(self)) {}

  ReadAnswer step(RedisReplies& replies, RedisCommands& commands) override {
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
  RepairRead(const RepairPartition& repair, RedisCommands values, RedisCommands calls)
      : repair_(repair), values_(std::move(values)), calls_(std::move(calls)) {}

  ReadAnswer step(RedisReplies& replies, RedisCommands& commands) override {
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
  RedisCommands values_;
  RedisCommands calls_;
  bool called_ = false;
};

// ---------------------------------------------------------------- one for each arm

struct Maker {
  const RedisReadContext& context;

  std::unique_ptr<RedisRead> operator()(const ReadOwner& read) const {
    return single(
        {"HMGET", partition_key(read.partition, "owner"), "owner", "epoch", "nonce", "beat", "n", "heir", "since"},
        [](const RedisReply& reply) -> ReadAnswer {
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
    return single({"HDEL", kMembersKey, read.name}, [](const RedisReply&) -> ReadAnswer { return MembersAnswer{}; });
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
    return single({"HGETALL", run_key(read.run)}, [run = read.run](const RedisReply& reply) -> ReadAnswer {
      auto stored = read_run(run, reply);
      if (!stored.ok()) return ReadFailed{stored.error()};
      return RunAnswer{std::move(*stored)};
    });
  }
  std::unique_ptr<RedisRead> operator()(const LoadDefinition& read) const {
    return single({"GET", definition_key(read.partition, read.definition)},
                  [hash = read.definition](const RedisReply& reply) -> ReadAnswer {
                    if (reply.is_nil()) return DefinitionAnswer{hash, nullptr};
                    auto bytes = decode_content(hash, reply.text);
                    if (!bytes.ok()) return ReadFailed{bytes.error()};
                    return DefinitionAnswer{hash, std::make_shared<const std::string>(std::move(*bytes))};
                  });
  }
  std::unique_ptr<RedisRead> operator()(const LoadValue& read) const {
    if (read.max > 0) return make_part_read(read);
    return single({"GET", blob_key(read.hash)}, [hash = read.hash](const RedisReply& reply) -> ReadAnswer {
      if (reply.is_nil()) return ValueAnswer{hash, std::nullopt};
      auto bytes = decode_content(hash, reply.text);
      if (!bytes.ok()) return ReadFailed{bytes.error()};
      const std::uint64_t size = bytes->size();
      return ValueAnswer{hash, std::move(*bytes), size};
    });
  }
  std::unique_ptr<RedisRead> operator()(const StorePart& part) const { return make_part_write(part); }
  std::unique_ptr<RedisRead> operator()(const FindKey& read) const {
    return single({"HGET", partition_key(read.partition, "keys"), key_field(read.tenant, read.key)},
                  [](const RedisReply& reply) -> ReadAnswer {
                    if (reply.is_nil()) return KeyAnswer{};
                    auto key = decode_key(reply.text);
                    if (!key.ok()) return ReadFailed{key.error()};
                    return KeyAnswer{key->run, key->request};
                  });
  }
  std::unique_ptr<RedisRead> operator()(const ScanKeys& read) const {
    const std::string cursor = read.cursor.empty() ? "0" : read.cursor;
    return single({"HSCAN", partition_key(read.partition, "keys"), cursor, "COUNT", std::to_string(kKeysPage)},
                  [](const RedisReply& reply) -> ReadAnswer {
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
  std::unique_ptr<RedisRead> operator()(const ReadShelf& read) const {
    const std::string cursor = read.cursor.empty() ? "0" : read.cursor;
    return single({"HSCAN", shelf_key(read.partition, to_string(read.shelf)), cursor, "COUNT", kShelfPage},
                  [](const RedisReply& reply) -> ReadAnswer {
                    ShelfAnswer answer;
                    if (reply.items.size() != 2)
                      return ReadFailed{Error{Code::kInternal, "read a shelf: no page", {}, {}}};
                    const std::vector<RedisReply>& fields = reply.items[1].items;
                    for (std::size_t i = 0; i + 1 < fields.size(); i += 2)
                      answer.records.emplace_back(fields[i].text, fields[i + 1].text);
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
    return make_events(read, *context.positions);
  }
  std::unique_ptr<RedisRead> operator()(const ReadRunLogs& read) const {
    std::unique_ptr<RedisRead> logs = make_logs(read);
    if (logs != nullptr) return logs;
    return std::make_unique<FailedRead>(Error{Code::kInvalid, "read logs: bad cursor", {}, {}});
  }
  std::unique_ptr<RedisRead> operator()(const ReadFleet&) const {
    return single({"SMEMBERS", kFleetKey}, [](const RedisReply& reply) -> ReadAnswer {
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
    return single(std::move(command), [](const RedisReply& reply) -> ReadAnswer {
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
