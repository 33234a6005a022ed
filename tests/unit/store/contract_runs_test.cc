// The contract of the Store port: commits, and runs as they come back.
#include <gtest/gtest.h>

#include <set>

#include "tests/unit/store/store_contract.h"

namespace millrace::test {
namespace {

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

}  // namespace
}  // namespace millrace::test
