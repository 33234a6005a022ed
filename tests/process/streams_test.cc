// Triggers that follow streams, on real programs: each entry starts one run, whoever dies between reading and
// committing, and what a stream has lost is told.
#include <gtest/gtest.h>

#include <set>

#include "common/io/redis.h"
#include "tests/process/failover.h"
#include "tests/process/workflows.h"

namespace millrace::test {
namespace {

constexpr const char* kOrders =
    "name: orders\n"
    "inputs: {n: {type: any}}\n"
    "triggers:\n"
    "  each:\n"
    "    stream: {redis: shop, key: orders, start: begin}\n"
    "    inputs: {n: \"{{ event.payload.n }}\"}\n"
    "nodes:\n"
    "  a: {value: \"{{ inputs.n }}\"}\n"
    "outputs: {n: \"{{ nodes.a }}\"}\n";

// A cluster, and a stream in a Redis of somebody else.
struct Shop {
  explicit Shop(std::size_t coordinators) {
    EXPECT_TRUE(server.start());
    redis = std::move(Redis::connect(*RedisUrl::parse(server.url()), 5s).value());
    cluster.emplace(ClusterOptions{.workers = {},
                                   .coordinator_options = {"--stream-redis", "shop=" + server.url()},
                                   .coordinators = coordinators});
  }
  void add(int from, int count) {
    for (int i = from; i < from + count; ++i)
      ASSERT_TRUE(redis->command({"XADD", "orders", "*", "n", std::to_string(i)}).ok());
  }
  Value trigger() const {
    const std::vector<Value> rows = cluster->rows({"trigger", "list"});
    return rows.empty() ? Value() : rows[0];
  }
  // What the runs were given, and how many there are.
  std::vector<std::string> given() const {
    std::vector<std::string> all;
    for (const Value& row : cluster->rows({"list", "-l", "trigger=each", "--limit", "1000"}))
      all.push_back(text_at(cluster->json({"status", text_at(row, {"run"})}), {"outputs", "n"}));
    return all;
  }
  std::size_t done() const {
    return cluster->rows({"list", "-l", "trigger=each", "-s", "succeeded", "--limit", "1000"}).size();
  }

