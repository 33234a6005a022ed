#include "common/schedule/cron.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/units.h"
#include "common/schedule/zone.h"

namespace millrace {
namespace {

Cron cron(std::string_view text) {
  const Result<Cron> read = parse_cron(text);
  EXPECT_TRUE(read.ok()) << text << ": " << (read.ok() ? "" : read.error().what);
  return read.ok() ? *read : Cron{};
}

WallMinute wall(std::string_view text) { return wall_minute_at(ZoneRules{}, *parse_time(text)); }
std::string text_of(std::optional<WallMinute> minute) {
  return minute ? format_time(moment_of(ZoneRules{}, *minute)) : "never";
}
std::string first(std::string_view text, std::string_view from) { return text_of(first_match(cron(text), wall(from))); }
std::string last(std::string_view text, std::string_view from) { return text_of(last_match(cron(text), wall(from))); }

TEST(Cron, TheFirstMatchIsTheMinuteItselfWhereItFits) {
  EXPECT_EQ(first("* * * * *", "2026-03-01T10:07:59Z"), "2026-03-01T10:07:00Z");
  EXPECT_EQ(first("30 2 * * *", "2026-03-01T02:30:00Z"), "2026-03-01T02:30:00Z");
  EXPECT_EQ(first("30 2 * * *", "2026-03-01T02:31:00Z"), "2026-03-02T02:30:00Z");
  EXPECT_EQ(first("59 23 31 12 *", "2026-01-01T00:00:00Z"), "2026-12-31T23:59:00Z");
}

TEST(Cron, StepsRangesListsAndNamesMeanWhatTheySayEverywhere) {
  EXPECT_EQ(cron("*/15 * * * *").minutes, 1ULL | 1ULL << 15 | 1ULL << 30 | 1ULL << 45);
  EXPECT_EQ(cron("10-20/5 * * * *").minutes, 1ULL << 10 | 1ULL << 15 | 1ULL << 20);
  EXPECT_EQ(cron("50/4 * * * *").minutes, 1ULL << 50 | 1ULL << 54 | 1ULL << 58);
  EXPECT_EQ(cron("0 1,3,22-23 * * *").hours, 1U << 1 | 1U << 3 | 1U << 22 | 1U << 23);
  EXPECT_EQ(cron("0 0 1 jan,Jul-SEP *").months, 1U << 1 | 1U << 7 | 1U << 8 | 1U << 9);
  EXPECT_EQ(cron("0 0 * * MON-FRI").weekdays, 0b0111110U);
  EXPECT_EQ(cron("0 0 * * 7").weekdays, 1U);
  EXPECT_EQ(cron("0 0 * * FRI-SUN").weekdays, 0b1100001U);
  EXPECT_EQ(cron("0 0 * * 5-7"), cron("0 0 * * FRI-SUN"));
  EXPECT_EQ(cron("  0\t0  * * SUN "), cron("@weekly"));
}

TEST(Cron, TheShortFormsStandForFiveFields) {
  EXPECT_EQ(cron("@hourly"), cron("0 * * * *"));
  EXPECT_EQ(cron("@daily"), cron("0 0 * * *"));
  EXPECT_EQ(cron("@midnight"), cron("@daily"));
  EXPECT_EQ(cron("@weekly"), cron("0 0 * * SUN"));
  EXPECT_EQ(cron("@monthly"), cron("0 0 1 * *"));
  EXPECT_EQ(cron("@yearly"), cron("0 0 1 1 *"));
  EXPECT_EQ(cron("@Annually"), cron("@yearly"));
}

TEST(Cron, TwoRestrictedDayFieldsAreEitherOr) {
  EXPECT_EQ(first("0 12 13 * FRI", "2026-02-01T00:00:00Z"), "2026-02-06T12:00:00Z");   // a Friday
  EXPECT_EQ(first("0 12 13 * FRI", "2026-05-09T00:00:00Z"), "2026-05-13T12:00:00Z");   // a Wednesday, the 13th
  EXPECT_EQ(first("0 12 */2 * FRI", "2026-02-01T00:00:00Z"), "2026-02-13T12:00:00Z");  // begins with *: both
}

TEST(Cron, LeapDaysAreFoundHoweverFarTheyAre) {
  EXPECT_EQ(first("0 0 29 2 *", "2026-03-01T00:00:00Z"), "2028-02-29T00:00:00Z");
  EXPECT_EQ(first("0 0 29 2 *", "2096-03-01T00:00:00Z"), "2104-02-29T00:00:00Z");  // 2100 has none
  EXPECT_EQ(last("0 0 29 2 *", "2104-02-28T00:00:00Z"), "2096-02-29T00:00:00Z");
  EXPECT_EQ(first("0 0 31 * *", "2026-04-01T00:00:00Z"), "2026-05-31T00:00:00Z");
}

TEST(Cron, TheLastMatchIsTheFirstOneSeenFromBehind) {
  EXPECT_EQ(last("30 2 * * *", "2026-03-01T02:30:00Z"), "2026-03-01T02:30:00Z");
  EXPECT_EQ(last("30 2 * * *", "2026-03-01T02:29:00Z"), "2026-02-28T02:30:00Z");
  EXPECT_EQ(last("15,45 6-8 * * *", "2026-03-01T05:00:00Z"), "2026-02-28T08:45:00Z");
  for (const char* text : {"*/7 * * * *", "13 */5 1,15 * *", "0 0 13 * FRI", "59 23 31 12 *", "0 0 29 2 *"}) {
    WallMinute at = wall("2026-01-01T00:00:00Z");
    for (int i = 0; i < 50; ++i) {
      const WallMinute next = first_match(cron(text), at + 1).value();
      EXPECT_TRUE(i == 0 || last_match(cron(text), next - 1) == at) << text;
      EXPECT_EQ(last_match(cron(text), next), next) << text;
      at = next;
    }
  }
}

// What is wrong and where: the column is the place in the text.
struct Bad {
  const char* text;
  int column;
  const char* says;
};

TEST(Cron, WhatIsWrongIsToldWithItsPlace) {
  for (const Bad& bad : {Bad{"60 * * * *", 1, "'60' is not a minute"},
                         Bad{"0 24 * * *", 3, "'24' is not a hour"},
                         Bad{"0 0 0 * *", 5, "not a day of the month"},
                         Bad{"0 0 * 13 *", 7, "not a month"},
                         Bad{"0 0 * * 8", 9, "not a day of the week"},
                         Bad{"0 0 * FEBR *", 7, "'FEBR' is not a month"},
                         Bad{"0,5, * * * *", 5, "'' is not a minute"},
                         Bad{"20-10 * * * *", 1, "goes backwards"},
                         Bad{"*/0 * * * *", 2, "the step"},
                         Bad{"*/99 * * * *", 2, "the step"},
                         Bad{"1- * * * *", 1, "not a minute"},
                         Bad{"0 0 L * *", 5, "'L' is not a day"},
                         Bad{"0 0 * * 5#2", 9, "not a day of the week"},
                         Bad{"* * * *", 1, "has 4 fields"},
                         Bad{"0 0 0 * * *", 1, "has 6 fields"},
                         Bad{"", 1, "has 0 fields"},
                         Bad{"@reboot", 1, "is not known"},
                         Bad{"@every 5m", 1, "is not known"},
                         Bad{"0 0 30 2 *", 5, "never comes"},
                         Bad{"0 0 31 2,4,6,9,11 *", 5, "never comes"},
                         Bad{"-1 * * * *", 1, "not a minute"}}) {
    const Result<Cron> read = parse_cron(bad.text);
    ASSERT_FALSE(read.ok()) << bad.text;
    ASSERT_EQ(read.error().details.size(), 1U) << bad.text;
    EXPECT_EQ(read.error().details[0].column, bad.column) << bad.text;
    EXPECT_NE(read.error().what.find(bad.says), std::string::npos) << bad.text << ": " << read.error().what;
    EXPECT_FALSE(read.error().details[0].expected.empty()) << bad.text;
  }
  EXPECT_FALSE(parse_cron(std::string(257, '*')).ok());
  EXPECT_TRUE(parse_cron("0 0 30 2 MON").ok());  // each Monday of February
}

}  // namespace
}  // namespace millrace
