#include "worker/executors/leftovers.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <csignal>
#include <set>
#include <string>
#include <vector>

#include "worker/executors/reactor.h"
#include "worker/executors/spawn.h"

namespace millrace {
namespace {

constexpr Duration kAgain = 2ms;
constexpr int kTriesMax = 2000;
constexpr int kPauses = 200;
constexpr unsigned kPauseMicroseconds = 100;

// Orphans come to the first thread of a process. What it started itself stands among them.
std::vector<pid_t> children() {
  std::vector<pid_t> out;
  const std::string self = std::to_string(getpid());
  const Fd file(open(("/proc/self/task/" + self + "/children").c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> piece{};
  for (ssize_t got = 0; file && (got = read(file.get(), piece.data(), piece.size())) > 0;)
    text.append(piece.data(), static_cast<std::size_t>(got));
  for (const char *at = text.data(), *end = at + text.size(); at < end;) {
    pid_t pid = 0;
    const auto [next, problem] = std::from_chars(at, end, pid);
    if (problem == std::errc()) out.push_back(pid);
    at = next + 1;
  }
  return out;
}

bool g_adopts = false;

std::set<pid_t>& known_before() {
  static std::set<pid_t> pids;
  return pids;
}

bool kill_those_there() {
  bool any = false;
  const pid_t session = getsid(0);
  for (const pid_t pid : children()) {
    if (is_spawned(pid) || known_before().contains(pid)) continue;
    const pid_t its = getsid(pid);
    if (its == session || its < 0) continue;
    any = true;
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, WNOHANG);
  }
  return any;
}

void sweep(Reactor& reactor, int tries) {
  // A moment is waited for: what a task leaves shall be gone when its end is told.
  bool any = kill_those_there();
  for (int pause = 0; any && pause < kPauses; ++pause) {
    usleep(kPauseMicroseconds);
    any = kill_those_there();
  }
  if (any && tries > 0) reactor.after(kAgain, [&reactor, tries] { sweep(reactor, tries - 1); });
}

}  // namespace

void adopt_leftovers() {
  if (g_adopts) return;
  g_adopts = true;
  for (const pid_t pid : children()) known_before().insert(pid);
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

void sweep_leftovers(Reactor& reactor) {
  if (g_adopts) sweep(reactor, kTriesMax);
}

void end_leftovers() {
  for (int tries = 0; g_adopts && tries < kTriesMax && kill_those_there(); ++tries) usleep(1000);
}

}  // namespace millrace
