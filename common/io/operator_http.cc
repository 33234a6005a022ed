#include "common/io/operator_http.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <utility>

#include "common/base/value.h"
#include "common/io/log.h"

namespace millrace {
namespace {

constexpr char kTokenVariable[] = "MILLRACE_HTTP_TOKEN";
constexpr std::size_t kTokenMax = 4'096;
constexpr std::size_t kTokenShort = 16;
constexpr std::size_t kWaitingMax = 1'024;

HttpReply json_reply(unsigned status, std::string json) { return {status, "application/json", std::move(json) + "\n"}; }

double seconds(Duration duration) { return static_cast<double>(duration.count()) / 1e6; }

}  // namespace

std::int64_t OperatorHttp::steady_us() {
  return std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

OperatorHttp::OperatorHttp(OperatorHttpOptions options, std::function<void()> wake)
    : options_(std::move(options)), wake_(std::move(wake)), passed_(steady_us()) {}

OperatorHttp::~OperatorHttp() = default;

Result<std::unique_ptr<OperatorHttp>> OperatorHttp::start(OperatorHttpOptions options, std::function<void()> wake) {
  std::unique_ptr<OperatorHttp> self(new OperatorHttp(std::move(options), std::move(wake)));
  HttpOptions http;
  http.listen = self->options_.listen;
  http.token = self->options_.token;
  http.insecure_listen = self->options_.insecure_listen;
  http.answer_max = kAnswerWithin;
  http.posts_under = self->options_.posts_under;
  http.post_max = self->options_.post_max;
  http.handler = [raw = self.get()](const HttpRequest& request, HttpAnswer answer) {
    raw->handle(request, std::move(answer));
  };
  http.late = [raw = self.get()](const HttpRequest& request) { return raw->late(request); };
  Result<std::unique_ptr<HttpServer>> server = HttpServer::start(std::move(http));
  if (!server.ok()) return server.error();
  self->server_ = std::move(server).value();  // its thread looks at it only after the first pass()
  log_info("http listening", {{"http", self->address()}, {"token", !self->options_.token.empty()}});
  if (self->options_.insecure_listen && self->options_.token.empty())
    log_warn("--insecure-listen: whoever reaches the http port can read everything there", {{"http", self->address()}});
  return self;
}

void OperatorHttp::handle(const HttpRequest& request, HttpAnswer answer) {
  if (options_.posts && request.path.starts_with(options_.posts_under))
    return options_.posts(request, std::move(answer));
  if (request.path == "/livez") {
    const Duration quiet = silent();
    if (quiet <= options_.live_within) return answer({200, "text/plain; charset=utf-8", "ok\n"});
    return answer({503, "text/plain; charset=utf-8",
                   "the main thread has not passed by for " + std::to_string(quiet.count() / 1'000'000) + " s\n"});
  }
  const bool ours = request.path == "/readyz" || request.path == "/metrics" ||
                    std::ranges::find(options_.pages, request.path) != options_.pages.end();
  if (!ours) return answer({404, "text/plain; charset=utf-8", "there is no such page\n"});
  std::unique_lock lock(mutex_);
  if (state_ != nullptr && steady_us() - state_made_ <= kStateAge.count()) {
    const State fresh = state_;
    lock.unlock();
    return answer(tell(request, *fresh));
  }
  if (waiting_.size() < kWaitingMax) waiting_.push_back({request, std::move(answer)});
  lock.unlock();
  if (!wanted_.exchange(true, std::memory_order_relaxed)) wake_();
}

void OperatorHttp::give(State state) {
  wanted_.store(false, std::memory_order_relaxed);
  std::vector<Waiting> waiting;
  {
    std::lock_guard lock(mutex_);
    state_ = state;
    state_made_ = steady_us();
    waiting = std::exchange(waiting_, {});
  }
  if (waiting.empty()) return;
  // Rendering is the server's business.
  HttpServer* server = server_.get();
  server->run([this, state = std::move(state), waiting = std::move(waiting)] {
    for (const Waiting& one : waiting) one.answer(tell(one.request, *state));
  });
}

HttpReply OperatorHttp::late(const HttpRequest& request) {
  State latest;
  {
    std::lock_guard lock(mutex_);
    latest = state_;
  }
  if (request.path == "/metrics" && latest != nullptr) return metrics(*latest);
  const std::string why = "the main thread does not answer";
  if (request.path == "/readyz") return json_reply(503, R"({"ready":false,"reason":")" + why + "\"}");
  return {503, "text/plain; charset=utf-8", why + "\n"};
}

HttpReply OperatorHttp::tell(const HttpRequest& request, const OperatorState& state) const {
  if (request.path == "/metrics") return metrics(state);
  if (request.path == "/readyz") {
    OperatorState::Readiness readiness = state.readiness();
    return json_reply(readiness.ready ? 200 : 503, std::move(readiness.json));
  }
  return state.page(request).value_or(HttpReply{404, "text/plain; charset=utf-8", "there is no such page\n"});
}

HttpReply OperatorHttp::metrics(const OperatorState& state) const {
  MetricsPage page;
  page.gauge("millrace_build_info", "Always 1; the labels tell what runs.", 1, {{"version", options_.version}});
  state.metrics(page);
  page.gauge("millrace_loop_silent_seconds", "Since the main thread last passed by.", seconds(silent()));
  page.counter("millrace_log_lines_dropped_total", "Log lines dropped because nobody read them.",
               static_cast<double>(log_lines_dropped()));
  const HttpCounts http = server_->counts();
  for (const auto& [status, count] : http.replies) {
    page.counter("millrace_http_replies_total", "Answers over HTTP, by status.", static_cast<double>(count),
                 {{"code", std::to_string(status)}});
  }
  page.gauge("millrace_http_connections", "Open HTTP connections.", static_cast<double>(http.connections));
  page.counter("millrace_http_evicted_total", "HTTP connections closed to make room for others.",
               static_cast<double>(http.evicted));
  page.counter("millrace_http_timed_out_total", "HTTP connections closed because the client was too slow.",
               static_cast<double>(http.timed_out));
  page.process();
  return {200, std::string(MetricsPage::kType), page.text()};
}

Result<std::string> read_http_token(const std::string& path) {
  std::string token;
  std::string from = kTokenVariable;
  char* variable = std::getenv(kTokenVariable);
  if (variable != nullptr) token = variable;
  if (variable != nullptr) {
    explicit_bzero(variable, std::strlen(variable));  // what /proc shows of us, too
    unsetenv(kTokenVariable);
  }
  if (!path.empty()) {
    from = "--http-token-file " + path;
    std::ifstream file(path);
    token.assign(kTokenMax + 2, '\0');
    file.read(token.data(), static_cast<std::streamsize>(token.size()));
    if (!file.is_open() || file.bad()) return Error{Code::kInvalid, from + ": cannot be read", {}, ""};
    token.resize(static_cast<std::size_t>(file.gcount()));
    while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  } else if (variable == nullptr) {
    return std::string();
  }
  const bool plain = std::ranges::all_of(token, [](char c) { return c > ' ' && c < 127; });
  if (token.empty() || token.size() > kTokenMax || !plain)
    return Error{Code::kInvalid, from + ": 1 to 4096 visible ASCII characters on one line expected", {}, ""};
  if (token.size() < kTokenShort) log_warn("the http token is short: it could be guessed", {{"from", from}});
  return token;
}

}  // namespace millrace
