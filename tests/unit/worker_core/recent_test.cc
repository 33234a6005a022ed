#include "worker/core/recent.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

AttemptId attempt(std::uint32_t number) { return {RunId{number % 7}, TaskIndex{number % 11}, 1, number}; }

TEST(Recent, RemembersTheLatestHoweverManyThereWere) {
  constexpr std::uint32_t kMost = 1'000;
  Recent recent(kMost);
  for (std::uint32_t i = 0; i < 5 * kMost; ++i) {
    recent.add(attempt(i), i % 2 == 0 ? Fate::kAnswered : Fate::kGivenBack);
    ASSERT_EQ(recent.find(attempt(i)), i % 2 == 0 ? Fate::kAnswered : Fate::kGivenBack);
    if (i % 100 != 0) continue;
    const std::uint32_t oldest = i < kMost ? 0 : i - kMost + 1;
    for (std::uint32_t each = oldest; each <= i; ++each) ASSERT_TRUE(recent.find(attempt(each))) << each << " of " << i;
    if (oldest > 0) { ASSERT_FALSE(recent.find(attempt(oldest - 1))); }
  }
}

}  // namespace
}  // namespace millrace
