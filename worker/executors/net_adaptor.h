// ReactorLoop: the Reactor as Egress sees it. Threads: the Reactor's, which outlives it.
#pragma once

#include <functional>
#include <set>
#include <utility>

#include "common/net/net_loop.h"
#include "worker/executors/reactor.h"

namespace millrace {

class ReactorLoop final : public NetLoop {
 public:
  explicit ReactorLoop(Reactor& reactor) : reactor_(reactor) {}

  // The callback of a descriptor that is watched already stays: Egress always gives the same one.
  void watch(int fd, bool read, bool write, std::function<void(bool, bool)> on_ready) override {
    const std::uint32_t interest = (read ? Reactor::kRead : 0U) | (write ? Reactor::kWrite : 0U);
    if (!watched_.insert(fd).second) return reactor_.change(fd, interest);
    reactor_.watch(fd, interest, [on_ready = std::move(on_ready)](std::uint32_t ready) {
      on_ready((ready & Reactor::kRead) != 0, (ready & Reactor::kWrite) != 0);
    });
  }
  void forget(int fd) override {
    if (watched_.erase(fd) > 0) reactor_.forget(fd);
  }
  std::uint64_t after(Duration delay, std::function<void()> on_time) override {
    return reactor_.after(delay, std::move(on_time)).value;
  }
  void cancel(std::uint64_t timer) override { reactor_.cancel(TimerId{timer}); }

 private:
  Reactor& reactor_;
  std::set<int> watched_;
};

}  // namespace millrace
