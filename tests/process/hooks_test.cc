// Webhooks of real coordinators: who may send, what starts once, and what outlives its owner.
#include <gtest/gtest.h>

#include <thread>

#include "common/io/redis.h"
#include "common/vault/hook_signature.h"
#include "tests/process/failover.h"
#include "tests/process/workflows.h"
#include "tests/support/http_client.h"

namespace millrace::test {
namespace {

constexpr const char* kSecret = "it is known to both of us";
constexpr const char* kOrders =
    "name: orders\n"
    "inputs: {order: {type: any}, kind: {type: any}}\n"
    "triggers:\n"
    "  placed:\n"
    "    webhook: {secret: SHOP, headers: [X-Kind]}\n"
    "    filter: \"{{ event.payload.total > 0 }}\"\n"
    "    inputs: {order: \"{{ event.payload }}\", kind: \"{{ event.headers['x-kind'] }}\"}\n"
    "  counted:\n"
    "    webhook: {secret: SHOP, auth: bearer, delivery: body}\n"
    "    batch: {max: 3, window: 30s}\n"
    "    inputs: {order: \"{{ event.payload }}\", kind: \"{{ event.kind }}\"}\n"
    "nodes:\n"
    "  a: {value: \"{{ inputs.order }}\"}\n"
    "outputs: {order: \"{{ nodes.a }}\", kind: \"{{ inputs.kind }}\"}\n";

// A cluster whose coordinators know one secret, and what they say over HTTP.
struct Shop {
  explicit Shop(std::size_t coordinators, const std::vector<std::string>& more = {})
      : cluster(made(coordinators, more)) {}

  ClusterOptions made(std::size_t coordinators, const std::vector<std::string>& more) {
    const std::string file = scratch.file("shop.secrets");
    EXPECT_EQ(run_program({bin("millrace"), "secret", "init", "--secrets-file", file}).exit_code, 0);
    EXPECT_EQ(run_program({"/bin/sh", "-c",
                           "printf '%s' '" + std::string(kSecret) + "' | " + bin("millrace") +
                               " secret set SHOP --secrets-file " + file})
                  .exit_code,
              0);
    ClusterOptions options{.workers = {}, .coordinators = coordinators};
    options.coordinator_options = {"--http", "127.0.0.1:0", "--secrets-file", file};
    options.coordinator_options.insert(options.coordinator_options.end(), more.begin(), more.end());
    return options;
  }
  std::string http(std::size_t which) {
    std::string address;
    static constexpr std::string_view kKey = "\"http\":\"";
    eventually(10s, [&] {
      const std::string log = cluster.coordinator(which).err();
      const std::size_t at = log.rfind(kKey);
      if (at == std::string::npos) return false;
      address = log.substr(at + kKey.size(), log.find('"', at + kKey.size()) - at - kKey.size());
      return true;
    });
    return address;
  }
  // Signed as it should be.
  HttpResult place(std::size_t which, const std::string& body, const std::string& id, const std::string& more = "") {
    return HttpClient(http(which))
        .post("/v1/hooks/orders/placed", body,
              "X-Delivery-Id: " + id + "\r\nX-Hub-Signature-256: " + hook_signature(body, kSecret) + "\r\n" + more);
  }
  HttpResult count(const std::string& body) {
    return HttpClient(http(0)).post("/v1/hooks/orders/counted", body,
                                    std::string("Authorization: Bearer ") + kSecret + "\r\n");
  }
  Value trigger(const std::string& name) {
    for (const Value& row : cluster.rows({"trigger", "list"})) {
      if (text_at(row, {"name"}) == name) return row;
    }
    return {};
  }

