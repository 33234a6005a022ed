// `millrace store` beside coordinators that serve, and without them; on one Redis and on a Redis Cluster.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <thread>

#include "common/io/redis_net.h"
#include "coordinator/shell/redis_keys.h"
#include "tests/process/load.h"
#include "tests/support/cluster.h"
#include "tests/support/redis_group.h"

namespace millrace::test {
namespace {

// Waits for a file to appear.
constexpr char kGate[] = R"yaml(
name: gate
inputs:
  open: {type: string, required: true}
nodes:
  gate:
    executor: shell
    env: {OPEN: "{{ inputs.open }}"}
    script: while [ ! -e "$OPEN" ]; do sleep 0.05; done
  after: {executor: noop, depends_on: [gate]}
)yaml";

// The first item ends at once, the others wait for the file.
constexpr char kFamily[] = R"yaml(
name: family
inputs:
  open: {type: string, required: true}
nodes:
  gate:
    foreach: [1, 2, 3]
    executor: shell
    env: {OPEN: "{{ inputs.open }}", N: "{{ item }}"}
    script: while [ "$N" != 1 ] && [ ! -e "$OPEN" ]; do sleep 0.05; done
)yaml";

class StoreVerbs : public ::testing::Test {
 protected:
  using Raw = std::function<void(const std::string& key, std::vector<std::string> words)>;

  static Finished store(const Cluster& cluster, const std::string& url, std::vector<std::string> words) {
    words.insert(words.begin(), "store");
    words.insert(words.end(), {"--redis", url});
    return cluster.cli(words);
  }
  static Value told(const Finished& finished) {
    auto value = Value::parse(finished.out);
    EXPECT_TRUE(value.ok()) << finished.out << finished.err;
    return value.ok() ? *value : Value();
  }
  // Overwrites what the store has of a run with bytes that were never written.
  static std::string damage(const std::string& run, const Raw& raw) {
    const std::string key = run_key(parse_run_id(run).value());
    raw(key, {"HSET", key, ".m", "not what was written"});
    return key;
  }
  static void submit_gate(Cluster& cluster, std::string& run, std::string& open) {
    open = cluster.scratch().file("open");
    run = cluster.submit(cluster.workflow("gate.yaml", kGate), {"-i", "open=" + open});
    ASSERT_TRUE(eventually(10s, [&] { return cluster.node_status(run, "gate") == "running"; }));
  }

