// The contract of the Store port: idempotency keys and listings.
#include <gtest/gtest.h>

#include <set>

#include "coordinator/shell/run_codec.h"
#include "tests/unit/store/store_contract.h"

namespace millrace::test {
namespace {

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

TEST_P(StoreContract, ListingsShowTheRunsForWhichAnExpressionHolds) {
  take(store());
  std::vector<RunWrite> writes;
  for (std::uint32_t n = 1; n <= 6; ++n) {
    TestRun run(run_id(n), 5);
    run.info().accepted = at(n);
    if (n & 1) run.info().labels = {{"team", "search"}};
    if (n == 6) run.info().retry_of = run_id(1);
    writes.push_back(run.accept());
    if (n != 3) continue;
    writes.back().record.state = RunState::kFailed;
    writes.back().record.ended = at(n + 90);
    writes.back().record.why = "the disk was full";
    writes.back().record.error = std::make_shared<const RunError>(RunError{"timeout", "too slow", "a", 1, ""});
  }
  ASSERT_EQ(commit_one(1, writes), CommitResult::kApplied);
  auto count = [&](const char* where) {
    FindRuns find;
    find.query.where = where;
    return listed(find).size();
  };
  EXPECT_EQ(count("true"), 6U);
  EXPECT_EQ(count("labels.team == 'search'"), 3U);
  EXPECT_EQ(count("status == 'failed' and workflow == 'insight'"), 1U);
  EXPECT_EQ(count("elapsed > 0.08"), 1U) << "of the others there is nothing to compare";
  EXPECT_EQ(count("not (elapsed > 0.08)"), 0U);
  EXPECT_EQ(count("ended == null and tasks.total == 5"), 5U);
  EXPECT_EQ(count("error.code == 'timeout' or retry_of != null"), 2U);
  EXPECT_EQ(count("'disk' in (reason | default(''))"), 1U);
  FindRuns bad;
  bad.query.where = "state == 'failed'";
  EXPECT_EQ(std::get<ReadFailed>(ask(store(), bad)).error.code, Code::kInvalid) << "a name that no run has";
}

TEST_P(StoreContract, ATokenThatIsNoneIsRefused) {
  FindRuns find;
  find.query.page = "garbage";
  EXPECT_EQ(std::get<ReadFailed>(ask(store(), find)).error.code, Code::kInvalid);
  EXPECT_EQ(std::get<ReadFailed>(ask(store(), LoadActive{kPartition, "garbage"})).error.code, Code::kInvalid);
}

}  // namespace
}  // namespace millrace::test
