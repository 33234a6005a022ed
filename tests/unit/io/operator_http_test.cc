// OperatorHttp: a thread that passes by, one that does not, and the token.
#include "common/io/operator_http.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/support/http_client.h"

namespace millrace {
namespace {

using test::http_get;

class Told final : public OperatorState {
 public:
  explicit Told(bool ready) : ready_(ready) {}
  Readiness readiness() const override { return {ready_, ready_ ? R"({"ready":true})" : R"({"ready":false})"}; }
  void metrics(MetricsPage& page) const override { page.gauge("told_things", "Things told.", 7); }
  std::optional<HttpReply> page(const HttpRequest& request) const override {
    if (request.path != "/own") return std::nullopt;
    return HttpReply{200, "application/json", "{}"};
  }

 private:
  bool ready_;
};

OperatorHttpOptions loopback() {
  OperatorHttpOptions options;
  options.listen = "127.0.0.1:0";
  options.version = "0.0.0";
  options.pages = {"/own"};
  return options;
}

// A daemon whose thread passes by when it is woken.
class Daemon {
 public:
  explicit Daemon(bool ready) {
    auto started = OperatorHttp::start(loopback(), [this] { woken_.store(true); });
    EXPECT_TRUE(started.ok());
    http_ = std::move(started).value();
    thread_ = std::jthread([this, ready](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        if (woken_.exchange(false)) http_->pass([&] { return std::make_shared<Told>(ready); });
        std::this_thread::sleep_for(1ms);
      }
    });
  }
  const std::string& address() const { return http_->address(); }