  RedisServer server;
  std::unique_ptr<Redis> redis;
  std::optional<Cluster> cluster;
};

TEST(Streams, EachEntryStartsOneRunThoughCoordinatorsDieBetweenReadingAndCommitting) {
  Shop shop(2);
  ASSERT_TRUE(eventually(20s, [&] { return balanced(*shop.cluster); }));
  shop.add(0, 40);
  ASSERT_EQ(shop.cluster->cli({"workflow", "apply", shop.cluster->workflow("orders", kOrders)}).exit_code, 0);
  int added = 40;
  for (const std::size_t killed : {std::size_t{0}, std::size_t{1}, std::size_t{0}}) {  // one of them has its home
    for (int i = 0; i < 8; ++i, added += 5) shop.add(added, 5);  // some are read by now, some committed
    shop.cluster->coordinator(killed).kill();
    shop.add(added, 10);
    added += 10;
    shop.cluster->start_coordinator(killed);
    ASSERT_TRUE(eventually(30s, [&] { return balanced(*shop.cluster); }));
  }
  ASSERT_TRUE(eventually(60s, [&] { return shop.done() == static_cast<std::size_t>(added); })) << shop.done();
  const std::vector<std::string> given = shop.given();
  EXPECT_EQ(given.size(), static_cast<std::size_t>(added));
  EXPECT_EQ(std::set<std::string>(given.begin(), given.end()).size(), given.size()) << "one was taken twice";
  EXPECT_EQ(shop.cluster->cli({"store", "check", "--redis", shop.cluster->redis().url()}).exit_code, 0);
}

TEST(Streams, APausedTriggerGoesOnWhereItStoodAndAGapIsTold) {
  Shop shop(1);
  ASSERT_EQ(shop.cluster->cli({"workflow", "apply", shop.cluster->workflow("orders", kOrders)}).exit_code, 0);
  shop.add(0, 3);
  ASSERT_TRUE(eventually(20s, [&] { return shop.done() == 3; }));
  ASSERT_EQ(shop.cluster->cli({"trigger", "pause", "orders"}).exit_code, 0);
  shop.add(3, 4);
  ASSERT_EQ(shop.cluster->cli({"trigger", "resume", "orders"}).exit_code, 0);
  ASSERT_TRUE(eventually(20s, [&] { return shop.done() == 7; }));

  ASSERT_EQ(shop.cluster->cli({"trigger", "pause", "orders"}).exit_code, 0);
  shop.add(7, 5);
  ASSERT_TRUE(shop.redis->command({"XTRIM", "orders", "MAXLEN", "2"}).ok());
  ASSERT_EQ(shop.cluster->cli({"trigger", "resume", "orders"}).exit_code, 0);
  ASSERT_TRUE(eventually(20s, [&] { return shop.done() == 9; }));
  ASSERT_TRUE(eventually(20s, [&] {
    return text_at(shop.trigger(), {"error"}).find("stream_gap") != std::string::npos;
  })) << shop.trigger().dump();
  const std::vector<std::string> given = shop.given();
  EXPECT_EQ(std::set<std::string>(given.begin(), given.end()),
            (std::set<std::string>{"0", "1", "2", "3", "4", "5", "6", "10", "11"}));
}

TEST(Streams, AServerThatComesLateOrGoesIsWaitedFor) {
  Shop shop(1);
  ASSERT_EQ(shop.cluster->cli({"workflow", "apply", shop.cluster->workflow("orders", kOrders)}).exit_code, 0);
  shop.add(0, 2);
  ASSERT_TRUE(eventually(20s, [&] { return shop.done() == 2; }));
  shop.server.pause();
  shop.server.resume();
  shop.add(2, 2);
  ASSERT_TRUE(eventually(20s, [&] { return shop.done() == 4; }));
  ASSERT_TRUE(shop.redis->command({"SET", "other", "x"}).ok());
  std::string wrong = kOrders;
  wrong.replace(wrong.find("key: orders"), 11, "key: other");
  ASSERT_EQ(shop.cluster->cli({"workflow", "apply", shop.cluster->workflow("orders", wrong)}).exit_code, 0);
  ASSERT_TRUE(eventually(20s, [&] {
    return text_at(shop.trigger(), {"error"}).find("WRONGTYPE") != std::string::npos;
  })) << shop.trigger().dump();
}

TEST(Keyspaces, WhatHappensToAKeyStartsARunWhileSomebodyListensAndAServerThatIsSilentIsWarnedOf) {
  Shop shop(1);
  const std::string file = shop.cluster->workflow("carts",
                                                  "name: carts\n"
                                                  "inputs: {n: {type: any}}\n"
                                                  "triggers:\n"
                                                  "  each:\n"
                                                  "    keyspace: {redis: shop, pattern: 'cart:*', events: [set]}\n"
                                                  "    inputs: {n: \"{{ event.payload.key }}\"}\n"
                                                  "nodes:\n"
                                                  "  a: {value: \"{{ inputs.n }}\"}\n"
                                                  "outputs: {n: \"{{ nodes.a }}\"}\n");
  ASSERT_EQ(shop.cluster->cli({"workflow", "apply", file}).exit_code, 0);
  ASSERT_TRUE(eventually(
      20s, [&] { return shop.cluster->coordinator().err().find("notify-keyspace-events") != std::string::npos; }));
  ASSERT_TRUE(shop.redis->command({"CONFIG", "SET", "notify-keyspace-events", "KA"}).ok());
  ASSERT_TRUE(shop.redis->command({"SET", "basket:1", "x"}).ok());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(shop.redis->command({"SET", "cart:" + std::to_string(i), "x"}).ok());
  ASSERT_TRUE(shop.redis->command({"DEL", "cart:0"}).ok());
  ASSERT_TRUE(eventually(20s, [&] { return shop.done() == 3; }));
  const std::vector<std::string> given = shop.given();
  EXPECT_EQ(std::set<std::string>(given.begin(), given.end()), (std::set<std::string>{"cart:0", "cart:1", "cart:2"}));
  const Value listed = shop.cluster->rows({"trigger", "list"}).at(0);
  EXPECT_EQ(text_at(listed, {"keyspace"}), "shop/cart:*") << listed.dump();
  EXPECT_EQ(text_at(listed, {"stream"}), "") << "it is none";
}

TEST(Streams, OfAServerThatIsNotNamedAreNotApplied) {
  Cluster cluster({.workers = {}});
  const Finished applied = cluster.cli({"workflow", "apply", cluster.workflow("orders", kOrders)});
  EXPECT_EQ(applied.exit_code, 2);
  EXPECT_NE(applied.err.find("--stream-redis"), std::string::npos) << applied.err;
}

}  // namespace
}  // namespace millrace::test
