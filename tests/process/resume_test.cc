// Runs that are run again on a real cluster: what they take over, across kill -9 of the coordinator and the end of the
// old run; lists by an expression, and what is done to all runs of one.
#include <gtest/gtest.h>

#include "tests/process/workflows.h"
#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

const std::string kExample = source("examples/resume.yaml");
const std::string kFixed = source("examples/resume_fixed.yaml");

TEST(Resume, ARetryTakesOverWhatHoldsAndTheOldRunStaysAsItIs) {
  Cluster cluster({.workers = {"w1"}});
  const std::string old = cluster.submit(kExample);
  EXPECT_EQ(text_at(cluster.wait(old), {"status"}), "failed");
  const Value before = cluster.json({"status", old});
  const std::vector<Value> events_before = cluster.rows({"events", old});

  const Value started = cluster.json({"retry", old, "-f", kFixed, "-k", "once", "--reason", "a mistake in share"});
  const std::string run = text_at(started, {"run"});
  EXPECT_EQ(text_at(started, {"retry_of"}), old);
  EXPECT_EQ(number_at(started, {"shared"}), 2);
  EXPECT_EQ(at(started, {"difference", "changed"}).dump(), R"([{"node":"share","keys":["script"]}])");
  const Value again = cluster.json({"retry", old, "-f", kFixed, "-k", "once"});
  EXPECT_EQ(text_at(again, {"run"}), run);
  EXPECT_TRUE(at(again, {"existing"}).as_bool());

  const Value ended = cluster.wait(run);
  EXPECT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump_pretty();
  EXPECT_EQ(text_at(ended, {"outputs", "report"}), "north sold 30 each");
  EXPECT_EQ(text_at(ended, {"retry_of"}), old);
  EXPECT_EQ(text_at(ended, {"reason"}), "a mistake in share");
  EXPECT_TRUE(at(ended, {"outputs", "measured"}) == at(before, {"nodes", "measure", "outputs", "measured"}))
      << "it was not measured again";
  EXPECT_TRUE(at(ended, {"nodes", "measure", "shared"}).as_bool());
  EXPECT_EQ(at(ended, {"nodes", "share"}).find("shared"), nullptr);
  EXPECT_EQ(at(ended, {"nodes", "close"}).find("shared"), nullptr) << "what runs in any case has run";
  EXPECT_EQ(problem_of_history(cluster.rows({"events", run})), "");

  EXPECT_EQ(cluster.json({"status", old}).dump(), before.dump());
  EXPECT_EQ(cluster.rows({"events", old}).size(), events_before.size());
  EXPECT_EQ(cluster.cli({"retry", run}).exit_code, 7) << "nothing is left to run again";
  EXPECT_EQ(cluster.cli({"retry", run, "--from", "shares"}).exit_code, 2);

  const Value all = cluster.json({"rerun", run});
  const Value measured_anew = cluster.wait(text_at(all, {"run"}));
  EXPECT_EQ(text_at(measured_anew, {"status"}), "succeeded");
  EXPECT_FALSE(at(measured_anew, {"outputs", "measured"}) == at(ended, {"outputs", "measured"}));
}

constexpr const char* kLarge = R"yaml(
name: large
inputs:
  flag: {type: string, required: true}
  note: {type: string, default: none}
nodes:
  large:
    executor: python
    script: |
      import uuid
      output = {"id": str(uuid.uuid4()), "text": "x" * 200000}
  items: {executor: python, foreach: [1, 2, 3, 4], script: "output = item * 10"}
  check:
    executor: shell
    depends_on: [large, items]
    env: {FLAG: "{{ inputs.flag }}"}
    script: test -e "$FLAG"
  wait: {depends_on: [check], signal: go}
  end: {depends_on: [wait], value: {id: "{{ nodes.large.id }}", items: "{{ nodes.items }}", note: "{{ inputs.note }}"}}
outputs: {end: "{{ nodes.end }}"}
)yaml";