  // The whole story, on whatever Redis `url` names.
  static void beside_a_live_cluster(Cluster& cluster, const std::string& url, const Raw& raw) {
    const std::string chain = cluster.workflow("chain.yaml", kChain);
    ASSERT_TRUE(eventually(20s, [&] { return halves_of(cluster); }));
    std::this_thread::sleep_for(2s);  // nothing moves any more
    {
      Load load(cluster, chain);
      for (int i = 0; i < 3 || load.acknowledged() < 10; ++i) {
        const Finished check = store(cluster, url, {"check", "-o", "json"});
        EXPECT_EQ(check.exit_code, 0) << check.out << check.err;
      }
      load.expect_all_ended();
    }
    std::string live;
    std::string open;
    submit_gate(cluster, live, open);
    const std::string ended = cluster.submit(chain);
    cluster.wait(ended);

    // Its owner has the run in memory, as it was acknowledged: that is what status tells. The store is named damaged.
    const std::string key = damage(ended, raw);
    EXPECT_EQ(text_at(cluster.json({"status", ended}), {"status"}), "succeeded");

    const Finished check = store(cluster, url, {"check", "-o", "json"});
    EXPECT_EQ(check.exit_code, 1);
    const Value found = at(told(check), {"findings"});
    ASSERT_EQ(found.as_array().size(), 1U) << check.out;
    EXPECT_EQ(text_at(found.as_array()[0], {"kind"}), "run");
    EXPECT_EQ(text_at(found.as_array()[0], {"run"}), ended);
    EXPECT_EQ(text_at(found.as_array()[0], {"key"}), key);

    // The owner lives: the partition is taken from it and given back; live runs go on, in its memory or another's.
    const std::string owned = owners_of(cluster);
    const Finished repaired = store(cluster, url, {"repair", "-o", "json"});
    EXPECT_EQ(repaired.exit_code, 0) << repaired.out << repaired.err;
    EXPECT_NE(repaired.out.find("set_aside"), std::string::npos) << repaired.out;
    EXPECT_EQ(store(cluster, url, {"check"}).exit_code, 0);
    // For as long as a renewal lasts (1.5 s), the owner that was passed over may still tell what it knows.
    EXPECT_TRUE(eventually(5s, [&] {
      return cluster.cli({"status", ended}).exit_code == 3;
    })) << "it is not there any more";
    EXPECT_EQ(owned.find("repair"), std::string::npos);
    EXPECT_TRUE(eventually(10s, [&] { return owners_of(cluster) == owned; }))
        << "each partition is its owner's again:\n"
        << owned << "now\n"
        << owners_of(cluster);

    // What the store has of a live run is damaged: its owner goes on from memory, and the repair does not take it away.
    damage(live, raw);
    const Finished left = store(cluster, url, {"repair", "-o", "json"});
    EXPECT_EQ(left.exit_code, 1) << left.out << left.err;
    EXPECT_NE(left.out.find("in memory"), std::string::npos) << left.out;
    EXPECT_EQ(cluster.node_status(live, "gate"), "running");
    cluster.scratch().write("open", "");
    EXPECT_EQ(text_at(cluster.wait(live), {"status"}), "succeeded");
    EXPECT_EQ(problem_of_history(cluster.rows({"events", live})), "");
    (void)store(cluster, url, {"repair"});  // what was damaged and not written since
    EXPECT_EQ(store(cluster, url, {"check"}).exit_code, 0);
    EXPECT_EQ(cluster.cli({"submit", chain, "--wait"}).exit_code, 0);
  }

  static std::uint16_t partition_of_run(const std::string& run) {
    return partition_of(parse_run_id(run).value()).value;
  }
  static std::string owner_of(const Cluster& cluster, std::uint16_t partition) {
    for (const Value& row : cluster.rows({"partitions"})) {
      if (number_at(row, {"partition"}) == partition) return text_at(row, {"owner"});
    }
    return "";
  }
  static std::string other_than(const std::string& owner) { return Cluster::name_of(owner == Cluster::name_of(0)); }
  static bool halves_of(const Cluster& cluster) {
    std::map<std::string, int> count;
    for (const Value& row : cluster.rows({"partitions"})) ++count[text_at(row, {"owner"})];
    return count[Cluster::name_of(0)] == 8 && count[Cluster::name_of(1)] == 8;
  }
  static std::string owners_of(const Cluster& cluster) {
    std::string all;
    for (const Value& row : cluster.rows({"partitions"})) all += text_at(row, {"owner"}) + "\n";
    return all;
  }
};

TEST_F(StoreVerbs, CheckAndRepairWorkBesideALiveCluster) {
  Cluster cluster({.coordinators = 2});
  beside_a_live_cluster(cluster, cluster.redis().url(), [&](const std::string&, std::vector<std::string> words) {
    words.insert(words.begin(), {"redis-cli", "-s", cluster.redis().path()});
    run_program(words);
  });
}

TEST_F(StoreVerbs, CheckAndRepairWorkOnARedisClusterThatServes) {
  ClusterGroup group;
  ASSERT_EQ(group.start(), "");
  Cluster cluster({.coordinator_options = {"--durability=memory"}, .coordinators = 2, .redis = group.url()});
  beside_a_live_cluster(cluster, group.url(), [&](const std::string& key, std::vector<std::string> words) {
    group.node(std::min<std::size_t>(redis_slot(key) / 5461, 2)).raw(words);
  });
}

