#include "common/io/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "common/base/value.h"

namespace millrace {
namespace {

constexpr Time kWhen = from_us(1'700'000'000'123'456);

// Both ends of a pipe that logging goes to; logging goes back to stderr at the end.
struct Capture {
  int fds[2] = {-1, -1};
  explicit Capture(LogOptions options = {}) {
    EXPECT_EQ(pipe(fds), 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    options.fd = fds[1];
    set_log(options);
  }
  ~Capture() {
    set_log({});
    close(fds[0]);
    close(fds[1]);
  }
  std::string read_all() const {
    std::string out;
    char buffer[65536];
    for (ssize_t got = 0; (got = read(fds[0], buffer, sizeof buffer)) > 0;)
      out.append(buffer, static_cast<std::size_t>(got));
    return out;
  }
};

TEST(Log, AJsonLineHasItsFieldsInOrder) {
  const std::string run = "abc";
  EXPECT_EQ(format_log_json(kWhen, LogLevel::kWarn, "coordinator", "lease expired",
                            {{"run", run},
                             {"attempt", 2},
                             {"big", std::numeric_limits<std::uint64_t>::max()},
                             {"ratio", 0.5},
                             {"ok", true},
                             {"bad", std::numeric_limits<double>::infinity()}}),
            R"({"timestamp":"2023-11-14T22:13:20.123456Z","level":"warn","service":"coordinator",)"
            R"("message":"lease expired","run":"abc","attempt":2,"big":18446744073709551615,"ratio":0.5,)"
            R"("ok":true,"bad":null})");
}

TEST(Log, NoValueCanForgeALine) {
  const std::string evil = "x\"}\n{\"level\":\"error\"}\r\x1b[31m\x7f\xc2\x9b\xff" + std::string(1, '\0');
  const std::string line = format_log_json(kWhen, LogLevel::kInfo, evil, evil, {{evil, evil}});
  for (const char c : line) EXPECT_GE(static_cast<unsigned char>(c), ' ');
  const Result<Value> parsed = Value::parse(line);
  ASSERT_TRUE(parsed.ok()) << line;
  EXPECT_EQ(parsed->find("level")->as_string(), "info");
  const std::string text = format_log_text(kWhen, LogLevel::kInfo, evil, {{evil, evil}}, false);
  for (const std::string& shown : {line, text}) {
    EXPECT_EQ(shown.find_first_of("\n\r\x1b\x7f"), std::string::npos) << shown;
    EXPECT_EQ(shown.find("\xc2\x9b"), std::string::npos) << shown;
  }
}

TEST(Log, TextIsReadable) {
  EXPECT_EQ(format_log_text(kWhen, LogLevel::kInfo, "it's up", {{"run", "r1"}, {"why", "two words"}, {"n", 3}}, false),
            "22:13:20.123 info  it's up run=r1 why=\"two words\" n=3");
}

TEST(Log, LinesBelowTheLevelAreNotWritten) {
  LogOptions options;
  options.level = LogLevel::kWarn;
  options.service = "test";
  Capture capture(options);
  log_info("hidden");
  log_error("shown", {{"n", 1}});
  EXPECT_FALSE(log_enabled(LogLevel::kInfo));
  const std::string out = capture.read_all();
  EXPECT_EQ(out.find("hidden"), std::string::npos);
  const Result<Value> parsed = Value::parse(out);
  ASSERT_TRUE(parsed.ok()) << out;
  EXPECT_EQ(parsed->find("service")->as_string(), "test");
  EXPECT_EQ(parsed->find("message")->as_string(), "shown");
}

TEST(Log, LinesOfManyThreadsAreNeverMixed) {
  Capture capture;
  std::string out;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 50; ++i) log_info(std::string(150, static_cast<char>('a' + t)));
    });
  }
  for (std::thread& thread : threads) thread.join();
  out = capture.read_all();
  std::size_t lines = 0;
  for (std::size_t from = 0; from < out.size(); ++lines) {
    const std::size_t end = out.find('\n', from);
    ASSERT_NE(end, std::string::npos);
    EXPECT_TRUE(Value::parse(out.substr(from, end - from)).ok());
    from = end + 1;
  }
  EXPECT_EQ(lines + log_lines_dropped(), 200U);
  EXPECT_EQ(log_lines_dropped(), 0U);
}

TEST(Log, AStalledReaderCostsLittleAndTheLossIsTold) {
  Capture capture;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 2000; ++i) log_info(std::string(1000, 'x'));
  EXPECT_LT(std::chrono::steady_clock::now() - start, 1s);
  const std::uint64_t dropped = log_lines_dropped();
  EXPECT_GT(dropped, 1000U);
  capture.read_all();
  log_info("after");
  const std::string out = capture.read_all();
  EXPECT_NE(out.find("log lines dropped"), std::string::npos) << out;
  EXPECT_NE(out.find("\"lines\":" + std::to_string(dropped)), std::string::npos) << out;
  EXPECT_NE(out.find("\"after\""), std::string::npos) << out;
  EXPECT_EQ(log_lines_dropped(), dropped);
}

TEST(Log, WordsForLevelsAndFormatsAreUnderstood) {
  EXPECT_EQ(parse_log_level("debug"), LogLevel::kDebug);
  EXPECT_EQ(parse_log_level("loud"), std::nullopt);
  EXPECT_EQ(parse_log_format("json"), LogFormat::kJson);
  EXPECT_EQ(parse_log_format(""), std::nullopt);
}

}  // namespace
}  // namespace millrace
