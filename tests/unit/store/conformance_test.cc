// The contract of the Store port, held by every implementation.
#include <gtest/gtest.h>

#include <set>

#include "coordinator/shell/run_codec.h"
#include "tests/unit/store/store_world.h"

namespace millrace::test {
namespace {

using namespace std::string_literals;

class StoreContract : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::string_view(GetParam()) == "memory") place_ = std::make_unique<MemoryPlace>();
    else place_ = std::make_unique<RedisPlace>();
    store_ = place_->connect();
    ASSERT_NE(store_, nullptr);
  }
  Store& store() { return *store_; }
  std::unique_ptr<Store> another() { return place_->connect(); }

  CommitResult commit_one(std::uint64_t number, std::vector<RunWrite> runs, std::vector<Event> events = {}) {
    return result_of(commit(store(), turn_of(number, std::move(runs), std::move(events))));
  }
  // Accepts a run in commit `number`.
  TestRun accepted(std::uint64_t number, std::uint32_t n, std::uint32_t tasks_total = 1) {
    TestRun run(run_id(n), tasks_total);
    EXPECT_EQ(commit_one(number, {run.accept()}), CommitResult::kApplied);
    return run;
  }
  std::vector<std::string> listed(const FindRuns& find) {
    std::vector<std::string> ids;
    FindRuns next = find;
    for (int pages = 0; pages < 100; ++pages) {
      RunsAnswer answer = ask_for<RunsAnswer>(store(), next);
      for (const RunSummary& run : answer.runs) ids.push_back(to_string(run.run));
      if (answer.next.empty()) return ids;
      next.query.page = answer.next;
    }
    ADD_FAILURE() << "paging does not end";
    return ids;
  }

 private:
  std::unique_ptr<Place> place_;
  std::unique_ptr<Store> store_;
};

INSTANTIATE_TEST_SUITE_P(All, StoreContract, ::testing::Values("memory", "redis"),
                         [](const auto& info) { return std::string(info.param); });

// ---------------------------------------------------------------- ownership

TEST_P(StoreContract, NobodyOwnsAPartitionAtFirst) {
  EXPECT_TRUE(store().ready());
  EXPECT_EQ(ask_for<OwnerAnswer>(store(), ReadOwner{kPartition}).record, OwnerRecord{});
  EXPECT_EQ(commit_one(1, {}), CommitResult::kFenced);
}

TEST_P(StoreContract, TakingMakesTheTakerOwner) {
  OwnerAnswer taken = take(store());
  EXPECT_TRUE(taken.taken);
  EXPECT_EQ(taken.record, (OwnerRecord{"c1", kEpoch, 0, 0, "", {}}));
  EXPECT_EQ(ask_for<OwnerAnswer>(store(), ReadOwner{kPartition}).record, taken.record);
  EXPECT_EQ(ask_for<OwnerAnswer>(store(), ReadOwner{PartitionId{4}}).record, OwnerRecord{});
}

TEST_P(StoreContract, OfTwoThatSawTheSameRecordOneTakes) {
  std::unique_ptr<Store> rival = another();
  const TakePartition mine{kPartition, {}, "c1", {.counter = 1, .nonce = 1}, {}};
  const TakePartition theirs{kPartition, {}, "c2", {.counter = 1, .nonce = 2}, {}};
  EXPECT_TRUE(ask_for<OwnerAnswer>(store(), mine).taken);
  OwnerAnswer lost = ask_for<OwnerAnswer>(*rival, theirs);
  EXPECT_FALSE(lost.taken);
  EXPECT_EQ(lost.record.owner, "c1");
  EXPECT_EQ(lost.record.epoch, mine.epoch);
}

TEST_P(StoreContract, ABeatSeenTooLateTakesNothing) {
  OwnerRecord seen = take(store()).record;
  TurnCommit beat = turn_of(0, {});
  beat.partitions[0].beat = 17;
  EXPECT_EQ(result_of(commit(store(), beat)), CommitResult::kApplied);
  OwnerAnswer late =
      ask_for<OwnerAnswer>(store(), TakePartition{kPartition, seen, "c2", {.counter = 2, .nonce = 9}, {}});
  EXPECT_FALSE(late.taken);
  EXPECT_EQ(late.record.beat, 17U);
  EXPECT_TRUE(
      ask_for<OwnerAnswer>(store(), TakePartition{kPartition, late.record, "c2", {.counter = 2, .nonce = 9}, {}})
          .taken);
}

TEST_P(StoreContract, TakingNeedsAHigherEpoch) {
  OwnerRecord seen = take(store()).record;
  EXPECT_FALSE(
      ask_for<OwnerAnswer>(store(), TakePartition{kPartition, seen, "c2", {.counter = 1, .nonce = 9}, {}}).taken);
  EXPECT_TRUE(
      ask_for<OwnerAnswer>(store(), TakePartition{kPartition, seen, "c2", {.counter = 2, .nonce = 9}, {}}).taken);
}

TEST_P(StoreContract, AnOwnerThatWasReplacedIsFenced) {
  take(store());
  accepted(1, 1);
  OwnerAnswer next = take(store(), kPartition, {.counter = 2, .nonce = 5}, "c2");
  ASSERT_TRUE(next.taken);
  EXPECT_EQ(next.record.number, 1U);  // commit numbers go on
  EXPECT_EQ(commit_one(2, {}), CommitResult::kFenced);
  TurnCommit same_counter = turn_of(2, {}, {}, kPartition, {.counter = 2, .nonce = 6});
  EXPECT_EQ(result_of(commit(store(), same_counter)), CommitResult::kFenced);
  TurnCommit beat = turn_of(0, {});
  EXPECT_EQ(result_of(commit(store(), beat)), CommitResult::kFenced);
  EXPECT_EQ(ask_for<OwnerAnswer>(store(), ReadOwner{kPartition}).record, next.record);
}

