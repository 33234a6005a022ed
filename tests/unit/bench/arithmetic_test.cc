#include "bench/arithmetic.h"

#include <gtest/gtest.h>

#include <numeric>

namespace millrace::bench {
namespace {

using namespace std::chrono_literals;

std::vector<double> one_to(int last) {
  std::vector<double> values(static_cast<std::size_t>(last));
  std::iota(values.begin(), values.end(), 1.0);
  return values;
}

TEST(Arithmetic, TheMedianOfAnOddCountIsTheMiddleAndOfAnEvenCountTheMeanOfTheMiddleTwo) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
  EXPECT_EQ(median({7}), 7);
  EXPECT_EQ(median({}), 0);
}

TEST(Arithmetic, APercentileIsAMeasuredValueThatAtLeastItsShareDoesNotExceed) {
  EXPECT_EQ(percentile(one_to(100), 0.5), 50);
  EXPECT_EQ(percentile(one_to(100), 0.99), 99);
  EXPECT_EQ(percentile(one_to(100), 0.999), 100);
  EXPECT_EQ(percentile(one_to(1000), 0.99), 990);
  EXPECT_EQ(percentile(one_to(1000), 0.999), 999);
  EXPECT_EQ(percentile(one_to(3), 0.5), 2);
  EXPECT_EQ(percentile(one_to(3), 1.0), 3);
  EXPECT_EQ(percentile(one_to(1), 0.99), 1);
  EXPECT_EQ(percentile({}, 0.99), 0);
}

TEST(Arithmetic, ADecimalShareOfARoundCountDoesNotSlipToTheNextRank) {
  for (int percent = 1; percent <= 100; ++percent) { EXPECT_EQ(percentile(one_to(100), percent / 100.0), percent); }
}

TEST(Arithmetic, FewSamplesBeyondAPercentileCanBeTold) {
  EXPECT_EQ(samples_beyond(1000, 0.99), 10U);
  EXPECT_EQ(samples_beyond(100, 0.99), 1U);
  EXPECT_EQ(samples_beyond(100, 0.999), 0U);
  EXPECT_EQ(samples_beyond(0, 0.99), 0U);
  EXPECT_GE(samples_beyond(1000, 0.99), kBeyondMin);
}

TEST(Arithmetic, ASpreadIsLeastMedianAndMost) {
  EXPECT_EQ(spread_of({5, 1, 9}), (Spread{1, 5, 9}));
  EXPECT_EQ(spread_of({}), Spread{});
}

TEST(RateSchedule, SendsAreEvenlySpacedAndTheFirstIsDueAtOnce) {
  RateSchedule schedule(1'000, 2s);
  EXPECT_EQ(schedule.total(), 2'000U);
  EXPECT_EQ(schedule.at(0), 0ns);
  EXPECT_EQ(schedule.at(1'999), 1'999ms);
  EXPECT_EQ(schedule.due(-1ns), 0U);
  EXPECT_EQ(schedule.due(0ns), 1U);
  EXPECT_EQ(schedule.due(999'999ns), 1U);
  EXPECT_EQ(schedule.due(1ms), 2U);
}

TEST(RateSchedule, ALateLoopOwesEverySendThatHasBecomeDueAndNeverMoreThanTheTotal) {
  RateSchedule schedule(25'000, 10s);
  EXPECT_EQ(schedule.due(1s), 25'001U);
  EXPECT_EQ(schedule.due(10s), 250'000U);
  EXPECT_EQ(schedule.due(1h), 250'000U);
}

TEST(RateSchedule, NoSendIsDueBeforeItsTimeNorStillOpenAtIt) {
  for (double rate : {3.0, 7.7, 333.3, 24'999.0, 333'333.3}) {
    RateSchedule schedule(rate, 1s);
    for (std::uint64_t send = 0; send + 1 < schedule.total(); send += 1 + schedule.total() / 97) {
      EXPECT_EQ(schedule.due(schedule.at(send)), send + 1) << rate;
      EXPECT_EQ(schedule.due(schedule.at(send + 1) - 1ns), send + 1) << rate;
    }
  }
}

double found(double capacity, double first) {
  RateSearch search(first, 0.05);
  for (int step = 0; !search.done(); ++step) {
    EXPECT_LT(step, 40);
    search.tell(search.rate() <= capacity);
  }
  return search.best();
}

TEST(RateSearch, EndsWithinItsPrecisionBelowTheHighestSustainedRate) {
  for (double capacity : {150.0, 5'000.0, 26'000.0, 51'234.0, 1e6}) {
    for (double first : {1'000.0, 40'000.0}) {
      EXPECT_LE(found(capacity, first), capacity);
      EXPECT_GE(found(capacity, first), capacity / 1.06) << capacity << " from " << first;
    }
  }
}

TEST(RateSearch, SaysZeroWhereNotEvenTheLeastRateIsSustained) { EXPECT_EQ(found(0, 10'000), 0); }

}  // namespace
}  // namespace millrace::bench
