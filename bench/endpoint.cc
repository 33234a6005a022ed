#include "bench/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string_view>
#include <thread>

namespace millrace::bench {
namespace {

std::string response(const char* type, const std::string& body) {
  return std::string("HTTP/1.1 200 OK\r\nContent-Type: ") + type +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string stream_of(const std::string& text) {
  return R"(data: {"choices":[{"index":0,"delta":{"role":"assistant","content":")" + text + "\"}}]}\n\n" +
         R"(data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})" + "\n\n" +
         R"(data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}})" + "\n\n" +
         "data: [DONE]\n\n";
}

// How long the first request of `bytes` is; 0: it is not whole yet. Our own tasks and curl are who asks: what they send
// is well formed.
std::size_t request_length(std::string_view bytes) {
  const std::size_t end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) return 0;
  static constexpr std::string_view kLength = "content-length:";
  std::size_t body = 0;
  for (std::size_t at = 0; at + kLength.size() < end; ++at) {
    if (bytes[at] != '\n' || strncasecmp(bytes.data() + at + 1, kLength.data(), kLength.size()) != 0) continue;
    body = std::strtoull(bytes.data() + at + 1 + kLength.size(), nullptr, 10);
  }
  const std::size_t whole = end + 4 + body;
  return bytes.size() >= whole ? whole : 0;
}

class Server : public Endpoint {
 public:
  explicit Server(const std::string& text)
      : document_(response("application/json", text)), stream_(response("text/event-stream", stream_of(text))) {}
  ~Server() override {
    const std::uint64_t one = 1;
    if (thread_.joinable() && write(stop_, &one, sizeof one) == sizeof one) thread_.join();
    for (const auto& [fd, bytes] : clients_) close(fd);
    for (int fd : {listener_, stop_, epoll_}) {
      if (fd >= 0) close(fd);
    }
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  Status open() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* raw = reinterpret_cast<sockaddr*>(&address);
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    stop_ = eventfd(0, EFD_CLOEXEC);
    if (listener_ < 0 || epoll_ < 0 || stop_ < 0 || bind(listener_, raw, size) != 0 ||
        listen(listener_, SOMAXCONN) != 0 || getsockname(listener_, raw, &size) != 0) {
      return Error{Code::kUnavailable, std::string("no port of loopback: ") + std::strerror(errno), {}, ""};
    }
    port_ = ntohs(address.sin_port);
    watch(listener_);
    watch(stop_);
    thread_ = std::thread([this] { serve(); });
    return Done{};
  }
  std::string url() const override { return "http://127.0.0.1:" + std::to_string(port_); }
  double cpu_s() const override {
    clockid_t clock{};
    timespec used{};
    if (pthread_getcpuclockid(const_cast<std::thread&>(thread_).native_handle(), &clock) != 0 ||
        clock_gettime(clock, &used) != 0) {
      return 0;
    }
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
  }

 private:
  void watch(int fd) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }
  void serve() {
    std::array<epoll_event, 64> events{};
    while (true) {
      const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < count; ++i) {
        const int fd = events[static_cast<std::size_t>(i)].data.fd;
        if (fd == stop_) return;
        if (fd == listener_) accept_all();
        else if (!talk(fd, clients_[fd])) forget(fd);
      }
    }
  }
  void accept_all() {
    for (int fd; (fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0; watch(fd)) {
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      clients_[fd];
    }
  }
  // Closing alone would leave it in the epoll for as long as a program that is just being started has a copy of it.
  void forget(int fd) {
    epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
    close(fd);
    clients_.erase(fd);
  }
  // False when the connection is over. A response is a few hundred bytes: it fits the socket's buffer.
  bool talk(int fd, std::string& bytes) const {
    std::array<char, 16 * 1024> chunk;
    const ssize_t got = recv(fd, chunk.data(), chunk.size(), 0);
    if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
    bytes.append(chunk.data(), static_cast<std::size_t>(got));
    for (std::size_t length; (length = request_length(bytes)) > 0; bytes.erase(0, length)) {
      const std::string& answer = bytes.starts_with("POST") ? stream_ : document_;
      if (send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(answer.size())) return false;
    }
    return true;
  }

  const std::string document_, stream_;
  int listener_ = -1, epoll_ = -1, stop_ = -1;
  std::uint16_t port_ = 0;
  std::map<int, std::string> clients_;  // what each has sent that is no whole request yet
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Endpoint>> Endpoint::start(const std::string& text) {
  auto server = std::make_unique<Server>(text);
  if (Status opened = server->open(); !opened.ok()) return opened.error();
  return std::unique_ptr<Endpoint>(std::move(server));
}

}  // namespace millrace::bench
