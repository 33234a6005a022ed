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

Beats::Beats(ZmqContext& context, std::optional<CurveClient> curve, std::uint64_t incarnation, int wake_fd)
    : context_(context),
      curve_(std::move(curve)),
      incarnation_(incarnation),
      wake_fd_(wake_fd),
      control_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Beats::~Beats() {
  stopping_ = true;
  ring(control_fd_);
  if (thread_.joinable()) thread_.join();
  close(control_fd_);
}

void Beats::start() {
  // Signals are for the main thread: what it does on them must not run here.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { beat_until_stopped(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Beats::open(std::uint32_t link, const std::string& endpoint) {
  const std::lock_guard lock(mutex_);
  wanted_[link] = {endpoint, ++serials_};
  ring(control_fd_);
}

void Beats::reopen(std::uint32_t link) {
  const std::lock_guard lock(mutex_);
  if (auto it = wanted_.find(link); it != wanted_.end()) it->second.serial = ++serials_;
  ring(control_fd_);
}

void Beats::close(std::uint32_t link) {
  const std::lock_guard lock(mutex_);
  wanted_.erase(link);
  ring(control_fd_);
}

bool Beats::take_hello(std::uint32_t link) {
  if (!hello_noted_.load(std::memory_order_relaxed)) return false;
  const std::lock_guard lock(mutex_);
  const bool wanted = hello_wanted_.erase(link) > 0;
  hello_noted_ = !hello_wanted_.empty();
  return wanted;
}

void Beats::beat_until_stopped() {
  using Clock = std::chrono::steady_clock;
  const Poller::Slot control = poller_.add_fd(control_fd_, true);
  for (auto next = Clock::now() + kBeatEvery;;) {
    const auto left = std::chrono::duration_cast<Duration>(next - Clock::now());
    poller_.wait(std::max(left, Duration::zero()));
    if (stopping_) return;
    if (poller_.readable(control)) {
      std::uint64_t count = 0;
      [[maybe_unused]] const auto taken = read(control_fd_, &count, sizeof count);
      change_lines();
    }
    listen();
    if (Clock::now() < next) continue;
    next = Clock::now() + kBeatEvery;
    beat();
  }
}

void Beats::change_lines() {
  std::map<std::uint32_t, Wanted> wanted;
  {
    const std::lock_guard lock(mutex_);
    wanted = wanted_;
  }
  for (auto it = lines_.begin(); it != lines_.end();) {
    auto still = wanted.find(it->first);
    if (still != wanted.end() && still->second == it->second.to) {
      wanted.erase(still);
      ++it;
      continue;
    }
    poller_.remove(it->second.slot);
    it = lines_.erase(it);
  }
  SocketOptions options;
  options.send_hwm = kBeatsQueued;
  options.curve_client = curve_;
  for (const auto& [link, to] : wanted) {
    DealerSocket socket(context_, options);
    if (!socket.connect(to.endpoint).ok()) continue;
    auto [line, fresh] = lines_.emplace(link, Line{to, std::move(socket), 0});
    line->second.slot = poller_.add(line->second.socket);
  }
}

void Beats::beat() {
  const WorkerBeat beat{incarnation_, running_.load(std::memory_order_relaxed),
                        queued_.load(std::memory_order_relaxed)};
  for (auto& [link, line] : lines_) line.socket.send(envelope(FrameKind::kWorker), encode(WorkerMessage(beat)));
}

void Beats::listen() {
  Frames frames;
  SpecCache none;
  for (auto& [link, line] : lines_) {
    while (line.socket.receive(frames)) {
      const Result<std::string_view> body = open_frame(frames.views(), FrameKind::kCoordinator);
      if (!body.ok()) continue;
      const Result<CoordinatorMessage> message = decode_coordinator_message(*body, none);
      const bool hello = message.ok() && (std::holds_alternative<SayHello>(*message) ||
                                          std::holds_alternative<WorkerRefused>(*message));
      if (!hello) continue;
      const std::lock_guard lock(mutex_);
      hello_wanted_.insert(link);
      hello_noted_ = true;
      ring(wake_fd_);
    }
  }
}

}  // namespace millrace
