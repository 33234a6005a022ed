#include "common/io/http_server.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <cctype>
#include <charconv>
#include <iterator>
#include <optional>
#include <thread>
#include <utility>

#include "common/io/net_address.h"

namespace millrace {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using tcp = boost::asio::ip::tcp;

constexpr std::size_t kDrainMax = 1024 * 1024;  // read and thrown away after the last answer, so that it arrives
constexpr Duration kDrainFor = 1s;
constexpr Duration kAcceptAgain = 100ms;  // after accepting failed: too many open files, say

// Takes the same time wherever the two differ.
bool same_secret(std::string_view a, std::string_view b) {
  std::size_t differ = a.size() ^ b.size();
  for (std::size_t i = 0; i < a.size(); ++i) {
    differ |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[b.empty() ? 0 : i % b.size()]);
  }
  return differ == 0;
}

bool is_bearer(std::string_view header, std::string_view token) {
  static constexpr std::string_view kScheme = "Bearer ";
  if (header.size() < kScheme.size() || !beast::iequals(header.substr(0, kScheme.size()), kScheme)) return false;
  header.remove_prefix(kScheme.size());
  while (!header.empty() && header.front() == ' ') header.remove_prefix(1);
  return same_secret(header, token);
}

class Session;

// What the sessions share. All of it belongs to the server's thread.
struct Hall {
  HttpOptions options;
  std::map<std::uint64_t, Session*> sessions;  // by age; each takes itself out when it ends
  std::uint64_t sessions_made = 0;
  HttpCounts counts;
  asio::io_context context{1};  // last: with it go the sessions, which need the rest
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Hall& hall, tcp::socket socket)
      : hall_(hall), stream_(std::move(socket)), late_(hall.context), id_(++hall.sessions_made) {
    hall_.sessions.emplace(id_, this);
    ++hall_.counts.connections;
  }
  ~Session() {
    hall_.sessions.erase(id_);
    --hall_.counts.connections;
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void read();
  void evict() {
    ++hall_.counts.evicted;
    stream_.close();
  }
  bool waits_for_client() const { return waits_for_client_; }
  std::chrono::steady_clock::time_point since() const { return since_; }

 private:
  void on_header(beast::error_code error);
  void on_read(beast::error_code error);
  void handle();
  bool is_post_path(std::string_view target) const {
    return !hall_.options.posts_under.empty() && target.starts_with(hall_.options.posts_under);
  }
  void ask(bool keep_alive);
  void answer(std::uint64_t number, HttpReply&& reply);
  void say(HttpReply&& reply, bool keep_alive);
  void drain();

  Hall& hall_;
  beast::tcp_stream stream_;
  asio::steady_timer late_;
  beast::flat_buffer buffer_{128 * 1024};
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
  HttpRequest request_;
  std::uint64_t id_;
  std::uint64_t number_ = 0;  // of the request that is being answered
  bool answered_ = true;
  bool keep_alive_ = false;
  bool waits_for_client_ = true;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
  std::size_t drained_ = 0;
};

void Session::read() {
  parser_.emplace();
  parser_->header_limit(hall_.options.header_max);
  parser_->body_limit(std::max(hall_.options.body_max, hall_.options.post_max));
  waits_for_client_ = true;
  since_ = std::chrono::steady_clock::now();
  stream_.expires_after(hall_.options.request_max);
  http::async_read_header(
      stream_, buffer_, *parser_,
      [self = shared_from_this()](beast::error_code error, std::size_t) { self->on_header(error); });
}

// How much body is taken depends on what it is for.
void Session::on_header(beast::error_code error) {
  if (error) return on_read(error);
  const auto& request = parser_->get();
  const std::string_view target(request.target().data(), request.target().size());
  const HttpOptions& options = hall_.options;
  const std::uint64_t most =
      is_post_path(target) && request.method() == http::verb::post ? options.post_max : options.body_max;
  if (const auto length = parser_->content_length(); length && *length > most)
    return on_read(make_error_code(http::error::body_limit));
  if (!parser_->content_length()) parser_->body_limit(most);
  http::async_read(stream_, buffer_, *parser_,
                   [self = shared_from_this()](beast::error_code failed, std::size_t) { self->on_read(failed); });
}

void Session::on_read(beast::error_code error) {
  if (!error) return handle();
  if (error == beast::error::timeout) {
    ++hall_.counts.timed_out;
    return;
  }
  if (error == http::error::end_of_stream || error == http::error::partial_message) return;
  if (error.category() != make_error_code(http::error::end_of_stream).category()) return;  // the connection broke
  unsigned status = 400;
  if (error == http::error::header_limit || error == http::error::buffer_overflow) status = 431;
  if (error == http::error::body_limit) status = 413;
  say({status, "text/plain; charset=utf-8", error.message() + "\n"}, false);
}

