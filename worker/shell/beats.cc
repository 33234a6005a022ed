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

Beats::Beats(ZmqContext& context, std::vector<std::string> endpoints, std::optional<CurveClient> curve,
             std::uint64_t incarnation, int wake_fd)
    : context_(context),
      endpoints_(std::move(endpoints)),
      incarnation_(incarnation),
      wake_fd_(wake_fd),
      stop_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      curve_(std::move(curve)),
      sockets_(endpoints_.size()),
      slots_(endpoints_.size()),
      hello_wanted_(new std::atomic<bool>[endpoints_.size()] {}),
      reopen_wanted_(new std::atomic<bool>[endpoints_.size()] {}) {}

Beats::~Beats() {
  ring(stop_fd_);
  if (thread_.joinable()) thread_.join();
  close(stop_fd_);
}

Status Beats::open(std::size_t coordinator) {
  SocketOptions options;
  options.send_hwm = kBeatsQueued;
  options.curve_client = curve_;
  std::unique_ptr<DealerSocket>& socket = sockets_[coordinator];
  if (socket != nullptr) poller_.remove(slots_[coordinator]);
  socket = std::make_unique<DealerSocket>(context_, options);
  slots_[coordinator] = poller_.add(*socket);
  return socket->connect(endpoints_[coordinator]);
}

Status Beats::start() {
  for (std::size_t i = 0; i < endpoints_.size(); ++i) {
    if (Status opened = open(i); !opened.ok()) return opened;
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
  const Poller::Slot stop = poller_.add_fd(stop_fd_, true);
  for (auto next = Clock::now() + kBeatEvery;;) {
    const auto left = std::chrono::duration_cast<Duration>(next - Clock::now());
    poller_.wait(std::max(left, Duration::zero()));
    if (poller_.readable(stop)) return;
    listen();
    if (Clock::now() < next) continue;
    next = Clock::now() + kBeatEvery;
    beat();
  }
}

void Beats::beat() {
  const WorkerBeat beat{incarnation_, running_.load(std::memory_order_relaxed)};
  for (std::size_t i = 0; i < sockets_.size(); ++i) {
    if (reopen_wanted_[i].exchange(false)) (void)open(i);  // the endpoint was well formed before
    sockets_[i]->send(envelope(FrameKind::kWorker), encode(WorkerMessage(beat)));
  }
}

void Beats::listen() {
  Frames frames;
  SpecCache none;
  for (std::size_t i = 0; i < sockets_.size(); ++i) {
    while (sockets_[i]->receive(frames)) {
      const Result<std::string_view> body = open_frame(frames.views(), FrameKind::kCoordinator);
      if (!body.ok()) continue;
      const Result<CoordinatorMessage> message = decode_coordinator_message(*body, none);
      // Refused here, we shall be refused there, where it counts.
      const bool hello = message.ok() && (std::holds_alternative<SayHello>(*message) ||
                                          std::holds_alternative<WorkerRefused>(*message));
      if (!hello) continue;
      hello_wanted_[i] = true;
      ring(wake_fd_);
    }
  }
}

}  // namespace millrace