  ScratchDirectory scratch;
  Cluster cluster;
};

Value json(const HttpResult& result) { return Value::parse(result.body).value(); }

TEST(Webhooks, ASignedDeliveryStartsOneRunHoweverOftenAndWhereverItComes) {
  Shop shop(2);
  ASSERT_TRUE(eventually(20s, [&] { return balanced(shop.cluster); }));
  ASSERT_EQ(shop.cluster.cli({"workflow", "apply", shop.cluster.workflow("orders", kOrders)}).exit_code, 0);
  const HttpResult first = shop.place(0, R"({"total": 5})", "d1", "X-Kind: book\r\n");
  ASSERT_EQ(first.status, 202) << first.body;
  const std::string run = text_at(json(first), {"run"});
  ASSERT_EQ(run.size(), 13U) << first.body;
  const Value ended = shop.cluster.wait(run);
  EXPECT_EQ(number_at(ended, {"outputs", "order", "total"}), 5);
  EXPECT_EQ(text_at(ended, {"outputs", "kind"}), "book");
  for (const std::size_t which : {std::size_t{0}, std::size_t{1}}) {  // one of them forwards it to the other
    const HttpResult again = shop.place(which, R"({"total": 5})", "d1");
    EXPECT_EQ(again.status, 200) << again.body;
    EXPECT_EQ(text_at(json(again), {"run"}), run);
    EXPECT_EQ(text_at(json(again), {"status"}), "duplicate");
  }
  EXPECT_EQ(shop.place(1, R"({"total": 0})", "d2").status, 200);  // the filter keeps it out
  EXPECT_EQ(shop.cluster.rows({"list", "-l", "trigger=placed"}).size(), 1U);

  // Its owner dies between two deliveries of the same.
  const HttpResult second = shop.place(1, R"({"total": 7})", "d3");
  ASSERT_EQ(second.status, 202);
  for (const std::size_t killed : {std::size_t{0}, std::size_t{1}}) {
    shop.cluster.coordinator(killed).kill();
    ASSERT_TRUE(eventually(30s, [&] { return shop.place(1 - killed, R"({"total": 7})", "d3").status == 200; }));
    EXPECT_EQ(text_at(json(shop.place(1 - killed, R"({"total": 7})", "d3")), {"run"}), text_at(json(second), {"run"}));
    shop.cluster.start_coordinator(killed);
    ASSERT_TRUE(eventually(30s, [&] { return balanced(shop.cluster); }));
  }
  EXPECT_EQ(shop.cluster.rows({"list", "-l", "trigger=placed"}).size(), 2U);
}

TEST(Webhooks, WhoDoesNotKnowTheSecretStartsNothing) {
  Shop shop(1);
  ASSERT_EQ(shop.cluster.cli({"workflow", "apply", shop.cluster.workflow("orders", kOrders)}).exit_code, 0);
  const std::string address = shop.http(0);
  const auto status = [&](const std::string& path, const std::string& body, const std::string& headers) {
    return HttpClient(address).post(path, body, headers).status;
  };
  const std::string right = "X-Hub-Signature-256: " + hook_signature("{}", kSecret) + "\r\n";
  EXPECT_EQ(status("/v1/hooks/orders/placed", "{}", ""), 401);
  EXPECT_EQ(status("/v1/hooks/orders/placed", "{\"total\": 1}", right), 401);
  EXPECT_EQ(status("/v1/hooks/orders/placed", "{}", "X-Hub-Signature-256: " + hook_signature("{}", "guessed") + "\r\n"),
            401);
  EXPECT_EQ(status("/v1/hooks/orders/counted", "{}", right), 401);
  EXPECT_EQ(status("/v1/hooks/orders/other", "{}", right), 404);
  EXPECT_EQ(status("/v1/hooks/orders/placed?tenant=acme", "{}", right), 404);
  const std::string no_json = "no json";
  EXPECT_EQ(
      status("/v1/hooks/orders/placed", no_json, "X-Hub-Signature-256: " + hook_signature(no_json, kSecret) + "\r\n"),
      400);
  EXPECT_EQ(HttpClient(address).get("/v1/hooks/orders/placed").status, 405);
  HttpClient large(address);
  large.send("POST /v1/hooks/orders/placed HTTP/1.1\r\nHost: test\r\nContent-Length: 300000\r\n\r\n");
  EXPECT_EQ(large.receive().status, 413);
  EXPECT_TRUE(shop.cluster.rows({"list"}).empty());
  EXPECT_EQ(shop.cluster.coordinator().err().find(kSecret), std::string::npos);
  EXPECT_EQ(run_program({"grep", "-r", "-l", kSecret, shop.cluster.redis().directory()}).out, "");
}

TEST(Webhooks, ABatchIsOneRunOfItsDeliveriesAndSurvivesItsOwner) {
  Shop shop(1);
  ASSERT_EQ(shop.cluster.cli({"workflow", "apply", shop.cluster.workflow("orders", kOrders)}).exit_code, 0);
  EXPECT_EQ(shop.count("1").status, 202);
  EXPECT_EQ(shop.count("1").status, 200) << "the same body is the same delivery";
  EXPECT_EQ(text_at(json(shop.count("2")), {"status"}), "waits");
  EXPECT_EQ(number_at(shop.trigger("orders/counted"), {"waiting"}), 2);
  shop.cluster.coordinator().kill();
  shop.cluster.start_coordinator();
  ASSERT_TRUE(eventually(30s, [&] {  // one that had no answer in time has been taken all the same: then 200
    const int status = shop.count("3").status;
    return status == 202 || status == 200;
  }));
  ASSERT_TRUE(eventually(20s, [&] {
    return shop.cluster.rows({"list", "-l", "trigger=counted", "-s", "succeeded"}).size() == 1;
  }));
  const std::string run = text_at(shop.cluster.rows({"list", "-l", "trigger=counted"}).at(0), {"run"});
  EXPECT_EQ(at(shop.cluster.wait(run), {"outputs", "order"}).dump(), "[1,2,3]");
  const HttpResult again = shop.count("2");
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(text_at(json(again), {"run"}), run);
  EXPECT_EQ(shop.cluster.cli({"store", "check", "--redis", shop.cluster.redis().url()}).exit_code, 0);
}

TEST(Webhooks, MoreThanTheyMayAreToldToWait) {
  Shop shop(1, {"--hooks-per-second", "2"});
  ASSERT_EQ(shop.cluster.cli({"workflow", "apply", shop.cluster.workflow("orders", kOrders)}).exit_code, 0);
  HttpClient client(shop.http(0));
  int refused = 0;
  for (int i = 0; i < 20 && refused == 0; ++i) {
    const HttpResult result = client.post("/v1/hooks/orders/placed", "{}");
    if (result.status != 429) continue;
    ++refused;
    EXPECT_NE(result.head.find("Retry-After: 1"), std::string::npos) << result.head;
    EXPECT_NE(result.body.find("hook_rate"), std::string::npos) << result.body;
  }
  EXPECT_EQ(refused, 1);
}

// examples/orders.yaml and receipts.yaml as they start by themselves.
TEST(Webhooks, TheExamplesStartByWhatIsPostedAddedAndEnded) {
  RedisServer server;
  ASSERT_TRUE(server.start());
  Shop shop(1, {"--stream-redis", "shop=" + server.url()});
  Program& worker = shop.cluster.start_worker("w1");
  ASSERT_TRUE(shop.cluster.wait_for_workers(1));
  for (const char* example : {"examples/orders.yaml", "examples/receipts.yaml"})
    ASSERT_EQ(shop.cluster.cli({"workflow", "apply", source(example)}).exit_code, 0) << example;
  const std::string body = R"({"item": "tea", "price": 3, "count": 2})";
  const HttpResult posted =
      HttpClient(shop.http(0))
          .post("/v1/hooks/orders/posted", body,
                "X-Order-Id: 4711\r\nX-Hub-Signature-256: " + hook_signature(body, kSecret) + "\r\n");
  ASSERT_EQ(posted.status, 202) << posted.body;
  EXPECT_EQ(number_at(shop.cluster.wait(text_at(json(posted), {"run"})), {"outputs", "total"}), 6);
  const auto redis = std::move(Redis::connect(*RedisUrl::parse(server.url()), 5s).value());
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(redis->command({"XADD", "orders:queue", "*", "item", "pot", "price", "5", "count", "1"}).ok());
  ASSERT_TRUE(eventually(30s, [&] {
    return shop.cluster.rows({"list", "-l", "trigger=queued", "-s", "succeeded"}).size() == 1;
  })) << worker.err();
  const std::string queued = text_at(shop.cluster.rows({"list", "-l", "trigger=queued"}).at(0), {"run"});
  EXPECT_EQ(number_at(shop.cluster.wait(queued), {"outputs", "total"}), 15);
  ASSERT_TRUE(eventually(30s, [&] {
    std::size_t written = 0;
    for (const Value& row : shop.cluster.rows({"list", "-l", "trigger=after_orders", "-s", "succeeded"})) {
      const Value run = shop.cluster.wait(text_at(row, {"run"}));
      written += static_cast<std::size_t>(number_at(run, {"outputs", "count"}));
    }
    return written == 2;
  }));
}

TEST(Webhooks, OfASecretThatIsNotThereAreNotApplied) {
  Cluster cluster({.workers = {}});
  const Finished applied = cluster.cli({"workflow", "apply", cluster.workflow("orders", kOrders)});
  EXPECT_EQ(applied.exit_code, 2);
  EXPECT_NE(applied.err.find("--secrets-file"), std::string::npos) << applied.err;
}

}  // namespace
}  // namespace millrace::test
