// OperatorHttp: what a daemon tells its operators over HTTP: /livez, /readyz, /metrics, and pages of its own.
//
// Promises: costs the daemon's thread one clock reading a pass, and a copy of its counters when somebody asks, at most
// every kStateAge. /livez asks nobody: it looks at when the daemon's thread last passed by, so a store that is gone
// does not make it fail. When the thread does not answer within kAnswerWithin, /readyz says 503 and /metrics tells the
// latest counters with `millrace_loop_silent_seconds`.
// Threads: pass() is the daemon's thread's; everything else runs on the server's own.
// Fails: start() as HttpServer does.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/time.h"
#include "common/io/http_server.h"
#include "common/io/metrics_page.h"

namespace millrace {

constexpr Duration kLiveWithin = 10s;  // a thread that has not passed by for longer is not live
constexpr Duration kAnswerWithin = 2s;
constexpr Duration kStateAge = 20ms;

// A daemon at one moment: made by its thread, read by the server's.
class OperatorState {
 public:
  virtual ~OperatorState() = default;
  struct Readiness {
    bool ready = false;
    std::string json;  // one object: why
  };
  virtual Readiness readiness() const = 0;
  virtual void metrics(MetricsPage& page) const = 0;
  virtual std::optional<HttpReply> page(const HttpRequest&) const { return std::nullopt; }  // paths of its own
};

struct OperatorHttpOptions {
  std::string listen;            // HOST:PORT
  std::string token;             // empty: none
  bool insecure_listen = false;  // beyond loopback without a token; warned of
  std::string version;
  std::vector<std::string> pages = {};  // paths of its own
  std::string posts_under = {};         // paths that take POST, and who answers them (on the server's thread)
  HttpHandler posts = {};
  std::uint64_t post_max = 256 * 1024;
  Duration live_within = kLiveWithin;
};

class OperatorHttp {
 public:
  // `wake` makes the daemon's thread call pass() soon; it is called from the server's thread.
  static Result<std::unique_ptr<OperatorHttp>> start(OperatorHttpOptions options, std::function<void()> wake);
  ~OperatorHttp();
  const std::string& address() const { return server_->address(); }

  // The daemon's thread passes by: makes its state where it is wanted.
  template <class Make>
  void pass(Make make) {
    passed_.store(steady_us(), std::memory_order_relaxed);
    if (wanted_.load(std::memory_order_relaxed)) give(make());
  }

 private:
  struct Waiting {
    HttpRequest request;
    HttpAnswer answer;
  };
  using State = std::shared_ptr<const OperatorState>;
  OperatorHttp(OperatorHttpOptions options, std::function<void()> wake);
  static std::int64_t steady_us();
  Duration silent() const { return Duration{steady_us() - passed_.load(std::memory_order_relaxed)}; }
  void give(State state);
  void handle(const HttpRequest& request, HttpAnswer answer);
  HttpReply late(const HttpRequest& request);
  HttpReply tell(const HttpRequest& request, const OperatorState& state) const;
  HttpReply metrics(const OperatorState& state) const;

  OperatorHttpOptions options_;
  std::function<void()> wake_;
  std::atomic<std::int64_t> passed_;
  std::atomic<bool> wanted_ = false;
  std::mutex mutex_;  // held for moments: between the daemon's thread and the server's, which exchange what follows
  State state_;
  std::int64_t state_made_ = 0;
  std::vector<Waiting> waiting_;
  std::unique_ptr<HttpServer> server_;  // last: its thread uses the rest
};

// The bearer token: the first line of a file, else what MILLRACE_HTTP_TOKEN holds, which is taken out of the
// environment, so that nothing that we start inherits it. Empty: none. Fails: kInvalid; never with the token in it.
Result<std::string> read_http_token(const std::string& file);

}  // namespace millrace
