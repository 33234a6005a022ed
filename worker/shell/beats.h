// Beats: the thread that tells coordinators every kBeatEvery that this worker lives, on connections of its own, so that
// no beat ever queues behind bulk data.
//
// Promises: a coordinator's SayHello on such a connection is noted and `wake_fd` (an eventfd) written; so is a refusal:
// refused here, we shall be refused there, where it counts. Threads: start() and the others from the owner's thread;
// the sockets belong to the thread it runs, and the two share a mutex (which addresses, which Hellos). Ends with it.
// Fails: an address that is not well formed is left aside.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "common/io/zmq_socket.h"

namespace millrace {

class Beats {
 public:
  Beats(ZmqContext& context, std::optional<CurveClient> curve, std::uint64_t incarnation, int wake_fd);
  ~Beats();
  Beats(const Beats&) = delete;
  Beats& operator=(const Beats&) = delete;

  void start();
  void open(std::uint32_t link, const std::string& endpoint);  // the coordinator of that link is told from now on
  void close(std::uint32_t link);
  void reopen(std::uint32_t link);  // a fresh connection
  void tell_load(std::uint32_t running, std::uint32_t queued) {
    running_.store(running, std::memory_order_relaxed);
    queued_.store(queued, std::memory_order_relaxed);
  }
  bool take_hello(std::uint32_t link);

 private:
  struct Wanted {
    std::string endpoint;
    std::uint64_t serial = 0;  // another one: another connection
    bool operator==(const Wanted&) const = default;
  };
  struct Line {
    Wanted to;
    DealerSocket socket;
    Poller::Slot slot;
  };
  void beat_until_stopped();
  void change_lines();
  void beat();
  void listen();

  ZmqContext& context_;
  std::optional<CurveClient> curve_;
  std::uint64_t incarnation_;
  int wake_fd_;
  int control_fd_;  // stop, or look at `wanted_`
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> hello_noted_ = false;
  std::mutex mutex_;  // of the next two
  std::map<std::uint32_t, Wanted> wanted_;
  std::uint64_t serials_ = 0;
  std::set<std::uint32_t> hello_wanted_;
  std::map<std::uint32_t, Line> lines_;  // of the thread
  Poller poller_;                        // likewise
  std::atomic<std::uint32_t> running_ = 0;
  std::atomic<std::uint32_t> queued_ = 0;
  std::thread thread_;
};

}  // namespace millrace
