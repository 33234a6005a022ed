#include "coordinator/shell/redis_store.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "coordinator/shell/redis_commit.h"

namespace millrace {
namespace {

constexpr Duration kLookAgain = 10ms;  // for a connection being made
constexpr unsigned kBackoffDoublingsMax = 16;

// Replies after which nothing on this connection will go well: it is given up, and the cause is repaired (functions),
// found elsewhere (another primary) or waited for.
bool ends_connection(std::string_view error) {
  static constexpr std::array<std::string_view, 12> kCauses = {"OOM",        "MISCONF",    "READONLY",    "LOADING",
                                                               "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "BUSY ",
                                                               "NOAUTH",     "NOPERM",     "NOGOODSLAVE", "UNKILLABLE"};
  return error.find("Function not found") != std::string_view::npos ||
         std::ranges::any_of(kCauses, [&](std::string_view cause) { return error.starts_with(cause); });
}

}  // namespace

// ---------------------------------------------------------------- connections

RedisStore::Connected RedisStore::connect(const RedisStoreOptions& options) {
  auto connection = Redis::connect(options.url, options.connect_timeout);
  if (!connection.ok()) return connection;
  Status fits = check_cluster(**connection, options.partitions);
  if (!fits.ok()) return fits.error();
  Status loaded = load_functions(**connection);
  if (!loaded.ok()) return loaded.error();
  return connection;
}

Result<std::unique_ptr<RedisStore>> RedisStore::open(RedisStoreOptions options) {
  auto connection = connect(options);
  if (!connection.ok()) return connection.error();
  return std::unique_ptr<RedisStore>(new RedisStore(std::move(options), std::move(*connection)));
}

RedisStore::RedisStore(RedisStoreOptions options, std::unique_ptr<Redis> connection)
    : options_(std::move(options)), connection_(std::move(connection)), heard_(Steady::now()) {}

// Half to whole of the doubled delay, by a hash of the seed and the attempt.
Duration RedisStore::backoff() const {
  if (attempts_ == 0) return Duration{0};
  Duration::rep doubled = options_.backoff_min.count() << std::min(attempts_ - 1, kBackoffDoublingsMax);
  Duration::rep delay = std::min(doubled, options_.backoff_max.count());
  std::string_view attempt(reinterpret_cast<const char*>(&attempts_), sizeof attempts_);
  auto jitter = static_cast<Duration::rep>(hash64(attempt, options_.jitter_seed) % 1024);
  return Duration{delay / 2 + delay * jitter / 2048};
}

void RedisStore::give_up(std::string why) {  // a copy: it may be refusal_
  trouble_ = why;
  connection_.reset();
  due_.clear();
  refusal_.clear();
  for (const CommitOut& commit : commits_) {
    CommitOutcome outcome{.turn = commit.turn, .partitions = {}, .error = why};
    for (PartitionId partition : commit.partitions) outcome.partitions.push_back({partition, CommitResult::kUnknown});
    answered_.commits.push_back(std::move(outcome));
  }
  commits_.clear();
  std::vector<std::uint64_t> numbers;
  for (const auto& entry : reads_) numbers.push_back(entry.first);
  std::ranges::sort(numbers);
  for (std::uint64_t number : numbers) finish(number, ReadFailed{Error{Code::kUnavailable, "store: " + why, {}, {}}});
  retry_at_ = Steady::now() + backoff();
  ++attempts_;
}

void RedisStore::reconnect() {
  if (connecting_.valid()) {
    if (connecting_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return;
    Connected made = connecting_.get();
    if (made.ok()) {
      connection_ = std::move(*made);
      heard_ = Steady::now();
      return;
    }
    trouble_ = made.error().what;
    retry_at_ = Steady::now() + backoff();
    ++attempts_;
  }
  if (Steady::now() < retry_at_) return;
  connecting_ = std::async(std::launch::async, [options = options_] { return connect(options); });
}

std::optional<Duration> RedisStore::wake_in() const {
  if (!answered_.commits.empty() || !answered_.reads.empty()) return Duration{0};
  auto until = [](Steady::time_point at) {
    return std::max(Duration{0}, std::chrono::ceil<Duration>(at - Steady::now()));
  };
  if (connection_ != nullptr) {
    if (due_.empty()) return std::nullopt;
    return until(heard_ + options_.silence_max);
  }
  return connecting_.valid() ? kLookAgain : until(retry_at_);
}

// ---------------------------------------------------------------- out

void RedisStore::send(const RedisCommand& command, Due due) {
  if (due_.empty()) heard_ = Steady::now();
  connection_->append(command);
  due_.push_back(due);
}

void RedisStore::commit(const TurnCommit& commit) {
  CommitOut out{.turn = commit.turn, .partitions = {}};
  for (const PartitionCommit& part : commit.partitions) out.partitions.push_back(part.partition);
  if (connection_ == nullptr) {
    CommitOutcome outcome{.turn = commit.turn, .partitions = {}, .error = "not connected: " + trouble_};
    for (PartitionId partition : out.partitions) outcome.partitions.push_back({partition, CommitResult::kUnknown});
    answered_.commits.push_back(std::move(outcome));
    return;
  }
  for (const RedisCommand& command : value_commands(commit)) send(command, {.kind = Due::Kind::kValue, .read = 0});
  for (const RedisCommand& command : log_commands(commit)) send(command, {.kind = Due::Kind::kLog, .read = 0});
  send(commit_command(commit), {.kind = Due::Kind::kCommit, .read = 0});
  commits_.push_back(std::move(out));
  connection_->flush();
}

void RedisStore::read(std::uint64_t tag, const StoreRead& read) {
  if (connection_ == nullptr) {
    answered_.reads.push_back(
        {.tag = tag, .answer = ReadFailed{Error{Code::kUnavailable, "store: " + trouble_, {}, {}}}});
    return;
  }
  const std::uint64_t number = ++reads_made_;
  ReadOut& out = reads_[number];
  out.tag = tag;
  out.machine = make_read(read, {.partitions = options_.partitions, .positions = &positions_});
  advance(number);
  connection_->flush();
}

void RedisStore::advance(std::uint64_t number) {
  ReadOut& out = reads_.at(number);
  std::vector<RedisCommand> commands;
  std::optional<StoreAnswer> answer = out.machine->step(out.replies, commands);
  out.replies.clear();
  if (answer.has_value()) return finish(number, std::move(*answer));
  assert(!commands.empty());
  out.missing = commands.size();
  out.replies.reserve(commands.size());
  for (const RedisCommand& command : commands) send(command, {.kind = Due::Kind::kRead, .read = number});
}

void RedisStore::finish(std::uint64_t number, StoreAnswer answer) {
  auto found = reads_.find(number);
  answered_.reads.push_back({.tag = found->second.tag, .answer = std::move(answer)});
  reads_.erase(found);
}

// ---------------------------------------------------------------- in

void RedisStore::poll(StoreReplies& out) {
  if (connection_ != nullptr) {
    connection_->flush();
    std::vector<RedisReply> replies;
    if (connection_->poll_replies(replies) > 0) heard_ = Steady::now();
    for (RedisReply& reply : replies) {
      take(reply, answered_);
      if (!refusal_.empty()) break;
    }
    const bool silent = !due_.empty() && Steady::now() - heard_ > options_.silence_max;
    if (!refusal_.empty()) give_up(refusal_);
    else if (connection_->broken()) give_up(connection_->error().what);
    else if (silent) give_up("no answer for " + std::to_string(options_.silence_max / 1s) + " s");
    else connection_->flush();  // what reads asked for next
  }
  std::ranges::move(answered_.commits, std::back_inserter(out.commits));
  std::ranges::move(answered_.reads, std::back_inserter(out.reads));
  answered_.commits.clear();
  answered_.reads.clear();
  if (connection_ == nullptr) reconnect();
}

void RedisStore::take(RedisReply& reply, StoreReplies& out) {
  Due due = due_.front();
  due_.pop_front();
  switch (due.kind) {
    case Due::Kind::kValue:
      if (reply.is_error()) refusal_ = "refused by the store: " + reply.text;
      return;
    case Due::Kind::kLog: return;  // best effort
    case Due::Kind::kCommit: return take_commit(reply, out);
    case Due::Kind::kRead: return take_read(due.read, reply);
  }
}

void RedisStore::take_commit(const RedisReply& reply, StoreReplies& out) {
  const CommitOut& commit = commits_.front();
  CommitOutcome outcome = read_commit_reply(commit.turn, commit.partitions, reply);
  if (!outcome.error.empty()) {  // answered, with all that follow it, when the connection is given up
    refusal_ = outcome.error;
    return;
  }
  attempts_ = 0;
  out.commits.push_back(std::move(outcome));
  commits_.pop_front();
}

void RedisStore::take_read(std::uint64_t number, RedisReply& reply) {
  auto found = reads_.find(number);
  if (found == reads_.end()) return;  // ended early, by an error in the same batch
  if (reply.is_error()) {
    if (ends_connection(reply.text)) refusal_ = reply.text;
    else finish(number, ReadFailed{Error{Code::kInternal, "store: " + reply.text, {}, {}}});
    return;
  }
  ReadOut& out = found->second;
  out.replies.push_back(std::move(reply));
  if (--out.missing == 0) advance(number);
}

}  // namespace millrace
