#include <algorithm>

#include "tests/support/web_stub.h"
#include "tests/unit/executors/harness.h"
#include "worker/executors/completion.h"
#include "worker/executors/sse.h"

namespace millrace::test {
namespace {

std::string answer(const std::string& text, const std::string& more = "") {
  std::string quoted;
  append_json_string(quoted, text);
  return R"({"model":"m-real","choices":[{"message":{"role":"assistant","content":)" + quoted +
         R"(},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":10,"total_tokens":110})" +
         more + "}";
}

std::string event(const std::string& json) { return "data: " + json + "\n\n"; }
std::string delta(const std::string& text, const char* finish = "null") {
  std::string quoted;
  append_json_string(quoted, text);
  return event(R"({"model":"m-real","choices":[{"delta":{"content":)" + quoted + R"(},"finish_reason":)" + finish +
               "}]}");
}
constexpr const char* kStreamHead = "HTTP/1.1 200 x\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
const std::string kUsage =
    event(R"({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}})");

class Llm : public ::testing::Test {
 protected:
  std::vector<WebReply> replies;  // one a request; the last one again and again
  std::atomic<std::size_t> asked = 0;
  WebStub web{[this](const WebRequest&) { return replies[std::min<std::size_t>(asked++, replies.size() - 1)]; }};
  std::unique_ptr<Harness> harness;

  Harness& h() {
    if (harness == nullptr) {
      ExecutorOptions options;  // loopback is refused: the providers' own endpoints are allowed all the same
      options.providers =
          parse_providers({{"stub", R"({"base_url":")" + web.url("/v1/") +
                                        R"(","key":"STUB_KEY","model":"m1","prices":{"m1":{"input":2,"output":10}}})"},
                           {"other", web.url("/other")}},
                          nullptr, nullptr)
              .value();
      harness = std::make_unique<Harness>(options);
    }
    return *harness;
  }
  void SetUp() override { setenv("MILLRACE_SECRET_STUB_KEY", "sk-canary", 1); }
  void TearDown() override { unsetenv("MILLRACE_SECRET_STUB_KEY"); }
  Outcome run(Value::Object fields) {
    if (Value(fields).find("provider") == nullptr) fields.emplace_back("provider", "stub");
    if (Value(fields).find("prompt") == nullptr && Value(fields).find("messages") == nullptr)
      fields.emplace_back("prompt", "hi");
    return h().run("llm", Value(std::move(fields)));
  }
  static Value output(const Outcome& outcome) {
    EXPECT_TRUE(outcome.success) << outcome.error.message;
    return Value::parse(outcome.output.json()).value();
  }
  Value request(std::size_t which = 0) { return Value::parse(web.requests().at(which).body).value(); }
};

TEST_F(Llm, AskedWithItsKeyAndAnswersWithUsageAndCost) {
  replies = {web_json(answer("hello"))};
  const Outcome outcome = run(
      {{"system", "be brief"}, {"prompt", "hi"}, {"stream", false}, {"parameters", object({{"temperature", 0.5}})}});
  EXPECT_EQ(output(outcome).dump(),
            R"({"text":"hello","model":"m-real","provider":"stub","finish_reason":"stop",)"
            R"("usage":{"prompt_tokens":100,"completion_tokens":10,"total_tokens":110},"cost":3e-04,"requests":1})");
  EXPECT_EQ(web.requests()[0].path, "/v1/chat/completions");
  EXPECT_EQ(web.requests()[0].header("authorization"), "Bearer sk-canary");
  EXPECT_EQ(request().dump(), R"({"model":"m1","messages":[{"role":"system","content":"be brief"},)"
                              R"({"role":"user","content":"hi"}],"temperature":0.5,"stream":false})");
}

