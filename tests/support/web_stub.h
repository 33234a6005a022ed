// WebStub: a small HTTP/1.1 server on loopback that answers as a test says, slowly where it says so. Header-only.
//
// Promises: one thread serves any number of connections; every request is remembered. A reply is a list of pieces, each
// sent after its pause; then the connection is closed. Threads: the test's for everything but the handler, which is
// called on the server's. Fails: by an assert.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cassert>
#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace millrace::test {

struct WebRequest {
  std::string method, path;                    // path with its query
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  const std::string& header(const std::string& name) const {
    static const std::string kNone;
    const auto found = headers.find(name);
    return found == headers.end() ? kNone : found->second;
  }
};

struct WebPiece {
  std::chrono::milliseconds pause{0};
  std::string bytes;
};
struct WebReply {
  std::vector<WebPiece> pieces;
  bool hang = false;  // never closes, and says no more
};

inline WebReply web_reply(int status, const std::string& body, const std::string& headers = "") {
  return {{{{},
            "HTTP/1.1 " + std::to_string(status) + " x\r\nContent-Length: " + std::to_string(body.size()) +
                "\r\nConnection: close\r\n" + headers + "\r\n" + body}}};
}
inline WebReply web_json(const std::string& body, int status = 200) {
  return web_reply(status, body, "Content-Type: application/json\r\n");
}

class WebStub {
 public:
  using Handler = std::function<WebReply(const WebRequest&)>;

  explicit WebStub(Handler handler) : handler_(std::move(handler)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    [[maybe_unused]] bool bound = bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                                  listen(listener_, 4096) == 0 &&
                                  getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0;
    assert(bound);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~WebStub() {
    stop_ = true;
    thread_.join();
    for (Connection& one : connections_) close(one.fd);
    close(listener_);
  }
  WebStub(const WebStub&) = delete;
  WebStub& operator=(const WebStub&) = delete;

  int port() const { return port_; }
  std::string url(const std::string& path = "/") const { return "http://127.0.0.1:" + std::to_string(port_) + path; }
  std::vector<WebRequest> requests() const {
    std::lock_guard lock(mutex_);
    return requests_;
  }
  std::size_t most_at_once() const { return most_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Connection {
    int fd;
    std::string in;
    WebReply reply;
    std::size_t next = 0, sent = 0;
    Clock::time_point due{};
    bool answered = false;
  };

  static std::string lower(std::string text) {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
  }

  static bool parse(const std::string& in, WebRequest& out) {
    const std::size_t end = in.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const std::size_t line = in.find("\r\n");
    const std::size_t space = in.find(' ');
    out.method = in.substr(0, space);
    out.path = in.substr(space + 1, in.find(' ', space + 1) - space - 1);
    for (std::size_t at = line + 2; at < end + 2;) {
      const std::size_t next = in.find("\r\n", at);
      const std::size_t colon = in.find(':', at);
      if (colon < next) {
        std::size_t from = colon + 1;
        while (in[from] == ' ') ++from;
        out.headers[lower(in.substr(at, colon - at))] = in.substr(from, next - from);
      }
      at = next + 2;
    }
    const std::string& length = out.header("content-length");
    if (lower(out.header("transfer-encoding")) == "chunked") {
      out.body = in.substr(end + 4);
      return out.body.ends_with("0\r\n\r\n");
    }
    out.body = in.substr(end + 4);
    return length.empty() || out.body.size() >= std::stoul(length);
  }

  void serve() {
    while (!stop_) {
      std::vector<pollfd> fds = {{listener_, POLLIN, 0}};
      for (const Connection& one : connections_)
        fds.push_back({one.fd, static_cast<short>(one.answered ? 0 : POLLIN), 0});
      poll(fds.data(), fds.size(), 2);
      for (int fd; (fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;)
        connections_.push_back({fd, {}, {}, 0, 0, {}, false});
      most_ = std::max(most_.load(), connections_.size());
      for (auto one = connections_.begin(); one != connections_.end();) {
        if (step(*one)) {
          ++one;
          continue;
        }
        close(one->fd);
        one = connections_.erase(one);
      }
    }
  }

  // False: the connection is over.
  bool step(Connection& one) {
    if (!one.answered) {
      char buffer[65536];
      const ssize_t got = recv(one.fd, buffer, sizeof buffer, 0);
      if (got == 0) return false;
      if (got > 0) one.in.append(buffer, static_cast<std::size_t>(got));
      WebRequest request;
      if (!parse(one.in, request)) return got > 0 || errno == EAGAIN;
      one.reply = handler_(request);
      {
        std::lock_guard lock(mutex_);
        requests_.push_back(std::move(request));
      }
      one.answered = true;
      one.due = Clock::now() + (one.reply.pieces.empty() ? std::chrono::milliseconds(0) : one.reply.pieces[0].pause);
    }
    while (one.next < one.reply.pieces.size() && Clock::now() >= one.due) {
      const std::string& bytes = one.reply.pieces[one.next].bytes;
      while (one.sent < bytes.size()) {
        const ssize_t sent = send(one.fd, bytes.data() + one.sent, bytes.size() - one.sent, MSG_NOSIGNAL);
        if (sent < 0) return errno == EAGAIN;
        one.sent += static_cast<std::size_t>(sent);
      }
      one.sent = 0;
      if (++one.next < one.reply.pieces.size()) one.due = Clock::now() + one.reply.pieces[one.next].pause;
    }
    return one.next < one.reply.pieces.size() || one.reply.hang;
  }

  Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stop_ = false;
  std::atomic<std::size_t> most_ = 0;
  std::list<Connection> connections_;
  mutable std::mutex mutex_;
  std::vector<WebRequest> requests_;
  std::thread thread_;
};

}  // namespace millrace::test
