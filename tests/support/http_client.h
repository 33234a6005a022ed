// HttpClient: the least that a test needs to speak HTTP/1.1, byte by byte where it wants to. Header-only.
//
// Threads: one. Fails: what did not come is an answer with status 0.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

namespace millrace::test {

struct HttpResult {
  int status = 0;
  std::string head;
  std::string body;
};

class HttpClient {
 public:
  explicit HttpClient(const std::string& address) {  // 127.0.0.1:PORT
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval patience{10, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    const std::size_t colon = address.rfind(':');
    to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(address.c_str() + colon + 1)));
    inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
    connected_ = connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  }
  ~HttpClient() { close(fd_); }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  bool connected() const { return connected_; }
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  HttpResult receive(bool with_body = true) {
    HttpResult out;
    std::size_t end = 0;
    while ((end = got_.find("\r\n\r\n")) == std::string::npos) {
      if (!more()) return out;
    }
    out.head = got_.substr(0, end + 2);
    got_.erase(0, end + 4);
    const std::size_t space = out.head.find(' ');
    out.status = std::atoi(out.head.c_str() + space);
    const std::size_t length = out.head.find("Content-Length: ");
    const std::size_t bytes =
        with_body && length != std::string::npos ? std::strtoul(out.head.c_str() + length + 16, nullptr, 10) : 0;
    while (got_.size() < bytes) {
      if (!more()) return out;
    }
    out.body = got_.substr(0, bytes);
    got_.erase(0, bytes);
    return out;
  }
  HttpResult get(const std::string& path, const std::string& more_headers = "", const char* method = "GET") {
    send(std::string(method) + " " + path + " HTTP/1.1\r\nHost: test\r\n" + more_headers + "\r\n");
    return receive(std::string_view(method) != "HEAD");
  }
  HttpResult post(const std::string& path, const std::string& body, const std::string& more_headers = "") {
    send("POST " + path + " HTTP/1.1\r\nHost: test\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         more_headers + "\r\n" + body);
    return receive();
  }
  bool closed_by_peer() {  // waits for it
    while (more()) {}
    return at_end_;
  }

 private:
  bool more() {
    char bytes[16 * 1024];
    const ssize_t count = recv(fd_, bytes, sizeof bytes, 0);
    at_end_ = count == 0 || (count < 0 && errno == ECONNRESET);
    if (count <= 0) return false;
    got_.append(bytes, static_cast<std::size_t>(count));
    return true;
  }

  int fd_ = -1;
  bool connected_ = false;
  bool at_end_ = false;
  std::string got_;
};

inline HttpResult http_get(const std::string& address, const std::string& path, const std::string& token = "") {
  return HttpClient(address).get(path, token.empty() ? "" : "Authorization: Bearer " + token + "\r\n");
}

}  // namespace millrace::test
