// How a Partition uses triggers: a firing and its letter are one commit, and its run tells its home of the end.
#include <gtest/gtest.h>

#include "coordinator/core/home.h"
#include "coordinator/core/partition.h"
#include "tests/support/dag_text.h"

namespace millrace {
namespace {

constexpr Time kStart = from_us(1'767'225'600'000'000);  // 2026-01-01T00:00:00Z

PartitionOptions options(std::uint16_t partitions = 1) {
  PartitionOptions made;
  made.epoch = {7, 1};
  made.partitions = partitions;
  made.zones = [](const std::string&) { return std::make_shared<const ZoneRules>(); };
  return made;
}

std::shared_ptr<const Plan> plan() { return Plan::build(test::DagText::parse("a"), {1, 2}).value(); }

WorkflowChanged applied(const std::string& cron, Overlap overlap = Overlap::kAllow) {
  TriggerSpec trigger;
  trigger.name = "t";
  trigger.schedule.cron = cron;
  trigger.schedule.overlap = overlap;
  return {RequestId{1}, WorkflowAct::kApply, "default", "w", 0, {1, 2}, std::make_shared<const std::string>("x"), "",
          {trigger}};
}

template <class Body>
std::vector<Body> letters(const Effects& effects) {
  std::vector<Body> bodies;
  for (const SharedLetter& letter : effects.letters) {
    if (const auto* body = std::get_if<Body>(&letter->body)) bodies.push_back(*body);
  }
  return bodies;
}

// A partition that is all the cluster, with a trigger each minute.
struct Home {
  Partition partition{options()};
  std::uint64_t number = 0;

  explicit Home(Overlap overlap = Overlap::kAllow) {
    partition.restore_mail({}, {});
    partition.step(kStart, applied("* * * * *", overlap));
    (void)partition.take();
  }
  Effects at(Duration after) {
    partition.step(kStart + after, TimePassed{});
    return partition.take();
  }
  Effects take(Duration after, LetterBody body, std::shared_ptr<const Plan> of = plan()) {
    LetterCame came{PartitionId{0}, ++number, std::move(body), std::move(of)};
    if (came.plan == nullptr) came.why = "its definition is not there any more";
    partition.step(kStart + after, std::move(came));
    return partition.take();
  }
  const TriggerRecord record() const { return partition.triggers().at(0).record; }
};

TEST(Triggering, AFiringAndWhatItWantsAreOneCommit) {
  Home home;
  EXPECT_EQ(home.partition.next_deadline(), kStart + 1min);
  const Effects effects = home.at(1min);
  ASSERT_EQ(letters<RunWanted>(effects).size(), 1U);
  const RunWanted wanted = letters<RunWanted>(effects)[0];
  EXPECT_EQ(wanted.key, "trigger/w/t/1/2026-01-01T00:01:00Z");
  EXPECT_EQ(wanted.labels, (Labels{{"trigger", "t"}}));
  EXPECT_EQ(wanted.definition, (Hash128{1, 2}));
  ASSERT_EQ(effects.triggers.size(), 1U);
  EXPECT_EQ(effects.triggers.begin()->second->last, kStart + 1min);
  EXPECT_TRUE(effects.writes_shelves());
}

TEST(Triggering, NothingFiresBeforeTheStoreHasSaidWhatHasFired) {
  Home first;
  const TriggerRecord kept = *first.at(1min).triggers.begin()->second;
  Partition next{options()};
  next.step(kStart + 90s, TimePassed{});
  next.restore_trigger(kept);
  next.step(kStart + 2min, TimePassed{});
  EXPECT_TRUE(letters<RunWanted>(next.take()).empty());
  next.restore_mail({}, {});
  next.step(kStart + 2min, TimePassed{});
  const auto wanted = letters<RunWanted>(next.take());
  ASSERT_EQ(wanted.size(), 1U);
  EXPECT_EQ(wanted[0].key, "trigger/w/t/1/2026-01-01T00:02:00Z");
}

TEST(Triggering, TheWallClockSaysWhatIsDueNotTheTimeThatIsTold) {
  Home home;
  home.partition.step(kStart + 10s, ClockSet{5min});
  EXPECT_EQ(letters<RunWanted>(home.partition.take()).size(),
            1U + 1U);  // the last that was missed, and the present one
  home.partition.step(kStart + 11s, ClockSet{-10min});
  EXPECT_TRUE(letters<RunWanted>(home.at(14min)).empty());
  EXPECT_EQ(letters<RunWanted>(home.at(16min)).size(), 1U);
}

TEST(Triggering, TheEndOfARunIsToldToItsTriggersHome) {
  Home home(Overlap::kSkip);
  const RunWanted wanted = letters<RunWanted>(home.at(1min))[0];
  (void)home.take(61s, wanted);
  const std::optional<RunId> run = home.partition.find_key("default", wanted.key);
  ASSERT_TRUE(run.has_value());
  EXPECT_TRUE(letters<RunWanted>(home.at(2min)).empty()) << "the one before lives";
  home.partition.step(kStart + 130s, CancelRequested{RequestId{}, *run, "enough"});
  const auto over = letters<RunOver>(home.partition.take());
  ASSERT_EQ(over.size(), 1U);
  EXPECT_EQ(over[0].key, wanted.key);
  EXPECT_EQ(over[0].trigger, (TriggerName{"default", "w", "t"}));
  (void)home.take(131s, over[0]);
  EXPECT_EQ(letters<RunWanted>(home.at(3min)).size(), 1U);
}

TEST(Triggering, ARunThatCannotBeIsToldToo) {
  Home home(Overlap::kSkip);
  const RunWanted wanted = letters<RunWanted>(home.at(1min))[0];
  const auto over = letters<RunOver>(home.take(61s, wanted, nullptr));
  ASSERT_EQ(over.size(), 1U);
  EXPECT_EQ(over[0].error, "its definition is not there any more");
  (void)home.take(62s, over[0]);
  EXPECT_EQ(home.record().failed, 1U);
  EXPECT_EQ(letters<RunWanted>(home.at(2min)).size(), 1U);
}

TEST(Triggering, ARunThatIsWantedAgainAfterItsEndIsOver) {
  Home home(Overlap::kSkip);
  const RunWanted wanted = letters<RunWanted>(home.at(1min))[0];
  (void)home.take(61s, wanted);
  home.partition.step(kStart + 62s, CancelRequested{RequestId{}, *home.partition.find_key("default", wanted.key), ""});
  (void)home.partition.take();
  const Effects again = home.take(63s, wanted);
  EXPECT_TRUE(again.writes.empty());
  EXPECT_EQ(letters<RunOver>(again).size(), 1U);
}

TEST(Triggering, ARunThatMakesRoomIsCancelled) {
  Home home(Overlap::kCancel);
  const RunWanted first = letters<RunWanted>(home.at(1min))[0];
  (void)home.take(61s, first);
  const Effects second = home.at(2min);
  ASSERT_EQ(letters<RunUnwanted>(second).size(), 1U);
  EXPECT_EQ(letters<RunUnwanted>(second)[0].key, first.key);
  EXPECT_EQ(letters<RunWanted>(second).size(), 1U);
  (void)home.take(121s, letters<RunUnwanted>(second)[0]);
  const auto* run = home.partition.find(*home.partition.find_key("default", first.key));
  EXPECT_EQ(run->record.state, RunState::kCancelled);
}

TEST(Triggering, RunsAndTheirTriggersFindEachOtherBetweenPartitions) {
  for (std::uint16_t i = 0; i < 16; ++i) {
    PartitionOptions made = options(16);
    made.partition = PartitionId{i};
    Partition partition(made);
    partition.restore_mail({}, {});
    partition.step(kStart, applied("* * * * *"));
    partition.step(kStart + 1min, TimePassed{});
    const Effects effects = partition.take();
    ASSERT_EQ(effects.letters.size(), 1U);
    EXPECT_EQ(effects.letters[0]->to, home_of("default", letters<RunWanted>(effects)[0].key, 16));
  }
}

// One partition, a workflow `follow` that a run of `test` starts when it fails.
struct Follower : Home {
  Follower() {
    TriggerSpec trigger;
    trigger.name = "t";
    trigger.run_end = RunEndSpec{plan()->workflow().name, {RunState::kCancelled}};
    partition.step(kStart, WorkflowChanged{RequestId{1},
                                           WorkflowAct::kApply,
                                           "default",
                                           "follow",
                                           0,
                                           {3, 4},
                                           std::make_shared<const std::string>("y"),
                                           "",
                                           {trigger}});
    const auto watched = letters<RunEndWatched>(partition.take());
    EXPECT_EQ(watched.size(), 1U);
    const Effects kept = take(1s, watched.at(0));
    EXPECT_EQ(kept.watchers.size(), 1U);
  }
  std::vector<RunEnded> cancelled(const std::string& key) {
    RunWanted wanted;
    wanted.key = key;
    (void)take(2s, wanted);
    partition.step(kStart + 3s, CancelRequested{RequestId{}, *partition.find_key("default", key), ""});
    return letters<RunEnded>(partition.take());
  }
};

TEST(Triggering, TheEndOfAWatchedRunIsToldAndStartsAnother) {
  Follower follower;
  const auto ended = follower.cancelled("k");
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].news.state, RunState::kCancelled);
  const auto wanted = letters<RunWanted>(follower.take(4s, ended[0]));
  ASSERT_EQ(wanted.size(), 1U);
  EXPECT_EQ(wanted[0].key, "trigger/follow/t/1/" + to_string(ended[0].news.run));
  EXPECT_EQ(wanted[0].definition, (Hash128{3, 4}));
}

TEST(Triggering, WatchersOutliveAnOwnerAndEndWithTheirTrigger) {
  Follower follower;
  follower.partition.step(kStart + 5s, WorkflowChanged{RequestId{2}, WorkflowAct::kDelete, "default", "follow"});
  const auto off = letters<RunEndWatched>(follower.partition.take());
  ASSERT_EQ(off.size(), 1U);
  EXPECT_FALSE(off[0].runs.has_value());
  EXPECT_EQ(follower.take(6s, off[0]).watchers.begin()->second, std::nullopt);
  EXPECT_TRUE(follower.cancelled("k").empty());

  Home next;
  next.partition.restore_watcher({"default", "follow", "t"}, {plan()->workflow().name, {}});
  RunWanted wanted;
  wanted.key = "k";
  (void)next.take(2s, wanted);
  next.partition.step(kStart + 3s, CancelRequested{RequestId{}, *next.partition.find_key("default", "k"), ""});
  EXPECT_EQ(letters<RunEnded>(next.partition.take()).size(), 1U);
}

TEST(Triggering, ADeletedWorkflowFiresNoMore) {
  Home home;
  home.partition.step(kStart + 10s, WorkflowChanged{RequestId{2}, WorkflowAct::kDelete, "default", "w"});
  const Effects effects = home.partition.take();
  ASSERT_EQ(effects.triggers.size(), 1U);
  EXPECT_FALSE(effects.triggers.begin()->second.has_value());
  EXPECT_TRUE(letters<RunWanted>(home.at(5min)).empty());
}

TEST(Triggering, OperatorsAreAnswered) {
  Home home;
  const TriggerName name{"default", "w", "t"};
  home.partition.step(kStart + 10s, TriggerTold{RequestId{5}, name, TriggerAct::kFire, 17});
  const Effects fired = home.partition.take();
  ASSERT_EQ(fired.replies.size(), 1U);
  EXPECT_EQ(std::get<TriggerReply>(fired.replies[0].reply).key, "trigger/w/t/1/by-hand-17");
  EXPECT_EQ(letters<RunWanted>(fired).size(), 1U);
  home.partition.step(kStart + 11s, TriggerTold{RequestId{6}, name, TriggerAct::kPause, 0});
  EXPECT_TRUE(std::get<TriggerReply>(home.partition.take().replies.at(0).reply).paused);
  EXPECT_TRUE(letters<RunWanted>(home.at(5min)).empty());
  home.partition.step(kStart + 12s, TriggerTold{RequestId{7}, {"default", "w", "u"}, TriggerAct::kFire, 1});
  EXPECT_EQ(std::get<ErrorReply>(home.partition.take().replies.at(0).reply).error.code, Code::kNotFound);
}

}  // namespace
}  // namespace millrace
