#include "common/schedule/firings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "common/base/units.h"
#include "common/zones/zones.h"

namespace millrace {
namespace {

using Texts = std::vector<std::string>;

ZoneRules zone(std::string_view name) {
  const Result<ZoneRules> rules = load_zone(name);
  EXPECT_TRUE(rules.ok()) << name;
  return rules.ok() ? *rules : ZoneRules{};
}

Time at(std::string_view text) { return *parse_time(text); }

// The firings after a moment, as the wall clock shows them.
Texts firings(std::string_view cron, const ZoneRules& zone, std::string_view after, int count) {
  Texts texts;
  Time last = at(after);
  for (int i = 0; i < count; ++i) {
    last = next_firing(*parse_cron(cron), zone, last).value();
    texts.push_back(format_local(zone, last));
  }
  return texts;
}

TEST(Firings, InUtcAreTheMinutesOfTheCron) {
  EXPECT_EQ(firings("*/20 6 * * *", {}, "2026-01-01T06:00:00Z", 3),
            (Texts{"2026-01-01T06:20:00+00:00", "2026-01-01T06:40:00+00:00", "2026-01-02T06:00:00+00:00"}));
}

TEST(Firings, AtTheSameWallTimeInSummerAndWinter) {
  const ZoneRules berlin = zone("Europe/Berlin");
  EXPECT_EQ(firings("0 9 * * *", berlin, "2026-03-27T20:00:00Z", 2),
            (Texts{"2026-03-28T09:00:00+01:00", "2026-03-29T09:00:00+02:00"}));
}

TEST(Firings, OfASkippedMinuteComeOnceWhenTheClocksAreForward) {
  const ZoneRules berlin = zone("Europe/Berlin");  // 2026-03-29: 02:00 is 03:00
  EXPECT_EQ(firings("30 2 * * *", berlin, "2026-03-28T00:00:00Z", 3),
            (Texts{"2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}));
  EXPECT_EQ(firings("*/20 2 * * *", berlin, "2026-03-28T01:39:00Z", 3),  // three are skipped: once
            (Texts{"2026-03-28T02:40:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}));
  EXPECT_EQ(firings("0,30 2,3 * * *", berlin, "2026-03-29T00:00:00Z", 3),  // with the one that is due at 03:00
            (Texts{"2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00", "2026-03-30T02:00:00+02:00"}));
}

TEST(Firings, OfADoubledMinuteComeOnceTheFirstTime) {
  const ZoneRules berlin = zone("Europe/Berlin");  // 2026-10-25: 03:00 is 02:00
  EXPECT_EQ(firings("30 2 * * *", berlin, "2026-10-24T22:00:00Z", 2),
            (Texts{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}));
  EXPECT_EQ(firings("*/30 * * * *", berlin, "2026-10-24T23:30:00Z", 4),
            (Texts{"2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T03:00:00+01:00",
                   "2026-10-25T03:30:00+01:00"}));
  // From within the second time nothing of it comes again.
  EXPECT_EQ(firings("*/10 2 * * *", berlin, "2026-10-25T01:05:00Z", 1), (Texts{"2026-10-26T02:00:00+01:00"}));
  const ZoneRules york = zone("America/New_York");
  EXPECT_EQ(firings("15 1 * * *", york, "2026-11-01T04:00:00Z", 2),
            (Texts{"2026-11-01T01:15:00-04:00", "2026-11-02T01:15:00-05:00"}));
}

TEST(Firings, KnowChangesOfHalfAnHourAndOfAWholeDay) {
  const ZoneRules howe = zone("Australia/Lord_Howe");  // 2026-04-05: 02:00 is 01:30; 2026-10-04: 02:00 is 02:30
  EXPECT_EQ(firings("45 1 * * *", howe, "2026-04-04T10:00:00Z", 2),
            (Texts{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"}));
  EXPECT_EQ(firings("15 2 * * *", howe, "2026-10-03T10:00:00Z", 2),
            (Texts{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}));
  const ZoneRules samoa = zone("Pacific/Apia");  // there was no 30 December 2011
  EXPECT_EQ(firings("0 12 * * *", samoa, "2011-12-29T10:00:00Z", 3),
            (Texts{"2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00"}));
}

TEST(Firings, FollowALawThatChangedTheZoneForGood) {
  EXPECT_EQ(firings("0 3 * * *", zone("America/Sao_Paulo"), "2018-11-03T12:00:00Z", 1)[0], "2018-11-04T03:00:00-02:00");
  EXPECT_EQ(firings("0 0 4 11 *", zone("America/Sao_Paulo"), "2018-11-01T12:00:00Z", 1)[0],  // midnight was skipped
            "2018-11-04T01:00:00-02:00");
  EXPECT_EQ(firings("0 3 4 11 *", zone("America/Sao_Paulo"), "2019-11-01T12:00:00Z", 1)[0],
            "2019-11-04T03:00:00-03:00");
}

TEST(Firings, ReachBeyondWhatTheDatabaseLists) {
  const ZoneRules berlin = zone("Europe/Berlin");
  EXPECT_EQ(firings("0 9 1 7 *", berlin, "2080-01-01T00:00:00Z", 1)[0], "2080-07-01T09:00:00+02:00");
  EXPECT_EQ(firings("0 9 1 1 *", berlin, "2080-01-02T00:00:00Z", 1)[0], "2081-01-01T09:00:00+01:00");
}

// Every firing of two years, forwards and backwards, against the definition: each wall minute once.
TEST(Firings, BackwardsAreTheSameAsForwards) {
  for (const char* name :
       {"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata"}) {
    const ZoneRules rules = zone(name);
    const Cron cron = *parse_cron("*/30 0-4,12 * * *");
    const Time end = at("2012-06-01T00:00:00Z");
    std::vector<Time> forwards;
    for (Time t = at("2010-06-01T00:00:00Z"); t < end; forwards.push_back(t)) t = next_firing(cron, rules, t).value();
    for (std::size_t i = forwards.size() - 1; i > 0; --i) {
      ASSERT_EQ(previous_firing(cron, rules, forwards[i]), forwards[i]) << name << " " << format_time(forwards[i]);
      ASSERT_EQ(previous_firing(cron, rules, forwards[i] - 1us), forwards[i - 1])
          << name << " " << format_time(forwards[i]);
    }
    std::set<Time> defined;
    for (WallMinute m = wall_minute_at(rules, forwards.front()); moment_of(rules, m) <= forwards.back(); ++m) {
      if (first_match(cron, m) == m) defined.insert(moment_of(rules, m));
    }
    EXPECT_EQ(defined, std::set<Time>(forwards.begin(), forwards.end())) << name;
  }
}

TEST(Firings, AWallMinuteIsOneMomentAndLaterMinutesAreNeverEarlier) {
  for (const char* name : {"Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns"}) {
    const ZoneRules rules = zone(name);
    Time last = at("2011-01-01T00:00:00Z");
    for (WallMinute m = wall_minute_at(rules, last) + 1; last < at("2012-06-01T00:00:00Z"); ++m) {
      const Time moment = moment_of(rules, m);
      ASSERT_GE(moment, last) << name << " " << format_time(moment);
      last = moment;
    }
  }
}

TEST(Firings, StartLaterByAJitterThatDependsOnNothingButTheirNames) {
  TriggerSpec trigger;
  trigger.name = "nightly";
  EXPECT_EQ(jitter_of(trigger, "w", from_us(0)), Duration::zero());
  trigger.schedule.jitter = 10min;
  std::set<Duration> seen;
  for (int day = 0; day < 100; ++day) {
    const Time firing = at("2026-01-01T02:00:00Z") + day * 24h;
    const Duration jitter = jitter_of(trigger, "w", firing);
    EXPECT_EQ(jitter, jitter_of(trigger, "w", firing));
    EXPECT_LE(jitter, 10min);
    EXPECT_GE(jitter, Duration::zero());
    seen.insert(jitter);
  }
  EXPECT_GT(seen.size(), 90U);
  EXPECT_NE(jitter_of(trigger, "w", from_us(0)), jitter_of(trigger, "v", from_us(0)));
}

TEST(Firings, GiveTheirRunsInputsThatKnowTheMoment) {
  TriggerSpec trigger;
  trigger.name = "nightly";
  trigger.inputs = Value::Object{{"day", "{{ event.local_time[:10] }}"}, {"n", 3}};
  const ZoneRules berlin = zone("Europe/Berlin");
  const Value event = firing_event(trigger, "report", berlin, at("2026-03-28T23:30:00Z"));
  EXPECT_EQ(event.dump(), R"({"kind":"schedule","workflow":"report","trigger":"nightly","time":"2026-03-28T23:30:00Z",)"
                          R"("local_time":"2026-03-29T00:30:00+01:00","timezone":"Europe/Berlin"})");
  const Result<Value> inputs = FiringRules(trigger.filter, trigger.inputs).inputs(event);
  ASSERT_TRUE(inputs.ok()) << inputs.error().what;
  EXPECT_EQ(inputs->dump(), R"({"day":"2026-03-29","n":3})");
}

TEST(Zones, AreThoseOfTheDatabaseAndNothingElse) {
  EXPECT_TRUE(zone_exists("Europe/Berlin"));
  EXPECT_TRUE(zone_exists("UTC"));
  EXPECT_TRUE(zone_exists("Etc/GMT+5"));
  for (const char* name : {"", "Europe/Atlantis", "/etc/passwd", "file:/usr/share/zoneinfo/UTC", "../../../etc/passwd",
                           "localtime", "libc:localtime", "Europe"}) {
    EXPECT_FALSE(zone_exists(name)) << name;
    EXPECT_FALSE(load_zone(name).ok()) << name;
  }
  const std::vector<std::string> names = zone_names();
  EXPECT_GT(names.size(), 300U);
  EXPECT_NE(std::find(names.begin(), names.end(), "America/Argentina/Buenos_Aires"), names.end());
}

}  // namespace
}  // namespace millrace
