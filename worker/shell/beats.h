// Beats: the thread that tells coordinators every kBeatEvery that this worker lives, on connections of its own, so that
// no beat ever queues behind bulk data.
//
// Promises: a connection that stood no chance (its key was refused) is made anew with reopen(). A coordinator's
// SayHello on such a connection is noted and `wake_fd` (an eventfd) written. Threads: start() and the others from the
// owner's thread; the sockets belong to the thread it runs. Ends with it. Fails: start() for an endpoint that is not
// well formed.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/result.h"
#include "common/io/zmq_socket.h"

namespace millrace {

class Beats {
 public:
  Beats(ZmqContext& context, std::vector<std::string> endpoints, std::optional<CurveClient> curve,
        std::uint64_t incarnation, int wake_fd);
  ~Beats();
  Beats(const Beats&) = delete;
  Beats& operator=(const Beats&) = delete;

  Status start();
  void tell_running(std::uint32_t running) { running_.store(running, std::memory_order_relaxed); }
  void reopen(std::size_t coordinator) { reopen_wanted_[coordinator] = true; }  // before the next beat
  bool take_hello(std::size_t coordinator) { return hello_wanted_[coordinator].exchange(false); }

 private:
  void beat_until_stopped();
  Status open(std::size_t coordinator);
  void beat();
  void listen();

  ZmqContext& context_;
  std::vector<std::string> endpoints_;
  std::uint64_t incarnation_;
  int wake_fd_;
  int stop_fd_;
  std::optional<CurveClient> curve_;
  std::vector<std::unique_ptr<DealerSocket>> sockets_;
  Poller poller_;  // of the thread, once it runs
  std::vector<Poller::Slot> slots_;
  std::unique_ptr<std::atomic<bool>[]> hello_wanted_;
  std::unique_ptr<std::atomic<bool>[]> reopen_wanted_;
  std::atomic<std::uint32_t> running_ = 0;
  std::thread thread_;
};

}  // namespace millrace
