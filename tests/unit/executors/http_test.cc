#include <sys/resource.h>

#include "tests/support/web_stub.h"
#include "tests/unit/executors/harness.h"

namespace millrace::test {
namespace {

std::string echo_of(const WebRequest& request) {
  Value headers = Value::Object{};
  for (const auto& [name, value] : request.headers) headers.set(name, value);
  return Value(Value::Object{
                   {"method", request.method}, {"path", request.path}, {"headers", headers}, {"body", request.body}})
      .dump();
}

class Http : public ::testing::Test {
 protected:
  WebStub web{[this](const WebRequest& request) { return answer(request); }};
  Harness h;

  virtual WebReply answer(const WebRequest& request) {
    const std::string& path = request.path;
    if (path.starts_with("/echo")) return web_json(echo_of(request));
    if (path == "/text") return web_reply(200, "plain", "Content-Type: text/plain\r\n");
    if (path == "/broken-json") return web_json("{oops");
    if (path == "/bytes") return web_reply(200, std::string("\xFF\x00\x01", 3));
    if (path == "/big") return web_reply(200, std::string(100'000, 'x'));
    if (path == "/cookies") return web_reply(200, "", "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nVia: x\r\nVia: y\r\n");
    if (path == "/teapot") return web_reply(418, "short\nand stout");
    if (path == "/busy") return web_reply(503, "later");
    if (path == "/loop") return web_reply(302, "", "Location: /loop\r\n");
    if (path == "/303") return web_reply(303, "", "Location: /echo/after\r\n");
    if (path == "/307") return web_reply(307, "", "Location: echo\r\n");
    if (path.starts_with("/to?")) return web_reply(302, "", "Location: " + path.substr(4) + "\r\n");
    if (path == "/cut") return {{{{}, "HTTP/1.1 200 x\r\nContent-Length: 100\r\n\r\nhalf"}}};
    return web_reply(404, "");
  }
  Outcome run(Value fields) { return h.run("http", std::move(fields)); }
  Outcome get(const std::string& path) { return run(object({{"url", web.url(path)}})); }
  static Value output(const Outcome& outcome) {
    EXPECT_TRUE(outcome.success) << outcome.error.message;
    return Value::parse(outcome.output.json()).value();
  }
  // What the server saw of a request.
  Value seen(Value fields) {
    if (fields.find("url") == nullptr) fields.set("url", web.url("/echo"));
    const Value out = output(run(std::move(fields)));
    const Value* body = out.find("body");
    return body == nullptr ? Value() : *body;
  }
  static std::string text(const Value& value, const char* name) {
    const Value* found = value.find(name);
    return found == nullptr ? "(absent)" : found->is_string() ? found->as_string() : found->dump();
  }
  static std::string header(const Value& seen, const char* name) { return text(*seen.find("headers"), name); }
};

TEST_F(Http, AQueryIsAddedEncodedAndAListRepeatsItsName) {
  const Value query = object({{"q", "a b&c"}, {"n", 5}, {"no", nullptr}, {"tag", list({"x", "y"})}});
  EXPECT_EQ(text(seen(object({{"url", web.url("/echo?k=1")}, {"query", query}})), "path"),
            "/echo?k=1&q=a%20b%26c&n=5&tag=x&tag=y");
}

TEST_F(Http, ABodyMakesItAPostWithItsType) {
  const Value json = seen(object({{"body", object({{"json", object({{"a", 1}})}})}}));
  EXPECT_EQ(text(json, "method"), "POST");
  EXPECT_EQ(text(json, "body"), R"({"a":1})");
  EXPECT_EQ(header(json, "content-type"), "application/json");
  const Value form = seen(object({{"body", object({{"form", object({{"a", "1&2"}, {"b", true}})}})}}));
  EXPECT_EQ(text(form, "body"), "a=1%262&b=true");
  EXPECT_EQ(header(form, "content-type"), "application/x-www-form-urlencoded");
  const Value raw =
      seen(object({{"body", "as it is"}, {"method", "put"}, {"headers", object({{"Content-Type", "x/y"}})}}));
  EXPECT_EQ(text(raw, "method"), "PUT");
  EXPECT_EQ(text(raw, "body"), "as it is");
  EXPECT_EQ(header(raw, "content-type"), "x/y");
}

TEST_F(Http, MultipartHasFilesWithNamesAndTypes) {
  const Value part = object({{"name", "f"}, {"data", "content"}, {"filename", "a.txt"}, {"type", "text/x"}});
  const Value out = seen(object({{"body", object({{"multipart", list({part})}})}}));
  EXPECT_TRUE(header(out, "content-type").starts_with("multipart/form-data; boundary="));
  EXPECT_NE(text(out, "body").find("name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/x\r\n\r\ncontent\r\n"),
            std::string::npos)
      << text(out, "body");
}

TEST_F(Http, AuthIsBasicBearerOrAnApiKey) {
  EXPECT_EQ(header(seen(object({{"auth", object({{"basic", object({{"user", "ada"}, {"password", "x:y"}})}})}})),
                   "authorization"),
            "Basic YWRhOng6eQ==");
  EXPECT_EQ(header(seen(object({{"auth", object({{"bearer", "t0k"}})}})), "authorization"), "Bearer t0k");
  const Value key = object({{"api_key", object({{"value", "k1"}})}});
  EXPECT_EQ(header(seen(object({{"auth", key}})), "x-api-key"), "k1");
  const Value in_query = object({{"api_key", object({{"name", "key"}, {"value", "k 2"}, {"in", "query"}})}});
  const Outcome outcome = run(object({{"url", web.url("/echo")}, {"auth", in_query}}));
  EXPECT_EQ(text(*output(outcome).find("body"), "path"), "/echo?key=k%202");
  EXPECT_EQ(text(output(outcome), "url"), web.url("/echo")) << "a query may hold a secret";
}

TEST_F(Http, ABodyIsReadByItsTypeOrAsAskedFor) {
  EXPECT_EQ(text(output(get("/text")), "body"), "plain");
  EXPECT_EQ(text(output(get("/broken-json")), "body"), "{oops");
  const Value bytes = output(get("/bytes"));
  EXPECT_EQ(text(bytes, "body"), "/wAB");
  EXPECT_EQ(text(bytes, "encoding"), "base64");
  EXPECT_EQ(text(output(run(object({{"url", web.url("/text")}, {"response", "base64"}}))), "body"), "cGxhaW4=");
  const Outcome strict = run(object({{"url", web.url("/text")}, {"response", "json"}}));
  EXPECT_EQ(strict.reason, Reason::kInvalidOutput);
  EXPECT_TRUE(strict.error.message.starts_with("GET " + web.url("/text") + ": the answer is not JSON: "))
      << strict.error.message;
}

TEST_F(Http, RepeatedHeadersAreJoinedAndCookiesAreAList) {
  const Value headers = *output(get("/cookies")).find("headers");
  EXPECT_EQ(text(headers, "set-cookie"), R"(["a=1","b=2"])");
  EXPECT_EQ(text(headers, "via"), "x, y");
}

TEST_F(Http, AStatusIsASuccessAsDeclaredAndAFailureKeepsTheOutput) {
  const Outcome failed = get("/teapot");
  EXPECT_EQ(failed.reason, Reason::kError);
  EXPECT_EQ(failed.error.message, "GET " + web.url("/teapot") + ": status 418: short and stout");
  EXPECT_EQ(text(Value::parse(failed.output.json()).value(), "status"), "418");
  for (Value success : {Value("4xx"), Value(418), Value(list({200, "418"})), Value("any")})
    EXPECT_EQ(text(output(run(object({{"url", web.url("/teapot")}, {"success", success}}))), "status"), "418");
  EXPECT_EQ(run(object({{"url", web.url("/text")}, {"success", 404}})).error.message,
            "GET " + web.url("/text") + ": status 200: plain");
}

TEST_F(Http, OnlyChosenStatusesAreWorthAnotherTry) {
  const auto reason = [&](const char* path, Value retry_on) {
    return run(object({{"url", web.url(path)}, {"retry_on", std::move(retry_on)}})).reason;
  };
  EXPECT_EQ(reason("/busy", list({429, "5xx"})), Reason::kError);      // the node's `retry` tries it again
  EXPECT_EQ(reason("/teapot", list({429, "5xx"})), Reason::kRefused);  // final
}

TEST_F(Http, RedirectsAreFollowedWithTheRightMethodAndNotForEver) {
  const Value after = output(run(object({{"url", web.url("/303")}, {"body", "x"}})));
  EXPECT_EQ(text(*after.find("body"), "method") + " " + text(*after.find("body"), "path"), "GET /echo/after");
  EXPECT_EQ(text(after, "url"), web.url("/echo/after"));
  const Value kept = output(run(object({{"url", web.url("/307")}, {"body", "x"}})));
  EXPECT_EQ(text(*kept.find("body"), "method") + " " + text(*kept.find("body"), "body"), "POST x");
  EXPECT_EQ(get("/loop").error.message, web.url("/loop") + ": more than 10 redirects");
  EXPECT_EQ(text(output(run(object({{"url", web.url("/loop")}, {"follow", false}, {"success", "3xx"}}))), "status"),
            "302");
}

TEST_F(Http, AnotherOriginDoesNotGetTheCredentials) {
  WebStub other([](const WebRequest& request) { return web_json(echo_of(request)); });
  const Value fields = object({{"url", web.url("/to?" + other.url("/x"))},
                               {"auth", object({{"bearer", "t0k"}})},
                               {"headers", object({{"Cookie", "c=1"}, {"X-Kept", "k"}})}});
  const Value there = seen(fields);
  EXPECT_EQ(header(there, "authorization"), "(absent)");
  EXPECT_EQ(header(there, "cookie"), "(absent)");
  EXPECT_EQ(header(there, "x-kept"), "k");
  const Value key =
      object({{"url", web.url("/to?" + other.url("/x"))}, {"auth", object({{"api_key", object({{"value", "k1"}})}})}});
  EXPECT_EQ(header(seen(key), "x-api-key"), "(absent)");
  EXPECT_EQ(
      header(seen(object({{"url", web.url("/to?/echo")}, {"auth", object({{"bearer", "t0k"}})}})), "authorization"),
      "Bearer t0k");
}

TEST_F(Http, AnAnswerBeyondItsLimitIsRefused) {
  const Outcome outcome = run(object({{"url", web.url("/big")}, {"response_max", "64KiB"}}));
  EXPECT_EQ(outcome.reason, Reason::kInvalidOutput);
  EXPECT_EQ(outcome.error.message, "GET " + web.url("/big") + ": the answer is larger than 65536 bytes");
  EXPECT_TRUE(run(object({{"url", web.url("/big")}, {"response_max", "100KB"}})).success);
}

TEST_F(Http, TheBodyOfAGoodAnswerIsSavedAsAnArtifact) {
  const AttemptId attempt = h.start("http", object({{"url", web.url("/big")}, {"save", "big.txt"}}));
  const Value out = output(h.wait(attempt));
  EXPECT_EQ(out.find("artifact")->dump(), R"({"name":"big.txt","content_type":"","bytes":100000})");
  EXPECT_TRUE(out.find("body")->is_null());
  EXPECT_TRUE(h.recorder.of(attempt).artifacts["big.txt"].second == std::string(100'000, 'x'));
  const AttemptId empty = h.start("http", object({{"url", web.url("/cookies")}, {"save", "nothing"}}));
  EXPECT_EQ(text(output(h.wait(empty)), "status"), "200");
  EXPECT_EQ(h.recorder.of(empty).artifacts.count("nothing"), 1U);
  const AttemptId typed = h.start("http", object({{"url", web.url("/text")}, {"save", "t"}}));
  EXPECT_TRUE(h.wait(typed).success);
  EXPECT_EQ(h.recorder.of(typed).artifacts["t"], std::pair(std::string("text/plain"), std::string("plain")));
}

TEST_F(Http, WhatIsNoSuccessIsNotSavedAndShownAsEver) {
  const AttemptId attempt = h.start("http", object({{"url", web.url("/teapot")}, {"save", "pot"}}));
  EXPECT_EQ(h.wait(attempt).reason, Reason::kError);
  EXPECT_TRUE(h.recorder.of(attempt).artifacts.empty());
}

TEST_F(Http, WhatCannotBeSavedFailsTheTask) {
  const auto failed = [&](Value fields) {
    const Outcome outcome = run(std::move(fields));
    EXPECT_EQ(outcome.reason, Reason::kInvalidOutput);
    return outcome.error.message;
  };
  EXPECT_EQ(failed(object({{"url", web.url("/big")}, {"save", "a"}, {"response_max", "64KiB"}})),
            "`save`: the answer is larger than 65536 bytes (response_max)");
  EXPECT_EQ(failed(object({{"url", web.url("/big")}, {"save", "refused"}})), "`save`: no such artifacts here");
  EXPECT_EQ(run(object({{"url", web.url("/big")}, {"save", "../up"}})).reason, Reason::kInvalidInput);
}

TEST_F(Http, ABrokenConnectionAndAMissingServerAreFailuresThatMayPass) {
  const Outcome cut = get("/cut");
  EXPECT_EQ(cut.reason, Reason::kError);
  EXPECT_TRUE(cut.error.message.starts_with("GET " + web.url("/cut") + ": ")) << cut.error.message;
  const Outcome nobody = run(object({{"url", "http://127.0.0.1:1/"}}));
  EXPECT_EQ(nobody.reason, Reason::kError);
  EXPECT_TRUE(nobody.error.message.starts_with("GET http://127.0.0.1:1/: ")) << nobody.error.message;
}

TEST_F(Http, FieldsAreCheckedAgainWhenTheyAreRendered) {
  const auto problem = [&](Value fields) {
    const Outcome outcome = run(std::move(fields));
    EXPECT_EQ(outcome.reason, Reason::kInvalidInput);
    return outcome.error.message;
  };
  EXPECT_EQ(problem(object({{"url", "file:///etc/passwd"}})),
            "`url` does not start with http:// or https://; expected a whole URL");
  EXPECT_EQ(problem(object({{"url", "http://ada:pw@127.0.0.1/"}})),
            "the URL holds credentials; `auth` is the place for them");
  EXPECT_EQ(problem(object({{"url", "http://"}})), "\"http://\" is not a URL");
  EXPECT_EQ(problem(object({{"url", web.url()}, {"headers", object({{"A", "x\r\nB: y"}})}})),
            "`headers` has a line break in 'A'; expected one line a header");
  EXPECT_EQ(problem(object({{"url", web.url()}, {"auth", object({{"bearer", "a\nb"}})}})).substr(0, 32),
            "`auth` has a line break in it; e");
}

// ---- egress

TEST(HttpEgress, LoopbackIsRefusedUnlessAllowedAndTheErrorNamesTheWay) {
  WebStub web([](const WebRequest&) { return web_reply(200, "secret"); });
  Harness strict{ExecutorOptions{.slots = 2}};
  const Outcome outcome = strict.run("http", object({{"url", web.url("/x?key=1")}}));
  EXPECT_EQ(outcome.reason, Reason::kRefused);
  EXPECT_EQ(outcome.error.message,
            "GET " + web.url("/x") +
                ": 127.0.0.1 is a loopback address and refused by this worker's egress rules (its "
                "operator may allow it: --allow-egress loopback)");
  const std::string port = std::to_string(web.port());
  const Outcome named = strict.run("http", object({{"url", "http://localhost:" + port + "/"}}));
  EXPECT_EQ(named.reason, Reason::kRefused);
  EXPECT_EQ(web.requests().size(), 0U);
  for (const char* disguise :
       {"http://2130706433:", "http://0x7f.1:", "http://0.0.0.0:", "http://[::ffff:127.0.0.1]:", "http://[::]:"})
    EXPECT_EQ(strict.run("http", object({{"url", disguise + port + "/"}})).reason, Reason::kRefused) << disguise;
}

TEST(HttpEgress, ARedirectToAMetadataAddressIsRefused) {
  WebStub web(
      [](const WebRequest&) { return web_reply(302, "", "Location: http://169.254.169.254/latest/meta-data/\r\n"); });
  Harness h;  // loopback is allowed, nothing else
  const Outcome outcome = h.run("http", object({{"url", web.url()}}));
  EXPECT_EQ(outcome.reason, Reason::kRefused);
  EXPECT_EQ(outcome.error.message,
            "GET http://169.254.169.254/latest/meta-data/: 169.254.169.254 is a metadata address and refused by this "
            "worker's "
            "egress rules (its operator may allow it: --allow-egress metadata)");
}

TEST(HttpEgress, ARedirectToAFileIsRefused) {
  WebStub web([](const WebRequest&) { return web_reply(302, "", "Location: file:///etc/passwd\r\n"); });
  Harness h;
  EXPECT_NE(h.run("http", object({{"url", web.url()}})).error.message.find("is neither http nor https"),
            std::string::npos);
}

TEST(HttpEgress, AHostMayBeAllowedByItsNameAndPortAlone) {
  WebStub web([](const WebRequest&) { return web_reply(200, "fine"); });
  ExecutorOptions options;
  options.egress = EgressRules::parse({"localhost:" + std::to_string(web.port())}).value();
  Harness h{options};
  EXPECT_TRUE(h.run("http", object({{"url", "http://localhost:" + std::to_string(web.port()) + "/"}})).success);
  EXPECT_EQ(h.run("http", object({{"url", web.url()}})).reason, Reason::kRefused);
}

TEST(HttpEgress, ProxiesOfTheEnvironmentAreNotUsed) {
  WebStub proxy([](const WebRequest&) { return web_reply(200, "proxied"); });
  WebStub web([](const WebRequest&) { return web_reply(200, "direct"); });
  setenv("http_proxy", proxy.url().c_str(), 1);
  Harness h;
  const Outcome outcome = h.run("http", object({{"url", web.url()}}));
  unsetenv("http_proxy");
  EXPECT_EQ(Value::parse(outcome.output.json())->find("body")->as_string(), "direct");
}

// ---- many at once

TEST(HttpScale, TwoThousandAreInFlightOnOneLoop) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit before = limit;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 16'384);
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < 8192) GTEST_SKIP() << "fewer than 8192 descriptors";
  constexpr std::size_t kMany = 2000;
  {
    std::atomic<std::size_t> seen = 0;
    // Nobody is answered before all are there.
    WebStub web([&](const WebRequest&) {
      ++seen;
      return WebReply{
          {{std::chrono::milliseconds(3000), "HTTP/1.1 200 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"}}};
    });
    Harness h;
    std::vector<AttemptId> attempts;
    for (std::size_t i = 0; i < kMany; ++i) attempts.push_back(h.start("http", object({{"url", web.url()}})));
    std::size_t good = 0;
    for (const AttemptId& attempt : attempts) good += h.wait(attempt).success ? 1 : 0;
    EXPECT_EQ(good, kMany);
    EXPECT_GE(web.most_at_once(), kMany);
  }
  setrlimit(RLIMIT_NOFILE, &before);
}

}  // namespace
}  // namespace millrace::test
