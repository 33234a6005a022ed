// The checker of histories finds what it is there to find.
#include <gtest/gtest.h>

#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

Value event(int seq, std::string_view type, std::string_view node = "") {
  return Value::Object{{"seq", seq}, {"type", type}, {"node", node.empty() ? Value() : Value(node)}};
}

TEST(HistoryChecker, AcceptsARunThatWasAcceptedWorkedOnAndEnded) {
  EXPECT_EQ(problem_of_history({event(1, "run_accepted"), event(2, "task_retrying", "a"),
                                event(3, "task_succeeded", "a"), event(4, "run_succeeded")}),
            "");
}

TEST(HistoryChecker, FindsAGap) {
  EXPECT_NE(problem_of_history({event(1, "run_accepted"), event(3, "run_failed")}), "");
}

TEST(HistoryChecker, FindsANodeThatEndedTwice) {
  EXPECT_NE(problem_of_history({event(1, "run_accepted"), event(2, "task_succeeded", "a"),
                                event(3, "task_succeeded", "a"), event(4, "run_succeeded")}),
            "");
}

TEST(HistoryChecker, FindsARunThatEndedTwiceOrNotAtAll) {
  EXPECT_NE(problem_of_history({event(1, "run_accepted"), event(2, "run_failed"), event(3, "run_cancelled")}), "");
  EXPECT_NE(problem_of_history({event(1, "run_accepted"), event(2, "task_succeeded", "a")}), "");
  EXPECT_NE(problem_of_history({}), "");
}

TEST(HistoryChecker, FindsARunThatWasNotAcceptedFirst) {
  EXPECT_NE(problem_of_history({event(1, "task_succeeded", "a"), event(2, "run_accepted"), event(3, "run_succeeded")}),
            "");
}

}  // namespace
}  // namespace millrace::test
