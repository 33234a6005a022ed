// The Redis store over Sentinel and Redis Cluster, its durability modes, and the repair of a store that is behind.
#include <gtest/gtest.h>

#include <algorithm>

#include "coordinator/shell/redis_keys.h"
#include "tests/support/redis_group.h"
#include "tests/unit/store/store_world.h"

namespace millrace::test {
namespace {

struct Notes {
  std::vector<std::string> warnings;
  std::vector<std::string> infos;
  bool warned(std::string_view of) const {
    return std::ranges::any_of(warnings, [&](const std::string& one) { return one.find(of) != std::string::npos; });
  }
};

RedisStoreOptions options_for(const std::string& url, Notes& notes, Durability durability = {}) {
  RedisStoreOptions options;
  options.target = RedisTarget::parse(url).value();
  options.durability = durability;
  options.backoff_min = 5ms;
  options.backoff_max = 50ms;
  options.note = [&notes](bool warn, const std::string& text) {
    (warn ? notes.warnings : notes.infos).push_back(text);
  };
  return options;
}

std::unique_ptr<RedisStore> open(const RedisStoreOptions& options) {
  auto store = RedisStore::open(options);
  EXPECT_TRUE(store.ok()) << (store.ok() ? "" : store.error().what);
  return store.ok() ? std::move(*store) : nullptr;
}

// Commits until it is answered otherwise than unknown, as the loop does.
CommitResult commit_surely(RedisStore& store, const TurnCommit& turn, Duration at_most = 15s) {
  const auto deadline = std::chrono::steady_clock::now() + at_most;
  for (;;) {
    poll_until(
        store, [&](const StoreReplies&) { return store.ready(); }, at_most);
    const CommitResult result = result_of(commit(store, turn));
    if (result != CommitResult::kUnknown || std::chrono::steady_clock::now() > deadline) return result;
    std::this_thread::sleep_for(2ms);
  }
}

// ---------------------------------------------------------------- durability

TEST(Durability, ARedisThatIsConfiguredWeakerIsWarnedOfAtTheStart) {
  const struct {
    Append append;
    DurabilityMode asked;
    std::string_view warned;  // empty: of nothing
  } kCases[] = {{Append::kNo, DurabilityMode::kMemory, ""},
                {Append::kNo, DurabilityMode::kEverysec, "appendonly is no"},
                {Append::kEverysec, DurabilityMode::kEverysec, ""},
                {Append::kEverysec, DurabilityMode::kAlways, "appendfsync is everysec: set it to always"},
                {Append::kAlways, DurabilityMode::kAlways, ""},
                {Append::kAlways, DurabilityMode::kReplicated, "0 replicas are connected, 1 are asked for"}};
  for (const auto& each : kCases) {
    RedisPlace place(each.append);
    Notes notes;
    auto store = open(options_for(place.server().url(), notes, {each.asked, 1, 50ms}));
    ASSERT_NE(store, nullptr);
    EXPECT_EQ(store->health().weaker.empty(), each.warned.empty()) << to_string(each.asked);
    if (each.warned.empty()) EXPECT_TRUE(notes.warnings.empty()) << notes.warnings[0];
    else EXPECT_TRUE(notes.warned(each.warned)) << each.warned;
    EXPECT_EQ(store->health().durability, to_string(each.asked));
  }
}

TEST(Durability, KeysThatMayBeEvictedAreWarnedOfInEveryMode) {
  RedisPlace place(Append::kNo, {"--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"});
  Notes notes;
  auto store = open(options_for(place.server().url(), notes, {DurabilityMode::kMemory, 1, 50ms}));
  ASSERT_NE(store, nullptr);
  EXPECT_TRUE(notes.warned("maxmemory-policy is allkeys-lru"));
}

TEST(Durability, WhatRedisDoesNotTellIsSaidToBeUnchecked) {
  RedisPlace place(Append::kAlways);
  place.raw({"ACL", "SETUSER", "mr", "on", ">pw", "~mr:*", "+@all", "-config", "-info"});
  Notes notes;
  RedisStoreOptions options = options_for(place.server().url(), notes, {DurabilityMode::kAlways, 1, 50ms});
  options.target.seeds[0].user = "mr";
  options.target.seeds[0].password = "pw";
  auto store = open(options);
  ASSERT_NE(store, nullptr);
  EXPECT_TRUE(notes.warned("appendonly is not told"));
  EXPECT_TRUE(notes.warned("appendfsync is not told"));
}

TEST(Durability, WithoutEnoughReplicasNothingIsAnsweredButBeats) {
  TcpRedis master;
  TcpRedis replica({"--repl-diskless-sync-delay", "0"});
  ASSERT_TRUE(master.start() && replica.start());
  Notes notes;
  auto store = open(options_for(master.url(), notes, {DurabilityMode::kReplicated, 1, 20ms}));
  ASSERT_NE(store, nullptr);
  ASSERT_TRUE(take(*store).taken);
  TestRun run(run_id(1));
  store->commit(turn_of(1, {run.accept()}));
  StoreReplies replies;
  const auto until = std::chrono::steady_clock::now() + 300ms;
  while (std::chrono::steady_clock::now() < until) {
    store->poll(replies);
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_TRUE(replies.commits.empty()) << "answered though no replica has it";
  EXPECT_TRUE(store->health().replicas_short);
  EXPECT_TRUE(store->ready()) << "a short count is not a failed write";

  TurnCommit beat = turn_of(0, {});
  beat.turn = 77;
  EXPECT_EQ(result_of(commit(*store, beat)), CommitResult::kApplied);  // while the turn still waits

  replica.raw({"REPLICAOF", "127.0.0.1", std::to_string(master.port())});
  replies = poll_until(*store, [](const StoreReplies& r) { return !r.commits.empty(); });
  ASSERT_EQ(replies.commits.size(), 1U);
  EXPECT_EQ(replies.commits[0].turn, 1U);
  EXPECT_EQ(result_of(replies.commits[0]), CommitResult::kApplied);
  EXPECT_FALSE(store->health().replicas_short);
  EXPECT_EQ(replica.raw({"HGET", partition_key(kPartition, "owner"), "n"}).text, "1");
  EXPECT_TRUE(notes.warned("0 of 1 replicas"));
}

// ---------------------------------------------------------------- repair

TEST(Repair, CommitsThatTheStoreHasLostAreAppliedAgainAsTheyWere) {
  RedisPlace place;
  auto store = place.connect_redis();
  ASSERT_NE(store, nullptr);
  ASSERT_TRUE(take(*store).taken);
  TestRun run(run_id(1), 10);
  Event accepted = run.event(EventType::kRunAccepted);
  ASSERT_EQ(result_of(commit(*store, turn_of(1, {run.accept()}, {accepted}))), CommitResult::kApplied);
  const std::string snapshot = place.raw({"DUMP", run_key(run_id(1))}).text;
  for (std::uint32_t i = 0; i < 5; ++i) {
    Event done = run.event(EventType::kTaskSucceeded, i);
    TurnCommit turn = turn_of(2 + i, {run.succeed(i, 1)}, {done});
    turn.values.push_back({hash128("v" + std::to_string(i)), std::make_shared<const std::string>("v")});
    ASSERT_EQ(result_of(commit(*store, turn)), CommitResult::kApplied);
  }
  // Back to commit 1, as a replica that is behind would be.
  place.raw({"RESTORE", run_key(run_id(1)), "0", snapshot, "REPLACE"});
  place.raw({"HSET", partition_key(kPartition, "owner"), "n", "1"});
  for (int i = 2; i <= 6; ++i) place.raw({"XDEL", partition_key(kPartition, "events"), "1-" + std::to_string(i)});
  place.raw({"XSETID", partition_key(kPartition, "events"), "1-1"});
  place.raw({"DEL", blob_key(hash128("v3"))});
  TurnCommit beat = turn_of(0, {});
  beat.partitions[0].expects = 6;
  EXPECT_EQ(result_of(commit(*store, beat)), CommitResult::kGap) << "a beat tells that the store is behind";

  const Epoch later{2, kEpoch.nonce};
  ASSERT_TRUE(take(*store, kPartition, later).taken);
  const RepairPartition repair{kPartition, later, {kEpoch}, 1, 6};
  EXPECT_EQ(ask_for<RepairAnswer>(*store, repair).number, 6U);
  EXPECT_EQ(ask_for<RepairAnswer>(*store, repair).number, 6U) << "asked again it changes nothing";
  expect_stored(*ask_for<RunAnswer>(*store, LoadRun{run_id(1)}).run, run);
  const auto told = ask_for<EventsAnswer>(*store, ReadRunEvents{run_id(1), 0, 100}).events;
  ASSERT_EQ(told.size(), 6U);
  EXPECT_EQ(told.back().cursor, "1-6") << "what subscribers have seen stays what it was";
  EXPECT_EQ(ask_for<ValueAnswer>(*store, LoadValue{hash128("v3")}).json, "v");
  TurnCommit next = turn_of(7, {run.succeed(5, 1)});
  next.partitions[0].epoch = later;
  EXPECT_EQ(result_of(commit(*store, next)), CommitResult::kApplied);
}

TEST(Repair, ARingThatDoesNotReachBackSaysSoAndChangesNothing) {
  RedisPlace place;
  auto first = place.connect_redis();
  ASSERT_TRUE(take(*first).taken);
  TestRun run(run_id(1), 10);
  ASSERT_EQ(result_of(commit(*first, turn_of(1, {run.accept()}))), CommitResult::kApplied);
  auto second = place.connect_redis();  // did not commit the first
  ASSERT_EQ(result_of(commit(*second, turn_of(2, {run.succeed(0, 1)}))), CommitResult::kApplied);
  place.raw({"HSET", partition_key(kPartition, "owner"), "n", "0"});
  const Epoch later{2, kEpoch.nonce};
  ASSERT_TRUE(take(*second, kPartition, later).taken);
  EXPECT_EQ(ask_for<RepairAnswer>(*second, RepairPartition{kPartition, later, {kEpoch}, 0, 2}).number, 0U);
  EXPECT_EQ(place.raw({"HGET", partition_key(kPartition, "owner"), "n"}).text, "0");
}

TEST(Repair, AnotherOwnerIsNotOverwritten) {
  RedisPlace place;
  auto store = place.connect_redis();
  ASSERT_TRUE(take(*store).taken);
  TestRun run(run_id(1), 10);
  ASSERT_EQ(result_of(commit(*store, turn_of(1, {run.accept()}))), CommitResult::kApplied);
  place.raw({"HSET", partition_key(kPartition, "owner"), "n", "0"});
  ASSERT_TRUE(take(*store, kPartition, {5, 99}, "c2").taken);
  EXPECT_EQ(ask_for<RepairAnswer>(*store, RepairPartition{kPartition, {2, kEpoch.nonce}, {kEpoch}, 0, 1}).number, 0U);
  EXPECT_EQ(place.raw({"HGET", partition_key(kPartition, "owner"), "n"}).text, "0");
}

// ---------------------------------------------------------------- Sentinel

TEST(SentinelStore, AReplicaThatIsPromotedIsFoundAndWrittenTo) {
  SentinelGroup group;
  ASSERT_EQ(group.start(), "");
  Notes notes;
  auto store = open(options_for(group.url(), notes, {DurabilityMode::kReplicated, 1, 100ms}));
  ASSERT_NE(store, nullptr);
  ASSERT_TRUE(take(*store).taken);
  TestRun run(run_id(1), 10);
  ASSERT_EQ(result_of(commit(*store, turn_of(1, {run.accept()}))), CommitResult::kApplied);
  ASSERT_EQ(result_of(commit(*store, turn_of(2, {run.succeed(0, 5)}))), CommitResult::kApplied);
  const auto killed = std::chrono::steady_clock::now();
  group.master().server().kill_now();
  TurnCommit beat = turn_of(0, {});  // the one replica is the master now: others have nothing to wait for
  beat.partitions[0].expects = 2;
  EXPECT_EQ(commit_surely(*store, beat), CommitResult::kApplied) << "what was acknowledged is there";
  const auto pause = std::chrono::steady_clock::now() - killed;
  std::cout << "pause: " << std::chrono::duration_cast<std::chrono::milliseconds>(pause).count() << " ms\n";
  EXPECT_LT(pause, 5s);
  expect_stored(*ask_for<RunAnswer>(*store, LoadRun{run_id(1)}).run, run);
}

TEST(SentinelStore, ASilentMasterIsLeftWhenAnotherIsNamed) {
  SentinelGroup group;
  ASSERT_EQ(group.start(), "");
  Notes notes;
  auto store = open(options_for(group.url(), notes));
  ASSERT_NE(store, nullptr);
  ASSERT_TRUE(take(*store).taken);
  const auto stopped = std::chrono::steady_clock::now();
  group.master().server().pause();
  EXPECT_EQ(commit_surely(*store, turn_of(1, {})), CommitResult::kApplied);
  EXPECT_LT(std::chrono::steady_clock::now() - stopped, 6s) << "it did not wait for the silence to be too long";
  EXPECT_EQ(group.replica().raw({"HGET", partition_key(kPartition, "owner"), "n"}).text, "1");
}

TEST(SentinelStore, WhoeverKnowsNoSuchMasterIsNamed) {
  TcpRedis alone;
  ASSERT_TRUE(alone.start());
  Notes notes;
  auto store = RedisStore::open(options_for("sentinel://" + alone.address() + "/mymaster", notes));
  ASSERT_FALSE(store.ok());
  EXPECT_NE(store.error().what.find(alone.address()), std::string::npos) << store.error().what;
}

// ---------------------------------------------------------------- Redis Cluster

class ClusterStore : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(group_.start(), "");
    store_ = open(options_for(group_.url(), notes_, {DurabilityMode::kMemory, 1, 50ms}));
    ASSERT_NE(store_, nullptr);
    for (std::uint16_t p = 0; p < kPartitions; ++p) ASSERT_TRUE(take(*store_, PartitionId{p}).taken);
  }
  static constexpr std::uint16_t kPartitions = 16;
  // One turn over all partitions, each accepting a run.
  TurnCommit turn_over_all(std::uint64_t number) {
    TurnCommit turn = turn_of(number, {});
    const PartitionCommit one = turn.partitions[0];
    turn.turn = ++turns_;
    turn.partitions.clear();
    for (std::uint16_t p = 0; p < kPartitions; ++p) {
      PartitionCommit part = one;
      part.partition = PartitionId{p};
      part.number = number;
      TestRun run(run_id(static_cast<std::uint32_t>(number), PartitionId{p}));
      part.events = {run.event(EventType::kRunAccepted)};
      part.runs = {run.accept()};
      turn.partitions.push_back(std::move(part));
    }
    return turn;
  }
  // Until each partition has it.
  void commit_everywhere(const TurnCommit& turn) {
    for (int tries = 0; tries < 500; ++tries) {
      poll_until(*store_, [&](const StoreReplies&) { return store_->ready(); });
      const CommitOutcome outcome = commit(*store_, turn);
      const bool known = std::ranges::all_of(outcome.partitions, [](const auto& part) {
        return part.second == CommitResult::kApplied || part.second == CommitResult::kAlready;
      });
      if (known) return;
      for (const auto& [partition, result] : outcome.partitions)
        ASSERT_TRUE(result == CommitResult::kUnknown) << static_cast<int>(result) << " in " << partition.value;
      ++unknown_;
      std::this_thread::sleep_for(5ms);
    }
    FAIL() << store_->trouble();
  }
  void expect_all_runs(std::uint64_t numbers) {
    for (std::uint16_t p = 0; p < kPartitions; ++p) {
      EXPECT_EQ(ask_for<OwnerAnswer>(*store_, ReadOwner{PartitionId{p}}).record.number, numbers);
      ActivePage page = ask_for<ActivePage>(*store_, LoadActive{PartitionId{p}, ""});
      EXPECT_EQ(page.runs.size(), numbers);
      EXPECT_TRUE(page.damaged.empty());
      for (std::uint32_t n = 1; n <= numbers; ++n) {
        EXPECT_EQ(ask_for<EventsAnswer>(*store_, ReadRunEvents{run_id(n, PartitionId{p}), 0, 10}).events.size(), 1U)
            << "of run " << n << " of partition " << p;
      }
    }
  }