TEST_F(Llm, TokensComeWhileTheyAreMade) {
  replies = {
      {{{{}, kStreamHead + delta("one ")}, {300ms, delta("two", "\"stop\"")}, {{}, kUsage + "data: [DONE]\n\n"}}}};
  const AttemptId attempt = h().start("llm", object({{"provider", "stub"}, {"prompt", "hi"}}));
  ASSERT_TRUE(h().run_until([&] { return !h().recorder.of(attempt).news.empty(); }));
  EXPECT_TRUE(h().recorder.of(attempt).outcomes.empty()) << "came only with the end";
  EXPECT_EQ(h().recorder.of(attempt).news[0].second.dump(), R"({"text":"one "})");
  const Value out = output(h().wait(attempt));
  EXPECT_EQ(out.find("text")->as_string(), "one two");
  EXPECT_EQ(out.find("usage")->dump(), R"({"prompt_tokens":3,"completion_tokens":2,"total_tokens":5})");
  std::string told;
  for (const auto& [type, data] : h().recorder.of(attempt).news) {
    EXPECT_EQ(type, EventType::kTaskTokens);
    told += data.find("text")->as_string();
  }
  EXPECT_EQ(told, "one two");
  EXPECT_EQ(h().recorder.of(attempt).logs_after_done, 0);
}

TEST_F(Llm, AnEndpointThatDoesNotStreamIsUnderstood) {
  replies = {web_json(answer("whole"))};
  EXPECT_EQ(output(run({})).find("text")->as_string(), "whole");
}

TEST_F(Llm, TooManyRequestsWaitAsLongAsTheServerSays) {
  replies = {web_reply(429, R"({"error":{"message":"slow down"}})", "Retry-After: 1\r\n"),
             web_json(answer("after all"))};
  const auto begun = std::chrono::steady_clock::now();
  const Value out = output(run({}));
  EXPECT_GE(std::chrono::steady_clock::now() - begun, 1s);
  EXPECT_EQ(out.find("text")->as_string() + " " + out.find("requests")->dump(), "after all 2");
}

TEST_F(Llm, WhatOnlyATargetCanMendIsNotAskedAgain) {
  replies = {web_json(R"({"error":{"message":"Incorrect API key provided"}})", 401)};
  const Outcome outcome = run({});
  EXPECT_EQ(outcome.reason, Reason::kError);
  EXPECT_EQ(outcome.error.message, "stub/m1: status 401: Incorrect API key provided");
  EXPECT_EQ(web.requests().size(), 1U);
}

TEST_F(Llm, AServerThatFailsIsAskedAgainAndThenGivenUp) {
  replies = {web_reply(500, "oh")};
  const Outcome outcome = run({{"retries", 1}});
  EXPECT_EQ(outcome.error.message, "stub/m1: status 500: oh (asked 2 times)");
  EXPECT_EQ(web.requests().size(), 2U);
}

TEST_F(Llm, FallbacksAreAskedInTurnAndTheKeyStaysWithItsProvider) {
  replies = {web_reply(404, "no such model"), web_reply(500, "down"), web_json(answer("third"))};
  const Outcome outcome =
      run({{"retries", 0}, {"fallbacks", list({"m2", object({{"provider", "other"}, {"model", "m3"}})})}});
  EXPECT_EQ(output(outcome).find("provider")->as_string(), "other");
  EXPECT_EQ(request(1).find("model")->as_string(), "m2");
  EXPECT_EQ(web.requests()[1].header("authorization"), "Bearer sk-canary");
  EXPECT_EQ(web.requests()[2].path, "/other/chat/completions");
  EXPECT_EQ(request(2).find("model")->as_string(), "m3");
  EXPECT_EQ(web.requests()[2].header("authorization"), "");
}

TEST_F(Llm, AStreamThatBreaksOffIsAskedAgain) {
  replies = {{{{{}, kStreamHead + delta("half an ans")}}}, {{{{}, kStreamHead + delta("whole", "\"stop\"")}}}};
  const Value out = output(run({}));
  EXPECT_EQ(out.find("text")->as_string() + " " + out.find("requests")->dump(), "whole 2");
}

TEST_F(Llm, AnAnswerFitsItsSchemaOrIsAskedForAgain) {
  const Value schema = object(
      {{"type", "object"}, {"required", list({"n"})}, {"properties", object({{"n", object({{"type", "integer"}})}})}});
  replies = {web_json(answer(R"({"n":"five"})")), web_json(answer(R"({"n":5})"))};
  const Value out = output(run({{"schema", schema}, {"stream", false}}));
  EXPECT_EQ(out.find("json")->dump(), R"({"n":5})");
  EXPECT_EQ(request().find("response_format")->find("json_schema")->find("schema")->dump(), schema.dump());
  replies = {web_json(answer("no json"))};
  const Outcome bad = run({{"schema", schema}, {"stream", false}, {"retries", 0}});
  EXPECT_EQ(bad.reason, Reason::kInvalidOutput);
  EXPECT_TRUE(bad.error.message.starts_with("stub/m1: the answer is not JSON: ")) << bad.error.message;
}

