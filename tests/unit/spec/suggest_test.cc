#include "common/spec/suggest.h"

#include <gtest/gtest.h>

#include <array>

namespace millrace {
namespace {

constexpr std::array<std::string_view, 4> kWords = {"depends_on", "executor", "retry", "timeout"};

TEST(Suggest, CountsInsertsDeletesReplacementsAndSwaps) {
  EXPECT_EQ(edit_distance("retry", "retry", 3), 0U);
  EXPECT_EQ(edit_distance("retr", "retry", 3), 1U);
  EXPECT_EQ(edit_distance("retryy", "retry", 3), 1U);
  EXPECT_EQ(edit_distance("retri", "retry", 3), 1U);
  EXPECT_EQ(edit_distance("rtery", "retry", 3), 1U);
  EXPECT_EQ(edit_distance("kitten", "sitting", 3), 3U);
  EXPECT_EQ(edit_distance("", "ab", 3), 2U);
}

TEST(Suggest, StopsCountingAtTheLimit) {
  EXPECT_EQ(edit_distance("abcdefgh", "stuvwxyz", 2), 3U);
  EXPECT_EQ(edit_distance("a", "abcdefgh", 2), 3U);
  EXPECT_EQ(edit_distance(std::string(100, 'a'), std::string(99, 'a'), 3), 4U);  // too long to be a slip
}

TEST(Suggest, NamesTheClosestWordAndNoneThatIsFar) {
  EXPECT_EQ(closest("depend_on", kWords), "depends_on");
  EXPECT_EQ(closest("Executor", kWords), "executor");
  EXPECT_EQ(closest("time_out", kWords), "timeout");
  EXPECT_EQ(closest("banana", kWords), "");
  EXPECT_EQ(closest("", kWords), "");
  EXPECT_EQ(did_you_mean("retyr", kWords), "did you mean 'retry'?");
  EXPECT_EQ(did_you_mean("banana", kWords), "");
}

TEST(Suggest, TiesGoToTheEarlierWord) {
  constexpr std::array<std::string_view, 3> words = {"nodf", "nodb", "nodc"};
  EXPECT_EQ(closest("noda", words), "nodf");
}

TEST(Suggest, ListsWordsUpToANumber) {
  EXPECT_EQ(list_words(kWords), "depends_on, executor, retry, timeout");
  EXPECT_EQ(list_words(kWords, 2), "depends_on, executor ... (4 in all)");
  EXPECT_EQ(list_words({}), "");
}

}  // namespace
}  // namespace millrace
