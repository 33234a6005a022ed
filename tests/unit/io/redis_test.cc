#include "common/io/redis.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <string>
#include <vector>

#include "tests/support/redis_server.h"

namespace millrace {
namespace {

using test::Append;
using test::RedisServer;

RedisUrl url_of(const RedisServer& server) { return *RedisUrl::parse(server.url()); }

std::unique_ptr<Redis> connected(const RedisServer& server) {
  auto redis = Redis::connect(url_of(server), 5s);
  EXPECT_TRUE(redis.ok()) << redis.error().what;
  return redis.ok() ? std::move(redis).value() : nullptr;
}

// Drives a connection as a loop would, until nothing is due or 10 s have passed.
std::vector<RedisReply> drain(Redis& redis) {
  std::vector<RedisReply> replies;
  for (int i = 0; i < 1000 && redis.replies_due() > 0 && !redis.broken(); ++i) {
    const bool bytes_left = redis.flush();
    pollfd waiting{redis.fd(), static_cast<short>(POLLIN | (bytes_left ? POLLOUT : 0)), 0};
    poll(&waiting, 1, 10);
    redis.poll_replies(replies);
  }
  return replies;
}

class RedisConnection : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(server_.start()) << server_.error(); }
  RedisServer server_;
};

TEST_F(RedisConnection, RepliesComeInTheOrderOfTheCommands) {
  auto redis = connected(server_);
  ASSERT_NE(redis, nullptr);
  for (int i = 0; i < 10'000; ++i) redis->append({"ECHO", std::to_string(i)});
  const std::vector<RedisReply> replies = drain(*redis);
  ASSERT_EQ(replies.size(), 10'000U);
  for (int i = 0; i < 10'000; ++i) EXPECT_EQ(replies[static_cast<std::size_t>(i)].text, std::to_string(i));
  EXPECT_FALSE(redis->wants_write());
}

TEST_F(RedisConnection, EveryKindOfReplyIsKept) {
  auto redis = connected(server_);
  ASSERT_NE(redis, nullptr);
  const std::string binary("\0\r\n\xff", 4);
  EXPECT_EQ(redis->command({"SET", binary, binary})->kind, RedisReply::Kind::kStatus);
  EXPECT_EQ(redis->command({"GET", binary})->text, binary);
  EXPECT_EQ(redis->command({"INCRBY", "n", "-9000000000"})->integer, -9'000'000'000);
  EXPECT_TRUE(redis->command({"GET", "absent"})->is_nil());
  EXPECT_EQ(redis->command({"SET", "empty", {}})->text, "OK");
  EXPECT_EQ(redis->command({"GET", "empty"})->kind, RedisReply::Kind::kString);
  EXPECT_TRUE(redis->command({"NONSENSE"})->is_error());
  const RedisReply nested = *redis->command({"EVAL", "return {1, {'two', {3}}, false}", "0"});
  ASSERT_TRUE(nested.is_array());
  ASSERT_EQ(nested.items.size(), 3U);
  EXPECT_EQ(nested.items[0].integer, 1);
  EXPECT_EQ(nested.items[1].items[0].text, "two");
  EXPECT_EQ(nested.items[1].items[1].items[0].integer, 3);
  EXPECT_TRUE(nested.items[2].is_nil());
}

TEST_F(RedisConnection, AFullSocketLeavesBytesForLaterAndLosesNone) {
  auto redis = connected(server_);
  ASSERT_NE(redis, nullptr);
  server_.pause();
  const std::string large(1'000'000, 'v');
  bool bytes_left = false;
  for (int i = 0; i < 30; ++i) {
    redis->append({"SET", "k" + std::to_string(i), large + std::to_string(i)});
    bytes_left = redis->flush();
  }
  EXPECT_TRUE(bytes_left);
  EXPECT_TRUE(redis->wants_write());
  server_.resume();
  EXPECT_EQ(drain(*redis).size(), 30U);
  EXPECT_EQ(redis->command({"GET", "k29"})->text, large + "29");
}

TEST_F(RedisConnection, ALostConnectionStaysBrokenAndSaysWhy) {
  auto redis = connected(server_);
  ASSERT_NE(redis, nullptr);
  server_.kill_now();
  for (int i = 0; i < 3; ++i) redis->append({"PING"});
  drain(*redis);
  EXPECT_TRUE(redis->broken());
  EXPECT_EQ(redis->error().code, Code::kUnavailable);
  EXPECT_NE(redis->error().what.find(server_.path()), std::string::npos);
  EXPECT_FALSE(redis->command({"PING"}).ok());
  ASSERT_TRUE(server_.start());
  EXPECT_FALSE(redis->command({"PING"}).ok());
  EXPECT_TRUE(connected(server_)->command({"PING"}).ok());
}

TEST_F(RedisConnection, ASilentServerIsATimeoutNotAWait) {
  auto redis = connected(server_);
  ASSERT_NE(redis, nullptr);
  server_.pause();
  const Result<RedisReply> reply = redis->command({"PING"}, 50ms);
  server_.resume();
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().code, Code::kTimeout);
  EXPECT_TRUE(redis->broken());
}

TEST_F(RedisConnection, FunctionsAreLoadedAndReplaced) {
  auto redis = connected(server_);
  ASSERT_NE(redis, nullptr);
  auto library = [](int answer) {
    return "#!lua name=t\nredis.register_function('answer', function() return " + std::to_string(answer) + " end)";
  };
  ASSERT_TRUE(redis->load_function(library(1)).ok());
  ASSERT_TRUE(redis->load_function(library(42)).ok());
  EXPECT_EQ(redis->command({"FCALL", "answer", "0"})->integer, 42);
  const Status bad = redis->load_function("#!lua name=t\nnot lua");
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().code, Code::kFailed);
}

TEST_F(RedisConnection, TheDatabaseOfTheUrlIsSelected) {
  ASSERT_TRUE(connected(server_)->command({"SET", "k", "in 0"}).ok());
  RedisUrl url = url_of(server_);
  url.db = 3;
  auto redis = Redis::connect(url, 5s);
  ASSERT_TRUE(redis.ok());
  EXPECT_TRUE((*redis)->command({"GET", "k"})->is_nil());
}

TEST_F(RedisConnection, NobodyThereIsUnavailable) {
  const auto redis = Redis::connect(*RedisUrl::parse("unix:///nowhere/redis.sock"), 1s);
  ASSERT_FALSE(redis.ok());
  EXPECT_EQ(redis.error().code, Code::kUnavailable);
}

TEST(RedisLogin, NeedsTheRightPasswordAndNeverShowsIt) {
  RedisServer server(Append::kNo, {"--requirepass", "open-sesame"});
  ASSERT_TRUE(server.start()) << server.error();
  RedisUrl url = url_of(server);
  const auto without = Redis::connect(url, 5s);
  ASSERT_FALSE(without.ok());
  EXPECT_EQ(without.error().code, Code::kRefused);
  url.password = "wrong-secret";
  const auto wrong = Redis::connect(url, 5s);
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().what.find("wrong-secret"), std::string::npos);
  url.password = "open-sesame";
  EXPECT_TRUE(Redis::connect(url, 5s).ok());
  url.user = "default";
  EXPECT_TRUE(Redis::connect(url, 5s).ok());
}

TEST(RedisDurability, WhatWasAcknowledgedUnderAlwaysSurvivesAKill) {
  RedisServer server(Append::kAlways);
  ASSERT_TRUE(server.start()) << server.error();
  EXPECT_EQ(connected(server)->command({"SET", "k", "kept"})->text, "OK");
  server.kill_now();
  ASSERT_TRUE(server.start()) << server.error();
  EXPECT_EQ(connected(server)->command({"GET", "k"})->text, "kept");
}

// ---------------------------------------------------------------- URLs

TEST(RedisUrl, EveryFormIsUnderstood) {
  RedisUrl url = *RedisUrl::parse("redis://me:p%40ss%3A@db.example.org:6380/2");
  EXPECT_EQ(url, (RedisUrl{"db.example.org", 6380, "", 2, "me", "p@ss:"}));
  EXPECT_EQ(*RedisUrl::parse("redis://localhost"), (RedisUrl{"localhost", 6379, "", 0, "", ""}));
  EXPECT_EQ(*RedisUrl::parse("redis://:pw@localhost/"), (RedisUrl{"localhost", 6379, "", 0, "", "pw"}));
  EXPECT_EQ(*RedisUrl::parse("redis://[::1]:7000/1"), (RedisUrl{"::1", 7000, "", 1, "", ""}));
  EXPECT_EQ(*RedisUrl::parse("unix:///run/redis.sock?db=4"), (RedisUrl{"", 6379, "/run/redis.sock", 4, "", ""}));
}

TEST(RedisUrl, WhatIsMalformedIsRefusedWithoutRepeatingIt) {
  for (const char* text : {"", "http://x", "redis://", "redis://host:0", "redis://host:99999", "redis://host/x",
                           "redis://user@host", "redis://u:se%zzcret@h", "redis://u:secret@", "redis://[::1",
                           "unix://relative", "unix:///p?x=1", "unix:///p?db="}) {
    const Result<RedisUrl> url = RedisUrl::parse(text);
    ASSERT_FALSE(url.ok()) << text;
    EXPECT_EQ(url.error().code, Code::kInvalid);
    EXPECT_EQ(url.error().what.find("secret"), std::string::npos) << url.error().what;
  }
}

TEST(RedisUrl, TlsIsRefusedWithTheReasonAndAWayOut) {
  const Result<RedisUrl> url = RedisUrl::parse("rediss://host:6379/0");
  ASSERT_FALSE(url.ok());
  EXPECT_NE(url.error().what.find("hiredis 0.14"), std::string::npos);
  EXPECT_NE(url.error().what.find("stunnel"), std::string::npos);
}

TEST(RedisUrl, TheSafeFormHasNoCredentialsAndParsesBack) {
  for (const char* text : {"redis://me:secret@host:6380/2", "redis://:secret@[::1]:7000/1", "unix:///p?db=4"}) {
    RedisUrl url = *RedisUrl::parse(text);
    EXPECT_EQ(url.safe().find("secret"), std::string::npos);
    url.user.clear();
    url.password.clear();
    EXPECT_EQ(*RedisUrl::parse(url.safe()), url);
  }
}

}  // namespace
}  // namespace millrace