TEST_P(StoreContract, AReleasedPartitionIsFreeAndKeepsItsEpoch) {
  take(store());
  EXPECT_FALSE(ask_for<OwnerAnswer>(store(), ReleasePartition{kPartition, {.counter = 1, .nonce = 7}}).taken);
  OwnerAnswer released = ask_for<OwnerAnswer>(store(), ReleasePartition{kPartition, kEpoch});
  EXPECT_TRUE(released.taken);
  EXPECT_EQ(released.record.owner, "");
  EXPECT_EQ(released.record.epoch, kEpoch);
  EXPECT_EQ(commit_one(1, {}), CommitResult::kFenced);
  EXPECT_TRUE(take(store(), kPartition, {.counter = 2, .nonce = 1}).taken);
}

TEST_P(StoreContract, AReleaseNamesTheHeirUntilSomebodyTakesIt) {
  take(store());
  OwnerRecord released = ask_for<OwnerAnswer>(store(), ReleasePartition{kPartition, kEpoch, "c2"}).record;
  EXPECT_EQ(released.heir, "c2");
  EXPECT_EQ(ask_for<OwnerAnswer>(store(), ReadOwner{kPartition}).record, released);
  TakePartition wanted{kPartition, released, "c3", {.counter = 2, .nonce = 8}, at(7)};
  OwnerAnswer taken = ask_for<OwnerAnswer>(store(), wanted);
  ASSERT_TRUE(taken.taken);
  EXPECT_EQ(taken.record.heir, "");
  EXPECT_EQ(taken.record.since, at(7));
  EXPECT_EQ(ask_for<OwnerAnswer>(store(), ReadOwner{kPartition}).record, taken.record);
}

// ---------------------------------------------------------------- members

MemberRecord member(const std::string& name) {
  MemberRecord record;
  record.name = name;
  record.nonce = 0xFEDCBA9876543210ULL;
  record.beat = 3;
  record.endpoint = "tcp://" + name + ":5711";
  record.events = "tcp://" + name + ":5712";
  record.version = "1.2.3";
  record.since = at(5);
  return record;
}

TEST_P(StoreContract, MembersPublishThemselvesAndSeeEachOther) {
  std::unique_ptr<Store> other = another();
  EXPECT_TRUE(ask_for<MembersAnswer>(store(), MeetMembers{}).members.empty());
  EXPECT_EQ(ask_for<MembersAnswer>(store(), MeetMembers{member("b")}).members, (std::vector{member("b")}));
  MemberRecord draining = member("a");
  draining.draining = true;
  EXPECT_EQ(ask_for<MembersAnswer>(*other, MeetMembers{draining}).members, (std::vector{draining, member("b")}));
  MemberRecord later = member("b");
  later.beat = 4;
  MembersAnswer met = ask_for<MembersAnswer>(store(), MeetMembers{later});
  EXPECT_EQ(met.members, (std::vector{draining, later}));
  EXPECT_EQ(met.before, member("b"));
  EXPECT_EQ(ask_for<MembersAnswer>(*other, MeetMembers{}).members, (std::vector{draining, later}));
}

TEST_P(StoreContract, AMemberThatIsForgottenIsGoneUntilItPublishesItselfAgain) {
  ask_for<MembersAnswer>(store(), MeetMembers{member("a")});
  ask_for<MembersAnswer>(store(), MeetMembers{member("b")});
  ask_for<MembersAnswer>(store(), ForgetMember{"a"});
  ask_for<MembersAnswer>(store(), ForgetMember{"nobody"});
  EXPECT_EQ(ask_for<MembersAnswer>(store(), MeetMembers{}).members, (std::vector{member("b")}));
  EXPECT_EQ(ask_for<MembersAnswer>(store(), MeetMembers{member("a")}).members, (std::vector{member("a"), member("b")}));
}

// ---------------------------------------------------------------- commits

TEST_P(StoreContract, ACommitAppliesInOrderOnly) {
  take(store());
  TestRun run = accepted(1, 1);
  EXPECT_EQ(commit_one(1, {run.succeed(0, 1)}), CommitResult::kAlready);
  EXPECT_EQ(commit_one(3, {run.end(RunState::kSucceeded, 9)}), CommitResult::kGap);
  auto stored = ask_for<RunAnswer>(store(), LoadRun{run_id(1)}).run;
  ASSERT_TRUE(stored.has_value());
  EXPECT_EQ(stored->record.state, RunState::kAccepted);
  EXPECT_TRUE(stored->tasks.empty());
  EXPECT_EQ(ask_for<OwnerAnswer>(store(), ReadOwner{kPartition}).record.number, 1U);
}

TEST_P(StoreContract, ABeatRenewsAndWritesNothingElse) {
  take(store());
  accepted(1, 1);
  TurnCommit beat = turn_of(0, {TestRun(run_id(2)).accept()});
  beat.partitions[0].beat = 99;
  EXPECT_EQ(result_of(commit(store(), beat)), CommitResult::kApplied);
  OwnerRecord record = ask_for<OwnerAnswer>(store(), ReadOwner{kPartition}).record;
  EXPECT_EQ(record.beat, 99U);
  EXPECT_EQ(record.number, 1U);
  EXPECT_FALSE(ask_for<RunAnswer>(store(), LoadRun{run_id(2)}).run.has_value());
}

