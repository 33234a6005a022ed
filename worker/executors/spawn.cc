#include "worker/executors/spawn.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "worker/executors/sandbox.h"

namespace millrace {
namespace {

constexpr std::size_t kFdsMax = 8;

enum class Stage : std::uint8_t { kSetUp, kCwd, kConfine, kExec };

// Everything the child needs, ready before the fork: it shares our memory and may only make system calls.
struct Plan {
  const char* file;
  char* const* argv;
  char* const* envp;
  const char* cwd;  // null: stay
  std::array<int, kFdsMax> fds;
  int fd_count;
  bool die_with_parent, adopt_orphans;
  const Confinement* confinement;
  pid_t parent;
  volatile Stage stage = Stage::kSetUp;
  volatile int error = 0;
};

// Handlers must go before signals are let in again: a handler of ours would run in our memory.
void default_signals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

bool move_descriptors(const Plan& plan) {
  std::array<int, kFdsMax> safe{};  // out of the way of the numbers they are about to take
  for (int i = 0; i < plan.fd_count; ++i) {
    auto at = static_cast<std::size_t>(i);
    safe[at] = fcntl(plan.fds[at], F_DUPFD_CLOEXEC, static_cast<int>(kFdsMax));
    if (safe[at] < 0) return false;
  }
  for (int i = 0; i < plan.fd_count; ++i) {
    if (dup2(safe[static_cast<std::size_t>(i)], i) < 0) return false;
  }
  // Best effort on kernels before 5.9: our own descriptors are close-on-exec anyway.
  syscall(SYS_close_range, static_cast<unsigned>(plan.fd_count), ~0U, 0U);
  return true;
}

[[noreturn]] __attribute__((noinline, no_sanitize("address", "undefined"))) void child(Plan& plan) {
  bool ok = setsid() >= 0;
  if (plan.adopt_orphans) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  if (plan.die_with_parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != plan.parent) _exit(127);
  }
  if (ok && plan.confinement != nullptr) {  // before its descriptor goes
    plan.stage = Stage::kConfine;
    ok = confine(*plan.confinement);
  }
  if (ok) {
    plan.stage = Stage::kSetUp;
    ok = move_descriptors(plan);
  }
  if (ok && plan.cwd != nullptr) {
    plan.stage = Stage::kCwd;
    ok = chdir(plan.cwd) == 0;
  }
  if (ok && plan.confinement != nullptr) {
    plan.stage = Stage::kConfine;
    ok = limit_use(plan.confinement->limits);
  }
  if (ok) {
    plan.stage = Stage::kExec;
    default_signals();
    execve(plan.file, plan.argv, plan.envp);
  }
  plan.error = errno;
  _exit(127);
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const std::string& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

pid_t run_child(Plan& plan) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t pid = vfork();
  if (pid == 0) child(plan);
  int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) plan.error = error;
  return pid;
}

Error failure(const Plan& plan, const SpawnSpec& spec) {
  std::string why = std::strerror(plan.error);
  if (plan.stage == Stage::kSetUp) return Error{Code::kUnavailable, "cannot start a process: " + why, {}, ""};
  if (plan.stage == Stage::kCwd) return Error{Code::kInvalid, "cwd " + spec.cwd + ": " + why, {}, ""};
  if (plan.stage == Stage::kConfine) return Error{Code::kUnavailable, "cannot confine a process: " + why, {}, ""};
  if (plan.error == E2BIG) why += "; pass large values through stdin";
  if (plan.error == ENOENT) why += " (or the interpreter in its first line is missing)";
  return Error{Code::kInvalid, "cannot run " + std::string(plan.file) + ": " + why, {}, ""};
}

Error system_error(const char* what) {
  return Error{Code::kUnavailable, std::string(what) + ": " + std::strerror(errno), {}, ""};
}

void set_nonblocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

}  // namespace

void Fd::reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Result<Channel> make_output_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return system_error("pipe");
  set_nonblocking(ends[0]);
  return Channel{Fd(ends[0]), Fd(ends[1])};
}

Result<Channel> make_socket_pair(int type) {
  int ends[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) return system_error("socketpair");
  set_nonblocking(ends[0]);
  return Channel{Fd(ends[0]), Fd(ends[1])};
}

// A file in memory rather than a pipe: nothing has to be fed while the program runs, and no reader can block us.
Result<Fd> make_input(std::string_view bytes) {
  if (bytes.empty()) {
    Fd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!null) return system_error("/dev/null");
    return null;
  }
  Fd file(memfd_create("stdin", MFD_CLOEXEC));
  if (!file) return system_error("memfd_create");
  for (std::size_t done = 0; done < bytes.size();) {
    ssize_t n = write(file.get(), bytes.data() + done, bytes.size() - done);
    if (n < 0) return system_error("stdin");
    done += static_cast<std::size_t>(n);
  }
  lseek(file.get(), 0, SEEK_SET);
  return file;
}

std::string find_program(std::string_view program, std::string_view path) {
  if (program.find('/') != std::string_view::npos) return std::string(program);
  while (!path.empty()) {
    std::string_view dir = path.substr(0, path.find(':'));
    path.remove_prefix(std::min(path.size(), dir.size() + 1));
    std::string file = std::string(dir.empty() ? "." : dir) + "/" + std::string(program);
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return {};
}

Result<pid_t> spawn(const SpawnSpec& spec) {
  assert(!spec.argv.empty() && spec.fds.size() <= kFdsMax);
  std::string file = find_program(spec.argv[0], spec.path);
  if (file.empty()) {
    return Error{
        Code::kInvalid, "cannot run " + spec.argv[0] + ": no such program in PATH (" + spec.path + ")", {}, ""};
  }
  std::vector<char*> argv = pointers(spec.argv);
  std::vector<char*> envp = pointers(spec.env);
  Plan plan{};
  plan.file = file.c_str();
  plan.argv = argv.data();
  plan.envp = envp.data();
  plan.cwd = spec.cwd.empty() ? nullptr : spec.cwd.c_str();
  std::copy(spec.fds.begin(), spec.fds.end(), plan.fds.begin());
  plan.fd_count = static_cast<int>(spec.fds.size());
  plan.die_with_parent = spec.die_with_parent;
  plan.adopt_orphans = spec.adopt_orphans;
  plan.confinement = spec.confinement;
  plan.parent = getpid();
  pid_t pid = run_child(plan);
  if (plan.error == 0) return pid;
  if (pid > 0) waitpid(pid, nullptr, 0);
  return failure(plan, spec);
}

void signal_group(pid_t leader, int signal_number) {
  bool sent = ::kill(-leader, signal_number) == 0;
  // The leader may have moved to another group. A second SIGTERM means "at once" to some programs: only where needed.
  if (!sent || signal_number == SIGKILL) ::kill(leader, signal_number);
}

std::string describe_signal(int signal_number) {
  const char* name = sigabbrev_np(signal_number);
  std::string text = "killed by signal " + std::to_string(signal_number);
  return name == nullptr ? text : text + " (SIG" + name + ")";
}

}  // namespace millrace
