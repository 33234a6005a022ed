// Nothing grows for ever: finished runs go by number and age, submissions beyond a limit are refused by name.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/process/workflows.h"
#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

constexpr const char* kLarge = R"yaml(
name: large
inputs:
  n: {type: integer, default: 0}
nodes:
  much:
    executor: python
    script: |
      output = str(inputs["n"]) * 100000
)yaml";

std::size_t runs_of(const Cluster& cluster, const std::string& workflow) {
  return cluster.rows({"list", "--workflow", workflow, "--limit", "1000"}).size();
}
std::size_t lines(const Finished& finished) { return static_cast<std::size_t>(std::ranges::count(finished.out, '\n')); }

// What redis-cli says, without the last end of line.
std::string redis_says(Cluster& cluster, std::vector<std::string> words) {
  words.insert(words.begin(), {"redis-cli", "-s", cluster.redis().path()});
  std::string out = run_program(words).out;
  while (out.ends_with("\n")) out.pop_back();
  return out;
}
std::size_t keys_like(Cluster& cluster, const std::string& pattern) {
  const std::string keys = redis_says(cluster, {"--scan", "--pattern", pattern});
  return keys.empty() ? 0 : static_cast<std::size_t>(std::ranges::count(keys, '\n')) + 1;
}

TEST(Retention, OfAWorkflowTheNewestRunsStayAndTheOthersGoWithAllThatIsTheirs) {
  Cluster cluster({.coordinator_options = {"--retention-count", "5", "--key-life", "2s", "--value-grace", "1s"}});
  const std::string quick = cluster.workflow("quick.yaml", kQuick);
  const std::string failing = cluster.workflow("failing.yaml", kFailing);
  const std::string other = cluster.submit(failing);
  cluster.wait(other);
  std::vector<std::string> runs;
  for (int n = 1; n <= 20; ++n) {
    runs.push_back(cluster.submit(quick, {"-i", "n=" + std::to_string(n), "-k", "key-" + std::to_string(n)}));
    cluster.wait(runs.back());
  }
  ASSERT_TRUE(eventually(20s, [&] { return runs_of(cluster, "quick") == 5; })) << runs_of(cluster, "quick");
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Finished status = cluster.cli({"status", runs[i]});
    EXPECT_EQ(status.exit_code, i < 15 ? 3 : 0) << i << status.err;
  }
  for (const char* verb : {"logs", "events", "wait", "cancel"})
    EXPECT_EQ(cluster.cli({verb, runs[0]}).exit_code, 3) << verb;
  EXPECT_EQ(runs_of(cluster, "failing"), 1U) << "each workflow is counted for itself";
  EXPECT_EQ(keys_like(cluster, "mr:{p*}:r:*"), 6U);
  EXPECT_TRUE(eventually(20s, [&] { return keys_like(cluster, "mr:{p*}:keys") <= 6U; }));
  EXPECT_TRUE(eventually(20s, [&] {
    std::size_t entries = 0;
    for (int p = 0; p < 16; ++p)
      entries += std::stoul(redis_says(cluster, {"XLEN", "mr:{p" + std::to_string(p) + "}:events"}));
    return entries <= 6U * 4;
  })) << "events of runs that are gone are gone";
  // A coordinator that begins anew counts what is there and goes on.
  cluster.coordinator().signal(SIGTERM);
  ASSERT_TRUE(cluster.coordinator().wait(10s).has_value());
  cluster.start_coordinator();
  for (int n = 30; n < 33; ++n) cluster.wait(cluster.submit(quick, {"-i", "n=" + std::to_string(n)}));
  EXPECT_TRUE(eventually(30s, [&] { return runs_of(cluster, "quick") == 5; })) << runs_of(cluster, "quick");
  EXPECT_EQ(cluster.cli({"status", runs.back()}).exit_code, 0);
}

TEST(Retention, FinishedRunsGoByAgeAndLiveOnesStay) {
  Cluster cluster({.coordinator_options = {"--retention-age", "1s"}});
  const std::string endless = cluster.workflow("endless.yaml", kEndless);
  const std::string live = cluster.submit(endless, {"-i", "marks=" + cluster.scratch().file("marks")});
  const std::string quick = cluster.submit(cluster.workflow("quick.yaml", kQuick), {"-k", "again"});
  cluster.wait(quick);
  ASSERT_TRUE(eventually(20s, [&] { return cluster.cli({"status", quick}).exit_code == 3; }));
  EXPECT_EQ(cluster.cli({"status", live}).exit_code, 0);
  EXPECT_EQ(keys_like(cluster, "mr:{p*}:def:*"), 1U) << "the definition of the live run";
  // Its key is remembered: the same request is still the same run.
  EXPECT_EQ(cluster.submit(cluster.workflow("quick.yaml", kQuick), {"-k", "again"}), quick);
  EXPECT_EQ(cluster.cli({"submit", cluster.workflow("quick.yaml", kQuick), "-k", "again", "-i", "n=2"}).exit_code, 7);
  const Finished fresh = cluster.cli({"submit", cluster.workflow("quick.yaml", kQuick), "--wait", "-o", "json"});
  EXPECT_EQ(fresh.exit_code, 0) << "its definition is written again: " << fresh.err;
}

