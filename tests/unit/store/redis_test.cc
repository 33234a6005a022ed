// What only the Redis store can suffer: damage, restarts, lost connections, full memory, missing functions.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <regex>

#include "commit_lua.h"
#include "coordinator/shell/redis_keys.h"
#include "tests/unit/store/store_world.h"

namespace millrace::test {
namespace {

class RedisStoreTest : public ::testing::Test {
 protected:
  void start(Append append = Append::kNo, std::vector<std::string> more = {}) {
    place_ = std::make_unique<RedisPlace>(append, std::move(more));
    store_ = place_->connect_redis();
    ASSERT_NE(store_, nullptr);
    ASSERT_TRUE(take(*store_).taken);
  }
  RedisStore& store() { return *store_; }
  RedisPlace& place() { return *place_; }
  CommitResult commit_one(std::uint64_t number, std::vector<RunWrite> runs) {
    return result_of(commit(store(), turn_of(number, std::move(runs))));
  }
  void wait_until_ready() {
    poll_until(store(), [&](const StoreReplies&) { return store().ready(); });
    ASSERT_TRUE(store().ready());
  }
  // Waits for a commit to be applied and takes all answers away. Without the wait a slow server would find the
  // connection closed before it read anything: then nothing was applied that could be repeated.
  void lose_answers(std::uint64_t number) {
    auto applied = [&] {
      return std::stoull("0" + place().raw({"HGET", partition_key(kPartition, "owner"), "n"}).text);
    };
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (applied() < number && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(1ms);
    EXPECT_GE(applied(), number);
    ::shutdown(store().fd(), SHUT_RD);
    char answers[4096];
    while (::recv(store().fd(), answers, sizeof answers, MSG_DONTWAIT) > 0) {}
  }
  // Runs 1 .. 3, each with 40 tasks in two commits; run 2 is the one that gets damaged.
  void three_runs() {
    std::uint64_t number = 0;
    for (std::uint32_t n = 1; n <= 3; ++n) {
      runs_.push_back(TestRun(run_id(n), 40));
      ASSERT_EQ(commit_one(++number, {runs_.back().accept()}), CommitResult::kApplied);
      ASSERT_EQ(commit_one(++number, {runs_.back().succeed(0, 20)}), CommitResult::kApplied);
      ASSERT_EQ(commit_one(++number, {runs_.back().succeed(20, 20)}), CommitResult::kApplied);
    }
    EXPECT_TRUE(ask_for<RunAnswer>(store(), LoadRun{run_id(2)}).run.has_value());
  }
  void expect_run_two_is_refused(const std::string& why) {
    StoreAnswer answer = ask(store(), LoadRun{run_id(2)});
    const auto* failed = std::get_if<ReadFailed>(&answer);
    ASSERT_NE(failed, nullptr);
    EXPECT_EQ(failed->error.name, "damaged");
    EXPECT_NE(failed->error.what.find(to_string(run_id(2))), std::string::npos) << failed->error.what;
    EXPECT_NE(failed->error.what.find(run_key(run_id(2))), std::string::npos) << failed->error.what;
    EXPECT_NE(failed->error.what.find(why), std::string::npos) << failed->error.what;
    ActivePage page = ask_for<ActivePage>(store(), LoadActive{kPartition, ""});
    EXPECT_EQ(page.runs.size(), 2U);
    ASSERT_EQ(page.damaged.size(), 1U);
    EXPECT_EQ(page.damaged[0].what, failed->error.what);
  }
  std::string field(const std::string& name) { return place().raw({"HGET", run_key(run_id(2)), name}).text; }
  void set_field(const std::string& name, const std::string& value) {
    place().raw({"HSET", run_key(run_id(2)), name, value});
  }

  std::unique_ptr<RedisPlace> place_;
  std::unique_ptr<RedisStore> store_;
  std::vector<TestRun> runs_;
};

// ---------------------------------------------------------------- damage

TEST_F(RedisStoreTest, OverwrittenBytesInASegmentAreNoticed) {
  start();
  three_runs();
  std::string segment = field("5");
  ASSERT_GT(segment.size(), 100U);
  segment.replace(50, 4, "XXXX");
  set_field("5", segment);
  expect_run_two_is_refused("field 5");
}

TEST_F(RedisStoreTest, AMissingSegmentIsNoticed) {
  start();
  three_runs();
  ASSERT_EQ(place().integer({"HDEL", run_key(run_id(2)), "6"}), 1);
  expect_run_two_is_refused("20 task records, 40 expected");
}

TEST_F(RedisStoreTest, ASegmentOfAnotherCommitInItsPlaceIsNoticed) {
  start();
  three_runs();
  set_field("6", field("5"));
  expect_run_two_is_refused("field 6");
}

TEST_F(RedisStoreTest, AMissingRecordIsNoticed) {
  start();
  three_runs();
  ASSERT_EQ(place().integer({"HDEL", run_key(run_id(2)), ".m"}), 1);
  expect_run_two_is_refused(".m");
}

TEST_F(RedisStoreTest, AMissingRunIsNoticedWhereItIsListedAsLive) {
  start();
  three_runs();
  ASSERT_EQ(place().integer({"DEL", run_key(run_id(2))}), 1);
  ActivePage page = ask_for<ActivePage>(store(), LoadActive{kPartition, ""});
  EXPECT_EQ(page.runs.size(), 2U);
  ASSERT_EQ(page.damaged.size(), 1U);
}

TEST_F(RedisStoreTest, AnOlderRecordIsNoticed) {
  start();
  three_runs();
  const std::string older = field(".m");
  ASSERT_EQ(commit_one(10, {runs_[1].succeed(0, 1)}), CommitResult::kApplied);
  set_field(".m", older);
  expect_run_two_is_refused("segment a is newer than the record");
}

TEST_F(RedisStoreTest, ARunThatIsWrittenAnewIsWholeAgainWhateverStoodThere) {
  start();
  three_runs();
  const std::string key = run_key(run_id(2));
  const std::vector<std::vector<std::string>> harms = {{"HSET", key, "5", "x"},
                                                       {"HSET", key, ".i", "x", ".m", "x", "zz", "x"},
                                                       {"DEL", key},
                                                       {"SET", key, "not even a hash"}};
  std::uint64_t number = 9;
  for (const std::vector<std::string>& harm : harms) {
    place().raw(harm);
    ActivePage page = ask_for<ActivePage>(store(), LoadActive{kPartition, ""});
    ASSERT_EQ(page.damaged_runs, std::vector<RunId>{run_id(2)}) << harm[0];
    RunWrite whole = runs_[1].changed({});
    whole.info = std::make_shared<const RunInfo>(runs_[1].info());
    whole.tasks.assign(runs_[1].tasks().begin(), runs_[1].tasks().end());
    TurnCommit turn = turn_of(++number, {});
    turn.partitions[0].anew.push_back(whole);
    ASSERT_EQ(result_of(commit(store(), turn)), CommitResult::kApplied) << harm[0];
    page = ask_for<ActivePage>(store(), LoadActive{kPartition, ""});
    EXPECT_TRUE(page.damaged.empty()) << page.damaged[0].what;
    EXPECT_EQ(page.runs.size(), 3U);
    const auto stored = ask_for<RunAnswer>(store(), LoadRun{run_id(2)}).run;
    ASSERT_TRUE(stored.has_value());
    EXPECT_EQ(stored->tasks.size(), 40U);
    EXPECT_EQ(stored->info.key, runs_[1].info().key);
  }
  ASSERT_EQ(commit_one(++number, {runs_[1].succeed(0, 1)}), CommitResult::kApplied) << "it goes on";
  EXPECT_TRUE(ask_for<RunAnswer>(store(), LoadRun{run_id(2)}).run.has_value());
}

TEST_F(RedisStoreTest, DamagedValuesAndEventsAreNoticed) {
  start();
  TestRun run(run_id(1));
  const Event event = run.event(EventType::kRunAccepted);
  TurnCommit turn = turn_of(1, {run.accept()}, {event});
  turn.values.push_back({hash128("v"), std::make_shared<const std::string>("v")});
  ASSERT_EQ(result_of(commit(store(), turn)), CommitResult::kApplied);
  place().raw({"SETRANGE", blob_key(hash128("v")), "5", "w"});
  EXPECT_EQ(std::get<ReadFailed>(ask(store(), LoadValue{hash128("v")})).error.name, "damaged");

  const std::string events = partition_key(kPartition, "events");
  place().raw({"DEL", events});
  place().raw({"XADD", events, "1-1", "e", "not what was written"});
  EXPECT_EQ(std::get<ReadFailed>(ask(store(), ReadRunEvents{run_id(1), 0, 10})).error.name, "damaged");
}

// ---------------------------------------------------------------- connections

TEST_F(RedisStoreTest, EverythingIsThereAfterARestart) {
  start(Append::kAlways);
  three_runs();
  place().server().kill_now();
  ASSERT_TRUE(place().server().start()) << place().server().error();
  poll_until(store(), [&](const StoreReplies&) { return !store().ready(); });
  wait_until_ready();
  for (std::uint32_t n = 1; n <= 3; ++n) {
    auto stored = ask_for<RunAnswer>(store(), LoadRun{run_id(n)}).run;
    ASSERT_TRUE(stored.has_value());
    expect_stored(*stored, runs_[n - 1]);
  }
  EXPECT_EQ(commit_one(10, {runs_[0].end(RunState::kSucceeded, 5)}), CommitResult::kApplied);
}

TEST_F(RedisStoreTest, AConnectionLostInMidPipelineLosesAndRepeatsNothing) {
  start();
  TestRun run(run_id(1), 400);
  std::vector<TurnCommit> turns = {turn_of(1, {run.accept()})};
  for (std::uint32_t n = 0; n < 400; ++n) turns.push_back(turn_of(n + 2, {run.succeed(n, 1)}));
  std::size_t done = 0;
  std::size_t unknown = 0;
  std::size_t repeated = 0;
  for (int round = 0; done < turns.size() && round < 1000; ++round) {
    wait_until_ready();
    const std::size_t sent = std::min<std::size_t>(turns.size() - done, 50);
    if (round % 3 == 0) place().raw({"CLIENT", "KILL", "TYPE", "normal"});  // nothing arrives
    for (std::size_t i = 0; i < sent; ++i) store().commit(turns[done + i]);
    store().read(1, LoadRun{run_id(1)});
    if (round % 3 == 1) lose_answers(turns[done].partitions[0].number);  // some are applied, none is answered
    StoreReplies replies = poll_until(store(), [&](const StoreReplies& r) { return r.commits.size() == sent; });
    bool stopped = false;
    for (const CommitOutcome& outcome : replies.commits) {
      CommitResult result = result_of(outcome);
      if (result == CommitResult::kUnknown) {
        stopped = true;
        ++unknown;
        EXPECT_FALSE(outcome.error.empty());
        continue;
      }
      EXPECT_FALSE(stopped) << "answered after an unknown one";
      EXPECT_TRUE(result == CommitResult::kApplied || result == CommitResult::kAlready);
      EXPECT_EQ(outcome.turn, turns[done].turn);
      repeated += result == CommitResult::kAlready ? 1 : 0;
      ++done;
    }
    if (replies.reads.empty()) poll_until(store(), [](const StoreReplies& r) { return !r.reads.empty(); });
  }
  EXPECT_EQ(done, turns.size());
  EXPECT_GT(unknown, 0U);
  EXPECT_GT(repeated, 0U);
  wait_until_ready();
  expect_stored(*ask_for<RunAnswer>(store(), LoadRun{run_id(1)}).run, run);
}

TEST_F(RedisStoreTest, WithoutAConnectionEverythingIsAnsweredAtOnce) {
  start();
  place().server().kill_now();
  poll_until(store(), [&](const StoreReplies&) { return !store().ready(); });
  EXPECT_EQ(store().fd(), -1);
  EXPECT_EQ(commit_one(1, {}), CommitResult::kUnknown);
  EXPECT_EQ(std::get<ReadFailed>(ask(store(), ReadFleet{})).error.code, Code::kUnavailable);
  ASSERT_TRUE(store().wake_in().has_value());
  EXPECT_LE(*store().wake_in(), 50ms);
}

TEST_F(RedisStoreTest, AServerThatFallsSilentIsGivenUp) {
  start();
  RedisStoreOptions options = place().options();
  options.silence_max = 100ms;
  options.connect_timeout = 100ms;
  std::unique_ptr<RedisStore> impatient = RedisStore::open(options).value();
  place().server().pause();
  EXPECT_EQ(result_of(commit(*impatient, turn_of(1, {}))), CommitResult::kUnknown);
  EXPECT_FALSE(impatient->ready());
  place().server().resume();
  poll_until(*impatient, [&](const StoreReplies&) { return impatient->ready(); });
  const CommitResult result = result_of(commit(*impatient, turn_of(1, {})));
  EXPECT_TRUE(result == CommitResult::kApplied || result == CommitResult::kAlready);
}

TEST_F(RedisStoreTest, AFlushedFunctionLibraryIsLoadedAgain) {
  start();
  TestRun run(run_id(1));
  const TurnCommit first = turn_of(1, {run.accept()});
  place().raw({"FUNCTION", "FLUSH", "SYNC"});
  CommitOutcome outcome = commit(store(), first);
  EXPECT_EQ(result_of(outcome), CommitResult::kUnknown);
  EXPECT_NE(outcome.error.find("Function not found"), std::string::npos) << outcome.error;
  wait_until_ready();
  EXPECT_EQ(result_of(commit(store(), first)), CommitResult::kApplied);
}

TEST_F(RedisStoreTest, AnOlderFunctionLibraryIsReplacedAndANewerOneIsLeft) {
  start();
  const std::string source(kCommitLua);
  std::smatch version;
  ASSERT_TRUE(std::regex_search(source, version, std::regex("local VERSION = (\\d+)")));
  EXPECT_EQ(version[1].str(), std::to_string(kFunctionVersion));
  for (int other : {kFunctionVersion - 1, kFunctionVersion + 1}) {
    const std::string changed =
        std::regex_replace(source, std::regex("local VERSION = \\d+"), "local VERSION = " + std::to_string(other));
    place().raw({"FUNCTION", "LOAD", "REPLACE", changed});
    ASSERT_NE(place().connect_redis(), nullptr);
    EXPECT_EQ(place().integer({"FCALL", "millrace_version", "0"}), std::max(other, kFunctionVersion));
  }
}

// Commit numbers name segments and stream entries: were they given out again, a run would lose what it had.
TEST_F(RedisStoreTest, APartitionWhoseOwnerRecordWasDeletedIsTakenBehindItsHistory) {
  start();
  TestRun run(run_id(1), 4);
  Event accepted = run.event(EventType::kRunAccepted);
  const RunWrite first = run.accept();
  ASSERT_EQ(result_of(commit(store(), turn_of(1, {first}, {accepted}))), CommitResult::kApplied);
  ASSERT_EQ(commit_one(2, {run.succeed(0, 2)}), CommitResult::kApplied);
  place().raw({"DEL", partition_key(kPartition, "owner")});
  ASSERT_EQ(commit_one(3, {run.succeed(2, 1)}), CommitResult::kFenced);

  // Somebody who never heard of the epochs before is told of them.
  const OwnerAnswer refused = take(store(), kPartition, kEpoch, "c2");
  EXPECT_FALSE(refused.taken);
  EXPECT_EQ(refused.record.epoch.counter, kEpoch.counter);
  const Epoch above{.counter = kEpoch.counter + 1, .nonce = 9};
  const OwnerAnswer taken = take(store(), kPartition, above, "c2");
  ASSERT_TRUE(taken.taken);
  EXPECT_GT(taken.record.number, 2U);
  Event ended = run.event(EventType::kTaskSucceeded, 2);
  const RunWrite again = run.succeed(2, 2);
  ASSERT_EQ(result_of(commit(store(), turn_of(taken.record.number + 1, {again}, {ended}, kPartition, above))),
            CommitResult::kApplied);
  std::optional<StoredRun> stored = ask_for<RunAnswer>(store(), LoadRun{run_id(1)}).run;
  ASSERT_TRUE(stored.has_value()) << "a segment was written over";
  EXPECT_EQ(stored->tasks.size(), 4U);
}

TEST_F(RedisStoreTest, ANumberOfPartitionsIsFixedWithTheCluster) {
  start();
  RedisStoreOptions options = place().options();
  options.partitions = 32;
  auto store = RedisStore::open(options);
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().code, Code::kConflict);
  EXPECT_EQ(store.error().name, "cluster_mismatch");
  EXPECT_NE(store.error().what.find("partitions 16, not 32"), std::string::npos) << store.error().what;
}

// ---------------------------------------------------------------- refusals

TEST_F(RedisStoreTest, AFullMemoryRefusesWholeCommitsAndLetsBeatsPass) {
  start();
  TestRun run(run_id(1));
  TurnCommit first = turn_of(1, {run.accept()});
  first.values.push_back({hash128("v"), std::make_shared<const std::string>("v")});
  place().raw({"CONFIG", "SET", "maxmemory", "1"});
  store().commit(first);
  store().commit(turn_of(2, {}));
  StoreReplies replies = poll_until(store(), [](const StoreReplies& r) { return r.commits.size() == 2; });
  EXPECT_EQ(result_of(replies.commits[0]), CommitResult::kUnknown);
  EXPECT_EQ(result_of(replies.commits[1]), CommitResult::kUnknown);
  EXPECT_NE(replies.commits[0].error.find("refused by the store: OOM"), std::string::npos) << replies.commits[0].error;
  EXPECT_EQ(place().integer({"EXISTS", run_key(run_id(1))}), 0);

  // A beat and a change of owner need no memory to speak of. (A new connection finds the cluster marked already.)
  place().raw({"CONFIG", "SET", "maxmemory", "0"});
  wait_until_ready();
  place().raw({"CONFIG", "SET", "maxmemory", "1"});
  EXPECT_EQ(result_of(commit(store(), turn_of(0, {}))), CommitResult::kApplied);
  place().raw({"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_EQ(result_of(commit(store(), first)), CommitResult::kApplied);
  EXPECT_EQ(result_of(commit(store(), turn_of(2, {}))), CommitResult::kApplied);
  EXPECT_EQ(ask_for<ValueAnswer>(store(), LoadValue{hash128("v")}).json, "v");
}

TEST_F(RedisStoreTest, AKeyOfAnotherTypeRefusesTheWholeCommit) {
  for (const std::string& key : {run_key(run_id(2)), partition_key(kPartition, "events")}) {
    start();
    place().raw({"SET", key, "in the way"});
    const std::int64_t keys_before = place().integer({"DBSIZE"});
    TestRun one(run_id(1));
    TestRun two(run_id(2));
    const Event event = one.event(EventType::kRunAccepted);
    TurnCommit turn = turn_of(1, {one.accept(), two.accept()}, {event});
    CommitOutcome outcome = commit(store(), turn);
    EXPECT_EQ(result_of(outcome), CommitResult::kUnknown) << key;
    EXPECT_NE(outcome.error.find("WRONGTYPE"), std::string::npos) << outcome.error;
    EXPECT_EQ(place().integer({"DBSIZE"}), keys_before) << key;
    EXPECT_EQ(place().raw({"HGET", partition_key(kPartition, "owner"), "n"}).text, "0") << key;
    place().raw({"DEL", key});
    wait_until_ready();
    EXPECT_EQ(result_of(commit(store(), turn)), CommitResult::kApplied) << key;
  }
}

TEST_F(RedisStoreTest, APartitionWithAKeyOfAnotherTypeIsNotTaken) {
  for (const char* what : {"events", "active", "runs", "keys"}) {
    start();
    place().raw({"SET", partition_key(PartitionId{5}, what), "in the way"});
    const StoreAnswer refused = ask(store(), TakePartition{PartitionId{5}, OwnerRecord{}, "c1", kEpoch});
    ASSERT_TRUE(std::holds_alternative<ReadFailed>(refused)) << what;
    EXPECT_NE(std::get<ReadFailed>(refused).error.what.find("WRONGTYPE"), std::string::npos) << what;
    place().raw({"DEL", partition_key(PartitionId{5}, what)});
    EXPECT_TRUE(take(store(), PartitionId{5}).taken) << what;
  }
}

// A commit that was cut short by a key that changed its type under us does not count, and its resend is complete.
TEST_F(RedisStoreTest, ACommitThatWasCutShortComesAgainWhole) {
  for (const char* what : {"active", "runs", "keys"}) {
    start();
    place().raw({"SET", partition_key(kPartition, what), "in the way"});
    TestRun one(run_id(1));
    TestRun two(run_id(2));
    TurnCommit turn = turn_of(1, {one.accept(), two.accept()}, {one.event(EventType::kRunAccepted)});
    EXPECT_EQ(result_of(commit(store(), turn)), CommitResult::kUnknown) << what;
    EXPECT_EQ(place().raw({"HGET", partition_key(kPartition, "owner"), "n"}).text, "0") << what;
    place().raw({"DEL", partition_key(kPartition, what)});
    wait_until_ready();
    EXPECT_EQ(result_of(commit(store(), turn)), CommitResult::kApplied) << what;
    EXPECT_EQ(place().integer({"XLEN", partition_key(kPartition, "events")}), 1) << what;
    EXPECT_EQ(ask_for<ActivePage>(store(), LoadActive{kPartition, {}}).runs.size(), 2U) << what;
    EXPECT_EQ(result_of(commit(store(), turn)), CommitResult::kAlready) << what;
  }
}

TEST_F(RedisStoreTest, KeysOfRunsThatAreGoneAreTrimmedAfterADay) {
  start();
  TestRun old_run(run_id(1));
  TestRun kept(run_id(2));
  TestRun young(run_id(3));
  old_run.info().accepted = at(-25LL * 3600 * 1000);
  kept.info().accepted = at(-25LL * 3600 * 1000);
  ASSERT_EQ(commit_one(1, {old_run.accept(), kept.accept(), young.accept()}), CommitResult::kApplied);
  place().raw({"DEL", run_key(run_id(1)), run_key(run_id(3))});  // as retention will do
  for (std::uint64_t n = 2; n <= 16 * 40; ++n) ASSERT_EQ(commit_one(n, {}), CommitResult::kApplied);
  auto found = [&](TestRun& run) {
    return ask_for<KeyAnswer>(store(), FindKey{kPartition, "default", run.info().key}).run.has_value();
  };
  EXPECT_FALSE(found(old_run));
  EXPECT_TRUE(found(kept));
  EXPECT_TRUE(found(young));
}

// ---------------------------------------------------------------- bytes

class RedisBytes : public RedisStoreTest {
 protected:
  std::int64_t used() {
    const std::string info = place().raw({"INFO", "memory"}).text;
    std::smatch found;
    std::regex_search(info, found, std::regex("used_memory:(\\d+)"));
    return std::stoll(found[1]);
  }
};

TEST_F(RedisBytes, ATaskOfALargeRunTakesFew) {
  start();
  constexpr std::uint32_t kTasks = 100'000;
  constexpr std::uint32_t kEach = 1'000;
  TestRun run(run_id(1), kTasks);
  ASSERT_EQ(commit_one(1, {run.accept()}), CommitResult::kApplied);
  const std::int64_t before = used();
  for (std::uint32_t first = 0; first < kTasks; first += kEach) {
    std::vector<Event> events;
    for (std::uint32_t i = first; i < first + kEach; ++i) {
      events.push_back(run.event(EventType::kTaskSucceeded, i));
      events.back().time = run.succeeded(i).ended;
    }
    ASSERT_EQ(result_of(commit(store(), turn_of(2 + first / kEach, {run.succeed(first, kEach)}, events))),
              CommitResult::kApplied);
  }
  const double bytes = static_cast<double>(used() - before) / kTasks;
  const auto records = place().integer({"MEMORY", "USAGE", run_key(run_id(1)), "SAMPLES", "0"});
  std::cout << "bytes a task: " << bytes << ", of that records " << static_cast<double>(records) / kTasks << "\n";
  EXPECT_LE(bytes, 45);
  EXPECT_EQ(ask_for<RunAnswer>(store(), LoadRun{run_id(1)}).run->tasks.size(), kTasks);
}

TEST_F(RedisBytes, ARunOfOneTaskTakesFew) {
  start();
  constexpr std::uint32_t kRuns = 10'000;
  constexpr std::uint32_t kEach = 10;  // runs a commit
  std::uint64_t number = 0;
  const std::int64_t before = used();
  for (std::uint32_t first = 0; first < kRuns; first += kEach) {
    std::vector<RunWrite> accepted;
    std::vector<RunWrite> ended;
    std::vector<Event> begin;
    std::vector<Event> end;
    for (std::uint32_t n = first; n < first + kEach; ++n) {
      TestRun run(run_id(n));
      run.info().key = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
      run.info().key.replace(0, 5, std::to_string(10'000 + n));
      begin.push_back(run.event(EventType::kRunAccepted));
      accepted.push_back(run.accept());
      end.push_back(run.event(EventType::kTaskSucceeded));
      end.push_back(run.event(EventType::kRunSucceeded));
      run.record().state = RunState::kSucceeded;
      run.record().started = run.succeeded(0).dispatched;
      run.record().ended = run.succeeded(0).ended;
      ended.push_back(run.changed({{TaskIndex{0}, run.succeeded(0)}}));
    }
    ASSERT_EQ(result_of(commit(store(), turn_of(++number, accepted, begin))), CommitResult::kApplied);
    ASSERT_EQ(result_of(commit(store(), turn_of(++number, ended, end))), CommitResult::kApplied);
  }
  auto part = [&](const std::string& key) {
    return std::to_string(place().integer({"MEMORY", "USAGE", key, "SAMPLES", "0"}) / kRuns);
  };
  const double bytes = static_cast<double>(used() - before) / kRuns;
  std::cout << "bytes a run: " << bytes << ", of that hash "
            << place().integer({"MEMORY", "USAGE", run_key(run_id(7)), "SAMPLES", "0"}) << ", keys "
            << part(partition_key(kPartition, "keys")) << ", runs " << part(partition_key(kPartition, "runs"))
            << ", events " << part(partition_key(kPartition, "events")) << "\n";
  EXPECT_LE(bytes, 750);
}

}  // namespace
}  // namespace millrace::test
