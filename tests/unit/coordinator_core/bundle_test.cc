// Partition: joins over very many upstream tasks, and large changes spread over steps.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/world.h"

namespace millrace::test {
namespace {

TEST(Bundle, AJoinOverVeryManyGetsTheirOutputsAsOneValue) {
  World w;
  std::string wide;
  for (std::uint32_t i = 0; i <= kVisibleMax; ++i) {
    wide += "n" + std::to_string(i) + "[value=" + std::to_string(i) + "] -> join, ";
  }
  w.run(wide + "join[executor=python]");
  w.pass(1s);  // so many value nodes take more than one step
  w.took();

  w.worker(1);

  const Lines lines = w.took();
  EXPECT_EQ(std::ranges::count_if(lines, [](const std::string& line) { return line.starts_with("value "); }), 1);
  ASSERT_EQ(w.assigned().size(), 1U);
  EXPECT_EQ(w.assigned()[0], w.id("join#1"));
}

TEST(Bundle, ALargeCancelIsSpreadOverSteps) {
  World w;
  std::string chain = "n0";
  for (int i = 1; i < 3'000; ++i) chain += " -> n" + std::to_string(i);
  w.run(chain);

  w.cancel();
  w.pass(1s);

  EXPECT_EQ(w.run_state(), RunState::kCancelled);
  EXPECT_EQ(w.the_run().count(TaskState::kCancelled), 3'000U);
  EXPECT_LE(w.records_most(), kRecordsPerStep + 2);
}

}  // namespace
}  // namespace millrace::test