TEST(Retention, LargeValuesGoWhenNoRunNeedsThem) {
  Cluster cluster({.coordinator_options = {"--retention-count", "2", "--value-grace", "2s"}});
  const std::string large = cluster.workflow("large.yaml", kLarge);
  for (int n = 1; n <= 6; ++n) cluster.wait(cluster.submit(large, {"-i", "n=" + std::to_string(n)}));
  EXPECT_TRUE(eventually(20s, [&] { return runs_of(cluster, "large") == 2; }));
  // A partition drops what it needed when a later run of it exists, or when it has none at all.
  EXPECT_TRUE(eventually(40s, [&] {
    cluster.wait(cluster.submit(large, {"-i", "n=6"}));
    return keys_like(cluster, "mr:blob:*") <= 3U;
  })) << keys_like(cluster, "mr:blob:*");
  const std::vector<Value> rows = cluster.rows({"list", "--workflow", "large"});
  ASSERT_FALSE(rows.empty());
  const Value kept = cluster.json({"status", text_at(rows.front(), {"run"})});
  EXPECT_EQ(text_at(kept, {"nodes", "much", "outputs"}).size(), 100'000U) << "what a kept run needs is there";
}

TEST(Retention, PagesOfAListComeWhileRunsAreDeleted) {
  Cluster cluster({.coordinator_options = {"--retention-count", "30"}});
  const std::string quick = cluster.workflow("quick.yaml", kQuick);
  for (int n = 0; n < 60; ++n) cluster.submit(quick);
  std::size_t last = 0;
  for (int i = 0; i < 20; ++i) {
    const Finished list = cluster.cli({"list", "--limit", "100", "-o", "name"});
    ASSERT_EQ(list.exit_code, 0) << list.err;
    last = lines(list);
    EXPECT_GE(last, 30U);
  }
  EXPECT_TRUE(eventually(30s, [&] { return runs_of(cluster, "quick") == 30; })) << last;
}

// ---------------------------------------------------------------- limits

Value refusal(const Finished& finished) {
  EXPECT_EQ(finished.exit_code, 6) << finished.out << finished.err;
  Result<Value> value = Value::parse(finished.out);
  EXPECT_TRUE(value.ok()) << finished.out;
  return value.ok() ? at(*value, {"error"}) : Value();
}

TEST(Limits, ASubmissionBeyondOneIsRefusedAtOnceWithTheLimitAndWhatStandsAgainstIt) {
  Cluster cluster(
      {.workers = {}, .coordinator_options = {"--runs-max", "3", "--tenant-runs-max", "2", "--bytes-max", "1KiB"}});
  const std::string quick = cluster.workflow("quick.yaml", kQuick);
  const std::string text =
      cluster.workflow("text.yaml", "name: text\ninputs:\n  t: {type: string}\nnodes:\n  a: {executor: noop}\n");
  Value error = refusal(cluster.cli({"submit", text, "-i", "t=" + std::string(2'000, 'x'), "-o", "json"}));
  EXPECT_EQ(text_at(error, {"name"}), "queue_full");
  EXPECT_NE(text_at(error, {"message"}).find("of 1024 bytes of live runs"), std::string::npos) << error.dump();
  cluster.submit(quick);
  cluster.submit(quick);
  error = refusal(cluster.cli({"submit", quick, "-o", "json"}));
  EXPECT_EQ(text_at(error, {"message"}), "queue_full: 2 of 2 live runs of tenant 'default' (--tenant-runs-max)");
  cluster.submit(quick, {"--tenant", "acme"});
  error = refusal(cluster.cli({"submit", quick, "--tenant", "acme", "-o", "json"}));
  EXPECT_EQ(text_at(error, {"name"}), "queue_full");
  EXPECT_EQ(text_at(error, {"message"}), "queue_full: 3 of 3 live runs (--runs-max)");
  ASSERT_EQ(at(error, {"details"}).as_array().size(), 1U);
  const Value& detail = at(error, {"details"}).as_array()[0];
  EXPECT_EQ(text_at(detail, {"message"}), "live runs: 3");
  EXPECT_EQ(text_at(detail, {"expected"}), "at most 3");
  EXPECT_EQ(cluster.cli({"submit", quick, "--tenant", "acme"}).exit_code, 6);

  const Finished doctor = cluster.cli({"doctor", "-o", "json"});
  EXPECT_EQ(doctor.exit_code, 1);
  EXPECT_NE(doctor.out.find("3 of 3 runs: submissions are refused (queue_full)"), std::string::npos) << doctor.out;
}

}  // namespace
}  // namespace millrace::test