  ClusterGroup group_;
  Notes notes_;
  std::unique_ptr<RedisStore> store_;
  std::uint64_t turns_ = 0;
  int unknown_ = 0;
};

TEST_F(ClusterStore, ATurnOverAllPartitionsIsOneCallANode) {
  auto calls = [&] {
    std::vector<std::int64_t> counts;
    for (std::size_t i = 0; i < 3; ++i) {
      const std::string stats = group_.node(i).raw({"INFO", "commandstats"}).text;
      const std::size_t at = stats.find("cmdstat_fcall:calls=");
      counts.push_back(at == std::string::npos ? 0 : std::stoll(stats.substr(at + 20)));
    }
    return counts;
  };
  const auto before = calls();
  TurnCommit turn = turn_over_all(1);
  turn.values.push_back({hash128("v"), std::make_shared<const std::string>("v")});
  turn.fleet = {"w1"};
  commit_everywhere(turn);
  const auto after = calls();
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(after[i] - before[i], 1) << i;
  EXPECT_EQ(unknown_, 0);
  expect_all_runs(1);
  EXPECT_EQ(ask_for<ValueAnswer>(*store_, LoadValue{hash128("v")}).json, "v");
  EXPECT_EQ(ask_for<FleetAnswer>(*store_, ReadFleet{}).names, std::vector<std::string>{"w1"});
  EXPECT_EQ(ask_for<RunsAnswer>(*store_, FindRuns{}).runs.size(), 16U);
}

TEST_F(ClusterStore, WhatIsNotKeptGoesOnEveryNode) {
  TurnCommit first = turn_over_all(1);
  const std::string json = "\"shared\"";
  const Hash128 hash = hash128(json);
  for (std::uint16_t p = 0; p < kPartitions; ++p)
    first.values.push_back({hash, std::make_shared<const std::string>(json), run_id(1, PartitionId{p})});
  commit_everywhere(first);
  TurnCommit ends = turn_over_all(2);  // and accepts later ones: what came before will not come any more
  for (PartitionCommit& part : ends.partitions) {
    TestRun run(run_id(1, part.partition));
    (void)run.accept();
    part.runs.push_back(run.end(RunState::kSucceeded, 5));
  }
  commit_everywhere(ends);
  TurnCommit deletes = turn_over_all(3);
  for (PartitionCommit& part : deletes.partitions) part.deletes = {run_id(1, part.partition)};
  commit_everywhere(deletes);
  std::map<Sweep::Kind, std::uint64_t> dropped;
  for (int round = 0; round < 3; ++round) {
    for (const Sweep::Kind kind : {Sweep::Kind::kEvents, Sweep::Kind::kKeys, Sweep::Kind::kValues}) {
      for (std::uint16_t p = 0; p < kPartitions; ++p)
        dropped[kind] +=
            ask_for<SweptAnswer>(*store_, Sweep{kind, PartitionId{p}, "", at(1'000'000), at(1'000'000)}).dropped;
    }
  }
  EXPECT_EQ(dropped[Sweep::Kind::kEvents], kPartitions);
  EXPECT_EQ(dropped[Sweep::Kind::kKeys], kPartitions);
  EXPECT_EQ(dropped[Sweep::Kind::kValues], 1U);
  EXPECT_FALSE(ask_for<ValueAnswer>(*store_, LoadValue{hash}).json.has_value());
  for (std::uint16_t p = 0; p < kPartitions; ++p) {
    EXPECT_FALSE(ask_for<RunAnswer>(*store_, LoadRun{run_id(1, PartitionId{p})}).run.has_value());
    EXPECT_EQ(ask_for<ScanAnswer>(*store_, ScanRuns{PartitionId{p}, "", 10}).runs.size(), 2U);
  }
  EXPECT_EQ(ask_for<HealthAnswer>(*store_, ExamineStore{}).health.kind, "redis");
}

TEST_F(ClusterStore, ASlotThatMovesUnderLoadLosesAndRepeatsNothing) {
  const PartitionId moving{7};
  const std::uint16_t slot = redis_slot(partition_key(moving));
  const std::size_t from = std::min<std::size_t>(slot / 5461, 2);
  std::uint64_t number = 0;
  for (int i = 0; i < 5; ++i) commit_everywhere(turn_over_all(++number));
  bool one_out = false;
  TurnCommit turn;
  StoreReplies replies;
  group_.move(slot, from, (from + 1) % 3, [&] {  // commits go on coming while the slot is on its way
    store_->poll(replies);
    if (!store_->ready() || (one_out && replies.commits.empty())) return;
    if (one_out) {
      const auto& parts = replies.commits[0].partitions;
      unknown_ += parts[0].second == CommitResult::kUnknown ? 1 : 0;
      for (const auto& [partition, result] : parts)
        EXPECT_TRUE(result != CommitResult::kGap && result != CommitResult::kFenced) << partition.value;
      if (std::ranges::all_of(parts, [](const auto& part) { return part.second != CommitResult::kUnknown; })) turn = {};
      replies = {};
    }
    if (turn.partitions.empty()) turn = turn_over_all(++number);
    store_->commit(turn);
    one_out = true;
  });
  if (one_out)
    poll_until(*store_, [&](const StoreReplies& r) { return !r.commits.empty() || !replies.commits.empty(); });
  if (!turn.partitions.empty()) commit_everywhere(turn);
  EXPECT_GT(unknown_, 0) << "nothing met the slot on its way";
  for (int i = 0; i < 5; ++i) commit_everywhere(turn_over_all(++number));
  expect_all_runs(number);
  EXPECT_EQ(group_.node((from + 1) % 3).raw({"HGET", partition_key(moving, "owner"), "n"}).text,
            std::to_string(number));
}

TEST_F(ClusterStore, AFunctionLibraryThatIsGoneFromOneNodeIsLoadedAgain) {
  commit_everywhere(turn_over_all(1));
  group_.node(1).raw({"FUNCTION", "FLUSH", "SYNC"});
  commit_everywhere(turn_over_all(2));
  EXPECT_GT(unknown_, 0);
  expect_all_runs(2);
}

TEST_F(ClusterStore, ANodeThatFallsAndComesBackCostsNothingThatWasThere) {
  commit_everywhere(turn_over_all(1));
  group_.node(2).server().pause();
  store_->commit(turn_over_all(2));
  std::this_thread::sleep_for(200ms);
  group_.node(2).server().resume();
  poll_until(*store_, [](const StoreReplies& r) { return !r.commits.empty(); });
  turns_ = 10;
  commit_everywhere(turn_over_all(2));
  expect_all_runs(2);
}

TEST(ClusterKeys, SlotsAreThoseOfRedis) {
  EXPECT_EQ(redis_slot("123456789"), 0x31C3 % 16384);
  EXPECT_EQ(redis_slot("{user1000}.following"), redis_slot("user1000"));
  EXPECT_EQ(redis_slot("foo{}{bar}"), redis_slot("foo{}{bar}"));
  EXPECT_EQ(redis_slot("mr:{p7}:events"), redis_slot("p7"));
  EXPECT_EQ(key_of(RedisCommand{"HGET", "k", "f"}), "k");
  EXPECT_EQ(key_of(RedisCommand{"FCALL", "f", "1", "key", "a"}), "key");
  EXPECT_EQ(key_of(RedisCommand{"FCALL", "f", "0"}), "");
}

}  // namespace
}  // namespace millrace::test
