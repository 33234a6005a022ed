#include "coordinator/core/triggers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/base/units.h"

namespace millrace {
namespace {

using Texts = std::vector<std::string>;

// Berlin in 2026, as a value.
std::shared_ptr<const ZoneRules> zone(const std::string& name) {
  if (name == "UTC") return std::make_shared<const ZoneRules>();
  if (name != "Europe/Berlin") return nullptr;
  return std::make_shared<const ZoneRules>(
      ZoneRules{name, 3600, {{1'774'746'000, 7200}, {1'792'890'000, 3600}}});  // 2026-03-29 and 2026-10-25, 01:00 UTC
}

// One workflow `w` and its triggers, a clock that goes where it is sent, and what was decided.
struct Clock {
  Triggers triggers{zone};
  TriggerEffects said;
  Time now{};
  std::uint64_t version = 0;

  explicit Clock(std::string_view text = "2026-01-01T00:00:00Z") : now(*parse_time(text)) {}

  Clock& apply(const std::vector<TriggerSpec>& specs) {
    ++version;
    triggers.apply(now, "default", "w", version, {1, version}, specs, said);
    return *this;
  }
  // Goes there, stopping where the machine asks to be woken.
  Clock& go(std::string_view text) {
    const Time until = *parse_time(text);
    while (triggers.next_deadline() <= until) {
      now = std::max(now, triggers.next_deadline());
      triggers.due(now, said);
    }
    now = until;
    return *this;
  }
  // The process stood still, or there was none: it wakes at that moment and not before.
  Clock& wake(std::string_view text) {
    now = *parse_time(text);
    while (triggers.next_deadline() <= now) triggers.due(now, said);
    return *this;
  }
  Texts starts() {
    Texts keys;
    for (const TriggerStart& start : said.starts) keys.push_back(start.key);
    said.starts.clear();
    return keys;
  }
  TriggerState state() const { return triggers.list().at(0); }
  void over(const std::string& key, const std::string& error = "") {
    triggers.run_over({"default", "w", "t"}, key, error, said);
  }
};

TriggerSpec timed(const std::string& cron, Overlap overlap = Overlap::kAllow, CatchUp catch_up = CatchUp::kOne,
                  std::uint32_t limit = 100) {
  TriggerSpec spec;
  spec.name = "t";
  spec.schedule = {cron, "UTC", Duration::zero(), overlap, catch_up, limit};
  return spec;
}

TEST(Triggers, AFiringStartsOneRunUnderAKeyThatNamesItsMoment) {
  Clock clock;
  clock.apply({timed("0 2 * * *")}).go("2026-01-02T12:00:00Z");
  EXPECT_EQ(clock.starts(), (Texts{"trigger/w/t/1/2026-01-01T02:00:00Z", "trigger/w/t/1/2026-01-02T02:00:00Z"}));
  EXPECT_EQ(clock.said.records.size(), 1U);
  EXPECT_EQ(clock.state().record.last, *parse_time("2026-01-02T02:00:00Z"));
  EXPECT_EQ(clock.state().next, *parse_time("2026-01-03T02:00:00Z"));
}

TEST(Triggers, InputsKnowTheirFiring) {
  Clock clock;
  TriggerSpec spec = timed("0 2 * * *");
  spec.inputs = Value::Object{{"day", "{{ event.time[:10] }} of {{ event.workflow }}/{{ event.trigger }}"}};
  clock.apply({spec}).go("2026-01-01T03:00:00Z");
  ASSERT_EQ(clock.said.starts.size(), 1U);
  EXPECT_EQ(clock.said.starts[0].inputs, R"({"day":"2026-01-01 of w/t"})");
  EXPECT_EQ(clock.said.starts[0].definition, (Hash128{1, 1}));
}

TEST(Triggers, InputsThatFailStartNothingAndAreTold) {
  Clock clock;
  TriggerSpec spec = timed("0 2 * * *");
  spec.inputs = Value::Object{{"day", "{{ event.time / 0 }}"}};
  clock.apply({spec}).go("2026-01-02T03:00:00Z");
  EXPECT_EQ(clock.starts(), Texts{});
  EXPECT_EQ(clock.state().record.failed, 2U);
  EXPECT_FALSE(clock.state().record.error.empty());
}

TEST(Triggers, AClockThatGoesBackNeverFiresAgain) {
  Clock clock;
  clock.apply({timed("*/10 * * * *")}).go("2026-01-01T00:30:00Z");
  EXPECT_EQ(clock.starts().size(), 3U);
  clock.wake("2026-01-01T00:05:00Z").go("2026-01-01T00:35:00Z");
  EXPECT_EQ(clock.starts(), Texts{});
  clock.go("2026-01-01T00:40:00Z");
  EXPECT_EQ(clock.starts(), Texts{"trigger/w/t/1/2026-01-01T00:40:00Z"});
}

TEST(Triggers, MinutesOfSummerTimeFireOnce) {
  Clock clock("2026-03-28T12:00:00Z");
  TriggerSpec spec = timed("*/30 2 * * *");
  spec.schedule.timezone = "Europe/Berlin";
  clock.apply({spec}).go("2026-03-29T12:00:00Z");
  EXPECT_EQ(clock.starts(), Texts{"trigger/w/t/1/2026-03-29T01:00:00Z"});
  clock.wake("2026-10-24T12:00:00Z").starts();
  clock.go("2026-10-25T12:00:00Z");
  EXPECT_EQ(clock.starts(), (Texts{"trigger/w/t/1/2026-10-25T00:00:00Z", "trigger/w/t/1/2026-10-25T00:30:00Z"}));
}

TEST(Triggers, OfMissedFiringsAreMadeUpForNoneTheLastOrAll) {
  const auto after_a_day = [](CatchUp catch_up, std::uint32_t limit = 100) {
    Clock clock;
    clock.apply({timed("0 */6 * * *", Overlap::kAllow, catch_up, limit)}).go("2026-01-01T01:00:00Z");
    return clock.wake("2026-01-02T01:00:00Z").starts();
  };
  EXPECT_EQ(after_a_day(CatchUp::kNone), Texts{});
  EXPECT_EQ(after_a_day(CatchUp::kOne), Texts{"trigger/w/t/1/2026-01-02T00:00:00Z"});
  EXPECT_EQ(after_a_day(CatchUp::kAll),
            (Texts{"trigger/w/t/1/2026-01-01T06:00:00Z", "trigger/w/t/1/2026-01-01T12:00:00Z",
                   "trigger/w/t/1/2026-01-01T18:00:00Z", "trigger/w/t/1/2026-01-02T00:00:00Z"}));
  EXPECT_EQ(after_a_day(CatchUp::kAll, 2),
            (Texts{"trigger/w/t/1/2026-01-01T18:00:00Z", "trigger/w/t/1/2026-01-02T00:00:00Z"}));
}

TEST(Triggers, AFiringThatIsSecondsLateIsNotAMissedOne) {
  Clock clock;
  clock.apply({timed("0 2 * * *", Overlap::kAllow, CatchUp::kNone)}).wake("2026-01-01T02:00:40Z");
  EXPECT_EQ(clock.starts(), Texts{"trigger/w/t/1/2026-01-01T02:00:00Z"});
  clock.wake("2026-01-02T02:01:01Z");
  EXPECT_EQ(clock.starts(), Texts{});
  clock.go("2026-01-03T02:00:00Z");
  EXPECT_EQ(clock.starts(), Texts{"trigger/w/t/1/2026-01-03T02:00:00Z"});
}

TEST(Triggers, AYearOfMissedMinutesIsMadeUpForInBoundedSteps) {
  Clock clock;
  clock.apply({timed("* * * * *", Overlap::kAllow, CatchUp::kAll, 1'000)});
  clock.now = *parse_time("2027-01-01T00:00:30Z");
  clock.triggers.due(clock.now, clock.said);
  EXPECT_EQ(clock.said.starts.size(), kFiringsAtOnce);
  EXPECT_LE(clock.triggers.next_deadline(), clock.now);
  clock.wake("2027-01-01T00:00:30Z");
  const Texts keys = clock.starts();
  EXPECT_EQ(keys.size(), 1'001U);  // and the one that is on time
  EXPECT_EQ(keys.back(), "trigger/w/t/1/2027-01-01T00:00:00Z");
}

TEST(Triggers, WhileARunLivesAFiringIsSkippedQueuedStartedOrTakesItsPlace) {
  const auto two_firings = [](Overlap overlap) {
    Clock clock;
    clock.apply({timed("0 * * * *", overlap)}).go("2026-01-01T02:30:00Z");
    return clock;
  };
  Clock skip = two_firings(Overlap::kSkip);
  EXPECT_EQ(skip.starts(), Texts{"trigger/w/t/1/2026-01-01T01:00:00Z"});
  EXPECT_EQ(skip.state().record.skipped, 1U);
  skip.over("trigger/w/t/1/2026-01-01T01:00:00Z");
  skip.go("2026-01-01T03:00:00Z");
  EXPECT_EQ(skip.starts(), Texts{"trigger/w/t/1/2026-01-01T03:00:00Z"});

  Clock queue = two_firings(Overlap::kQueue);
  EXPECT_EQ(queue.starts().size(), 1U);
  queue.over("trigger/w/t/1/another");
  EXPECT_EQ(queue.starts(), Texts{});
  queue.over("trigger/w/t/1/2026-01-01T01:00:00Z");
  EXPECT_EQ(queue.starts(), Texts{"trigger/w/t/1/2026-01-01T02:00:00Z"});
  EXPECT_EQ(queue.state().record.running, "trigger/w/t/1/2026-01-01T02:00:00Z");

  EXPECT_EQ(two_firings(Overlap::kAllow).starts().size(), 2U);

  Clock cancel = two_firings(Overlap::kCancel);
  EXPECT_EQ(cancel.starts().size(), 2U);
  ASSERT_EQ(cancel.said.cancels.size(), 1U);
  EXPECT_EQ(cancel.said.cancels[0].second, "trigger/w/t/1/2026-01-01T01:00:00Z");
}

TEST(Triggers, ARunThatCouldNotBeAcceptedMakesRoomAndIsTold) {
  Clock clock;
  clock.apply({timed("0 * * * *", Overlap::kSkip)}).go("2026-01-01T01:00:00Z");
  clock.over(clock.starts().at(0), "its definition is not there any more");
  EXPECT_EQ(clock.state().record.failed, 1U);
  EXPECT_EQ(clock.state().record.error, "its definition is not there any more");
  EXPECT_EQ(clock.go("2026-01-01T02:00:00Z").starts().size(), 1U);
}

TEST(Triggers, TheQueueOfFiringsIsBounded) {
  Clock clock;
  clock.apply({timed("* * * * *", Overlap::kQueue)}).go("2026-01-01T03:00:00Z");
  EXPECT_EQ(clock.state().record.queued.size(), kFiringsQueuedMax);
  EXPECT_EQ(clock.state().record.skipped, 180 - 1 - kFiringsQueuedMax);
}

TEST(Triggers, APausedOneLeavesOutWhatComesUntilItIsResumed) {
  Clock clock;
  const TriggerName name{"default", "w", "t"};
  clock.apply({timed("0 * * * *")});
  EXPECT_TRUE(clock.triggers.pause(clock.now, name, true, clock.said).ok());
  EXPECT_EQ(clock.state().next, kNever);
  clock.go("2026-01-01T05:30:00Z");
  EXPECT_TRUE(clock.triggers.pause(clock.now, name, false, clock.said).ok());
  clock.go("2026-01-01T06:00:00Z");
  EXPECT_EQ(clock.starts(), Texts{"trigger/w/t/1/2026-01-01T06:00:00Z"});
  EXPECT_FALSE(clock.triggers.pause(clock.now, {"default", "w", "u"}, true, clock.said).ok());
}

TEST(Triggers, OneIsFiredByHandWhateverItsScheduleSays) {
  Clock clock("2026-01-01T00:12:13Z");
  TriggerSpec spec = timed("0 0 1 1 *", Overlap::kSkip);
  spec.inputs = Value::Object{{"day", "{{ event.kind }}"}};
  clock.apply({spec});
  const Result<std::string> key = clock.triggers.fire(clock.now, {"default", "w", "t"}, 17, clock.said);
  ASSERT_TRUE(key.ok());
  EXPECT_EQ(*key, "trigger/w/t/1/by-hand-17");
  ASSERT_EQ(clock.said.starts.size(), 1U);
  EXPECT_EQ(clock.said.starts[0].inputs, R"({"day":"manual"})");
  EXPECT_FALSE(clock.triggers.fire(clock.now, {"default", "w", "u"}, 17, clock.said).ok());
}

TEST(Triggers, AnotherVersionKeepsWhatStaysAndBeginsWhatIsNew) {
  Clock clock;
  clock.apply({timed("0 * * * *")});
  clock.now = *parse_time("2026-01-01T01:00:10Z");  // due, and not looked at yet
  clock.apply({timed("0 * * * *")}).wake("2026-01-01T01:00:10Z");
  EXPECT_EQ(clock.starts(), Texts{"trigger/w/t/2/2026-01-01T01:00:00Z"});  // not lost
  clock.now = *parse_time("2026-01-01T02:00:10Z");
  clock.apply({timed("*/30 * * * *")}).wake("2026-01-01T02:00:20Z");
  EXPECT_EQ(clock.starts(), Texts{});  // another schedule begins now
  clock.go("2026-01-01T02:30:00Z");
  EXPECT_EQ(clock.starts(), Texts{"trigger/w/t/3/2026-01-01T02:30:00Z"});
  clock.apply({});
  EXPECT_EQ(clock.said.gone, (std::set<TriggerName>{{"default", "w", "t"}}));
  EXPECT_EQ(clock.triggers.next_deadline(), kNever);
}

TEST(Triggers, WhatAnotherOwnerRestoresGoesOnAfterTheLastFiring) {
  Clock clock;
  clock.apply({timed("0 * * * *", Overlap::kAllow, CatchUp::kAll)}).go("2026-01-01T03:30:00Z").starts();
  Clock next;
  next.triggers.restore(clock.state().record);
  EXPECT_EQ(next.wake("2026-01-01T05:30:00Z").starts(),
            (Texts{"trigger/w/t/1/2026-01-01T04:00:00Z", "trigger/w/t/1/2026-01-01T05:00:00Z"}));
}

TEST(Triggers, JitterDelaysTheStartAndChangesNeitherNamesNorOrder) {
  Clock clock;
  TriggerSpec spec = timed("*/2 * * * *");
  spec.schedule.jitter = 10min;
  clock.apply({spec}).go("2026-01-01T00:02:00Z");
  EXPECT_EQ(clock.state().record.last < clock.now, true);
  clock.go("2026-01-01T02:00:00Z");
  const Texts keys = clock.starts();
  EXPECT_GE(keys.size(), 54U);
  EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end()));
  EXPECT_EQ(keys[0], "trigger/w/t/1/2026-01-01T00:02:00Z");
}

TriggerSpec after(const std::string& workflow, std::vector<RunState> statuses = {}, const std::string& filter = "") {
  TriggerSpec spec;
  spec.name = "t";
  spec.run_end = RunEndSpec{workflow, std::move(statuses)};
  spec.filter = filter;
  spec.inputs = Value::Object{{"day", "{{ event.run.status }} {{ event.run.labels.team }}"}};
  return spec;
}

TEST(Triggers, TheEndOfARunStartsOneUnderAKeyThatNamesIt) {
  Clock clock;
  clock.apply({after("load", {RunState::kFailed})});
  EXPECT_EQ(clock.said.watches, (std::map<TriggerName, std::optional<RunEndSpec>>{
                                    {{"default", "w", "t"}, RunEndSpec{"load", {RunState::kFailed}}}}));
  EXPECT_EQ(clock.triggers.next_deadline(), kNever);
  const RunEndNews news{RunId{77}, "load", RunState::kFailed, {{"team", "search"}}, clock.now};
  clock.triggers.run_ended(clock.now, clock.now, {"default", "w", "t"}, news, clock.said);
  ASSERT_EQ(clock.said.starts.size(), 1U);
  EXPECT_EQ(clock.said.starts[0].inputs, R"({"day":"failed search"})");
  EXPECT_EQ(clock.starts(), Texts{"trigger/w/t/1/" + to_string(RunId{77})});
  clock.triggers.run_ended(clock.now, clock.now, {"default", "w", "t"}, {RunId{78}, "another"}, clock.said);
  clock.triggers.run_ended(clock.now, clock.now, {"default", "w", "u"}, news, clock.said);
  EXPECT_EQ(clock.starts(), Texts{});
}

TEST(Triggers, AFilterThatDoesNotHoldStartsNothingAndOneThatFailsIsTold) {
  Clock clock;
  const auto ends = [&](const std::string& filter, const std::string& team) {
    clock.apply({after("load", {}, filter)});
    clock.triggers.run_ended(clock.now, clock.now, {"default", "w", "t"},
                             {RunId{7}, "load", RunState::kSucceeded, {{"team", team}}, clock.now}, clock.said);
    return clock.starts().size();
  };
  EXPECT_EQ(ends("{{ event.run.labels.team == 'search' }}", "search"), 1U);
  EXPECT_EQ(ends("{{ event.run.labels.team == 'search' }}", "sales"), 0U);
  EXPECT_EQ(clock.state().record.failed, 0U);
  EXPECT_EQ(ends("{{ event.run.labels.team / 0 }}", "sales"), 0U);
  EXPECT_EQ(clock.state().record.failed, 1U);
  TriggerSpec timed_one = timed("0 * * * *");
  timed_one.filter = "{{ event.time[11:13] == '03' }}";
  clock.apply({timed_one}).go("2026-01-01T05:00:00Z");
  EXPECT_EQ(clock.starts(), Texts{"trigger/w/t/4/2026-01-01T03:00:00Z"});
}

TEST(Triggers, WhatIsAppliedCountsForTheNextEventAlsoWhereVeryManyHaveFired) {
  Clock clock;
  const auto end = [&](const std::string& trigger) {
    clock.triggers.run_ended(clock.now, clock.now, {"default", "w", trigger},
                             {RunId{7}, "load", RunState::kSucceeded, {}, clock.now}, clock.said);
    const std::vector<TriggerStart> starts = std::exchange(clock.said.starts, {});
    return starts.empty() ? std::string("nothing") : starts.back().inputs;
  };
  TriggerSpec one = after("load", {}, "");
  one.inputs = Value::Object{{"n", 1}};
  clock.apply({one});
  EXPECT_EQ(end("t"), R"({"n":1})");
  one.inputs = Value::Object{{"n", "{{ event.kind }}"}};
  clock.apply({one});
  EXPECT_EQ(end("t"), R"({"n":"run_end"})");
  one.filter = "{{ false }}";
  clock.apply({one});
  EXPECT_EQ(end("t"), "nothing");
  std::vector<TriggerSpec> many(kRulesKeptMax + 10, one);
  for (std::size_t i = 0; i < many.size(); ++i) {
    many[i].name = "t" + std::to_string(i);
    many[i].filter = "";
    many[i].inputs = Value::Object{{"n", static_cast<std::int64_t>(i)}};
  }
  clock.apply(many);
  for (int rounds = 0; rounds < 2; ++rounds) {
    for (std::size_t i = 0; i < many.size(); ++i) EXPECT_EQ(end(many[i].name), R"({"n":)" + std::to_string(i) + "}");
  }
}

TEST(Triggers, WhatIsWatchedFollowsWhatIsApplied) {
  Clock clock;
  const TriggerName name{"default", "w", "t"};
  const auto watched = [&] { return std::exchange(clock.said.watches, {}); };
  clock.apply({after("load")});
  EXPECT_EQ(watched().size(), 1U);
  clock.apply({after("load")});
  EXPECT_TRUE(watched().empty()) << "it is watched already";
  clock.apply({after("store")});
  EXPECT_EQ(watched().at(name), (RunEndSpec{"store", {}}));
  clock.apply({timed("@daily")});
  EXPECT_EQ(watched().at(name), std::nullopt);
  clock.apply({after("load")});
  (void)watched();
  clock.triggers.remove("default", "w", clock.said);
  EXPECT_EQ(watched().at(name), std::nullopt);
}

TEST(Triggers, APausedOneHearsOfNoEnd) {
  Clock clock;
  clock.apply({after("load")});
  EXPECT_TRUE(clock.triggers.pause(clock.now, {"default", "w", "t"}, true, clock.said).ok());
  clock.triggers.run_ended(clock.now, clock.now, {"default", "w", "t"}, {RunId{7}, "load"}, clock.said);
  EXPECT_EQ(clock.starts(), Texts{});
  EXPECT_TRUE(clock.triggers.fire(clock.now, {"default", "w", "t"}, 5, clock.said).ok());
}

TEST(Triggers, AZoneThatIsNotKnownHereFiresNothing) {
  Clock clock;
  TriggerSpec spec = timed("* * * * *");
  spec.schedule.timezone = "Mars/Olympus";
  clock.apply({spec}).go("2026-01-01T02:00:00Z");
  EXPECT_EQ(clock.starts(), Texts{});
  EXPECT_EQ(clock.state().next, kNever);
}

TEST(TriggerKeys, NameTheirTrigger) {
  const TriggerName name{"acme", "a/b c", "nightly.1"};
  EXPECT_EQ(trigger_of("acme", trigger_key(name.workflow, name.trigger, 17, from_us(0))), name);
  for (const char* key : {"", "trigger/", "trigger/w/t/1", "trigger/w/t/1/", "orders-17", "trigger//t/1/x"})
    EXPECT_EQ(trigger_of("acme", key), std::nullopt) << key;
}

}  // namespace
}  // namespace millrace