TEST_P(StoreContract, PartitionsOfOneTurnAreAnsweredEachOnItsOwn) {
  take(store(), PartitionId{1});
  take(store(), PartitionId{2});
  TestRun one(run_id(1, PartitionId{1}));
  TestRun two(run_id(1, PartitionId{2}));
  TestRun three(run_id(1, PartitionId{3}));
  TurnCommit turn = turn_of(1, {one.accept()}, {}, PartitionId{1});
  turn.partitions.push_back(turn_of(2, {two.accept()}, {}, PartitionId{2}).partitions[0]);
  turn.partitions.push_back(turn_of(1, {three.accept()}, {}, PartitionId{3}).partitions[0]);
  CommitOutcome outcome = commit(store(), turn);
  using Answers = std::vector<std::pair<PartitionId, CommitResult>>;
  EXPECT_EQ(outcome.partitions, (Answers{{PartitionId{1}, CommitResult::kApplied},
                                         {PartitionId{2}, CommitResult::kGap},
                                         {PartitionId{3}, CommitResult::kFenced}}));
  EXPECT_TRUE(ask_for<RunAnswer>(store(), LoadRun{one.info().run}).run.has_value());
  EXPECT_FALSE(ask_for<RunAnswer>(store(), LoadRun{two.info().run}).run.has_value());
  EXPECT_FALSE(ask_for<RunAnswer>(store(), LoadRun{three.info().run}).run.has_value());
}

TEST_P(StoreContract, PipelinedCommitsAreAnsweredInOrderAndReadsSeeThem) {
  take(store());
  TestRun run(run_id(1), 50);
  store().commit(turn_of(1, {run.accept()}));
  for (std::uint32_t n = 0; n < 50; ++n) store().commit(turn_of(n + 2, {run.succeed(n, 1)}));
  store().read(7, LoadRun{run_id(1)});
  StoreReplies replies =
      poll_until(store(), [](const StoreReplies& r) { return r.commits.size() == 51 && r.reads.size() == 1; });
  for (std::size_t i = 0; i < replies.commits.size(); ++i) {
    EXPECT_EQ(replies.commits[i].turn, i + 1);
    EXPECT_EQ(result_of(replies.commits[i]), CommitResult::kApplied);
  }
  expect_stored(*std::get<RunAnswer>(replies.reads.at(0).answer).run, run);
}

// ---------------------------------------------------------------- runs

TEST_P(StoreContract, ARunComesBackAsWritten) {
  take(store());
  TestRun run(run_id(1), 2000);
  run.info().labels = {{"team", "data"}};
  run.info().inputs = Payload::inline_json("{\"text\":\"" + std::string(3000, 'x') + "\"}");
  EXPECT_EQ(commit_one(1, {run.accept()}), CommitResult::kApplied);
  EXPECT_EQ(commit_one(2, {run.succeed(0, 1000)}), CommitResult::kApplied);
  EXPECT_EQ(commit_one(3, {run.succeed(500, 1000)}), CommitResult::kApplied);  // half of them again
  run.record().outputs = Payload::reference(hash128("out"), 12);
  EXPECT_EQ(commit_one(4, {run.end(RunState::kSucceeded, 50)}), CommitResult::kApplied);
  auto stored = ask_for<RunAnswer>(store(), LoadRun{run_id(1)}).run;
  ASSERT_TRUE(stored.has_value());
  expect_stored(*stored, run);
  EXPECT_EQ(stored->tasks_total, 2000U);
  EXPECT_FALSE(ask_for<RunAnswer>(store(), LoadRun{run_id(2)}).run.has_value());
}

TEST_P(StoreContract, ASmallRunOfAnySizeOfValuesComesBack) {
  take(store());
  std::uint64_t number = 0;
  std::uint32_t n = 0;
  for (std::size_t size : {0U, 40U, 64U, 200U, 500U, 513U, 5000U}) {
    TestRun run(run_id(++n), 3);
    run.info().inputs = Payload::inline_json("\"" + std::string(size, 'i') + "\"");
    EXPECT_EQ(commit_one(++number, {run.accept()}), CommitResult::kApplied);
    run.record().outputs = Payload::inline_json("\"" + std::string(500 - std::min<std::size_t>(size, 480), 'o') + "\"");
    RunWrite write = run.succeed(0, 3);
    EXPECT_EQ(commit_one(++number, {write}), CommitResult::kApplied);
    run.record().outputs = Payload::inline_json("\"" + std::string(size, 'o') + "\"");  // longer or shorter than before
    EXPECT_EQ(commit_one(++number, {run.end(RunState::kSucceeded, 5)}), CommitResult::kApplied);
    auto stored = ask_for<RunAnswer>(store(), LoadRun{run_id(n)}).run;
    ASSERT_TRUE(stored.has_value()) << size;
    expect_stored(*stored, run);
  }
}

TEST_P(StoreContract, LiveRunsLoadInPagesAndFinishedOnesDoNot) {
  take(store());
  std::vector<RunWrite> writes;
  std::set<RunId> expected;
  for (std::uint32_t n = 1; n <= 150; ++n) {
    TestRun run(run_id(n));
    run.info().accepted = at(n / 10);  // many in one millisecond
    writes.push_back(run.accept());
    if (n % 3 == 0) writes.back().record.state = RunState::kSucceeded;
    else expected.insert(run_id(n));
  }
  EXPECT_EQ(commit_one(1, writes), CommitResult::kApplied);
  std::set<RunId> seen;
  std::string cursor;
  std::size_t pages = 0;
  do {
    ActivePage page = ask_for<ActivePage>(store(), LoadActive{kPartition, cursor});
    EXPECT_TRUE(page.damaged.empty());
    EXPECT_LE(page.runs.size(), kActivePageRuns);
    for (const StoredRun& run : page.runs) EXPECT_TRUE(seen.insert(run.info.run).second);
    cursor = page.next;
    ++pages;
  } while (!cursor.empty() && pages < 10);
  EXPECT_EQ(seen, expected);
  EXPECT_EQ(pages, 2U);
  EXPECT_TRUE(ask_for<ActivePage>(store(), LoadActive{PartitionId{9}, ""}).runs.empty());
}

