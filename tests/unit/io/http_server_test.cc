// HttpServer: what is answered, what is refused, and that nobody can keep others from being heard.
#include "common/io/http_server.h"

#include <gtest/gtest.h>

#include <future>
#include <list>
#include <thread>

#include "tests/support/http_client.h"

namespace millrace {
namespace {

using test::http_get;
using test::HttpClient;
using test::HttpResult;

HttpOptions echo() {
  HttpOptions options;
  options.listen = "127.0.0.1:0";
  options.handler = [](const HttpRequest& request, const HttpAnswer& answer) {
    answer({200, "text/plain", "path " + request.path + " query " + request.query});
  };
  return options;
}

std::unique_ptr<HttpServer> started(HttpOptions options) {
  Result<std::unique_ptr<HttpServer>> server = HttpServer::start(std::move(options));
  EXPECT_TRUE(server.ok()) << server.error().what;
  return std::move(server).value();
}

HttpCounts counts_of(HttpServer& server) {
  std::promise<HttpCounts> counts;
  server.run([&] { counts.set_value(server.counts()); });
  return counts.get_future().get();
}

TEST(HttpServer, TellsTheHandlerThePathAndTheQueryApart) {
  auto server = started(echo());
  HttpResult got = http_get(server->address(), "/a/b?c=d?e");

  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.body, "path /a/b query c=d?e");
  EXPECT_NE(got.head.find("Content-Type: text/plain"), std::string::npos);
}

TEST(HttpServer, AnswersHeadWithTheLengthAndWithoutTheBody) {
  auto server = started(echo());
  HttpClient client(server->address());
  HttpResult got = client.get("/x", "", "HEAD");

  EXPECT_EQ(got.status, 200);
  EXPECT_NE(got.head.find("Content-Length: 14"), std::string::npos) << got.head;
  EXPECT_EQ(client.get("/y").body, "path /y query ") << "no byte of a body came before";
}

TEST(HttpServer, AnswersManyRequestsOnOneConnectionAndPipelinedOnesInOrder) {
  auto server = started(echo());
  HttpClient client(server->address());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(client.get("/" + std::to_string(i)).status, 200);
  client.send("GET /one HTTP/1.1\r\nHost: t\r\n\r\nGET /two HTTP/1.1\r\nHost: t\r\n\r\n");

  EXPECT_EQ(client.receive().body, "path /one query ");
  EXPECT_EQ(client.receive().body, "path /two query ");
  EXPECT_EQ(counts_of(*server).connections, 1U);
}

TEST(HttpServer, RefusesOtherMethods) {
  auto server = started(echo());
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH"}) {
    HttpResult got = HttpClient(server->address()).get("/x", "Content-Length: 0\r\n", method);
    EXPECT_EQ(got.status, 405) << method;
    EXPECT_NE(got.head.find("Allow: GET, HEAD"), std::string::npos);
  }
}

TEST(HttpServer, TakesAnAnswerFromAnotherThread) {
  HttpOptions options = echo();
  std::list<std::jthread> threads;
  options.handler = [&](const HttpRequest&, const HttpAnswer& answer) {
    threads.emplace_back([answer] { answer({200, "text/plain", "later"}); });
  };
  auto server = started(std::move(options));

  EXPECT_EQ(http_get(server->address(), "/x").body, "later");
}

// ---------------------------------------------------------------- who may ask

TEST(HttpServer, WithATokenEverythingButTheProbesNeedsIt) {
  HttpOptions options = echo();
  options.token = "open-sesame-0123456789";
  auto server = started(std::move(options));
  const std::string& at = server->address();

  EXPECT_EQ(http_get(at, "/livez").status, 200);
  EXPECT_EQ(http_get(at, "/readyz").status, 200);
  for (const char* path : {"/metrics", "/v1/scale", "/", "/livez/", "/nothing"}) {
    HttpResult got = http_get(at, path);
    EXPECT_EQ(got.status, 401) << path;
    EXPECT_NE(got.head.find("WWW-Authenticate: Bearer"), std::string::npos);
    EXPECT_EQ(http_get(at, path, "open-sesame-0123456789").status, 200) << path;
  }
}

