// Triggers on a real cluster: what operators see and do of them, and that their state outlives its owner.
#include <gtest/gtest.h>

#include <set>

#include "tests/process/failover.h"
#include "tests/process/workflows.h"

namespace millrace::test {
namespace {

constexpr const char* kDaily =
    "name: daily\n"
    "inputs: {day: {type: string, required: true}}\n"
    "triggers:\n"
    "  night:\n"
    "    schedule: {cron: 30 2 * * *, timezone: Europe/Berlin}\n"
    "    inputs: {day: \"{{ event.local_time[:10] }}\"}\n"
    "  month: {schedule: '@monthly', inputs: {day: \"{{ event.kind }}\"}}\n"
    "nodes:\n"
    "  a: {value: \"{{ inputs.day }}\"}\n"
    "outputs: {day: \"{{ nodes.a }}\"}\n";

Value trigger(const Cluster& cluster, const std::string& name) {
  for (const Value& row : cluster.rows({"trigger", "list"})) {
    if (text_at(row, {"name"}) == name) return row;
  }
  return {};
}

TEST(Triggers, OfARegisteredWorkflowAreListedFiredPausedAndResumed) {
  Cluster cluster({.workers = {}, .coordinators = 2});
  ASSERT_TRUE(eventually(20s, [&] { return balanced(cluster); }));
  EXPECT_TRUE(cluster.rows({"trigger", "list"}).empty());
  EXPECT_EQ(cluster.cli({"trigger", "fire", "daily"}).exit_code, 3);
  ASSERT_EQ(cluster.cli({"workflow", "apply", cluster.workflow("daily", kDaily)}).exit_code, 0);
  const Value night = trigger(cluster, "daily/night");
  EXPECT_EQ(text_at(night, {"status"}), "active");
  EXPECT_EQ(text_at(night, {"timezone"}), "Europe/Berlin");
  EXPECT_FALSE(text_at(night, {"next"}).empty());
  EXPECT_EQ(cluster.cli({"trigger", "fire", "daily"}).exit_code, 2);  // it has two

  const Value fired = Value::parse(cluster.cli({"trigger", "fire", "daily/month", "-o", "json"}).out).value();
  ASSERT_TRUE(eventually(20s, [&] {
    return cluster.rows({"list", "-l", "trigger=month", "-s", "succeeded"}).size() == 1;
  }));
  const std::string run = text_at(cluster.rows({"list", "-l", "trigger=month"}).at(0), {"run"});
  EXPECT_EQ(text_at(cluster.wait(run), {"outputs", "day"}), "manual");
  EXPECT_EQ(text_at(fired, {"run"}), run) << fired.dump();

  EXPECT_EQ(cluster.cli({"trigger", "pause", "daily/night"}).out, "daily/night paused\n");
  for (std::size_t killed : {std::size_t{0}, std::size_t{1}}) {  // one of them has its home
    cluster.coordinator(killed).kill();
    ASSERT_TRUE(eventually(20s, [&] {
      const Finished listed = cluster.cli_at(1 - killed, {"trigger", "list", "-o", "name"});
      return listed.out == "daily/month\ndaily/night\n";
    }));
    cluster.start_coordinator(killed);
    ASSERT_TRUE(eventually(30s, [&] { return balanced(cluster); }));
  }
  ASSERT_TRUE(eventually(20s, [&] { return text_at(trigger(cluster, "daily/night"), {"status"}) == "paused"; }));
  EXPECT_TRUE(at(trigger(cluster, "daily/night"), {"next"}).is_null());
  EXPECT_EQ(cluster.cli({"trigger", "resume", "daily/night"}).out, "daily/night active\n");
  EXPECT_EQ(cluster.cli({"store", "check", "--redis", cluster.redis().url()}).exit_code, 0);

  ASSERT_EQ(cluster.cli({"workflow", "delete", "daily"}).exit_code, 0);
  EXPECT_TRUE(cluster.rows({"trigger", "list"}).empty());
}

TEST(Triggers, OfThePastAreBackfilledAndNoneOfThemTwice) {
  Cluster cluster({.workers = {}});
  ASSERT_EQ(cluster.cli({"workflow", "apply", cluster.workflow("daily", kDaily)}).exit_code, 0);
  const Finished reversed =
      cluster.cli({"schedule", "backfill", "daily", "2026-04-01..2026-03-27", "--trigger", "night"});
  EXPECT_EQ(reversed.exit_code, 2);
  EXPECT_NE(reversed.err.find("B is before A"), std::string::npos) << reversed.err;
  const std::vector<std::string> words = {"schedule",  "backfill", "daily", "2026-03-27..2026-04-01",
                                          "--trigger", "night"};
  std::vector<std::string> dry = words;
  dry.push_back("--dry-run");
  const std::vector<Value> planned = cluster.rows(dry);
  ASSERT_EQ(planned.size(), 5U);
  EXPECT_EQ(text_at(planned[2], {"local_time"}), "2026-03-29T03:00:00+02:00");  // 02:30 was skipped that night
  EXPECT_TRUE(cluster.rows({"list"}).empty());
  const std::vector<Value> first = cluster.rows(words);
  const std::vector<Value> second = cluster.rows(words);
  ASSERT_EQ(first.size(), 5U);
  ASSERT_EQ(second.size(), 5U);
  std::set<std::string> days;
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(at(first[i], {"existing"}), Value(false));
    EXPECT_EQ(at(second[i], {"existing"}), Value(true));
    EXPECT_EQ(text_at(first[i], {"run"}), text_at(second[i], {"run"}));
    days.insert(text_at(cluster.wait(text_at(first[i], {"run"})), {"outputs", "day"}));
  }
  EXPECT_EQ(days, (std::set<std::string>{"2026-03-27", "2026-03-28", "2026-03-29", "2026-03-30", "2026-03-31"}));
  EXPECT_EQ(cluster.json({"schedule", "next", "daily", "-n", "3"}).find("firings")->as_array().size(), 3U);
}

TEST(Triggers, TheEndOfARunStartsAnotherOnceAndOnlyWhereTheFilterHolds) {
  Cluster cluster({.workers = {}, .coordinators = 2});
  ASSERT_TRUE(eventually(20s, [&] { return balanced(cluster); }));
  const std::string load = cluster.workflow("load", "nodes: {a: {value: 1}}\n");
  const std::string follow = cluster.workflow("follow",
                                              "inputs: {of: string}\n"
                                              "triggers:\n"
                                              "  after:\n"
                                              "    run_end: {workflow: load, statuses: succeeded}\n"
                                              "    filter: \"{{ event.run.labels.team == 'search' }}\"\n"
                                              "    inputs: {of: \"{{ event.run.id }}\"}\n"
                                              "nodes: {a: {value: \"{{ inputs.of }}\"}}\n"
                                              "outputs: {of: \"{{ nodes.a }}\"}\n");
  ASSERT_EQ(cluster.cli({"workflow", "apply", follow}).exit_code, 0);
  std::set<std::string> ended;
  ASSERT_TRUE(eventually(20s, [&] {  // until every partition has heard of it, its ends go by
    ended.insert(cluster.submit(load, {"-l", "team=search"}));
    return cluster.rows({"list", "-l", "trigger=after"}).size() >= 3;
  }));
  cluster.wait(cluster.submit(load, {"-l", "team=sales"}));
  ASSERT_TRUE(eventually(20s, [&] { return cluster.rows({"list", "--workflow", "load", "-s", "running"}).empty(); }));
  std::set<std::string> followed;
  const std::vector<Value> runs = cluster.rows({"list", "-l", "trigger=after", "-n", "1000"});
  for (const Value& row : runs) {
    const std::string of = text_at(cluster.wait(text_at(row, {"run"})), {"outputs", "of"});
    EXPECT_TRUE(ended.contains(of)) << of;
    EXPECT_TRUE(followed.insert(of).second) << of << " has started two runs";
  }
  const Value state = trigger(cluster, "follow/after");
  EXPECT_EQ(text_at(state, {"run_end", "workflow"}), "load");
  EXPECT_TRUE(at(state, {"next"}).is_null());
}

TEST(Triggers, AFileThatACoordinatorCannotKeepTimeByIsRefused) {
  Cluster cluster({.workers = {}, .coordinator_options = {}});
  const std::string file = cluster.workflow(
      "odd", "nodes: {a: {value: 1}}\ntriggers: {t: {schedule: {cron: '@daily', timezone: Mars/Olympus}}}\n");
  const Finished refused = cluster.cli({"workflow", "apply", file});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("a name of the time zone database"), std::string::npos) << refused.err;
}

}  // namespace
}  // namespace millrace::test
