#include "common/base/histogram.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

std::size_t bucket_of(Duration duration) {
  LatencyHistogram histogram;
  histogram.add(duration);
  for (std::size_t i = 0; i < LatencyHistogram::kBuckets; ++i) {
    if (histogram.in_bucket(i) == 1) return i;
  }
  return LatencyHistogram::kBuckets;
}

TEST(LatencyHistogram, ABoundBelongsToItsBucketAndOneMoreToTheNext) {
  for (std::size_t i = 0; i < LatencyHistogram::kBounds; ++i) {
    EXPECT_EQ(bucket_of(LatencyHistogram::bound(i)), i);
    EXPECT_EQ(bucket_of(LatencyHistogram::bound(i) + 1us), i + 1);
  }
}

TEST(LatencyHistogram, NothingAndLessThanNothingFallIntoTheFirstBucket) {
  EXPECT_EQ(bucket_of(0us), 0U);
  EXPECT_EQ(bucket_of(-5s), 0U);
}

TEST(LatencyHistogram, WhatIsLongerThanEveryBoundIsStillCounted) {
  EXPECT_EQ(bucket_of(24h), LatencyHistogram::kBounds);
  EXPECT_EQ(bucket_of(Duration::max()), LatencyHistogram::kBounds);
}

TEST(LatencyHistogram, CountsAndSumsAddUpWhenMerged) {
  LatencyHistogram a;
  LatencyHistogram b;
  a.add(10us);
  b.add(20us);
  b.add(1s);

  a.merge(b);

  EXPECT_EQ(a.count(), 3U);
  EXPECT_EQ(a.sum(), 1s + 30us);
}

TEST(LatencyHistogram, AQuantileIsTheBoundOfTheBucketThatHoldsIt) {
  LatencyHistogram h;
  EXPECT_EQ(h.quantile(0.5), 0us);
  for (int i = 0; i < 9; ++i) h.add(10us);
  h.add(1s);
  EXPECT_EQ(h.quantile(0), 16us);
  EXPECT_EQ(h.quantile(0.9), 16us);
  EXPECT_EQ(h.quantile(0.91), LatencyHistogram::bound(18)) << "1.05 s";
  h.add(24h);
  EXPECT_EQ(h.quantile(1), LatencyHistogram::bound(LatencyHistogram::kBounds - 1)) << "no more is known";
}

}  // namespace
}  // namespace millrace