TEST(HttpServer, AWrongTokenIsNoToken) {
  HttpOptions options = echo();
  options.token = "open-sesame";
  auto server = started(std::move(options));
  for (const char* token : {"open-sesam", "open-sesamE", "open-sesame!", "open-sesameopen-sesame", "x"}) {
    EXPECT_EQ(http_get(server->address(), "/metrics", token).status, 401) << token;
  }
  HttpClient client(server->address());
  EXPECT_EQ(client.get("/metrics", "Authorization: Basic open-sesame\r\n").status, 401);
  EXPECT_EQ(client.get("/metrics", "Authorization: Bearer\r\n").status, 401);
  EXPECT_EQ(client.get("/metrics", "Authorization: bearer open-sesame\r\n").status, 200) << "schemes have no case";
}

TEST(HttpServer, ListensBeyondLoopbackOnlyWithATokenOrWhereThatIsSaid) {
  HttpOptions options = echo();
  for (const char* everywhere : {"0.0.0.0:0", "*:0", "[::]:0"}) {
    options.listen = everywhere;
    Result<std::unique_ptr<HttpServer>> refused = HttpServer::start(options);
    ASSERT_FALSE(refused.ok()) << everywhere;
    EXPECT_EQ(refused.error().code, Code::kRefused);
    EXPECT_EQ(refused.error().name, "remote_bind");
  }
  options.listen = "0.0.0.0:0";
  options.token = "open-sesame";
  EXPECT_TRUE(HttpServer::start(options).ok());
  options.token = "";
  options.insecure_listen = true;
  EXPECT_TRUE(HttpServer::start(options).ok());
}

TEST(HttpServer, SaysWhyItCannotListen) {
  auto first = started(echo());
  HttpOptions options = echo();
  options.listen = first->address();
  Result<std::unique_ptr<HttpServer>> second = HttpServer::start(options);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, Code::kUnavailable);
  EXPECT_NE(second.error().what.find(first->address()), std::string::npos) << second.error().what;

  for (const char* wrong : {"", "5780", ":5780", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
                            "http://127.0.0.1:1", "::1:80", "a b:80"}) {
    options.listen = wrong;
    Result<std::unique_ptr<HttpServer>> refused = HttpServer::start(options);
    ASSERT_FALSE(refused.ok()) << wrong;
    EXPECT_EQ(refused.error().code, Code::kInvalid) << wrong;
  }
}

TEST(HttpServer, ReadsAnIpv6HostInBrackets) {
  Result<HostPort> parsed = parse_host_port("[::1]:5780");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->host, "::1");
  EXPECT_EQ(parsed->port, 5780);
}

// ---------------------------------------------------------------- bounds

TEST(HttpServer, AnswersWhatIsNotHttpAndCloses) {
  auto server = started(echo());
  for (std::string_view rubbish :
       {"rubbish\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /x HTTP/1.1\r\nno colon\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n"}) {
    HttpClient client(server->address());
    client.send(rubbish);
    EXPECT_EQ(client.receive().status, 400) << rubbish;
    EXPECT_TRUE(client.closed_by_peer()) << rubbish;
  }
  EXPECT_EQ(http_get(server->address(), "/x").status, 200);
}

TEST(HttpServer, AnswersAHeaderThatIsTooLargeAndCloses) {
  auto server = started(echo());
  HttpClient client(server->address());
  client.send("GET /x HTTP/1.1\r\nX-Long: " + std::string(64 * 1024, 'x') + "\r\n\r\n");
  EXPECT_EQ(client.receive().status, 431);
  EXPECT_TRUE(client.closed_by_peer());

  HttpClient long_path(server->address());
  long_path.send("GET /" + std::string(64 * 1024, 'x') + " HTTP/1.1\r\n\r\n");
  EXPECT_EQ(long_path.receive().status, 431);
}

