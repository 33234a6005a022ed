#include "cli/interrupts.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cli/exit_code.h"

namespace millrace {
namespace {

constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP};

std::atomic<int> signals_seen{0};
std::atomic<int> signal_pipe{-1};  // its writing end

extern "C" void millrace_on_signal(int) {
  int saved = errno;
  signals_seen.fetch_add(1);
  [[maybe_unused]] ssize_t n = ::write(signal_pipe.load(), "s", 1);
  errno = saved;
}

void set_handlers(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (int signal : kSignals) ::sigaction(signal, &action, nullptr);
}

// The parent in "/proc/PID/stat": the second field after the name, which ends at the last ')'.
pid_t parent_of(const std::filesystem::path& process) {
  std::ifstream file(process / "stat");
  std::string text;
  std::getline(file, text);
  std::size_t end = text.rfind(')');
  if (end == std::string::npos || end + 4 >= text.size()) return 0;
  pid_t parent = 0;
  std::from_chars(text.data() + end + 4, text.data() + text.size(), parent);
  return parent;
}

}  // namespace

Interrupts::Interrupts(std::function<void()> forced) : forced_(std::move(forced)) {
  int made = ::pipe2(wake_, O_CLOEXEC);
  assert(made == 0);
  int to_thread[2];
  made = ::pipe2(to_thread, O_CLOEXEC);
  assert(made == 0);
  signals_seen = 0;
  signal_pipe = to_thread[1];
  thread_ = std::thread([this, fd = to_thread[0]] {
    char byte = 0;
    for (int count = 0;;) {
      ssize_t n = ::read(fd, &byte, 1);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0 || byte == 'q') break;
      ++count;
      [[maybe_unused]] ssize_t written = ::write(wake_[1], "s", 1);
      if (count < 2) continue;
      forced_();
      kill_descendants();
      ::_exit(kExitInterrupted);
    }
    ::close(fd);
  });
  set_handlers(millrace_on_signal);
}

Interrupts::~Interrupts() {
  set_handlers(SIG_DFL);
  int fd = signal_pipe.exchange(-1);
  [[maybe_unused]] ssize_t n = ::write(fd, "q", 1);
  thread_.join();
  ::close(fd);
  for (int end : wake_) ::close(end);
}

bool Interrupts::requested() const { return signals_seen.load() > 0; }

void kill_descendants() {
  std::map<pid_t, std::vector<pid_t>> children;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    std::string name = entry.path().filename().string();
    pid_t pid = 0;
    auto [end, bad] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (bad == std::errc{} && end == name.data() + name.size()) children[parent_of(entry.path())].push_back(pid);
  }
  std::vector<pid_t> stack = {::getpid()};
  while (!stack.empty()) {
    pid_t parent = stack.back();
    stack.pop_back();
    for (pid_t child : children[parent]) {
      stack.push_back(child);
      ::kill(child, SIGKILL);
    }
  }
}

}  // namespace millrace
