// The tables of the model: states and their moves, ids of nodes, inputs against their declarations.
#include <gtest/gtest.h>

#include "common/model/executor_fields.h"
#include "common/model/records.h"
#include "common/model/task_state.h"
#include "common/model/workflow.h"

namespace millrace {
namespace {

TEST(TaskStates, NothingLeavesAnEnd) {
  for (int from = 0; from < 10; ++from) {
    for (int to = 0; to < 10; ++to) {
      if (is_terminal(static_cast<TaskState>(from))) {
        EXPECT_FALSE(allowed(static_cast<TaskState>(from), static_cast<TaskState>(to)));
      }
    }
  }
}

TEST(TaskStates, ATaskIsDispatchedOnlyWhenReady) {
  for (int from = 0; from < 10; ++from) {
    auto state = static_cast<TaskState>(from);
    EXPECT_EQ(allowed(state, TaskState::kDispatched), state == TaskState::kReady) << to_string(state);
  }
}

TEST(RunStates, ACancelledRunNeverFailsAndAFailingOneMayBeCancelled) {
  EXPECT_FALSE(allowed(RunState::kCancelling, RunState::kFailed));
  EXPECT_TRUE(allowed(RunState::kFailing, RunState::kCancelling));
  EXPECT_FALSE(allowed(RunState::kFailing, RunState::kSucceeded));
}

TEST(Words, EveryStateIsReadBackFromItsWord) {
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(parse_task_state(to_string(static_cast<TaskState>(i))), static_cast<TaskState>(i));
  for (int i = 0; i < 9; ++i) EXPECT_EQ(parse_run_state(to_string(static_cast<RunState>(i))), static_cast<RunState>(i));
  EXPECT_EQ(parse_run_state("done"), std::nullopt);
}

TEST(NodeIds, LettersDigitsAndThreeSignsButNoReservedName) {
  for (const char* good : {"a", "fetch-data", "_x", "3d", "a.b"}) EXPECT_TRUE(is_node_id(good)) << good;
  for (const char* bad : {"", "-a", ".a", "a b", "inputs", "error", "nodes", "é"}) EXPECT_FALSE(is_node_id(bad)) << bad;
  EXPECT_TRUE(is_node_id(std::string(64, 'a')));
  EXPECT_FALSE(is_node_id(std::string(65, 'a')));
}

TEST(Inputs, EveryProblemIsToldAtOnce) {
  std::vector<InputSpec> declared(3);
  declared[0] = {"text", InputType::kString, true, {}, ""};
  declared[1] = {"n", InputType::kInteger, false, Value(3), ""};
  declared[2] = {"tags", InputType::kArray, false, {}, ""};

  Result<Value> bad = bind_inputs(declared, Value::Object{{"n", "x"}, {"other", 1}});
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().details.size(), 3U);

  Result<Value> good = bind_inputs(declared, Value::Object{{"text", "hi"}});
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->dump(), R"({"text":"hi","n":3,"tags":null})");
}

TEST(Checksums, AnotherOutputOrVersionIsAnotherSum) {
  TaskRecord record;
  EXPECT_EQ(checksum(TaskIndex{1}, record), 0U) << "a task without a record counts as nothing";
  record.version = 1;
  record.state = TaskState::kSucceeded;
  record.output = Payload::inline_json("1");
  std::uint64_t sum = checksum(TaskIndex{1}, record);
  EXPECT_NE(checksum(TaskIndex{2}, record), sum);
  TaskRecord other = record;
  other.output = Payload::inline_json("2");
  EXPECT_NE(checksum(TaskIndex{1}, other), sum);
  other = record;
  other.version = 2;
  EXPECT_NE(checksum(TaskIndex{1}, other), sum);
}

TEST(Executors, AreInAlphabeticalOrderAndFoundByName) {
  std::string_view before;
  for (const ExecutorFields& row : executor_table()) {
    EXPECT_LT(before, row.executor);
    EXPECT_EQ(find_executor(row.executor), &row);
    before = row.executor;
  }
  EXPECT_EQ(find_executor("cobol"), nullptr);
}

}  // namespace
}  // namespace millrace
