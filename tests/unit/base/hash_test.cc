// Content hashes: stable over builds and machines, since they are stored.
#include "common/base/hash.h"

#include <gtest/gtest.h>

#include <set>

namespace millrace {
namespace {

TEST(Hash, HasTheValuesItHasAlwaysHad) {
  EXPECT_EQ(to_string(hash128("")), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(hash64(""), 0x2D06800538D394C2ULL);
  EXPECT_EQ(hash128("millrace"), hash128(std::string("mill") + "race"));
}

TEST(Hash, PrintsAs32DigitsAndComesBack) {
  for (const Hash128& hash : {hash128("a"), Hash128{}, Hash128{~std::uint64_t{0}, 1},
                              Hash128{0x0123456789ABCDEFULL, 0xFEDCBA9876543210ULL}}) {
    const std::string text = to_string(hash);
    EXPECT_EQ(text.size(), 32U);
    EXPECT_EQ(parse_hash128(text), hash);
  }
  EXPECT_EQ(to_string(Hash128{0x0123456789ABCDEFULL, 0xFEDCBA9876543210ULL}), "0123456789abcdeffedcba9876543210");
}

TEST(Hash, WhatIsNoHashIsRefused) {
  const std::string good(32, '0');
  EXPECT_TRUE(parse_hash128(good).has_value());
  for (const std::string& bad :
       {std::string(), good.substr(1), good + "0", "g" + good.substr(1), "A" + good.substr(1)}) {
    EXPECT_FALSE(parse_hash128(bad).has_value()) << bad;
  }
}

TEST(Hash, OfPartsIsThatOfTheWhole) {
  std::string all;
  for (int i = 0; i < 5'000; ++i) all += std::to_string(i * i);
  for (const std::size_t part : {1U, 7U, 1'000U, 100'000U}) {
    HashStream stream(9);
    for (std::size_t from = 0; from < all.size(); from += part) stream.add(std::string_view(all).substr(from, part));
    EXPECT_EQ(stream.sum128(), hash128(all)) << part;
    EXPECT_EQ(stream.sum64(), hash64(all, 9)) << part;
  }
  EXPECT_EQ(HashStream().sum128(), hash128(""));
}

TEST(Hash, DiffersForDifferentContentAndSeed) {
  std::set<Hash128> seen;
  for (int i = 0; i < 10'000; ++i) seen.insert(hash128(std::to_string(i)));
  EXPECT_EQ(seen.size(), 10'000U);
  EXPECT_NE(hash64("x", 1), hash64("x", 2));
  EXPECT_TRUE(Hash128{}.is_zero());
  EXPECT_FALSE(hash128("").is_zero());
}

}  // namespace
}  // namespace millrace