// While its owner lives, memory is the truth; whoever takes over from it has nothing but the store.
TEST_F(StoreVerbs, ARunIsServedFromMemoryAndRefusedByNameOnceOnlyDamagedRecordsAreLeft) {
  Cluster cluster;
  std::string run;
  std::string open;
  submit_gate(cluster, run, open);
  const std::string ended = cluster.submit(cluster.workflow("chain.yaml", kChain));
  cluster.wait(ended);
  const Raw raw = [&](const std::string&, std::vector<std::string> words) {
    words.insert(words.begin(), {"redis-cli", "-s", cluster.redis().path()});
    run_program(words);
  };
  const std::string key = damage(run, raw);
  const std::string ended_key = damage(ended, raw);
  EXPECT_EQ(cluster.node_status(run, "gate"), "running");
  EXPECT_EQ(text_at(cluster.json({"status", ended}), {"status"}), "succeeded");
  cluster.coordinator().kill();
  cluster.start_coordinator();
  Finished refused;
  ASSERT_TRUE(eventually(20s,
                         [&] {
                           refused = cluster.cli({"status", run, "-o", "json"}, 5s);
                           return refused.exit_code == 1;
                         }))
      << refused.out << refused.err;
  for (const std::string& said : {std::string("\"damaged\""), run, key})
    EXPECT_NE(refused.out.find(said), std::string::npos) << said << "\n" << refused.out;
  refused = cluster.cli({"status", ended, "-o", "json"});
  EXPECT_EQ(refused.exit_code, 1) << "a finished run is refused alike";
  for (const std::string& said : {std::string("\"damaged\""), ended, ended_key, std::string("checksum")})
    EXPECT_NE(refused.out.find(said), std::string::npos) << said << "\n" << refused.out;
  EXPECT_NE(cluster.coordinator().err().find(key), std::string::npos)
      << "the log names it: " << cluster.coordinator().err();
  EXPECT_EQ(cluster.cli({"submit", cluster.workflow("chain.yaml", kChain), "--wait"}).exit_code, 0);
  // Its owner has nothing of it in memory, but that cannot be seen from outside: it has to be told to give it up.
  EXPECT_EQ(store(cluster, cluster.redis().url(), {"repair"}).exit_code, 1);
  const Finished repaired = store(cluster, cluster.redis().url(), {"repair", "--take"});
  EXPECT_EQ(repaired.exit_code, 0) << repaired.out << repaired.err;
  EXPECT_TRUE(eventually(10s, [&] { return cluster.cli({"status", run}, 5s).exit_code == 3; }));
}

// Whoever takes a partition has nothing but the store. Who gives it up looks there first, and has the run in memory.
TEST_F(StoreVerbs, ALiveRunWhoseRecordsAreDamagedIsWrittenAnewBeforeItsPartitionMoves) {
  Cluster cluster({.coordinators = 2});
  ASSERT_TRUE(eventually(20s, [&] { return halves_of(cluster); }));
  std::string run;
  std::string open;
  submit_gate(cluster, run, open);
  const std::uint16_t partition = partition_of_run(run);
  const std::string owner = owner_of(cluster, partition);
  const std::string heir = other_than(owner);
  for (const char* field : {".i", ".m"})
    run_program({"redis-cli", "-s", cluster.redis().path(), "HSET", run_key(parse_run_id(run).value()), field, "x"});
  EXPECT_EQ(store(cluster, cluster.redis().url(), {"check"}).exit_code, 1);
  EXPECT_EQ(cluster.node_status(run, "gate"), "running") << "it is served from memory";

  EXPECT_EQ(cluster.cli({"partitions", "move", std::to_string(partition), "--to", heir}).exit_code, 0);
  ASSERT_TRUE(eventually(10s, [&] { return owner_of(cluster, partition) == heir; }));
  EXPECT_TRUE(eventually(10s, [&] { return cluster.node_status(run, "gate") == "running"; }));
  Program& before = cluster.coordinator(owner == Cluster::name_of(0) ? 0 : 1);
  EXPECT_NE(before.err().find(run), std::string::npos) << "the log names it: " << before.err();
  EXPECT_NE(before.err().find("written anew from memory"), std::string::npos) << before.err();
  EXPECT_EQ(store(cluster, cluster.redis().url(), {"check"}).exit_code, 0);
  cluster.scratch().write("open", "");
  EXPECT_EQ(text_at(cluster.wait(run), {"status"}), "succeeded");
  EXPECT_EQ(problem_of_history(cluster.rows({"events", run})), "") << "its events begin where they did";
}

