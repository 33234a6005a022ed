#include "bench/pool.h"

#include <gtest/gtest.h>

namespace millrace::bench {
namespace {

TEST(Pool, EachProgramIsToPrintWhatIsWanted) {
  const auto right = run_pool({"echo", "1"}, "1", 5);
  ASSERT_TRUE(right.ok()) << right.error().what;
  EXPECT_GT(right->total_s, 0);
  const auto wrong = run_pool({"echo", "2"}, "1", 5);
  ASSERT_FALSE(wrong.ok());
  EXPECT_NE(wrong.error().what.find("'2'"), std::string::npos) << wrong.error().what;
}

TEST(Pool, AProgramThatFailsOrIsNotThereFails) {
  EXPECT_FALSE(run_pool({"sh", "-c", "echo 1; exit 3"}, "1", 5).ok());
  const auto absent = run_pool({"/nowhere/program"}, "1", 5);
  ASSERT_FALSE(absent.ok());
  EXPECT_EQ(absent.error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace millrace::bench