TEST(Resume, OutlivesItsCoordinatorAndTheRunThatItSharesWith) {
  Cluster cluster({.workers = {"w1"}, .coordinator_options = {"--retention-count", "1", "--value-grace", "1s"}});
  const std::string flag = cluster.workflow("flag", "");
  const std::string gone = flag + ".gone";
  const std::string file = cluster.workflow("large.yaml", kLarge);
  const std::string old = cluster.submit(file, {"-i", "flag=" + gone});
  const Value failed = cluster.wait(old);
  ASSERT_EQ(text_at(failed, {"error", "node"}), "check") << failed.dump_pretty();
  const std::string id = text_at(cluster.json({"status", old}), {"nodes", "large", "outputs", "id"});
  EXPECT_EQ(cluster.cli({"cancel", old}).exit_code, 7);

  ASSERT_EQ(run_program({"touch", gone}).exit_code, 0);
  const std::string newer = cluster.submit(file, {"-i", "flag=" + gone});  // older than the retry, which so is kept
  const std::string run = text_at(cluster.json({"retry", old}), {"run"});
  ASSERT_TRUE(eventually(20s, [&] { return cluster.node_status(run, "wait") == "waiting"; }));
  EXPECT_EQ(cluster.cli({"retry", run}).exit_code, 7) << "it lives";
  EXPECT_NE(cluster.cli({"retry", run}).err.find("millrace cancel " + run), std::string::npos);
  const Value live = cluster.json({"status", run});
  EXPECT_EQ(number_at(live, {"nodes", "items", "items", "done"}), 4);
  EXPECT_EQ(text_at(live, {"nodes", "check", "status"}), "succeeded");

  cluster.coordinator().kill();
  cluster.start_coordinator();
  // The old run goes, since a newer one of its workflow has ended; what is shared stays.
  ASSERT_TRUE(eventually(20s, [&] { return cluster.node_status(newer, "wait") == "waiting"; }));
  EXPECT_EQ(cluster.cli({"cancel", newer}).exit_code, 0);
  ASSERT_TRUE(eventually(30s, [&] { return cluster.cli({"status", old}).exit_code == 3; }));
  ASSERT_TRUE(eventually(20s, [&] { return cluster.node_status(run, "wait") == "waiting"; }));
  EXPECT_EQ(cluster.cli({"signal", run, "go"}).exit_code, 0);
  const Value ended = cluster.wait(run);
  EXPECT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump_pretty();
  EXPECT_EQ(text_at(ended, {"outputs", "end", "id"}), id);
  EXPECT_EQ(at(ended, {"outputs", "end", "items"}).dump(), "[10,20,30,40]");
  EXPECT_EQ(problem_of_history(cluster.rows({"events", run})), "");

  const std::string changed = text_at(cluster.json({"rerun", run, "--with", "note=other"}), {"run"});
  ASSERT_TRUE(eventually(20s, [&] { return cluster.node_status(changed, "wait") == "waiting"; }));
  EXPECT_EQ(cluster.cli({"signal", changed, "go"}).exit_code, 0);
  const Value other = cluster.wait(changed);
  EXPECT_EQ(text_at(other, {"outputs", "end", "note"}), "other");
  EXPECT_NE(text_at(other, {"outputs", "end", "id"}), id);
}

constexpr const char* kAsking = R"yaml(
name: asking
nodes:
  go: {signal: go}
)yaml";

TEST(Bulk, WhatHoldsForARunIsDoneToAllOfThem) {
  Cluster cluster({.workers = {}});
  const std::string file = cluster.workflow("asking.yaml", kAsking);
  std::vector<std::string> runs;
  for (const char* team : {"a", "a", "b"}) runs.push_back(cluster.submit(file, {"-l", std::string("team=") + team}));
  const std::string other = cluster.submit(kExample);
  const auto listed = [&](const std::string& where) { return cluster.rows({"list", "--where", where}).size(); };
  EXPECT_EQ(listed("workflow == 'asking'"), 3U);
  EXPECT_EQ(listed("workflow == 'asking' and labels.team == 'a'"), 2U);
  EXPECT_EQ(listed("elapsed > 0 and status == 'running'"), 0U) << "what cannot be compared does not hold";
  EXPECT_EQ(cluster.cli({"list", "--where", "state == 'running'"}).exit_code, 2);
  EXPECT_EQ(cluster.cli({"list", "--where", "status =="}).exit_code, 2);

  EXPECT_EQ(cluster.cli({"pause", "--where", "labels.team == 'a'"}).exit_code, 2) << "nobody can be asked";
  EXPECT_EQ(at(cluster.json({"pause", "--where", "labels.team == 'a'", "--dry-run"}), {"runs"}).as_array().size(), 2U);
  EXPECT_EQ(text_at(cluster.json({"status", runs[0]}), {"status"}), "running");
  const Value paused = cluster.json({"pause", "--where", "labels.team == 'a'", "--yes", "--reason", "lunch"});
  ASSERT_EQ(at(paused, {"runs"}).as_array().size(), 2U);
  EXPECT_EQ(text_at(at(paused, {"runs"}).as_array().at(0), {"status"}), "paused");
  EXPECT_EQ(text_at(cluster.json({"status", runs[0]}), {"reason"}), "lunch");
  EXPECT_TRUE(eventually(20s, [&] { return listed("status == 'paused' and reason == 'lunch'") == 2U; }));
  EXPECT_EQ(at(cluster.json({"resume", "--where", "true", "--yes"}), {"runs"}).as_array().size(), 2U);

  const Value cancelled = cluster.json({"cancel", "--where", "workflow == 'asking'", "--yes", "--reason", "enough"});
  EXPECT_EQ(at(cancelled, {"runs"}).as_array().size(), 3U) << cancelled.dump_pretty();
  for (const std::string& run : runs) EXPECT_EQ(text_at(cluster.wait(run), {"reason"}), "enough");
  (void)cluster.cli({"cancel", other});
  const Value retried = cluster.json({"retry", "--where", "workflow == 'asking'", "--yes", "-k", "night"});
  ASSERT_EQ(at(retried, {"runs"}).as_array().size(), 3U);
  const Value same =
      cluster.json({"retry", "--where", "workflow == 'asking' and ended != null", "--yes", "-k", "night"});
  EXPECT_TRUE(at(retried, {"runs"}) == at(same, {"runs"})) << "the same key starts nothing anew";
}

}  // namespace
}  // namespace millrace::test