TEST(HttpServer, AnswersABodyThatIsTooLargeAndDoesNotReadIt) {
  auto server = started(echo());
  HttpClient client(server->address());
  client.send("GET /x HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000000\r\n\r\n");
  EXPECT_EQ(client.receive().status, 413);

  HttpClient chunked(server->address());
  std::string chunk = "4000\r\n" + std::string(0x4000, 'x') + "\r\n";
  chunked.send("GET /x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + chunk);
  EXPECT_EQ(chunked.receive().status, 413);
}

TEST(HttpServer, ClosesOnAClientThatDripsItsRequest) {
  HttpOptions options = echo();
  options.request_max = 200ms;
  auto server = started(std::move(options));
  HttpClient client(server->address());
  const auto begun = std::chrono::steady_clock::now();
  std::jthread drip([&](const std::stop_token& stop) {
    while (!stop.stop_requested() && client.send("G")) std::this_thread::sleep_for(20ms);
  });

  EXPECT_TRUE(client.closed_by_peer());

  EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s) << "each byte must not win it more time";
  drip.request_stop();
  drip.join();
  EXPECT_EQ(counts_of(*server).timed_out, 1U);
}

TEST(HttpServer, ClientsThatSayNothingMakeRoomForOneThatAsks) {
  HttpOptions options = echo();
  options.connections_max = 16;
  auto server = started(std::move(options));
  std::list<HttpClient> silent;
  for (int i = 0; i < 100; ++i) silent.emplace_back(server->address());

  EXPECT_EQ(http_get(server->address(), "/livez").status, 200);

  HttpCounts counts = counts_of(*server);
  EXPECT_LE(counts.connections, 16U);
  EXPECT_GE(counts.evicted, 85U);
}

TEST(HttpServer, AClientThatDoesNotReadItsAnswerHoldsNobodyUp) {
  HttpOptions options = echo();
  options.write_max = 300ms;
  options.handler = [](const HttpRequest& request, const HttpAnswer& answer) {
    answer({200, "text/plain", request.path == "/big" ? std::string(64 * 1024 * 1024, 'x') : "small"});
  };
  auto server = started(std::move(options));
  HttpClient stalled(server->address());
  stalled.send("GET /big HTTP/1.1\r\nHost: t\r\n\r\n");

  for (int i = 0; i < 10; ++i) EXPECT_EQ(http_get(server->address(), "/x").body, "small");

  const auto begun = std::chrono::steady_clock::now();
  while (counts_of(*server).timed_out == 0 && std::chrono::steady_clock::now() - begun < 10s)
    std::this_thread::sleep_for(10ms);
  EXPECT_EQ(counts_of(*server).timed_out, 1U);
}

TEST(HttpServer, WhenTheHandlerDoesNotAnswerTheClientIsTold) {
  HttpOptions options = echo();
  options.answer_max = 50ms;
  options.handler = [](const HttpRequest&, const HttpAnswer&) {};
  options.late = [](const HttpRequest& request) { return HttpReply{503, "text/plain", "late: " + request.path}; };
  auto server = started(std::move(options));

  HttpResult got = http_get(server->address(), "/x");

  EXPECT_EQ(got.status, 503);
  EXPECT_EQ(got.body, "late: /x");
}

TEST(HttpServer, AnAnswerThatComesTooLateIsNotTakenForTheNextRequests) {
  HttpOptions options = echo();
  options.answer_max = 50ms;
  std::list<HttpAnswer> late;
  options.handler = [&](const HttpRequest& request, const HttpAnswer& answer) {
    if (request.path == "/slow") return late.push_back(answer);
    for (const HttpAnswer& one : late) one({200, "text/plain", "of the one before"});
    answer({200, "text/plain", "mine"});
  };
  auto server = started(std::move(options));
  HttpClient client(server->address());
  EXPECT_EQ(client.get("/slow").status, 503);

  EXPECT_EQ(client.get("/quick").body, "mine");
}

TEST(HttpServer, EndsWithConnectionsOpenAndAnswersOutstanding) {
  HttpOptions options = echo();
  options.handler = [](const HttpRequest&, const HttpAnswer&) {};
  auto server = started(std::move(options));
  HttpClient idle(server->address());
  HttpClient waiting(server->address());
  waiting.send("GET /x HTTP/1.1\r\nHost: t\r\n\r\n");

  server.reset();

  EXPECT_TRUE(idle.closed_by_peer());
  EXPECT_TRUE(waiting.closed_by_peer());
}

}  // namespace
}  // namespace millrace