TEST_F(Llm, ToolsArePassedOnAndTheirCallsComeBack) {
  const std::string first = event(
      R"({"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"add","arguments":"{\"a\":"}}]}}]})");
  const std::string second = event(
      R"({"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]},"finish_reason":"tool_calls"}]})");
  replies = {{{{{}, kStreamHead + first + second + "data: [DONE]\n\n"}}}};
  const Value tools = list({object({{"type", "function"}, {"function", object({{"name", "add"}})}})});
  const Value out = output(run({{"tools", tools}, {"tool_choice", "auto"}}));
  EXPECT_EQ(out.find("tool_calls")->dump(),
            R"([{"id":"c1","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}}])");
  EXPECT_EQ(request().find("tools")->dump(), tools.dump());
}

TEST_F(Llm, ItsKeyIsNamedToTheObserverBeforeItIsUsed) {
  replies = {web_json(R"({"error":{"message":"Incorrect API key provided: sk-canary"}})", 401)};
  const AttemptId attempt = h().start("llm", object({{"provider", "stub"}, {"prompt", "hi"}}));
  EXPECT_EQ(h().recorder.of(attempt).secrets, std::vector<std::string>{"sk-canary"});
  h().wait(attempt);
}

TEST_F(Llm, WhatIsMissingIsNamed) {
  replies = {web_json(answer("x"))};
  EXPECT_EQ(run({{"provider", "nobody"}}).error.message,
            "`provider` is \"nobody\", which this worker does not know; it has openai, other, stub");
  EXPECT_EQ(run({{"provider", "other"}}).error.message, "`model` is missing, and the provider has none of its own");
  unsetenv("MILLRACE_SECRET_STUB_KEY");
  EXPECT_EQ(run({}).error.message,
            "provider stub: the secret 'STUB_KEY' is not known to this worker (looked for: MILLRACE_SECRET_STUB_KEY)");
  EXPECT_EQ(
      h().run("llm", object({{"base_url", web.url()}, {"model", "m"}, {"prompt", "x"}, {"api_key", "k"}})).success,
      true)
      << "the host and port of a provider";
  EXPECT_EQ(h().run("llm", object({{"base_url", "http://127.0.0.1:1/v1"}, {"model", "m"}, {"prompt", "x"}})).reason,
            Reason::kRefused);
}

TEST(LlmProviders, AreAUrlOrAnObjectAndOpenaiIsAlwaysThere) {
  const LlmProviders plain = parse_providers({{"local", "http://h:1/v1/"}}, "http://127.0.0.1:9/v1", "sk").value();
  EXPECT_EQ(plain.at("local").base_url, "http://h:1/v1");
  EXPECT_EQ(plain.at("openai").base_url + " " + plain.at("openai").key_value, "http://127.0.0.1:9/v1 sk");
  const auto problem = [](const char* text) { return parse_providers({{"p", text}}, nullptr, nullptr).error().what; };
  EXPECT_EQ(problem("ftp://x"), "providers: p: 'base_url' does not start with http:// or https://");
  EXPECT_EQ(problem(R"({"base_url":"http://x","key":"sk-abc"})"),
            "providers: p: 'key' is not the name of a secret: letters, digits and '_'; the key itself stands nowhere");
  EXPECT_EQ(problem(R"({"url":"http://x"})"),
            "providers: p: unknown key 'url'; expected base_url, key, model, headers or prices");
}

TEST(Sse, EventsAreReadWhateverTheBordersOfThePieces) {
  const std::string stream = ": hello\r\n\r\ndata: one\r\n\r\nevent: x\ndata: two\ndata:three\n\nid: 5\n\ndata: last";
  for (std::size_t size = 1; size < 9; ++size) {
    Sse sse;
    std::vector<std::string> seen;
    const auto sink = [&](std::string_view data) {
      seen.emplace_back(data);
      return true;
    };
    for (std::size_t at = 0; at < stream.size(); at += size) EXPECT_TRUE(sse.feed(stream.substr(at, size), sink));
    sse.finish(sink);
    EXPECT_EQ(seen, (std::vector<std::string>{"one", "two\nthree", "last"}));
  }
}

}  // namespace
}  // namespace millrace::test
