#include "worker/shell/beats.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>

#include "common/wire/codec.h"
#include "common/wire/frame.h"

namespace millrace {
namespace {

constexpr int kBeatsQueued = 4;  // older ones say nothing new

void ring(int fd) {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = write(fd, &one, sizeof one);  // full means it rings already
}

}  // namespace

Beats::Beats(ZmqContext& context, std::vector<std::string> endpoints, std::uint64_t incarnation, int wake_fd)
    : context_(context),
      endpoints_(std::move(endpoints)),
      incarnation_(incarnation),
      wake_fd_(wake_fd),
      stop_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      hello_wanted_(new std::atomic<bool>[endpoints_.size()] {}) {}

Beats::~Beats() {
  ring(stop_fd_);
  if (thread_.joinable()) thread_.join();
  close(stop_fd_);
}

Status Beats::start() {
  SocketOptions options;
  options.send_hwm = kBeatsQueued;
  for (const std::string& endpoint : endpoints_) {
    sockets_.emplace_back(context_, options);
    if (Status connected = sockets_.back().connect(endpoint); !connected.ok()) return connected;
  }
  // Signals are for the main thread: what it does on them must not run here.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { beat_until_stopped(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return Done{};
}

void Beats::beat_until_stopped() {
  using Clock = std::chrono::steady_clock;
  Poller poller;
  const Poller::Slot stop = poller.add_fd(stop_fd_, true);
  for (const DealerSocket& socket : sockets_) poller.add(socket);
  for (auto next = Clock::now() + kBeatEvery;;) {
    const auto left = std::chrono::duration_cast<Duration>(next - Clock::now());
    poller.wait(std::max(left, Duration::zero()));
    if (poller.readable(stop)) return;
    listen();
    if (Clock::now() < next) continue;
    next = Clock::now() + kBeatEvery;
    beat();
  }
}

void Beats::beat() {
  const WorkerBeat beat{incarnation_, running_.load(std::memory_order_relaxed)};
  for (DealerSocket& socket : sockets_) socket.send(envelope(FrameKind::kWorker), encode(WorkerMessage(beat)));
}

void Beats::listen() {
  Frames frames;
  SpecCache none;
  for (std::size_t i = 0; i < sockets_.size(); ++i) {
    while (sockets_[i].receive(frames)) {
      const Result<std::string_view> body = open_frame(frames.views(), FrameKind::kCoordinator);
      if (!body.ok()) continue;
      const Result<CoordinatorMessage> message = decode_coordinator_message(*body, none);
      if (!message.ok() || !std::holds_alternative<SayHello>(*message)) continue;
      hello_wanted_[i] = true;
      ring(wake_fd_);
    }
  }
}

}  // namespace millrace
