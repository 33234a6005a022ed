#include "worker/executors/noop.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cstdlib>
#include <filesystem>

#include "tests/unit/executors/harness.h"

namespace millrace::test {
namespace {

TEST(Noop, WithoutADelayItIsDoneBeforeStartReturns) {
  Harness h;
  AttemptId attempt = h.start("noop", object({}));
  ASSERT_EQ(h.recorder.of(attempt).outcomes.size(), 1U);
  EXPECT_TRUE(h.recorder.of(attempt).outcomes[0].success);
  EXPECT_TRUE(h.recorder.of(attempt).outcomes[0].output.is_null());
}

TEST(Noop, ADelayIsWaitedFor) {
  Harness h;
  AttemptId attempt = h.start("noop", object({{"delay", "30ms"}}));
  EXPECT_TRUE(h.recorder.of(attempt).outcomes.empty());
  Outcome outcome = h.wait(attempt);
  EXPECT_TRUE(outcome.success);
  EXPECT_GE(outcome.ran, 30ms);
}

TEST(Noop, DelaysAreSecondsOrDurations) {
  EXPECT_EQ(*parse_delay(0), Duration::zero());
  EXPECT_EQ(*parse_delay(2), 2s);
  EXPECT_EQ(*parse_delay(0.25), 250ms);
  EXPECT_EQ(*parse_delay("10ms"), 10ms);
  EXPECT_EQ(*parse_delay("1m30s"), 90s);
}

TEST(Noop, WhatIsNoDelayIsRefusedByName) {
  for (const Value& wrong :
       {Value(-1), Value("fast"), Value("5"), Value("-1s"), Value(true), Value(1e300), list({1})}) {
    Result<Duration> delay = parse_delay(wrong);
    ASSERT_FALSE(delay.ok()) << wrong.dump();
    EXPECT_EQ(delay.error().what, "`delay` is " + wrong.dump() + "; expected seconds or a duration like 10ms");
  }
}

TEST(Noop, AThousandDelayedTasksEndTogether) {
  Harness h;
  std::vector<AttemptId> attempts;
  for (int i = 0; i < 1000; ++i) attempts.push_back(h.start("noop", object({{"delay", "20ms"}})));
  auto start = std::chrono::steady_clock::now();
  for (const AttemptId& attempt : attempts) EXPECT_TRUE(h.wait(attempt).success);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

TEST(ExecutorSet, KnowsItsExecutorsByName) {
  Harness h;
  std::vector<std::string> names = {"container", "http", "javascript", "llm", "noop", "python", "shell", "template"};
  if (!has_node()) std::erase(names, "javascript");
  EXPECT_EQ(h.executors.names(), names);
  for (const std::string& name : h.executors.names()) EXPECT_NE(h.executors.find(name), nullptr);
  EXPECT_EQ(h.executors.find("docker"), nullptr);
}

TEST(ExecutorSet, HasARowForEveryExecutorThatAWorkflowMayName) {
  Harness h;
  for (const ExecutorFields& row : executor_table()) EXPECT_NE(h.executors.find(row.executor), nullptr) << row.executor;
}

// A worker that was killed leaves its directory; one that lives holds a lock on its own.
TEST(ExecutorSet, SweepsAwayTheScratchDirectoriesOfKilledWorkersAndOfNobodyElse) {
  namespace fs = std::filesystem;
  const fs::path root = fs::path(::testing::TempDir()) / ("sweep-" + std::to_string(getpid()));
  const fs::path dead = root / "millrace-work-dead01";
  const fs::path young = root / "millrace-work-young1";
  const fs::path held = root / "millrace-work-held01";
  const fs::path other = root / "somebody-else";
  for (const fs::path& each : {dead, young, held, other}) fs::create_directories(each);
  std::ofstream(dead / "left.txt") << "x";
  for (const fs::path& each : {dead, held, other})
    fs::last_write_time(each, fs::file_time_type::clock::now() - std::chrono::hours(1));
  const int lock = open(held.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(flock(lock, LOCK_EX), 0);
  const std::string before = std::getenv("TMPDIR") != nullptr ? std::getenv("TMPDIR") : "";

  setenv("TMPDIR", root.c_str(), 1);
  { Harness h; }
  if (before.empty()) unsetenv("TMPDIR");
  else setenv("TMPDIR", before.c_str(), 1);

  EXPECT_FALSE(fs::exists(dead));
  EXPECT_TRUE(fs::exists(young));
  EXPECT_TRUE(fs::exists(held));
  EXPECT_TRUE(fs::exists(other));
  EXPECT_EQ(std::distance(fs::directory_iterator(root), fs::directory_iterator()), 3);  // its own is gone, too
  close(lock);
  fs::remove_all(root);
}

}  // namespace
}  // namespace millrace::test
