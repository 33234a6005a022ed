// Store world: a store of either kind, and runs whose records add up, for the tests of the Store port.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "coordinator/shell/memory_store.h"
#include "coordinator/shell/redis_store.h"
#include "tests/support/redis_server.h"

namespace millrace::test {

constexpr PartitionId kPartition{3};
constexpr Epoch kEpoch{.counter = 1, .nonce = 0xFEDCBA9876543210ULL};  // above the signed range on purpose
inline Time at(std::int64_t ms) { return from_us(1'790'000'000'000'000 + ms * 1000); }
inline RunId run_id(std::uint32_t n, PartitionId partition = kPartition) { return make_run_id(partition, 1, n); }

// Where stores of one kind live: several stores see one cluster.
class Place {
 public:
  virtual ~Place() = default;
  virtual std::unique_ptr<Store> connect() = 0;
};

class MemoryPlace : public Place {
 public:
  std::unique_ptr<Store> connect() override { return std::make_unique<MemoryStore>(cluster_); }

 private:
  MemoryCluster cluster_;
};

class RedisPlace : public Place {
 public:
  explicit RedisPlace(Append append = Append::kNo, std::vector<std::string> more = {})
      : server_(append, std::move(more)) {
    EXPECT_TRUE(server_.start()) << server_.error();
  }
  RedisStoreOptions options() const {
    RedisStoreOptions options;
    options.target = RedisTarget::parse(server_.url()).value();
    options.backoff_min = 5ms;
    options.backoff_max = 50ms;
    return options;
  }
  std::unique_ptr<RedisStore> connect_redis() {
    auto store = RedisStore::open(options());
    EXPECT_TRUE(store.ok()) << (store.ok() ? "" : store.error().what);
    return store.ok() ? std::move(*store) : nullptr;
  }
  std::unique_ptr<Store> connect() override { return connect_redis(); }
  RedisServer& server() { return server_; }

  // A command by hand, as somebody would who damages data.
  RedisReply raw(const std::vector<std::string>& words) {
    auto redis = Redis::connect(RedisUrl::parse(server_.url()).value(), 2s);
    std::vector<std::string_view> args(words.begin(), words.end());
    return redis.value()->command(args, 5s).value();
  }
  std::int64_t integer(const std::vector<std::string>& words) { return raw(words).integer; }

 private:
  RedisServer server_;
};

// ---------------------------------------------------------------- asking

template <class Enough>
StoreReplies poll_until(Store& store, Enough enough, Duration at_most = 10s) {
  StoreReplies replies;
  const auto deadline = std::chrono::steady_clock::now() + at_most;
  for (;;) {
    store.poll(replies);
    if (enough(replies)) return replies;
    if (std::chrono::steady_clock::now() > deadline) break;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  ADD_FAILURE() << "the store did not answer";
  return replies;
}

inline CommitOutcome commit(Store& store, const TurnCommit& turn) {
  store.commit(turn);
  StoreReplies replies = poll_until(store, [](const StoreReplies& r) { return !r.commits.empty(); });
  EXPECT_EQ(replies.commits.size(), 1U);
  if (replies.commits.empty()) return {};
  EXPECT_EQ(replies.commits[0].turn, turn.turn);
  return replies.commits[0];
}

inline StoreAnswer ask(Store& store, const StoreRead& read) {
  static std::uint64_t tags = 0;
  store.read(++tags, read);
  StoreReplies replies = poll_until(store, [](const StoreReplies& r) { return !r.reads.empty(); });
  if (replies.reads.empty()) return ReadFailed{};
  EXPECT_EQ(replies.reads.size(), 1U);
  EXPECT_EQ(replies.reads[0].tag, tags);
  return std::move(replies.reads[0].answer);
}

// The answer of the kind that is expected; an empty one and a failed test otherwise.
template <class Kind>
Kind ask_for(Store& store, const StoreRead& read) {
  StoreAnswer answer = ask(store, read);
  if (const auto* failed = std::get_if<ReadFailed>(&answer)) ADD_FAILURE() << failed->error.what;
  else if (Kind* kind = std::get_if<Kind>(&answer)) return std::move(*kind);
  else ADD_FAILURE() << "another kind of answer";
  return Kind{};
}

inline OwnerAnswer take(Store& store, PartitionId partition = kPartition, Epoch epoch = kEpoch,
                        const std::string& owner = "c1") {
  OwnerRecord seen = ask_for<OwnerAnswer>(store, ReadOwner{partition}).record;
  return ask_for<OwnerAnswer>(store, TakePartition{partition, seen, owner, epoch, {}});
}

// ---------------------------------------------------------------- runs that add up

// A run as a core would keep it; each change gives the write that makes it durable.
class TestRun {
 public:
  explicit TestRun(RunId id, std::uint32_t tasks_total = 1) : tasks_total_(tasks_total) {
    info_.run = id;
    info_.workflow = "insight";
    info_.definition = hash128("definition");
    info_.key = "key-" + to_string(id);
    info_.request = hash128(info_.key);
    info_.trace_id = trace_of(id, 7);
    info_.caller = "me@host";
    info_.accepted = at(static_cast<std::int64_t>(id.value & 0xFFFFFFFF));
  }
  RunInfo& info() { return info_; }
  RunRecord& record() { return record_; }
  const std::map<TaskIndex, TaskRecord>& tasks() const { return tasks_; }

  RunWrite accept() {
    ++record_.version;
    RunWrite write = changed({});
    write.info = std::make_shared<const RunInfo>(info_);
    return write;
  }
  RunWrite changed(std::vector<std::pair<TaskIndex, TaskRecord>> tasks) {
    for (auto& [task, record] : tasks) {
      TaskRecord& kept = tasks_[task];
      if (kept.version == 0) ++record_.records_live;
      record_.records_sum += checksum(task, record) - checksum(task, kept);
      kept = record;
    }
    RunWrite write;
    write.run = info_.run;
    write.record = record_;
    write.tasks = std::move(tasks);
    write.tasks_total = tasks_total_;
    write.tasks_done = static_cast<std::uint32_t>(tasks_.size());
    return write;
  }
  // Tasks first .. first + count - 1 succeed as no-ops do.
  RunWrite succeed(std::uint32_t first, std::uint32_t count) {
    std::vector<std::pair<TaskIndex, TaskRecord>> tasks;
    for (std::uint32_t i = first; i < first + count; ++i) tasks.push_back({TaskIndex{i}, succeeded(i)});
    record_.state = RunState::kRunning;
    ++record_.version;
    return changed(std::move(tasks));
  }
  RunWrite end(RunState state, std::int64_t ms) {
    record_.state = state;
    record_.ended = at(ms);
    ++record_.version;
    return changed({});
  }
  TaskRecord succeeded(std::uint32_t i) const {
    static const SharedName kWorkers[] = {std::make_shared<const std::string>("w1"),
                                          std::make_shared<const std::string>("worker-2")};
    TaskRecord r;
    r.state = TaskState::kSucceeded;
    r.tries = 1;
    r.epoch = 1;
    r.version = tasks_.contains(TaskIndex{i}) ? tasks_.at(TaskIndex{i}).version + 1 : 1;
    r.ready = at(100);
    r.dispatched = at(100) + Duration{400 + i % 300};
    r.ended = r.dispatched + Duration{310 + i % 97};
    r.queued = Duration{450 + i % 310};
    r.ran = Duration{20 + i % 50};
    r.worker = kWorkers[i % 2];
    return r;
  }
  Event event(EventType type, std::uint32_t task = 0) {
    Event event;
    event.run = info_.run;
    event.seq = ++record_.seq;
    event.type = type;
    event.time = at(static_cast<std::int64_t>(record_.seq));
    if (is_task_event(type)) {
      event.task = TaskIndex{task};
      event.attempt = 1;
    }
    return event;
  }

 private:
  RunInfo info_;
  RunRecord record_;
  std::map<TaskIndex, TaskRecord> tasks_;
  std::uint32_t tasks_total_;
};

inline TurnCommit turn_of(std::uint64_t number, std::vector<RunWrite> runs, std::vector<Event> events = {},
                          PartitionId partition = kPartition, Epoch epoch = kEpoch) {
  TurnCommit turn;
  turn.turn = number;
  turn.now = at(1000);
  PartitionCommit part;
  part.partition = partition;
  part.epoch = epoch;
  part.number = number;
  part.beat = number;
  part.runs = std::move(runs);
  part.events = std::move(events);
  turn.partitions.push_back(std::move(part));
  return turn;
}

inline CommitResult result_of(const CommitOutcome& outcome) {
  return outcome.partitions.empty() ? CommitResult::kUnknown : outcome.partitions[0].second;
}

inline void expect_stored(const StoredRun& stored, TestRun& run) {
  EXPECT_EQ(stored.info, run.info());
  EXPECT_EQ(stored.record, run.record());
  std::vector<std::pair<TaskIndex, TaskRecord>> tasks(run.tasks().begin(), run.tasks().end());
  EXPECT_TRUE(stored.tasks == tasks);
}

}  // namespace millrace::test
