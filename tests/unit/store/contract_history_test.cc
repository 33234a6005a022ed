// The contract of the Store port: events, logs, values.
#include <gtest/gtest.h>

#include "tests/unit/store/store_contract.h"

namespace millrace::test {
namespace {

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

}  // namespace
}  // namespace millrace::test
