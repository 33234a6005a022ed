#include "coordinator/shell/looking.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

unsigned sleeps(Looking& looking) {
  unsigned count = 0;
  while (!looking.wanted()) ++count;
  return count;
}

TEST(Looking, GoesOnWhileMostLooksFindSomething) {
  Looking looking;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(looking.wanted());
    if (i % 4 == 0) looking.in_vain();
    else looking.found();
  }
}

TEST(Looking, SleepsForAWhileAfterLookingInVain) {
  Looking looking;
  looking.in_vain();
  EXPECT_EQ(sleeps(looking), 0U);
  looking.in_vain();
  EXPECT_EQ(sleeps(looking), Looking::kSleepsInARow);
  EXPECT_TRUE(looking.wanted());  // and tries again
}

TEST(Looking, StopsSoonHoweverWellItWentBefore) {
  Looking looking;
  for (int i = 0; i < 1'000; ++i) looking.found();
  int in_vain = 0;
  while (looking.wanted()) {
    looking.in_vain();
    ++in_vain;
  }
  EXPECT_EQ(in_vain, Looking::kMost / 2);
}

}  // namespace
}  // namespace millrace