// Results of items are not all in memory: then the partition stays where the run is sound.
TEST_F(StoreVerbs, APartitionStaysWhereALiveRunCannotBeWrittenAnew) {
  Cluster cluster({.coordinators = 2});
  ASSERT_TRUE(eventually(20s, [&] { return halves_of(cluster); }));
  const std::string open = cluster.scratch().file("open");
  const std::string run = cluster.submit(cluster.workflow("family.yaml", kFamily), {"-i", "open=" + open});
  ASSERT_TRUE(eventually(10s, [&] {
    return number_at(cluster.json({"status", run}), {"nodes", "gate", "items", "done"}) == 1;
  }));
  const std::uint16_t partition = partition_of_run(run);
  const std::string owner = owner_of(cluster, partition);
  const std::string heir = other_than(owner);
  Program& holder = cluster.coordinator(owner == Cluster::name_of(0) ? 0 : 1);
  run_program({"redis-cli", "-s", cluster.redis().path(), "HSET", run_key(parse_run_id(run).value()), ".i", "x"});
  const std::vector<std::string> move = {"partitions", "move", std::to_string(partition), "--to", heir};
  (void)cluster.cli(move);
  ASSERT_TRUE(eventually(10s, [&] { return holder.err().find("stays here") != std::string::npos; })) << holder.err();
  EXPECT_NE(holder.err().find(run), std::string::npos) << holder.err();
  EXPECT_EQ(owner_of(cluster, partition), owner);
  EXPECT_EQ(cluster.node_status(run, "gate"), "running") << "and is told there";
  EXPECT_EQ(cluster.cli({"submit", cluster.workflow("chain.yaml", kChain), "--wait"}).exit_code, 0);
  cluster.scratch().write("open", "");
  EXPECT_EQ(text_at(cluster.wait(run), {"status"}), "succeeded");
  EXPECT_EQ(cluster.cli(move).exit_code, 0);
  EXPECT_TRUE(eventually(10s, [&] { return owner_of(cluster, partition) == heir; })) << "nothing holds it any more";
}

