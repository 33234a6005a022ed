// The contract of the Store port: what is not kept any longer, and how the store is.
#include <gtest/gtest.h>

#include <set>

#include "coordinator/shell/run_codec.h"
#include "tests/unit/store/store_contract.h"

namespace millrace::test {
namespace {

using namespace std::string_literals;

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

TEST_P(StoreContract, RecordsOnAShelfComeAndGoWithTheCommitThatSaysSo) {
  take(store());
  const auto records = [&](Store& from, Shelf shelf) {
    std::map<std::string, std::string> all;
    std::string cursor;
    for (int pages = 0; pages < 1000; ++pages) {
      ShelfAnswer page = ask_for<ShelfAnswer>(from, ReadShelf{kPartition, shelf, cursor});
      all.insert(page.records.begin(), page.records.end());
      if (page.next.empty()) return all;
      cursor = page.next;
    }
    ADD_FAILURE() << "paging does not end";
    return all;
  };
  TurnCommit first = turn_of(1, {});
  std::map<std::string, std::string> many;
  for (int i = 0; i < 1300; ++i) {  // more than one row, and more than one page
    many[std::to_string(i)] = std::string(100, 'x') + "\0\n"s + std::to_string(i);
    first.partitions[0].shelves.push_back({Shelf::kOutbox, std::to_string(i), many[std::to_string(i)]});
  }
  first.partitions[0].shelves.push_back({Shelf::kInbox, "4", "mark"});
  EXPECT_EQ(result_of(commit(store(), first)), CommitResult::kApplied);
  EXPECT_EQ(records(store(), Shelf::kOutbox), many);
  TurnCommit second = turn_of(2, {});
  for (int i = 0; i < 1299; ++i) second.partitions[0].shelves.push_back({Shelf::kOutbox, std::to_string(i), ""});
  second.partitions[0].shelves.push_back({Shelf::kInbox, "4", "further"});
  EXPECT_EQ(result_of(commit(store(), second)), CommitResult::kApplied);
  using Records = std::map<std::string, std::string>;
  EXPECT_EQ(records(store(), Shelf::kOutbox), (Records{{"1299", many["1299"]}}));
  auto other = another();
  take(*other, kPartition, Epoch{2, 9}, "c2");
  EXPECT_EQ(records(*other, Shelf::kInbox), (Records{{"4", "further"}})) << "they stay with the partition";
  TurnCommit late = turn_of(3, {});
  late.partitions[0].shelves.push_back({Shelf::kInbox, "4", "late"});
  EXPECT_EQ(result_of(commit(store(), late)), CommitResult::kFenced);
  EXPECT_EQ(records(*other, Shelf::kInbox), (Records{{"4", "further"}}));
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

TEST_P(StoreContract, AValueThatComesInPartsIsThereWhenAllHaveCome) {
  take(store());
  std::string all;
  for (int i = 0; i < 100'000; ++i) all += std::to_string(i);
  const Hash128 hash = hash128(all);
  auto put = [&](std::uint64_t from, std::uint64_t count) {
    return ask_for<PartTaken>(store(), StorePart{hash, all.size(), run_id(1), from, all.substr(from, count), at(0)});
  };
  const std::uint64_t part = 100'000;
  EXPECT_EQ(put(0, part), (PartTaken{hash, part, false, false}));
  EXPECT_EQ(put(2 * part, part), (PartTaken{hash, part, false, false})) << "there is a hole before it";
  EXPECT_EQ(put(0, part), (PartTaken{hash, part, false, false})) << "it was there before";
  EXPECT_FALSE(ask_for<ValueAnswer>(store(), LoadValue{hash}).json.has_value());
  std::uint64_t have = part;
  while (have < all.size()) have = put(have, part).have;
  EXPECT_EQ(have, all.size());
  EXPECT_EQ(put(0, part), (PartTaken{hash, all.size(), true, false})) << "nothing more is wanted of it";
  EXPECT_EQ(ask_for<ValueAnswer>(store(), LoadValue{hash}).json, all);
  const ValueAnswer some = ask_for<ValueAnswer>(store(), LoadValue{hash, 5, 10});
  EXPECT_EQ(some.json, all.substr(5, 10));
  EXPECT_EQ(some.size, all.size());
  EXPECT_EQ(ask_for<ValueAnswer>(store(), LoadValue{hash, all.size() - 3, 10}).json, all.substr(all.size() - 3));
  EXPECT_EQ(ask_for<ValueAnswer>(store(), LoadValue{hash, all.size() + 3, 10}).json, "");
}

TEST_P(StoreContract, PartsThatAreNotWhatTheirNameSaysAreForgotten) {
  take(store());
  const std::string good = "good bytes";
  const Hash128 hash = hash128(good);
  StorePart part{hash, good.size(), run_id(1), 0, "other text", at(0)};
  EXPECT_EQ(ask_for<PartTaken>(store(), part), (PartTaken{hash, 0, false, true}));
  EXPECT_FALSE(ask_for<ValueAnswer>(store(), LoadValue{hash}).json.has_value());
  part.bytes = good;
  EXPECT_EQ(ask_for<PartTaken>(store(), part), (PartTaken{hash, good.size(), true, false}));
  EXPECT_EQ(ask_for<ValueAnswer>(store(), LoadValue{hash}).json, good);
}

TEST_P(StoreContract, AValueOfNoBytesComesInOnePart) {
  take(store());
  EXPECT_EQ(ask_for<PartTaken>(store(), StorePart{hash128(""), 0, run_id(1), 0, "", at(0)}),
            (PartTaken{hash128(""), 0, true, false}));
  const ValueAnswer found = ask_for<ValueAnswer>(store(), LoadValue{hash128(""), 0, 10});
  EXPECT_EQ(found.json, "");
  EXPECT_EQ(found.size, 0U);
}

// Its needs are written down as those of any value: it goes with the last run that has one.
TEST_P(StoreContract, AValueThatCameInPartsGoesWithTheRunThatItCameFor) {
  take(store());
  TestRun first(run_id(1));
  TestRun later(run_id(9));
  EXPECT_EQ(result_of(commit(store(), turn_of(1, {first.accept(), later.accept()}))), CommitResult::kApplied);
  const std::string text = "kept for a run";
  const Hash128 hash = hash128(text);
  ASSERT_TRUE(ask_for<PartTaken>(store(), StorePart{hash, text.size(), run_id(1), 0, text, at(0)}).kept);
  auto swept = [&] {
    Sweep sweep{Sweep::Kind::kValues, PartitionId{0}, "", at(1'000'000), at(1'000'000)};
    std::uint64_t dropped = ask_for<SweptAnswer>(store(), sweep).dropped;
    sweep.partition = kPartition;
    return dropped + ask_for<SweptAnswer>(store(), sweep).dropped;
  };
  EXPECT_EQ(swept(), 0U);
  TurnCommit gone = turn_of(3, {});
  gone.partitions[0].deletes = {run_id(1)};
  EXPECT_EQ(result_of(commit(store(), turn_of(2, {first.end(RunState::kSucceeded, 5)}))), CommitResult::kApplied);
  EXPECT_EQ(result_of(commit(store(), gone)), CommitResult::kApplied);
  EXPECT_EQ(swept(), 1U);
  EXPECT_FALSE(ask_for<ValueAnswer>(store(), LoadValue{hash}).json.has_value());
}

TEST_P(StoreContract, AValueThatIsKeptUnderAKeyStaysAsLongAsThat) {
  take(store());
  const std::string json = "\"" + std::string(100, 'v') + "\"";
  const Hash128 hash = hash128(json);
  TestRun maker(run_id(1));
  maker.info().inputs = Payload::reference(hash, json.size());
  TestRun later(run_id(9));
  TurnCommit first = turn_of(1, {maker.accept(), later.accept()});
  first.values.push_back({hash, std::make_shared<const std::string>(json), run_id(1)});
  EXPECT_EQ(result_of(commit(store(), first)), CommitResult::kApplied);
  const auto there = [&] { return ask_for<ValueAnswer>(store(), LoadValue{hash}).json.has_value(); };
  const auto sweep = [&] {
    std::uint64_t dropped = 0;
    for (int round = 0; round < 3; ++round) {
      for (const PartitionId partition : {kPartition, PartitionId{0}}) {
        Sweep sweep{Sweep::Kind::kValues, partition, "", at(1'000'000), at(1'000'000)};
        dropped += ask_for<SweptAnswer>(store(), sweep).dropped;
      }
    }
    return dropped;
  };
  TurnCommit kept = turn_of(2, {maker.end(RunState::kSucceeded, 5)});
  kept.partitions[0].shelves.push_back({Shelf::kCache, "field:1", "entry"});
  kept.partitions[0].needs.push_back({hash, {}, "field:1"});
  EXPECT_EQ(result_of(commit(store(), kept)), CommitResult::kApplied);
  TurnCommit gone = turn_of(3, {});
  gone.partitions[0].deletes = {run_id(1)};
  EXPECT_EQ(result_of(commit(store(), gone)), CommitResult::kApplied);
  EXPECT_EQ(sweep(), 0U);
  EXPECT_TRUE(there()) << "its run is gone, what is kept is not";

  TurnCommit told = turn_of(4, {});  // somebody is told of it in the turn in which it goes
  told.partitions[0].shelves.push_back({Shelf::kCache, "field:1", ""});
  told.partitions[0].needs.push_back({hash, run_id(9), ""});
  EXPECT_EQ(result_of(commit(store(), told)), CommitResult::kApplied);
  EXPECT_EQ(sweep(), 0U);
  EXPECT_TRUE(there()) << "a run needs it";

  TestRun last(run_id(10));
  EXPECT_EQ(commit_one(5, {later.end(RunState::kSucceeded, 5), last.accept()}), CommitResult::kApplied);
  TurnCommit end = turn_of(6, {});
  end.partitions[0].deletes = {run_id(9)};
  EXPECT_EQ(result_of(commit(store(), end)), CommitResult::kApplied);
  EXPECT_EQ(sweep(), 1U);
  EXPECT_FALSE(there());
}

TEST_P(StoreContract, WhatACommitIsAboutToKeepIsNotTakenForGone) {
  take(store());
  const std::string json = "\"" + std::string(100, 'w') + "\"";
  const Hash128 hash = hash128(json);
  TestRun maker(run_id(1));
  maker.info().inputs = Payload::reference(hash, json.size());
  TestRun later(run_id(9));
  TurnCommit first = turn_of(1, {maker.accept(), later.accept()});
  first.values.push_back({hash, std::make_shared<const std::string>(json), run_id(1)});
  EXPECT_EQ(result_of(commit(store(), first)), CommitResult::kApplied);
  TurnCommit early = turn_of(3, {});  // refused, since number 2 is missing; but its needs are written down
  early.partitions[0].shelves.push_back({Shelf::kCache, "field:2", "entry"});
  early.partitions[0].needs.push_back({hash, {}, "field:2"});
  EXPECT_EQ(result_of(commit(store(), early)), CommitResult::kGap);
  const auto sweep = [&] {
    Sweep sweep{Sweep::Kind::kValues, kPartition, "", at(1'000'000) - std::chrono::hours(1'000'000), at(1'000'000)};
    return ask_for<SweptAnswer>(store(), sweep).dropped;
  };
  EXPECT_EQ(sweep(), 0U);
  EXPECT_EQ(commit_one(2, {maker.end(RunState::kSucceeded, 5)}), CommitResult::kApplied);
  EXPECT_EQ(sweep(), 0U);
  TurnCommit now = early;
  now.partitions[0].needs.clear();  // those that were written down are what counts
  now.partitions[0].deletes = {run_id(1)};
  EXPECT_EQ(result_of(commit(store(), now)), CommitResult::kApplied);
  for (const PartitionId partition : {kPartition, PartitionId{0}}) {
    Sweep all{Sweep::Kind::kValues, partition, "", at(1'000'000), at(1'000'000)};
    EXPECT_EQ(ask_for<SweptAnswer>(store(), all).dropped, 0U);
  }
  EXPECT_TRUE(ask_for<ValueAnswer>(store(), LoadValue{hash}).json.has_value());
}

TEST_P(StoreContract, SaysHowItIs) {
  const ServerFacts health = ask_for<HealthAnswer>(store(), ExamineStore{}).health;
  EXPECT_EQ(health.kind, std::string_view(GetParam()) == "memory" ? "memory" : "redis");
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
