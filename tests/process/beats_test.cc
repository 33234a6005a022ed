// Heartbeats do not queue behind bulk data (FAULTS rows 30 to 34): results of megabytes crawl over a slow line, and the
// worker that sends them is not taken for dead.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <list>
#include <thread>

#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

// A line to a coordinator on which each connection sends at most so many bytes a second; what comes back is not slowed.
class SlowLine {
 public:
  SlowLine(std::uint16_t to, std::size_t bytes_per_second) : to_(to), rate_(bytes_per_second) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in here = loopback(0);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&here), sizeof here), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    socklen_t size = sizeof here;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&here), &size);
    port_ = ntohs(here.sin_port);
    thread_ = std::thread([this] { carry(); });
  }
  ~SlowLine() {
    stopping_ = true;
    thread_.join();
    for (Pair& pair : pairs_) close(pair.worker), close(pair.coordinator);
    close(listener_);
  }
  std::string address() const { return "tcp://127.0.0.1:" + std::to_string(port_); }
  std::size_t carried_most() const { return carried_most_; }  // by one connection

 private:
  struct Pair {
    int worker = -1;
    int coordinator = -1;
    std::size_t carried = 0;
    double allowance = 0;  // bytes
    bool open = true;
  };
  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
  }
  void accept_one() {
    Pair pair;
    pair.worker = accept(listener_, nullptr, nullptr);
    const int little = 16 * 1024;  // what waits shall wait at the sender
    setsockopt(pair.worker, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    pair.coordinator = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in there = loopback(to_);
    pair.open = connect(pair.coordinator, reinterpret_cast<sockaddr*>(&there), sizeof there) == 0;
    pairs_.push_back(pair);
  }
  // One piece; false where the connection has ended.
  static bool move(int from, int to, std::size_t most, std::size_t* moved) {
    std::array<char, 8192> piece{};
    const ssize_t got = recv(from, piece.data(), std::min(most, piece.size()), MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    if (moved != nullptr) *moved = static_cast<std::size_t>(got);
    return send(to, piece.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) == got;
  }
  void carry() {
    while (!stopping_) {
      std::this_thread::sleep_for(5ms);
      pollfd knock{listener_, POLLIN, 0};
      while (poll(&knock, 1, 0) > 0) accept_one();
      for (Pair& pair : pairs_) {
        if (!pair.open) continue;
        pair.allowance = std::min(pair.allowance + static_cast<double>(rate_) / 200, 8192.0);
        std::size_t moved = 0;
        if (pair.allowance >= 1) {
          pair.open = move(pair.worker, pair.coordinator, static_cast<std::size_t>(pair.allowance), &moved);
          pair.allowance -= static_cast<double>(moved);
          pair.carried += moved;
          carried_most_ = std::max<std::size_t>(carried_most_, pair.carried);
        }
        for (int i = 0; i < 16 && pair.open; ++i) pair.open = move(pair.coordinator, pair.worker, 8192, nullptr);
        if (!pair.open) shutdown(pair.worker, SHUT_RDWR), shutdown(pair.coordinator, SHUT_RDWR);
      }
    }
  }

  std::uint16_t to_;
  std::size_t rate_;
  std::uint16_t port_ = 0;
  int listener_ = -1;
  std::list<Pair> pairs_;
  std::atomic<std::size_t> carried_most_ = 0;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

TEST(Beats, AreNotStarvedByResultsThatCrawlOverASlowLine) {
  const std::uint16_t port = free_port();
  SlowLine line(port, 250'000);
  ClusterOptions options;
  options.workers = {};
  // Both addresses are the same coordinator; it tells workers the slow one.
  options.coordinator_options = {"--listen", "tcp://127.0.0.1:" + std::to_string(port), "--advertise", line.address()};
  Cluster cluster(options);
  Program worker =
      Program::start({bin("millrace-worker"), "--coordinator", line.address(), "--id", "far", "--slots", "8"},
                     cluster.scratch().file("far"));
  ASSERT_TRUE(cluster.wait_for_workers(1));
  std::string text = "name: bulk\nnodes:\n";
  for (int i = 0; i < 40; ++i) {
    text += "  n" + std::to_string(i) +
            ":\n    executor: shell\n    retry: {max_losses: 50}\n    script: head -c 60000 /dev/zero | tr '\\0' x\n";
  }
  const std::string run = cluster.submit(cluster.workflow("bulk", text));
  ASSERT_TRUE(eventually(10s, [&] { return line.carried_most() > 200'000; }));
  for (int second = 0; second < 10; ++second) {  // twice as long as silence is tolerated
    std::this_thread::sleep_for(1s);
    const Value workers = cluster.json({"workers"});
    EXPECT_EQ(text_at(workers.find("workers")->as_array().at(0), {"status"}), "ready") << "after " << second << " s";
  }
  EXPECT_GT(line.carried_most(), 800'000U) << "the line was not busy: nothing was shown";
  EXPECT_EQ(cluster.coordinator().err().find("is lost: silent"), std::string::npos) << "it was taken for dead";
  (void)cluster.cli({"cancel", run});
}

}  // namespace
}  // namespace millrace::test