void Session::handle() {
  waits_for_client_ = false;
  const auto& request = parser_->get();
  const std::string_view target(request.target().data(), request.target().size());
  const std::size_t question = std::min(target.find('?'), target.size());
  request_ = {std::string(target.substr(0, question)),
              std::string(target.substr(std::min(question + 1, target.size())))};
  const bool keep_alive = request.keep_alive();
  if (is_post_path(request_.path)) {
    if (request.method() != http::verb::post)
      return say({405, "text/plain; charset=utf-8", "only POST is answered here\n"}, keep_alive);
    if (std::distance(request.begin(), request.end()) > static_cast<std::ptrdiff_t>(hall_.options.post_headers_max))
      return say({431, "text/plain; charset=utf-8", "too many headers\n"}, keep_alive);
    for (const auto& field : request) {
      std::string name(field.name_string().data(), field.name_string().size());
      std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      request_.headers.emplace_back(std::move(name), std::string(field.value().data(), field.value().size()));
    }
    request_.body = std::move(parser_->get().body());
    return ask(keep_alive);
  }
  if (request.method() != http::verb::get && request.method() != http::verb::head)
    return say({405, "text/plain; charset=utf-8", "only GET and HEAD are answered here\n"}, keep_alive);
  const auto& open = hall_.options.open_paths;
  if (!hall_.options.token.empty() && std::ranges::find(open, request_.path) == open.end()) {
    const auto header = request[http::field::authorization];
    if (!is_bearer({header.data(), header.size()}, hall_.options.token))
      return say({401, "text/plain; charset=utf-8", "this path needs the bearer token\n"}, keep_alive);
  }
  ask(keep_alive);
}

void Session::ask(bool keep_alive) {
  keep_alive_ = keep_alive;
  answered_ = false;
  const std::uint64_t number = ++number_;
  late_.expires_after(hall_.options.answer_max);
  late_.async_wait([self = shared_from_this(), number](beast::error_code error) {
    if (error || self->answered_ || self->number_ != number) return;
    self->answer(number, self->hall_.options.late ? self->hall_.options.late(self->request_)
                                                  : HttpReply{503, "text/plain; charset=utf-8", "no answer in time\n"});
  });
  hall_.options.handler(request_, [weak = weak_from_this(), &context = hall_.context, number](HttpReply reply) {
    asio::post(context, [weak, number, reply = std::move(reply)]() mutable {
      if (auto self = weak.lock()) self->answer(number, std::move(reply));
    });
  });
}

void Session::answer(std::uint64_t number, HttpReply&& reply) {
  if (answered_ || number != number_) return;
  answered_ = true;
  late_.cancel();
  say(std::move(reply), keep_alive_);
}