 private:
  std::atomic<bool> woken_ = false;
  std::unique_ptr<OperatorHttp> http_;
  std::jthread thread_;
};

TEST(OperatorHttp, TellsReadinessAndMetricsOfAThreadThatPassesBy) {
  Daemon ready(true);
  EXPECT_EQ(http_get(ready.address(), "/livez").status, 200);
  EXPECT_EQ(http_get(ready.address(), "/readyz").status, 200);
  const std::string metrics = http_get(ready.address(), "/metrics").body;
  EXPECT_NE(metrics.find("\ntold_things 7\n"), std::string::npos) << metrics;
  EXPECT_NE(metrics.find("millrace_build_info{version=\"0.0.0\"} 1\n"), std::string::npos) << metrics;
  EXPECT_NE(metrics.find("\nprocess_resident_memory_bytes "), std::string::npos);
  EXPECT_EQ(http_get(ready.address(), "/own").body, "{}");
  EXPECT_EQ(http_get(ready.address(), "/other").status, 404);

  Daemon busy(false);
  EXPECT_EQ(http_get(busy.address(), "/livez").status, 200);
  EXPECT_EQ(http_get(busy.address(), "/readyz").status, 503);
}

TEST(OperatorHttp, AThreadThatDoesNotPassByIsLiveForAWhileAndNotReady) {
  auto http = OperatorHttp::start(loopback(), [] {});
  ASSERT_TRUE(http.ok());
  EXPECT_EQ(http_get((*http)->address(), "/livez").status, 200);
  test::HttpResult ready = http_get((*http)->address(), "/readyz");
  EXPECT_EQ(ready.status, 503);
  EXPECT_NE(ready.body.find("does not answer"), std::string::npos) << ready.body;
  EXPECT_EQ(http_get((*http)->address(), "/metrics").status, 503) << "there is nothing to tell yet";
}

TEST(OperatorHttp, AThreadThatHasNotPassedByForTooLongIsNotLiveUntilItPassesAgain) {
  OperatorHttpOptions options = loopback();
  options.live_within = 50ms;
  auto http = OperatorHttp::start(options, [] {});
  ASSERT_TRUE(http.ok());
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(http_get((*http)->address(), "/livez").status, 503);

  (*http)->pass([] { return std::make_shared<Told>(true); });

  EXPECT_EQ(http_get((*http)->address(), "/livez").status, 200);
}

TEST(OperatorHttp, MetricsOfAThreadThatHasStoppedAreTheLatestOnes) {
  auto http = OperatorHttp::start(loopback(), [] {});
  ASSERT_TRUE(http.ok());
  std::jthread client([&] { EXPECT_EQ(http_get((*http)->address(), "/metrics").status, 200); });
  const auto begun = std::chrono::steady_clock::now();
  bool made = false;
  while (!made && std::chrono::steady_clock::now() - begun < 5s) {
    (*http)->pass([&] { return made = true, std::make_shared<Told>(true); });
  }
  client.join();
  std::this_thread::sleep_for(kStateAge + 5ms);

  EXPECT_NE(http_get((*http)->address(), "/metrics").body.find("told_things 7"), std::string::npos);
}

class Tokens : public ::testing::Test {
 protected:
  void SetUp() override { unsetenv("MILLRACE_HTTP_TOKEN"); }
  void TearDown() override {
    unsetenv("MILLRACE_HTTP_TOKEN");
    std::filesystem::remove(path_);
  }
  const std::string& file(const std::string& text) {
    std::ofstream(path_) << text;
    return path_;
  }
  std::string path_ = std::filesystem::temp_directory_path() / ("mr-token-" + std::to_string(getpid()));
};

TEST_F(Tokens, StandInAFileOrInTheEnvironment) {
  EXPECT_EQ(read_http_token("").value(), "");
  EXPECT_EQ(read_http_token(file("0123456789abcdef-file\n")).value(), "0123456789abcdef-file");
  setenv("MILLRACE_HTTP_TOKEN", "0123456789abcdef-env", 1);
  EXPECT_EQ(read_http_token("").value(), "0123456789abcdef-env");
}

TEST_F(Tokens, AreTakenOutOfTheEnvironmentEvenWhereTheFileCounts) {
  setenv("MILLRACE_HTTP_TOKEN", "0123456789abcdef-env", 1);
  EXPECT_EQ(read_http_token(file("0123456789abcdef-file\n")).value(), "0123456789abcdef-file");
  EXPECT_EQ(std::getenv("MILLRACE_HTTP_TOKEN"), nullptr);
}

TEST_F(Tokens, ThatCannotBeSentAreRefusedWithoutNamingThem) {
  for (const char* wrong : {"", "\n", "secret one\n", "secret\none\n", "secr\xc3\xa9t\n"}) {
    Result<std::string> token = read_http_token(file(wrong));
    ASSERT_FALSE(token.ok()) << wrong;
    EXPECT_EQ(token.error().what.find("secr"), std::string::npos) << token.error().what;
  }
  EXPECT_FALSE(read_http_token(file(std::string(5'000, 'x'))).ok());
  EXPECT_FALSE(read_http_token("/nowhere/token").ok());
  setenv("MILLRACE_HTTP_TOKEN", "", 1);
  EXPECT_FALSE(read_http_token("").ok()) << "set, and empty: somebody wanted one";
}

TEST(MetricsPage, WritesThePrometheusTextFormat) {
  LatencyHistogram took;
  took.add(3us);
  took.add(6us);
  took.add(500s);
  MetricsPage page;
  page.counter("a_total", "All a.", 3, {{"kind", "x\"y\nz"}});
  page.gauge("b", "B now.", 2);
  page.counter("a_total", "All a.", 4, {{"kind", "w"}});
  page.histogram("c_seconds", "C.", took);

  const std::string text = page.text();

  EXPECT_EQ(text.find("# HELP a_total All a.\n# TYPE a_total counter\na_total{kind=\"x\\\"y\\nz\"} 3\n"
                      "a_total{kind=\"w\"} 4\n# HELP b B now.\n# TYPE b gauge\nb 2\n# HELP c_seconds C.\n"
                      "# TYPE c_seconds histogram\nc_seconds_count 3\n"),
            0U)
      << text;
  EXPECT_NE(text.find("c_seconds_bucket{le=\"8e-06\"} 2\n"), std::string::npos) << text;
  EXPECT_NE(text.find("c_seconds_bucket{le=\"+Inf\"} 3\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace millrace
