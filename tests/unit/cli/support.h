// What the tests of the CLI share: a console that remembers, a coordinator that says what a test wants, fixed views,
// and golden files.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cli/app.h"
#include "common/io/zmq_socket.h"
#include "common/model/operator_messages.h"

namespace millrace {

// Runs `millrace WORDS...` in this process and keeps what it wrote.
struct Cli {
  std::string out;
  std::string err;
  int code = 0;
  std::map<std::string, std::string> environment;
  bool terminal = false;
  std::optional<std::string> answer;  // to what is asked; nothing: nobody is there
  std::string asked;
  int columns = 100;

  int run(const std::vector<std::string>& words);
};

// A ROUTER that speaks the operator protocol, on a thread of its own. It answers pings itself; for all else it asks the
// handler (on its thread). No reply: the client waits.
class FakeCoordinator {
 public:
  using Handler = std::function<std::optional<OperatorReply>(const OperatorRequest&)>;

  explicit FakeCoordinator(Handler handler, const std::string& endpoint = "tcp://127.0.0.1:0");
  ~FakeCoordinator();

  const std::string& endpoint() const { return endpoint_; }
  void publish(std::vector<Event> events);
  int subscribers() const { return subscribers_; }
  int requests() const { return requests_; }  // pings aside

 private:
  void work(const std::string& endpoint, std::atomic<bool>& ready);
  void answer(RouterSocket& router, const Frames& frames);

  Handler handler_;
  std::string endpoint_;
  std::string events_endpoint_;
  std::mutex mutex_;  // of to_publish_: written by the test, read by the thread
  std::vector<std::vector<Event>> to_publish_;
  std::atomic<int> subscribers_{0};
  std::atomic<int> requests_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

RunId fixed_run();                   // the same in every golden
RunView fixed_view(RunState state);  // three nodes: succeeded, failed twice or succeeded, skipped or succeeded
std::vector<Event> fixed_events(std::size_t n);  // accepted, n - 2 succeeded nodes, the run's end
OperatorReply fixed_reply(const OperatorRequest& request, RunState state = RunState::kSucceeded);

// Compares with tests/unit/cli/golden/NAME. With MILLRACE_UPDATE_GOLDEN set, writes it instead.
void expect_golden(const std::string& name, const std::string& text);
std::string read_text(const std::string& path_below_source);
// "": the value is of the schema's shape; else where and why not. Knows what docs/cli-schemas use.
std::string schema_mismatch(const Value& schema, const Value& value, const std::string& at = "$");

// A file with this content in the test's own temporary folder.
std::string temp_file(const std::string& name, const std::string& content);

}  // namespace millrace
