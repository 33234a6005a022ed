#include "common/io/zmtp_probe.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

// A greeting is signature (10 bytes), version (2), mechanism (20), and more. Who has seen our signature and version
// sends all of its own; our mechanism stays unsaid, so there is nothing that it could refuse.
constexpr std::string_view kOurs("\xff\0\0\0\0\0\0\0\1\x7f\3\0", 12);
constexpr std::size_t kMechanismAt = 12;
constexpr std::size_t kMechanismBytes = 20;

class Line {
 public:
  Line(int fd, Clock::time_point deadline) : fd_(fd), deadline_(deadline) {}
  ~Line() {
    if (fd_ >= 0) close(fd_);
  }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  bool connect(const sockaddr* address, socklen_t size) {
    if (fd_ < 0) return false;
    if (::connect(fd_, address, size) == 0) return true;
    if (errno != EINPROGRESS || !wait(POLLOUT)) return false;
    int error = 0;
    socklen_t length = sizeof error;
    return getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
  }
  std::string mechanism() {
    if (send(fd_, kOurs.data(), kOurs.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(kOurs.size())) return {};
    std::array<char, kMechanismAt + kMechanismBytes> greeting{};
    for (std::size_t have = 0; have < greeting.size();) {
      if (!wait(POLLIN)) return {};
      const ssize_t got = recv(fd_, greeting.data() + have, greeting.size() - have, 0);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (got <= 0) return {};
      have += static_cast<std::size_t>(got);
    }
    if (greeting[0] != '\xff' || greeting[9] != '\x7f' || greeting[10] < 3) return {};
    const char* text = greeting.data() + kMechanismAt;
    return {text, strnlen(text, kMechanismBytes)};
  }

 private:
  bool wait(short events) const {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
    pollfd one{fd_, events, 0};
    return poll(&one, 1, static_cast<int>(std::max<std::int64_t>(left, 0))) > 0;
  }
  int fd_;
  Clock::time_point deadline_;
};

std::string probe(int family, const sockaddr* address, socklen_t size, Clock::time_point deadline) {
  Line line(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), deadline);
  return line.connect(address, size) ? line.mechanism() : std::string();
}

std::string probe_tcp(std::string_view text, Clock::time_point deadline) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return {};
  std::string host(text.substr(0, colon));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), std::string(text.substr(colon + 1)).c_str(), &wanted, &found) != 0) return {};
  std::string mechanism;
  for (const addrinfo* one = found; one != nullptr && mechanism.empty(); one = one->ai_next) {
    mechanism = probe(one->ai_family, one->ai_addr, one->ai_addrlen, deadline);
  }
  freeaddrinfo(found);
  return mechanism;
}

std::string probe_ipc(std::string_view path, Clock::time_point deadline) {
  sockaddr_un address{};
  if (path.size() >= sizeof address.sun_path) return {};
  address.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), address.sun_path);
  return probe(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address, deadline);
}

}  // namespace

std::string probe_mechanism(const std::string& endpoint, Duration timeout) {
  static constexpr std::string_view kTcp = "tcp://";
  static constexpr std::string_view kIpc = "ipc://";
  const std::string_view text = endpoint;
  const Clock::time_point deadline = Clock::now() + timeout;
  if (text.starts_with(kTcp)) return probe_tcp(text.substr(kTcp.size()), deadline);
  if (text.starts_with(kIpc)) return probe_ipc(text.substr(kIpc.size()), deadline);
  return {};
}

}  // namespace millrace
