#include "worker/executors/process.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "worker/executors/leftovers.h"

namespace millrace {

Result<std::unique_ptr<Process>> Process::start(Reactor& reactor, Listener& listener, SpawnSpec spec,
                                                std::string_view input) {
  Result<Fd> in = make_input(input);
  if (!in) return in.error();
  Result<Channel> out = make_output_pipe();
  if (!out) return out.error();
  Result<Channel> err = make_output_pipe();
  if (!err) return err.error();
  spec.adopt_orphans = true;
  spec.fds.insert(spec.fds.begin(), {in->get(), out->theirs.get(), err->theirs.get()});
  Result<pid_t> pid = spawn(spec);
  if (!pid) return pid.error();
  Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, *pid, 0)));
  if (!pidfd) {
    std::string why = std::strerror(errno);
    signal_group(*pid, SIGKILL);
    int status = 0;
    reap(*pid, status);
    return Error{Code::kUnavailable, "pidfd_open (Linux 5.3 or newer is needed): " + why, {}, ""};
  }
  return std::unique_ptr<Process>(
      new Process(reactor, listener, *pid, std::move(pidfd), std::move(out->ours), std::move(err->ours)));
}

Process::Process(Reactor& reactor, Listener& listener, pid_t pid, Fd pidfd, Fd out, Fd err)
    : reactor_(reactor),
      listener_(listener),
      pid_(pid),
      pidfd_(std::move(pidfd)),
      out_(reactor, std::move(out), [this](std::string_view b) { listener_.on_output(LogStream::kStdout, b); }),
      err_(reactor, std::move(err), [this](std::string_view b) { listener_.on_output(LogStream::kStderr, b); }) {
  reactor_.watch(pidfd_.get(), Reactor::kRead, [this](std::uint32_t) { ended(); });
}

Process::~Process() {
  if (kill_timer_) reactor_.cancel(*kill_timer_);
  if (pidfd_) reactor_.forget(pidfd_.get());
  if (reaped_) return;
  signal_group(pid_, SIGKILL);
  int status = 0;
  reap(pid_, status);
}

void Process::drain() {
  out_.drain();
  err_.drain();
}

void Process::begin_task() {
  out_.begin_task();
  err_.begin_task();
}

void Process::kill_now() {
  if (!reaped_) signal_group(pid_, SIGKILL);
}

void Process::terminate() {
  if (reaped_ || kill_timer_) return;
  signal_group(pid_, SIGTERM);
  kill_timer_ = reactor_.after(kKillGrace, [this] { signal_group(pid_, SIGKILL); });
}

bool Process::truncated(LogStream stream) const {
  return stream == LogStream::kStdout ? out_.truncated() : err_.truncated();
}

// The group is killed before its leader is reaped: until then nobody else can have its number.
void Process::ended() {
  signal_group(pid_, SIGKILL);
  int status = 0;
  reap(pid_, status);
  reaped_ = true;
  sweep_leftovers(reactor_);
  reactor_.forget(pidfd_.get());
  pidfd_.reset();
  if (kill_timer_) reactor_.cancel(*kill_timer_);
  kill_timer_.reset();
  drain();
  listener_.on_exit(status);  // may destroy this
}

}  // namespace millrace
