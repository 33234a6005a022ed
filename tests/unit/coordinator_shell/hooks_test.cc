#include "coordinator/shell/hooks.h"

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <optional>
#include <sstream>

#include "common/base/value.h"

namespace millrace {
namespace {

constexpr Time kNow = from_us(1'767'225'600'000'000);

HttpRequest posted(const std::string& path, const std::string& body = "1", const std::string& query = "") {
  HttpRequest request{path, query};
  request.body = body;
  request.headers = {{"x-delivery-id", "d1"}};
  return request;
}

// What comes over HTTP, and a loop that answers by hand.
struct Door {
  explicit Door(HooksOptions options = {}) : hooks(options, [this] { ++woken; }) {}
  std::shared_ptr<std::optional<HttpReply>> post(const std::string& path) {
    auto got = std::make_shared<std::optional<HttpReply>>();
    hooks.handle(posted(path), [got](HttpReply reply) { *got = std::move(reply); });
    return got;
  }
  std::vector<FromClient> poll(Time now = kNow) {
    std::vector<Incoming> in;
    hooks.poll(now, in, 64);
    std::vector<FromClient> out;
    for (Incoming& one : in) out.push_back(std::get<FromClient>(std::move(one)));
    return out;
  }
  Hooks hooks;
  int woken = 0;
};

Value body(const std::optional<HttpReply>& reply) { return Value::parse(reply.value().body).value(); }

TEST(Hooks, APathNamesWorkflowTriggerAndTenant) {
  const auto read = [](const std::string& path, const std::string& query = "") {
    const Result<HookDelivery> one = read_delivery(posted(path, "1", query));
    return one.ok() ? one->tenant + "|" + one->workflow + "|" + one->trigger
                    : std::to_string(hook_answer(one.error()).status);
  };
  EXPECT_EQ(read("/v1/hooks/w/t"), "default|w|t");
  EXPECT_EQ(read("/v1/hooks/a%2Fb%20c/t.1"), "default|a/b c|t.1");
  EXPECT_EQ(read("/v1/hooks/w/t", "tenant=ac%6De"), "acme|w|t");
  for (const char* wrong : {"/v1/hooks/", "/v1/hooks/w", "/v1/hooks/w/", "/v1/hooks//t", "/v1/hooks/w/t/x",
                            "/v1/hooks/w%2/t", "/v1/hooks/w%zz/t", "/v1/hooks/w%00/t"})
    EXPECT_EQ(read(wrong), "404") << wrong;
  EXPECT_EQ(read("/v1/hooks/w/t", "tenant="), "404");
  EXPECT_EQ(read("/v1/hooks/w/t", "tenant=a&b=c"), "404");
  EXPECT_EQ(read("/v1/hooks/" + std::string(300, 'w') + "/t"), "404");
}

TEST(Hooks, ADeliveryIsAnsweredWithItsRunWhenThatIsThere) {
  Door door;
  const auto got = door.post("/v1/hooks/w/t");
  EXPECT_EQ(door.woken, 1);
  const auto asked = door.poll();
  ASSERT_EQ(asked.size(), 1U);
  const auto& delivery = std::get<HookDelivery>(asked[0].body);
  EXPECT_EQ(delivery.body, "1");
  EXPECT_EQ(delivery.headers.size(), 1U);
  EXPECT_TRUE(door.hooks.reply(kNow, asked[0].request, HookReply{EventFate::kFired, "trigger/w/t/1/d1", ""}));
  EXPECT_FALSE(got->has_value()) << "its run is looked for";
  ASSERT_NE(door.hooks.next_wake(), kNever);
  const auto look = door.poll(door.hooks.next_wake());
  ASSERT_EQ(look.size(), 1U);
  EXPECT_EQ(std::get<FindRunOfKey>(look[0].body).key, "trigger/w/t/1/d1");
  door.hooks.reply(kNow, look[0].request, ErrorReply{{Code::kNotFound, "not yet", {}, "key"}});
  EXPECT_FALSE(got->has_value());
  const auto again = door.poll(door.hooks.next_wake());
  ASSERT_EQ(again.size(), 1U);
  door.hooks.reply(kNow + 30ms, again[0].request, SubmitReply{RunId{77}, true, {}, 0});
  EXPECT_EQ(got->value().status, 202U);
  EXPECT_EQ(body(*got).find("run")->as_string(), to_string(RunId{77}));
  EXPECT_EQ(door.hooks.next_wake(), kNever);
}

TEST(Hooks, WhatIsDurableIsAnsweredThoughItsRunIsNotThereInTime) {
  Door door;
  const auto got = door.post("/v1/hooks/w/t");
  const RequestId request = door.poll()[0].request;
  door.hooks.reply(kNow, request, HookReply{EventFate::kFired, "k", ""});
  ASSERT_EQ(door.poll(kNow + 1s).size(), 1U);
  door.hooks.reply(kNow + 2s, request, ErrorReply{{Code::kNotFound, "not yet", {}, "key"}});
  EXPECT_EQ(got->value().status, 202U);
  EXPECT_TRUE(body(*got).find("run")->is_null());
  EXPECT_EQ(body(*got).find("idempotency_key")->as_string(), "k");
}

TEST(Hooks, EachFateHasItsStatus) {
  const auto status = [](EventFate fate) {
    Door door;
    const auto got = door.post("/v1/hooks/w/t");
    const RequestId request = door.poll()[0].request;
    door.hooks.reply(kNow, request, HookReply{fate, "k", fate == EventFate::kFailed ? "why" : ""});
    if (!got->has_value()) {
      (void)door.poll(kNow + 1ms);
      door.hooks.reply(kNow + 1ms, request, SubmitReply{RunId{5}, true, {}, 0});
    }
    EXPECT_EQ(body(*got).find("status")->as_string(), to_string(fate));
    return got->value().status;
  };
  EXPECT_EQ(status(EventFate::kDuplicate), 200U);
  EXPECT_EQ(status(EventFate::kWaits), 202U);
  EXPECT_EQ(status(EventFate::kFiltered), 200U);
  EXPECT_EQ(status(EventFate::kPaused), 200U);
  EXPECT_EQ(status(EventFate::kFailed), 422U);
}

TEST(Hooks, WhatIsRefusedIsToldByItsName) {
  const auto status = [](Code code, const std::string& name) {
    Door door;
    const auto got = door.post("/v1/hooks/w/t");
    door.hooks.reply(kNow, door.poll()[0].request, ErrorReply{{code, "no", {}, name}});
    EXPECT_EQ(body(*got).find("error")->as_string(), name + ": no");
    return got->value().status;
  };
  EXPECT_EQ(status(Code::kRefused, "hook_signature"), 401U);
  EXPECT_EQ(status(Code::kRefused, "queue_full"), 429U);
  EXPECT_EQ(status(Code::kNotFound, "webhook"), 404U);
  EXPECT_EQ(status(Code::kInvalid, "body"), 400U);
  EXPECT_EQ(status(Code::kUnavailable, "not_serving"), 503U);
}

TEST(Hooks, MoreThanASecondsDeliveriesAndMoreThanMayWaitAreRefused) {
  Door fast({.per_second = 3});
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(fast.post("/v1/hooks/w/t")->has_value());
  const auto refused = fast.post("/v1/hooks/w/t");
  EXPECT_EQ(refused->value().status, 429U);
  EXPECT_GT(refused->value().retry_after, Duration::zero());
  Door slow({.per_second = 1000, .open_max = 2});
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(slow.post("/v1/hooks/w/t")->has_value());
  EXPECT_EQ(slow.post("/v1/hooks/w/t")->value().status, 429U);
  for (const FromClient& one : slow.poll())
    slow.hooks.reply(kNow, one.request, HookReply{EventFate::kFiltered, "", ""});
  EXPECT_FALSE(slow.post("/v1/hooks/w/t")->has_value()) << "there is room again";
}

TEST(Hooks, OneThatIsFloodedLeavesTheOthersTheirShare) {
  std::int64_t now = 1'000'000;
  Door door({.per_second = 10, .each = 2, .steady_us = [&] { return now; }});
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(door.post("/v1/hooks/w/flooded")->has_value());
  for (int i = 0; i < 300; ++i) EXPECT_EQ(door.post("/v1/hooks/w/flooded")->value().status, 429U);
  const auto refused = door.post("/v1/hooks/w/flooded");
  EXPECT_NE(body(*refused).find("error")->as_string().find("--hook-per-second"), std::string::npos);
  EXPECT_FALSE(door.post("/v1/hooks/w/other")->has_value()) << "what was refused took nothing of its share";
  now += 500'000;
  EXPECT_FALSE(door.post("/v1/hooks/w/flooded")->has_value());
  EXPECT_EQ(door.post("/v1/hooks/w/flooded")->value().status, 429U);
}

TEST(Hooks, OnlySoManyAreToldApart) {
  std::int64_t now = 1'000'000;
  Door door({.per_second = 100'000, .each = 1, .open_max = 100'000, .steady_us = [&] { return now; }});
  int taken = 0;
  for (int i = 0; i < 1'500; ++i) taken += door.post("/v1/hooks/w/t" + std::to_string(i))->has_value() ? 0 : 1;
  EXPECT_EQ(taken, 1'001) << "the others share one";
  now += 1'000'000;
  for (int i = 1'000; i < 1'500; ++i) EXPECT_FALSE(door.post("/v1/hooks/w/t" + std::to_string(i))->has_value()) << i;
}

// That it fits docs/http-schemas/hook.json is checked in tests/unit/spec/schema_test.cc.
TEST(Hooks, SayWhatTheGoldenSays) {
  std::stringstream golden;
  golden << std::ifstream(std::string(MILLRACE_SOURCE_DIR) + "/tests/unit/coordinator_shell/golden/hook.json").rdbuf();
  EXPECT_EQ(hook_answer(HookReply{EventFate::kFired, "trigger/orders/placed/1/d1", ""}, "0000000000029").body,
            golden.str());
}

TEST(Hooks, RequestsOfOthersAreNotTheirs) {
  Door door;
  EXPECT_FALSE(door.hooks.reply(kNow, RequestId{17}, HookReply{}));
}

}  // namespace
}  // namespace millrace