// Without coordinators, into an empty Redis: the new cluster goes on where the old one stood.
TEST_F(StoreVerbs, ABackupOfALiveClusterRestoredElsewhereGoesOnWithItsRuns) {
  std::string copy;
  std::string open;
  std::string live;
  std::string ended;
  const ScratchDirectory kept;
  RedisServer other;
  ASSERT_TRUE(other.start());
  copy = kept.file("copy");
  {
    Cluster cluster({.coordinators = 2});
    open = kept.file("open");
    live = cluster.submit(cluster.workflow("gate.yaml", kGate), {"-i", "open=" + open, "--idempotency-key", "kept"});
    ASSERT_TRUE(eventually(10s, [&] { return cluster.node_status(live, "gate") == "running"; }));
    const std::string chain = cluster.workflow("chain.yaml", kChain);
    ended = cluster.submit(chain);
    cluster.wait(ended);
    {
      Load load(cluster, chain);
      ASSERT_TRUE(eventually(20s, [&] { return load.acknowledged() > 5; }));
      const Finished backup = store(cluster, cluster.redis().url(), {"backup", copy});
      EXPECT_EQ(backup.exit_code, 0) << backup.err;
      load.expect_all_ended();
    }
    EXPECT_EQ(store(cluster, cluster.redis().url(), {"restore", copy}).exit_code, 7) << "it is not empty";
    EXPECT_EQ(store(cluster, cluster.redis().url(), {"restore", copy, "--force"}).exit_code, 6) << "coordinators live";
    const Finished restored = store(cluster, other.url(), {"restore", copy});
    EXPECT_EQ(restored.exit_code, 0) << restored.err;
    const Finished check = store(cluster, other.url(), {"check", "-o", "json"});
    EXPECT_EQ(check.exit_code, 0) << check.out << check.err;
  }
  Cluster again({.coordinators = 2, .redis = other.url()});
  ASSERT_TRUE(eventually(20s, [&] { return again.cli({"status", live}, 5s).exit_code == 0; }));
  bool listed = false;
  for (const Value& row : again.rows({"list", "--limit", "1000"})) listed |= text_at(row, {"run"}) == ended;
  EXPECT_TRUE(listed);
  EXPECT_EQ(problem_of_history(again.rows({"events", ended})), "");
  EXPECT_EQ(again.submit(again.workflow("gate.yaml", kGate), {"-i", "open=" + open, "--idempotency-key", "kept"}), live)
      << "keys are known";
  kept.write("open", "");
  EXPECT_EQ(text_at(again.wait(live), {"status"}), "succeeded");
  EXPECT_EQ(problem_of_history(again.rows({"events", live})), "");
  EXPECT_EQ(store(again, other.url(), {"check"}).exit_code, 0);
}

// The same on a stopped cluster, from one Redis into a Redis Cluster and back.
TEST_F(StoreVerbs, ABackupMovesAStoppedClusterBetweenOneRedisAndARedisCluster) {
  ClusterGroup group;
  ASSERT_EQ(group.start(), "");
  const ScratchDirectory kept;
  const std::string copy = kept.file("copy");
  const std::string back = kept.file("back");
  RedisServer last;
  ASSERT_TRUE(last.start());
  std::vector<std::string> runs;
  std::string damaged;
  Cluster cluster({.coordinator_options = {"--durability=memory"}});
  const std::string chain = cluster.workflow("chain.yaml", kChain);
  for (int i = 0; i < 20; ++i) {
    runs.push_back(cluster.submit(chain));
    cluster.wait(runs.back());
  }
  cluster.coordinator().kill();
  damaged = runs.back();
  damage(damaged, [&](const std::string&, std::vector<std::string> words) {
    words.insert(words.begin(), {"redis-cli", "-s", cluster.redis().path()});
    run_program(words);
  });
  EXPECT_EQ(store(cluster, cluster.redis().url(), {"check"}).exit_code, 1);
  EXPECT_EQ(store(cluster, cluster.redis().url(), {"backup", copy}).exit_code, 0);
  EXPECT_EQ(store(cluster, group.url(), {"restore", copy}).exit_code, 0);
  EXPECT_EQ(store(cluster, group.url(), {"check"}).exit_code, 1) << "a backup copies damage faithfully";
  const Finished repaired = store(cluster, group.url(), {"repair", "-o", "json"});
  EXPECT_EQ(repaired.exit_code, 0) << repaired.out << repaired.err;
  EXPECT_EQ(store(cluster, group.url(), {"backup", back}).exit_code, 0);
  EXPECT_EQ(store(cluster, last.url(), {"restore", back}).exit_code, 0);
  const Value check = told(store(cluster, last.url(), {"check", "-o", "json"}));
  EXPECT_EQ(text_at(check, {"state"}), "clean");
  EXPECT_EQ(number_at(check, {"runs"}), 19);

  Cluster again({.coordinator_options = {"--durability=memory"}, .redis = group.url()});
  for (const std::string& run : runs) {
    if (run == damaged) continue;
    EXPECT_EQ(text_at(again.wait(run), {"status"}), "succeeded") << run;
  }
  EXPECT_EQ(again.cli({"submit", chain, "--wait"}).exit_code, 0);
}

}  // namespace
}  // namespace millrace::test
