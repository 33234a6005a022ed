#include "common/base/units.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

Duration duration(std::string_view text) { return parse_duration(text).value(); }
std::uint64_t size(std::string_view text) { return parse_size(text).value(); }

TEST(Units, DurationsAreNumbersWithUnits) {
  EXPECT_EQ(duration("100ms"), 100ms);
  EXPECT_EQ(duration("30s"), 30s);
  EXPECT_EQ(duration("5m"), 5min);
  EXPECT_EQ(duration("1h"), 1h);
  EXPECT_EQ(duration("2d"), 48h);
  EXPECT_EQ(duration("7us"), 7us);
  EXPECT_EQ(duration("0s"), 0s);
  EXPECT_EQ(duration("1.5s"), 1500ms);
  EXPECT_EQ(duration("1h30m"), 90min);
  EXPECT_EQ(duration("10000d"), 240'000h);
}

TEST(Units, WhatIsNotADurationIsRefusedAndSaysWhatWouldBe) {
  for (const char* text : {"", "30", "s", "-1s", "1.s", ".5s", "1.5us", "1 s", "30S", "1s1m", "1s1s", "1s ", "10001d",
                           "99999999999999999999s", "1e3s", "1.0000000000000000001s", "1s\n"}) {
    EXPECT_FALSE(parse_duration(text).ok()) << text;
  }
  const Result<Duration> bare = parse_duration("30");
  EXPECT_EQ(bare.error().details.at(0).hint, "write the unit");
  EXPECT_EQ(bare.error().what, "'30' is not a duration");
}

TEST(Units, SizesCountInThousandsOrInPowersOfTwo) {
  EXPECT_EQ(size("512B"), 512U);
  EXPECT_EQ(size("1KB"), 1000U);
  EXPECT_EQ(size("64KiB"), 65536U);
  EXPECT_EQ(size("1MB"), 1'000'000U);
  EXPECT_EQ(size("1.5MiB"), 1'572'864U);
  EXPECT_EQ(size("1TiB"), 1ULL << 40);
  for (const char* text : {"", "1", "1kb", "1K", "1KB1B", "-1B", "1.5B", "9999999TiB"}) {
    EXPECT_FALSE(parse_size(text).ok()) << text;
  }
}

TEST(Units, FormattedDurationsParseBack) {
  EXPECT_EQ(format_duration(0s), "0s");
  EXPECT_EQ(format_duration(90s), "1m30s");
  EXPECT_EQ(format_duration(1500ms), "1s500ms");
  for (Duration d : {Duration{1}, Duration{999'999}, Duration{86'400'000'000}, Duration{123'456'789'012}}) {
    EXPECT_EQ(duration(format_duration(d)), d);
  }
}

TEST(Times, AreReadAndWrittenAsRfc3339) {
  const auto us = [](const char* text) { return to_us(parse_time(text).value()); };
  EXPECT_EQ(us("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(us("2026-01-31T08:00:00Z"), 1'769'846'400'000'000);
  EXPECT_EQ(us("2026-01-31T09:30:00.25+01:30"), us("2026-01-31T08:00:00Z") + 250'000);
  EXPECT_EQ(us("2024-02-29t23:59:59z"), us("2024-03-01T00:00:00Z") - 1'000'000);
  EXPECT_EQ(us("2000-03-01T00:00:00-12:00"), us("2000-03-01T12:00:00Z"));
  for (const char* bad :
       {"", "2026", "2026-01-31", "2026-01-31T08:00:00", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
        "2026-01-31T24:00:00Z", "2026-01-31T08:00:00ZZ", "2026-01-31T08:00:00.Z", "1969-12-31T23:59:59Z"})
    EXPECT_FALSE(parse_time(bad).ok()) << bad;
  for (const char* text :
       {"1970-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "2026-12-31T00:00:00.000001Z", "2100-03-01T12:00:00Z"})
    EXPECT_EQ(format_time(parse_time(text).value()), text);
}

}  // namespace
}  // namespace millrace
