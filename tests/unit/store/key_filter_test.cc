// KeyFilter: what was added is never surely new; what was not nearly always is.
#include "coordinator/shell/key_filter.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/hash.h"

namespace millrace {
namespace {

std::uint64_t fingerprint(std::uint64_t n) { return hash64(std::to_string(n)); }

TEST(KeyFilter, NothingIsSurelyNewBeforeTheStoresKeysAreKnown) {
  KeyFilter filter;
  EXPECT_FALSE(filter.surely_new(fingerprint(1)));
  filter.complete();
  EXPECT_TRUE(filter.surely_new(fingerprint(1)));
}

TEST(KeyFilter, AKeyThatWasAddedIsNeverSurelyNew) {
  KeyFilter filter;
  filter.complete();
  constexpr std::uint64_t kKeys = 100'000;  // over several layers
  std::uint64_t wrong = 0;
  for (std::uint64_t n = 0; n < kKeys; ++n) {
    if (!filter.surely_new(fingerprint(n))) ++wrong;
    filter.add(fingerprint(n));
  }
  for (std::uint64_t n = 0; n < kKeys; ++n) ASSERT_FALSE(filter.surely_new(fingerprint(n))) << n;
  EXPECT_LT(wrong, kKeys / 50);
}

TEST(KeyFilter, TooManyKeysGiveTheFilterUp) {
  KeyFilter filter;
  filter.complete();
  for (std::uint64_t n = 0; n < 2 * KeyFilter::kKeysMax && !filter.given_up(); ++n)
    filter.add(n * 0x9E3779B97F4A7C15ULL);
  EXPECT_TRUE(filter.given_up());
  EXPECT_FALSE(filter.surely_new(fingerprint(1)));
}

TEST(KeyFilter, IsWornWhenFarMoreWasAddedThanStoodInTheStore) {
  KeyFilter filter;
  for (std::uint64_t i = 0; i < 20'000; ++i) filter.add(i * 0x9E3779B97F4A7C15ULL);
  EXPECT_FALSE(filter.worn()) << "not complete";
  filter.complete();
  for (std::uint64_t i = 20'000; i < 80'000; ++i) filter.add(i * 0x9E3779B97F4A7C15ULL);
  EXPECT_FALSE(filter.worn());
  filter.add(1);
  EXPECT_TRUE(filter.worn());
}

}  // namespace
}  // namespace millrace
