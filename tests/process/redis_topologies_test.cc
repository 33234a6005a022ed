// The cluster over Redis as it really is: Sentinel failover, Redis Cluster, a full memory, a slow server, a restart
// that lost the end.
#include <gtest/gtest.h>

#include <thread>

#include "common/io/redis_net.h"

#include "tests/process/load.h"
#include "tests/support/cluster.h"
#include "tests/support/redis_group.h"

namespace millrace::test {
namespace {

TEST(RedisTopologies, ASentinelFailoverLosesNothingThatWasAcknowledged) {
  SentinelGroup group;
  ASSERT_EQ(group.start(), "");
  Cluster cluster({.coordinator_options = {"--durability=replicated"}, .redis = group.url()});
  const std::string file = cluster.workflow("chain.yaml", kChain);
  Load load(cluster, file);
  std::this_thread::sleep_for(1500ms);
  group.master().server().kill_now();
  std::this_thread::sleep_for(2s);  // the Sentinels choose
  ASSERT_TRUE(eventually(10s, [&] { return group.replica().raw({"ROLE"}).items.at(0).text == "master"; }));
  // It has no replica of its own now: until one is there, nothing is acknowledged.
  group.master().server().start();
  std::this_thread::sleep_for(5s);
  load.expect_all_ended();
  std::printf("slowest submission: %lld ms, %zu acknowledged\n", static_cast<long long>(load.slowest().count()),
              load.acknowledged());
}

TEST(RedisTopologies, AReplicaThatIsBehindIsBroughtBackFromTheRing) {
  SentinelGroup group;
  ASSERT_EQ(group.start(), "");
  Cluster cluster({.coordinator_options = {"--durability=memory"}, .redis = group.url()});
  const std::string file = cluster.workflow("chain.yaml", kChain);
  for (int i = 0; i < 3; ++i) cluster.wait(cluster.submit(file));
  // The replica stands still and its line is cut: it hears nothing of what follows, and is promoted all the same.
  group.replica().server().pause();
  group.master().raw({"CLIENT", "KILL", "TYPE", "replica"});
  std::vector<std::string> runs;
  for (int i = 0; i < 10; ++i) {
    runs.push_back(cluster.submit(file, {"--idempotency-key", "behind-" + std::to_string(i)}));
    EXPECT_EQ(text_at(cluster.wait(runs.back()), {"status"}), "succeeded");
  }
  const auto killed = std::chrono::steady_clock::now();
  group.master().server().kill_now();
  group.replica().server().resume();
  ASSERT_TRUE(eventually(15s, [&] { return cluster.cli({"list", "--limit", "1"}, 2s).exit_code == 0; }));
  ASSERT_TRUE(eventually(15s, [&] {
    return cluster.coordinator().err().find("they were applied again") != std::string::npos ||
           cluster.coordinator().err().find("cannot be brought back") != std::string::npos;
  })) << cluster.coordinator().err();
  const auto pause = std::chrono::duration_cast<Wait>(std::chrono::steady_clock::now() - killed);
  std::printf("repaired %lld ms after the kill\n", static_cast<long long>(pause.count()));
  EXPECT_EQ(cluster.coordinator().err().find("cannot be brought back"), std::string::npos);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    EXPECT_EQ(text_at(cluster.wait(runs[i]), {"status"}), "succeeded");
    EXPECT_EQ(problem_of_history(cluster.rows({"events", runs[i]})), "") << runs[i];
    EXPECT_EQ(cluster.submit(file, {"--idempotency-key", "behind-" + std::to_string(i)}), runs[i])
        << "the key is known";
  }
}

TEST(RedisTopologies, ALossThatTheRingDoesNotReachIsReportedWithItsRuns) {
  Cluster cluster({.append = Append::kNo, .coordinator_options = {"--durability=memory"}});
  const std::string file =
      cluster.workflow("slow.yaml", "name: slow\nnodes:\n  a: {executor: shell, script: sleep 60}\n");
  const std::string run = cluster.submit(file);
  ASSERT_TRUE(eventually(10s, [&] { return cluster.node_status(run, "a") == "running"; }));
  std::this_thread::sleep_for(11s);  // older than what the ring keeps
  for (int i = 0; i < 16; ++i) cluster.wait(cluster.submit(cluster.workflow("chain.yaml", kChain)));
  Program follower = cluster.start_cli({"events", run, "-f", "-o", "jsonl"}, "follower");
  ASSERT_TRUE(eventually(10s, [&] { return follower.out().find("run_accepted") != std::string::npos; }));
  cluster.redis().kill_now();  // without a file: everything is gone
  cluster.start_redis();
  ASSERT_TRUE(eventually(20s, [&] {
    return cluster.coordinator().err().find("which were acknowledged; they cannot be brought back") !=
               std::string::npos &&
           cluster.coordinator().err().find(run) != std::string::npos;
  })) << cluster.coordinator().err();
  EXPECT_TRUE(eventually(10s,
                         [&] {
                           return follower.out().find("\"type\":\"owner_changed\"") != std::string::npos &&
                                  follower.out().find("\"data\":{\"kept\":0}") != std::string::npos;
                         }))
      << "who follows the run is told: " << follower.out();
  const Finished doctor = cluster.cli({"doctor", "-o", "json"});
  EXPECT_EQ(doctor.exit_code, 1);
  EXPECT_NE(doctor.out.find("they could not be brought back"), std::string::npos) << doctor.out;
  EXPECT_NE(doctor.out.find(run), std::string::npos) << doctor.out;
  ASSERT_TRUE(eventually(20s, [&] {
    return cluster.cli({"submit", cluster.workflow("chain.yaml", kChain), "--wait"}, 10s).exit_code == 0;
  })) << "new work is served";
}

TEST(RedisTopologies, ARedisClusterServesWhileASlotMoves) {
  ClusterGroup group;
  ASSERT_EQ(group.start(), "");
  Cluster cluster({.coordinator_options = {"--durability=memory"}, .coordinators = 2, .redis = group.url()});
  Load load(cluster, cluster.workflow("chain.yaml", kChain));
  std::this_thread::sleep_for(1500ms);
  for (const int partition : {3, 7, 11}) {
    const std::uint16_t slot = redis_slot("p" + std::to_string(partition));
    const std::size_t from = std::min<std::size_t>(slot / 5461, 2);
    group.move(slot, from, (from + 1) % 3);
    std::this_thread::sleep_for(500ms);
  }
  group.node(1).raw({"FUNCTION", "FLUSH", "SYNC"});
  std::this_thread::sleep_for(1s);
  load.expect_all_ended();
  std::printf("slowest submission: %lld ms, %zu acknowledged\n", static_cast<long long>(load.slowest().count()),
              load.acknowledged());
}

TEST(RedisTopologies, AFullMemoryRefusesNewWorkByNameAndRunningWorkResumes) {
  Cluster cluster({.append = Append::kEverysec});
  const std::string open = cluster.scratch().file("open");
  const std::string file = cluster.workflow(
      "gate.yaml",
      "name: gate\ninputs:\n  open: {type: string, required: true}\nnodes:\n  gate:\n    executor: shell\n"
      "    env: {OPEN: \"{{ inputs.open }}\"}\n    script: while [ ! -e \"$OPEN\" ]; do sleep 0.05; done\n"
      "  after: {executor: noop, depends_on: [gate]}\n");
  const std::string run = cluster.submit(file, {"-i", "open=" + open});
  ASSERT_TRUE(eventually(10s, [&] { return cluster.node_status(run, "gate") == "running"; }));
  const std::string owned = owners(cluster);
  const auto redis_cli = [&](const std::string& limit) {
    return run_program({"redis-cli", "-s", cluster.redis().path(), "CONFIG", "SET", "maxmemory", limit}).out;
  };
  ASSERT_EQ(redis_cli("1"), "OK\n");
  cluster.scratch().write("open", "");  // its end cannot be written now
  Finished refused;
  ASSERT_TRUE(eventually(
      15s,
      [&] {
        refused = cluster.cli({"submit", cluster.workflow("chain.yaml", kChain), "-o", "json", "--timeout", "3s"});
        return refused.out.find("store_full") != std::string::npos ||
               refused.err.find("store_full") != std::string::npos;
      }))
      << refused.out << refused.err;
  std::this_thread::sleep_for(4s);
  ASSERT_EQ(redis_cli("0"), "OK\n");
  EXPECT_EQ(text_at(cluster.wait(run), {"status"}), "succeeded");
  EXPECT_EQ(problem_of_history(cluster.rows({"events", run})), "");
  EXPECT_EQ(owners(cluster), owned) << "a full store changes no owner";
  EXPECT_EQ(cluster.cli({"submit", cluster.workflow("chain.yaml", kChain), "--wait"}).exit_code, 0);
}

TEST(RedisTopologies, ASlowRedisChangesNoOwner) {
  Cluster cluster({.coordinators = 2});
  const std::string file = cluster.workflow("chain.yaml", kChain);
  cluster.wait(cluster.submit(file));
  ASSERT_TRUE(eventually(20s, [&] {
    const std::string all = owners(cluster);
    return all.find(Cluster::name_of(0)) != std::string::npos && all.find(Cluster::name_of(1)) != std::string::npos;
  }));
  std::this_thread::sleep_for(3s);
  const std::string owned = owners(cluster);
  for (int i = 0; i < 3; ++i) {
    run_program({"redis-cli", "-s", cluster.redis().path(), "CLIENT", "PAUSE", "3500", "ALL"});
    std::this_thread::sleep_for(4s);
  }
  EXPECT_EQ(owners(cluster), owned);
  EXPECT_EQ(text_at(cluster.wait(cluster.submit(file)), {"status"}), "succeeded");
}

}  // namespace
}  // namespace millrace::test