void Session::say(HttpReply&& reply, bool keep_alive) {
  ++hall_.counts.replies[reply.status];
  waits_for_client_ = true;  // to take the answer
  since_ = std::chrono::steady_clock::now();
  const bool head = parser_->is_header_done() && parser_->get().method() == http::verb::head;
  const bool post_path = is_post_path(request_.path);
  response_ = {};
  response_.version(11);
  response_.result(reply.status);
  response_.set(http::field::content_type, reply.type);
  response_.set(http::field::cache_control, "no-store");
  response_.set("X-Content-Type-Options", "nosniff");
  if (reply.status == 401) response_.set(http::field::www_authenticate, "Bearer");
  if (reply.status == 405) response_.set(http::field::allow, post_path ? "POST" : "GET, HEAD");
  if (reply.retry_after > Duration::zero())
    response_.set(http::field::retry_after, std::to_string((reply.retry_after + 999'999us) / 1s));
  response_.keep_alive(keep_alive);
  response_.content_length(reply.body.size());
  if (!head) response_.body() = std::move(reply.body);
  stream_.expires_after(hall_.options.write_max);
  http::async_write(stream_, response_, [self = shared_from_this(), keep_alive](beast::error_code error, std::size_t) {
    if (error == beast::error::timeout) ++self->hall_.counts.timed_out;
    if (error) return;
    if (keep_alive) return self->read();
    beast::error_code ignored;
    self->stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    self->drain();
  });
}

// Closing over unread bytes would reset the connection and take the answer with it.
void Session::drain() {
  if (drained_ == 0) stream_.expires_after(kDrainFor);
  buffer_.clear();
  stream_.async_read_some(buffer_.prepare(16 * 1024),
                          [self = shared_from_this()](beast::error_code error, std::size_t got) {
                            self->drained_ += got;
                            if (!error && got > 0 && self->drained_ < kDrainMax) self->drain();
                          });
}

class Server final : public HttpServer {
 public:
  explicit Server(HttpOptions options) : acceptor_(hall_.context), pause_(hall_.context) {
    hall_.options = std::move(options);
  }
  ~Server() override {
    hall_.context.stop();
    if (thread_.joinable()) thread_.join();
  }

  Status open();
  void begin();
  const std::string& address() const override { return address_; }
  void run(std::function<void()> job) override { asio::post(hall_.context, std::move(job)); }
  HttpCounts counts() const override { return hall_.counts; }

 private:
  void accept();
  void make_room();

  Hall hall_;
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  std::string address_;
  std::thread thread_;
};

Status Server::open() {
  const HttpOptions& options = hall_.options;
  Result<HostPort> where = parse_host_port(options.listen);
  if (!where.ok()) return where.error();
  if (options.token.empty() && !options.insecure_listen && !is_loopback_host(where->host)) {
    return Error{Code::kRefused,
                 "http " + options.listen +
                     ": other machines could reach it, and nobody is authenticated; listen on 127.0.0.1 or [::1], give "
                     "a token (--http-token-file or MILLRACE_HTTP_TOKEN), or say --insecure-listen on a network that "
                     "only trusted machines share",
                 {},
                 "remote_bind"};
  }
  beast::error_code error;
  auto failed = [&] {
    return Error{Code::kUnavailable, "http " + options.listen + ": " + error.message(), {}, "http_bind"};
  };
  tcp::resolver resolver(hall_.context);
  const auto found = resolver.resolve(where->host == "localhost" ? "127.0.0.1" : where->host,
                                      std::to_string(where->port), tcp::resolver::passive, error);
  if (error || found.empty()) return failed();
  const tcp::endpoint endpoint = found.begin()->endpoint();
  if (acceptor_.open(endpoint.protocol(), error)) return failed();
  (void)fcntl(acceptor_.native_handle(), F_SETFD, FD_CLOEXEC);
  acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (error || acceptor_.bind(endpoint, error) || acceptor_.listen(tcp::acceptor::max_listen_connections, error))
    return failed();
  const tcp::endpoint taken = acceptor_.local_endpoint(error);
  if (error) return failed();
  const std::string host = taken.address().to_string();
  address_ = (taken.address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(taken.port());
  return Done{};
}

void Server::begin() {
  accept();
  thread_ = std::thread([this] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);  // signals are the main thread's
    pthread_setname_np(pthread_self(), "http");
    hall_.context.run();
  });
}

void Server::accept() {
  acceptor_.async_accept([this](beast::error_code error, tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (error) {  // no descriptors, say: not at once again
      pause_.expires_after(kAcceptAgain);
      pause_.async_wait([this](beast::error_code stopped) {
        if (!stopped) accept();
      });
      return;
    }
    (void)fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);
    beast::error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    make_room();
    std::make_shared<Session>(hall_, std::move(socket))->read();
    accept();
  });
}

// The client that has kept us waiting longest goes; where all are being answered, the oldest.
void Server::make_room() {
  if (hall_.sessions.size() < hall_.options.connections_max) return;
  Session* out = hall_.sessions.begin()->second;
  for (const auto& [id, session] : hall_.sessions) {
    if (!session->waits_for_client()) continue;
    if (!out->waits_for_client() || session->since() < out->since()) out = session;
  }
  out->evict();
}

}  // namespace

Result<HostPort> parse_host_port(std::string_view text) {
  const Error wrong{Code::kInvalid, "'" + std::string(text) + "': HOST:PORT expected, such as 127.0.0.1:5780", {}, ""};
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return wrong;
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.front() == '[' && host.back() == ']' && host.size() > 2) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find_first_of(":[]/@;, ") != std::string_view::npos) {
    return wrong;
  }
  HostPort out;
  out.host = host == "*" ? "0.0.0.0" : std::string(host);
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (port.empty() || error != std::errc{} || end != port.data() + port.size() || number > 65535) return wrong;
  out.port = static_cast<std::uint16_t>(number);
  return out;
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(HttpOptions options) {
  auto server = std::make_unique<Server>(std::move(options));
  if (Status opened = server->open(); !opened.ok()) return opened.error();
  server->begin();
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace millrace