TEST_P(StoreContract, APageOfLiveRunsIsBoundedByRecords) {
  take(store());
  std::uint64_t number = 0;
  for (std::uint32_t n = 1; n <= 3; ++n) {
    TestRun run = accepted(++number, n, 30'000);
    for (std::uint32_t first = 0; first < 30'000; first += 5'000)
      ASSERT_EQ(commit_one(++number, {run.succeed(first, 5'000)}), CommitResult::kApplied);
  }
  ActivePage page = ask_for<ActivePage>(store(), LoadActive{kPartition, ""});
  EXPECT_EQ(page.runs.size(), 1U);
  EXPECT_EQ(page.runs.at(0).tasks.size(), 30'000U);
  ASSERT_FALSE(page.next.empty());
  page = ask_for<ActivePage>(store(), LoadActive{kPartition, page.next});
  EXPECT_EQ(page.runs.at(0).info.run, run_id(2));
}

TEST_P(StoreContract, ThousandsOfRunsFitOneCommit) {
  take(store());
  std::vector<RunWrite> accepted;
  std::vector<RunWrite> ended;
  for (std::uint32_t n = 1; n <= 2500; ++n) {
    TestRun run(run_id(n));
    accepted.push_back(run.accept());
    if (n % 5 != 0) ended.push_back(run.end(RunState::kSucceeded, n));
  }
  EXPECT_EQ(commit_one(1, accepted), CommitResult::kApplied);
  EXPECT_EQ(commit_one(2, ended), CommitResult::kApplied);
  std::size_t live = 0;
  std::string cursor;
  do {
    ActivePage page = ask_for<ActivePage>(store(), LoadActive{kPartition, cursor});
    live += page.runs.size();
    cursor = page.next;
  } while (!cursor.empty());
  EXPECT_EQ(live, 500U);
  FindRuns all;
  all.query.limit = 1000;
  EXPECT_EQ(listed(all).size(), 2500U);
  EXPECT_EQ(ask_for<KeyAnswer>(store(), FindKey{kPartition, "default", "key-" + to_string(run_id(2500))}).run,
            run_id(2500));
}

TEST_P(StoreContract, ARunThatEndsLeavesTheLiveOnes) {
  take(store());
  TestRun run = accepted(1, 1);
  EXPECT_EQ(ask_for<ActivePage>(store(), LoadActive{kPartition, ""}).runs.size(), 1U);
  EXPECT_EQ(commit_one(2, {run.end(RunState::kCancelled, 5)}), CommitResult::kApplied);
  EXPECT_TRUE(ask_for<ActivePage>(store(), LoadActive{kPartition, ""}).runs.empty());
}

// ---------------------------------------------------------------- keys, listings

TEST_P(StoreContract, AnIdempotencyKeyNamesItsRun) {
  take(store());
  TestRun run(run_id(1));
  run.info().tenant = "acme";
  run.info().key = "once";
  EXPECT_EQ(commit_one(1, {run.accept()}), CommitResult::kApplied);
  KeyAnswer found = ask_for<KeyAnswer>(store(), FindKey{kPartition, "acme", "once"});
  EXPECT_EQ(found.run, run_id(1));
  EXPECT_EQ(found.request, short_request(run.info().request));
  EXPECT_FALSE(ask_for<KeyAnswer>(store(), FindKey{kPartition, "default", "once"}).run.has_value());
  EXPECT_FALSE(ask_for<KeyAnswer>(store(), FindKey{PartitionId{4}, "acme", "once"}).run.has_value());
  EXPECT_EQ(commit_one(2, {run.end(RunState::kSucceeded, 5)}), CommitResult::kApplied);
  EXPECT_EQ(ask_for<KeyAnswer>(store(), FindKey{kPartition, "acme", "once"}).run, run_id(1));
}

TEST_P(StoreContract, AScanOfTheKeysFindsEachAtLeastOnce) {
  take(store());
  std::set<std::uint64_t> wanted;
  std::vector<RunWrite> writes;
  for (std::uint32_t n = 1; n <= 3000; ++n) {
    TestRun run(run_id(n));
    wanted.insert(key_fingerprint(run.info().tenant, run.info().key));
    writes.push_back(run.accept());
  }
  ASSERT_EQ(commit_one(1, std::move(writes)), CommitResult::kApplied);
  std::set<std::uint64_t> found;
  std::string cursor;
  do {
    KeysAnswer page = ask_for<KeysAnswer>(store(), ScanKeys{kPartition, cursor});
    found.insert(page.fingerprints.begin(), page.fingerprints.end());
    cursor = page.next;
  } while (!cursor.empty());
  EXPECT_EQ(found, wanted);
  EXPECT_TRUE(ask_for<KeysAnswer>(store(), ScanKeys{PartitionId{5}, ""}).fingerprints.empty());
}

TEST_P(StoreContract, RunsAreListedNewestFirstOverAllPartitions) {
  std::vector<std::string> expected;
  std::map<PartitionId, std::vector<RunWrite>> writes;
  for (std::uint32_t n = 1; n <= 300; ++n) {
    PartitionId partition{static_cast<std::uint16_t>(n % 3)};
    TestRun run(run_id(n, partition));
    run.info().accepted = at(n);
    writes[partition].push_back(run.accept());
    if (n % 2 == 0) writes[partition].back().record.state = RunState::kFailed;
    expected.insert(expected.begin(), to_string(run.info().run));
  }
  for (auto& [partition, runs] : writes) {
    take(store(), partition);
    ASSERT_EQ(result_of(commit(store(), turn_of(1, runs, {}, partition))), CommitResult::kApplied);
  }
  FindRuns find;
  find.query.limit = 7;
  EXPECT_EQ(listed(find), expected);
  find.query.limit = 1000;
  RunsAnswer all = ask_for<RunsAnswer>(store(), find);
  EXPECT_EQ(all.runs.size(), 300U);
  EXPECT_EQ(all.next, "");
  find.query.limit = 300;
  EXPECT_EQ(ask_for<RunsAnswer>(store(), find).next, "");
  find.query.limit = 50;
  find.query.state = RunState::kFailed;
  EXPECT_EQ(listed(find).size(), 150U);
}

TEST_P(StoreContract, ListingsFilterByWhatIsKnownOfARun) {
  take(store());
  std::vector<RunWrite> writes;
  for (std::uint32_t n = 1; n <= 8; ++n) {
    TestRun run(run_id(n), 5);
    if (n & 1) run.info().tenant = "acme";
    if (n & 2) run.info().workflow = "other";
    if (n & 4) run.info().labels = {{"a", "1"}, {"b", std::to_string(n)}};
    if (n == 8) run.info().caller = "you";
    writes.push_back(run.accept());
  }
  ASSERT_EQ(commit_one(1, writes), CommitResult::kApplied);
  auto count = [&](auto set) {
    FindRuns find;
    set(find);
    return listed(find).size();
  };
  EXPECT_EQ(count([](FindRuns&) {}), 8U);
  EXPECT_EQ(count([](FindRuns& f) { f.query.tenant = "acme"; }), 4U);
  EXPECT_EQ(count([](FindRuns& f) { f.query.workflow = "other"; }), 4U);
  EXPECT_EQ(count([](FindRuns& f) { f.query.labels = {{"a", "1"}}; }), 4U);
  EXPECT_EQ(count([](FindRuns& f) { f.query.labels = {{"a", "1"}, {"b", "5"}}; }), 1U);
  EXPECT_EQ(count([](FindRuns& f) { f.query.caller = "you"; }), 1U);
  EXPECT_EQ(count([](FindRuns& f) { f.query.state = RunState::kSucceeded; }), 0U);
  EXPECT_EQ(count([](FindRuns& f) { f.prefix = to_string(run_id(5)).substr(0, 6); }), 1U);
  EXPECT_EQ(count([](FindRuns& f) { f.prefix = "zzzzzzz"; }), 0U);
  FindRuns newest;
  newest.query.limit = 1;
  RunSummary row = ask_for<RunsAnswer>(store(), newest).runs.at(0);
  EXPECT_EQ(row.run, run_id(8));
  EXPECT_EQ(row.state, RunState::kAccepted);
  EXPECT_EQ(row.workflow, "insight");
  EXPECT_EQ(row.tasks_total, 5U);
  EXPECT_EQ(row.trace_id, TestRun(run_id(8)).info().trace_id);
}

TEST_P(StoreContract, ATokenThatIsNoneIsRefused) {
  FindRuns find;
  find.query.page = "garbage";
  EXPECT_EQ(std::get<ReadFailed>(ask(store(), find)).error.code, Code::kInvalid);
  EXPECT_EQ(std::get<ReadFailed>(ask(store(), LoadActive{kPartition, "garbage"})).error.code, Code::kInvalid);
}

// ---------------------------------------------------------------- events, logs, values

TEST_P(StoreContract, EventsOfARunComeInOrderWithTheirCursors) {
  take(store());
  TestRun run(run_id(1), 100);
  TestRun noise(run_id(2), 100);
  std::vector<Event> expected;
  auto remember = [&](Event event, std::uint64_t number) {
    event.cursor = stream_id(kEpoch.counter, number);
    expected.push_back(event);
    event.cursor.clear();
    return event;
  };
  Event first = remember(run.event(EventType::kRunAccepted), 1);
  first.node = "a name that the plan knows";
  ASSERT_EQ(commit_one(1, {run.accept(), noise.accept()}, {first, noise.event(EventType::kRunAccepted)}),
            CommitResult::kApplied);
  for (std::uint32_t n = 2; n <= 30; ++n) {
    std::vector<Event> events = {noise.event(EventType::kTaskSucceeded, n),
                                 remember(run.event(EventType::kTaskSucceeded, 2 * n), n),
                                 remember(run.event(EventType::kTaskFailed, 2 * n + 1), n)};
    ASSERT_EQ(commit_one(n, {run.succeed(2 * n, 2), noise.succeed(n, 1)}, events), CommitResult::kApplied);
  }
  EXPECT_EQ(ask_for<EventsAnswer>(store(), ReadRunEvents{run_id(1), 0, 1000}).events, expected);

  std::vector<Event> paged;
  for (std::uint64_t since = 0;;) {
    std::vector<Event> page = ask_for<EventsAnswer>(store(), ReadRunEvents{run_id(1), since, 7}).events;
    EXPECT_LE(page.size(), 7U);
    if (page.empty()) break;
    since = page.back().seq;
    paged.insert(paged.end(), page.begin(), page.end());
  }
  EXPECT_EQ(paged, expected);
  std::vector<Event> again = ask_for<EventsAnswer>(store(), ReadRunEvents{run_id(1), 3, 2}).events;  // back again
  EXPECT_EQ(again, (std::vector<Event>{expected[3], expected[4]}));
  EXPECT_TRUE(ask_for<EventsAnswer>(store(), ReadRunEvents{run_id(9), 0, 10}).events.empty());
}

TEST_P(StoreContract, EventsGoOnUnderANewEpoch) {
  take(store());
  TestRun run(run_id(1), 2);
  const Event accepted = run.event(EventType::kRunAccepted);
  ASSERT_EQ(commit_one(1, {run.accept()}, {accepted}), CommitResult::kApplied);
  const Epoch next{.counter = 5, .nonce = 1};
  take(store(), kPartition, next, "c2");
  Event ended = run.event(EventType::kRunSucceeded);
  ASSERT_EQ(result_of(commit(store(), turn_of(2, {run.end(RunState::kSucceeded, 3)}, {ended}, kPartition, next))),
            CommitResult::kApplied);
  std::vector<Event> events = ask_for<EventsAnswer>(store(), ReadRunEvents{run_id(1), 0, 10}).events;
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].cursor, "1-1");
  EXPECT_EQ(events[1].cursor, "5-2");
}

TEST_P(StoreContract, LogLinesComeInOrderByNodeAndAttemptFromACursor) {
  take(store());
  TestRun run = accepted(1, 1);
  TurnCommit turn = turn_of(2, {});
  for (std::uint32_t i = 0; i < 10; ++i)
    turn.logs.push_back({run_id(1),
                         {.node = i % 2 == 0 ? "a" : "b",
                          .attempt = 1 + i / 6,
                          .stderr_stream = i == 3,
                          .time = at(i),
                          .text = "line " + std::to_string(i)}});
  ASSERT_EQ(result_of(commit(store(), turn)), CommitResult::kApplied);
  LogsAnswer all = ask_for<LogsAnswer>(store(), ReadRunLogs{run_id(1), "", 0, "", 1000});
  ASSERT_EQ(all.lines.size(), 10U);
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(all.lines[i], turn.logs[i].line);
  EXPECT_EQ(ask_for<LogsAnswer>(store(), ReadRunLogs{run_id(1), "a", 0, "", 1000}).lines.size(), 5U);
  EXPECT_EQ(ask_for<LogsAnswer>(store(), ReadRunLogs{run_id(1), "a", 2, "", 1000}).lines.size(), 2U);
  LogsAnswer head = ask_for<LogsAnswer>(store(), ReadRunLogs{run_id(1), "", 0, "", 4});
  LogsAnswer tail = ask_for<LogsAnswer>(store(), ReadRunLogs{run_id(1), "", 0, head.cursor, 1000});
  EXPECT_EQ(head.lines.size(), 4U);
  ASSERT_EQ(tail.lines.size(), 6U);
  EXPECT_EQ(tail.lines[0].text, "line 4");
  LogsAnswer nothing = ask_for<LogsAnswer>(store(), ReadRunLogs{run_id(1), "", 0, tail.cursor, 1000});
  EXPECT_TRUE(nothing.lines.empty());
  EXPECT_EQ(nothing.cursor, tail.cursor);
}

TEST_P(StoreContract, ValuesDefinitionsAndFleetAreKept) {
  take(store());
  const std::string big(300'000, 'v');
  const Hash128 value = hash128(big);
  const Hash128 definition = hash128("bytes");
  TurnCommit turn = turn_of(1, {});
  turn.values.push_back({value, std::make_shared<const std::string>(big)});
  turn.partitions[0].definitions.push_back({definition, std::make_shared<const std::string>("bytes")});
  turn.fleet = {"w2", "w1"};
  ASSERT_EQ(result_of(commit(store(), turn)), CommitResult::kApplied);
  EXPECT_EQ(ask_for<ValueAnswer>(store(), LoadValue{value}).json, big);
  EXPECT_FALSE(ask_for<ValueAnswer>(store(), LoadValue{definition}).json.has_value());
  DefinitionAnswer found = ask_for<DefinitionAnswer>(store(), LoadDefinition{kPartition, definition});
  ASSERT_NE(found.bytes, nullptr);
  EXPECT_EQ(*found.bytes, "bytes");
  EXPECT_EQ(found.definition, definition);
  EXPECT_EQ(ask_for<DefinitionAnswer>(store(), LoadDefinition{kPartition, value}).bytes, nullptr);
  EXPECT_EQ(ask_for<FleetAnswer>(store(), ReadFleet{}).names, (std::vector<std::string>{"w1", "w2"}));
}

// ---------------------------------------------------------------- what is not kept any longer

TEST_P(StoreContract, ADeletedRunIsGoneWithAllThatBelongsToIt) {
  take(store());
  TestRun gone(run_id(1));
  TestRun kept(run_id(2));
  EXPECT_EQ(commit_one(1, {gone.accept(), kept.accept()},
                       {gone.event(EventType::kRunAccepted), kept.event(EventType::kRunAccepted)}),
            CommitResult::kApplied);
  TurnCommit logs;
  logs.turn = 90;
  logs.logs.push_back({run_id(1), {"a", 1, false, at(5), "hello"}});
  commit(store(), logs);
  EXPECT_EQ(commit_one(2, {gone.end(RunState::kSucceeded, 50)}), CommitResult::kApplied);
  TurnCommit turn = turn_of(3, {});
  turn.partitions[0].deletes = {run_id(1)};
  EXPECT_EQ(result_of(commit(store(), turn)), CommitResult::kApplied);

  EXPECT_FALSE(ask_for<RunAnswer>(store(), LoadRun{run_id(1)}).run.has_value());
  EXPECT_EQ(listed({}), std::vector<std::string>{to_string(run_id(2))});
  EXPECT_TRUE(ask_for<LogsAnswer>(store(), ReadRunLogs{run_id(1), "", 0, "", 100}).lines.empty());
  EXPECT_TRUE(ask_for<EventsAnswer>(store(), ReadRunEvents{run_id(1), 0, 100}).events.empty());
  EXPECT_TRUE(ask_for<RunAnswer>(store(), LoadRun{run_id(2)}).run.has_value());
  KeyAnswer key = ask_for<KeyAnswer>(store(), FindKey{kPartition, "default", gone.info().key});
  EXPECT_EQ(key.run, run_id(1)) << "its key stays for its time";
  EXPECT_EQ(result_of(commit(store(), turn)), CommitResult::kAlready) << "sent again";
}

TEST_P(StoreContract, ARunThatLivesIsNotDeletedWhoeverSaysSo) {
  take(store());
  TestRun run = accepted(1, 1);
  TurnCommit turn = turn_of(2, {});
  turn.partitions[0].deletes = {run_id(1), run_id(77)};
  EXPECT_EQ(result_of(commit(store(), turn)), CommitResult::kApplied);
  EXPECT_TRUE(ask_for<RunAnswer>(store(), LoadRun{run_id(1)}).run.has_value());
  EXPECT_EQ(ask_for<ActivePage>(store(), LoadActive{kPartition, ""}).runs.size(), 1U);
  EXPECT_EQ(listed({}).size(), 1U);
}

TEST_P(StoreContract, ADeletionIsFencedAndNumberedLikeAnyCommit) {
  take(store());
  TestRun run = accepted(1, 1);
  EXPECT_EQ(commit_one(2, {run.end(RunState::kFailed, 50)}), CommitResult::kApplied);
  auto other = another();
  take(*other, kPartition, Epoch{2, 9}, "c2");
  TurnCommit turn = turn_of(3, {});
  turn.partitions[0].deletes = {run_id(1)};
  EXPECT_EQ(result_of(commit(store(), turn)), CommitResult::kFenced);
  EXPECT_TRUE(ask_for<RunAnswer>(store(), LoadRun{run_id(1)}).run.has_value());
}

TEST_P(StoreContract, DefinitionsAndCountsGoWithTheCommitThatSaysSo) {
  take(store());
  const Hash128 hash = hash128("definition");
  TurnCommit first = turn_of(1, {});
  first.partitions[0].definitions.emplace_back(hash, std::make_shared<const std::string>("definition"));
  first.partitions[0].finished = {{"default\0w"s, 3}, {"default\0v"s, 1}};
  EXPECT_EQ(result_of(commit(store(), first)), CommitResult::kApplied);
  EXPECT_NE(ask_for<DefinitionAnswer>(store(), LoadDefinition{kPartition, hash}).bytes, nullptr);
  TurnCommit second = turn_of(2, {});
  second.partitions[0].definitions_gone = {hash};
  second.partitions[0].finished = {{"default\0w"s, 2}, {"default\0v"s, 0}};
  EXPECT_EQ(result_of(commit(store(), second)), CommitResult::kApplied);
  EXPECT_EQ(ask_for<DefinitionAnswer>(store(), LoadDefinition{kPartition, hash}).bytes, nullptr);
  using Counts = std::vector<std::pair<std::string, std::uint64_t>>;
  EXPECT_EQ(ask_for<FinishedAnswer>(store(), ReadFinished{kPartition}).counts, (Counts{{"default\0w"s, 2}}));
  auto other = another();
  take(*other, kPartition, Epoch{2, 9}, "c2");
  EXPECT_TRUE(ask_for<FinishedAnswer>(*other, ReadFinished{kPartition}).counts.empty()) << "who takes it counts anew";
}

TEST_P(StoreContract, AScanShowsAllRunsOldestFirstPageByPage) {
  take(store());
  std::vector<RunWrite> writes;
  for (std::uint32_t n = 1; n <= 50; ++n) {
    TestRun run(run_id(n));
    run.info().accepted = at(n / 5);  // many of one millisecond
    writes.push_back(run.accept());
    if (n % 2 == 0) writes.push_back(run.end(RunState::kSucceeded, 900));
  }
  EXPECT_EQ(commit_one(1, std::move(writes)), CommitResult::kApplied);
  std::vector<RunRow> rows;
  std::string cursor;
  int pages = 0;
  do {
    ScanAnswer page = ask_for<ScanAnswer>(store(), ScanRuns{kPartition, cursor, 7});
    EXPECT_LE(page.runs.size(), 7U);
    EXPECT_EQ(page.skipped, 0U);
    rows.insert(rows.end(), page.runs.begin(), page.runs.end());
    cursor = page.next;
  } while (!cursor.empty() && ++pages < 20);
  ASSERT_EQ(rows.size(), 50U);
  std::set<RunId> seen;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_LE(rows[i == 0 ? 0 : i - 1].accepted, rows[i].accepted);
    EXPECT_TRUE(seen.insert(rows[i].run).second);
    const bool ended = static_cast<std::uint32_t>(rows[i].run.value) % 2 == 0;
    EXPECT_EQ(rows[i].ended, ended ? at(900) : Time{});
    EXPECT_EQ(rows[i].workflow, "insight");
    EXPECT_EQ(rows[i].epoch, kEpoch.counter);
  }
  EXPECT_TRUE(ask_for<ScanAnswer>(store(), ScanRuns{PartitionId{9}, "", 7}).runs.empty());
}

TEST_P(StoreContract, AKeyGoesWhenItsTimeIsOverAndItsRunIsGone) {
  take(store());
  TestRun gone(run_id(1));
  TestRun kept(run_id(2));
  gone.info().accepted = kept.info().accepted = at(0);
  EXPECT_EQ(commit_one(1, {gone.accept(), kept.accept()}), CommitResult::kApplied);
  EXPECT_EQ(commit_one(2, {gone.end(RunState::kSucceeded, 50), kept.end(RunState::kSucceeded, 50)}),
            CommitResult::kApplied);
  TurnCommit turn = turn_of(3, {});
  turn.partitions[0].deletes = {run_id(1)};
  EXPECT_EQ(result_of(commit(store(), turn)), CommitResult::kApplied);
  Sweep sweep{Sweep::Kind::kKeys, kPartition, "", at(0), at(1000)};
  EXPECT_EQ(ask_for<SweptAnswer>(store(), sweep).dropped, 0U) << "too young";
  sweep.before = at(2'000);
  SweptAnswer swept = ask_for<SweptAnswer>(store(), sweep);
  EXPECT_EQ(swept.looked, 2U);
  EXPECT_EQ(swept.dropped, 1U);
  EXPECT_FALSE(ask_for<KeyAnswer>(store(), FindKey{kPartition, "default", gone.info().key}).run.has_value());
  EXPECT_EQ(ask_for<KeyAnswer>(store(), FindKey{kPartition, "default", kept.info().key}).run, run_id(2));
}

TEST_P(StoreContract, AValueGoesWhenNoRunOfAnyPartitionNeedsItAndNobodyUsesIt) {
  const PartitionId other{0};
  take(store());
  take(store(), other);
  const std::string json = "\"" + std::string(100, 'v') + "\"";
  const Hash128 hash = hash128(json);
  TestRun here(run_id(1));
  TestRun there(run_id(1, other));
  here.info().inputs = there.info().inputs = Payload::reference(hash, json.size());
  TurnCommit turn = turn_of(1, {here.accept()});
  turn.values.push_back({hash, std::make_shared<const std::string>(json), run_id(1)});
  EXPECT_EQ(result_of(commit(store(), turn)), CommitResult::kApplied);
  EXPECT_EQ(result_of(commit(store(), turn_of(1, {there.accept()}, {}, other))), CommitResult::kApplied);
  auto value_there = [&] { return ask_for<ValueAnswer>(store(), LoadValue{hash}).json.has_value(); };
  // `grace` seconds without use are enough. A later run of the partition tells that an earlier one does not come any
  // more.
  auto sweep_all = [&](Duration grace) {
    std::uint64_t dropped = 0;
    for (int round = 0; round < 3; ++round) {
      for (PartitionId partition : {kPartition, other}) {
        Sweep sweep{Sweep::Kind::kValues, partition, "", at(1'000'000) - grace, at(1'000'000)};
        dropped += ask_for<SweptAnswer>(store(), sweep).dropped;
      }
    }
    return dropped;
  };
  TestRun later(run_id(9));
  TestRun later_there(run_id(9, other));
  TurnCommit second = turn_of(2, {here.end(RunState::kSucceeded, 5), later.accept()});
  EXPECT_EQ(result_of(commit(store(), second)), CommitResult::kApplied);
  TurnCommit third = turn_of(3, {});
  third.partitions[0].deletes = {run_id(1)};
  EXPECT_EQ(result_of(commit(store(), third)), CommitResult::kApplied);
  EXPECT_EQ(sweep_all(Duration::zero()), 0U);
  EXPECT_TRUE(value_there()) << "a run of another partition needs it";
  EXPECT_EQ(
      result_of(commit(store(), turn_of(2, {there.end(RunState::kSucceeded, 5), later_there.accept()}, {}, other))),
      CommitResult::kApplied);
  TurnCommit fourth = turn_of(3, {}, {}, other);
  fourth.partitions[0].deletes = {run_id(1, other)};
  EXPECT_EQ(result_of(commit(store(), fourth)), CommitResult::kApplied);
  EXPECT_EQ(sweep_all(std::chrono::hours(1'000'000)), 0U);
  EXPECT_TRUE(value_there()) << "it was used a short while ago";
  EXPECT_EQ(sweep_all(Duration::zero()), 1U);
  EXPECT_FALSE(value_there());
  EXPECT_EQ(sweep_all(Duration::zero()), 0U);
}

TEST_P(StoreContract, SaysHowItIs) {
  const ServerFacts health = ask_for<HealthAnswer>(store(), ExamineStore{}).health;
  EXPECT_EQ(health.kind, GetParam());
  if (health.kind != "redis") return;
  EXPECT_FALSE(health.version.empty());
  EXPECT_EQ(health.role, "master");
  EXPECT_EQ(health.function_version, static_cast<std::uint32_t>(kFunctionVersion));
  EXPECT_EQ(health.format, static_cast<std::uint32_t>(kStoreFormat));
  EXPECT_EQ(health.eviction, "noeviction");
  EXPECT_EQ(health.appendonly, "no");
  EXPECT_GT(health.used_bytes, 0U);
}

}  // namespace
}  // namespace millrace::test
