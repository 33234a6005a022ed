#include "common/base/flat_index.h"

#include <gtest/gtest.h>

#include <map>

namespace millrace {
namespace {

TEST(FlatIndex, FindsWhatWasPutAndNothingElse) {
  FlatIndex<std::uint32_t> index;
  EXPECT_EQ(index.find(0), std::nullopt);
  index.erase(0);
  index.put(0, 7);
  index.put(1, 8);
  index.put(0, 9);
  EXPECT_EQ(index.find(0), 9U);
  EXPECT_EQ(index.find(1), 8U);
  EXPECT_EQ(index.find(2), std::nullopt);
  EXPECT_EQ(index.size(), 2U);
}

// Among few keys, so that they collide, are taken out in the middle of a chain, and come again.
TEST(FlatIndex, IsAsAMapIsWhateverComesAndGoes) {
  FlatIndex<std::uint32_t> index;
  std::map<std::uint64_t, std::uint32_t> map;
  std::uint64_t state = 1;
  for (std::uint32_t i = 0; i < 200'000; ++i) {
    state = state * 6'364'136'223'846'793'005ULL + 1'442'695'040'888'963'407ULL;
    const std::uint64_t key = (state >> 33) % 500;
    if ((state >> 62) == 0) {
      index.erase(key);
      map.erase(key);
    } else {
      index.put(key, i);
      map[key] = i;
    }
    if (i % 1'000 != 0) continue;
    ASSERT_EQ(index.size(), map.size());
    for (std::uint64_t each = 0; each < 500; ++each) {
      const auto it = map.find(each);
      ASSERT_EQ(index.find(each), it == map.end() ? std::nullopt : std::optional(it->second)) << each;
    }
  }
}

}  // namespace
}  // namespace millrace
