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
#include <mutex>
#include <set>

#include "worker/executors/sandbox.h"

namespace millrace {
namespace {

constexpr std::size_t kFdsMax = 8;
constexpr std::uint64_t kJailProcesses = 2;  // ours, beside those of the task

enum class Stage : std::uint8_t { kSetUp, kUser, kGroups, kNamespaces, kJail, kCwd, kConfine, kExec };

// Everything the child needs, ready before the fork: it shares our memory and may only make system calls. One that goes
// into namespaces is a copy of us instead, and tells by a pipe what fails.
struct Plan {
  const char* file;
  char* const* files;  // as the task's user may not be allowed the first of them
  char* const* argv;
  char* const* envp;
  const char* cwd;  // null: stay
  std::array<int, kFdsMax> fds;
  int fd_count;
  bool die_with_parent, adopt_orphans;
  const Confinement* confinement;
  pid_t parent;
  volatile Stage stage = Stage::kSetUp;
  volatile std::size_t step = 0;
  volatile int error = 0;
  int report = -1;
};

struct Failure {
  Stage stage;
  std::size_t step;
  int error;
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

bool move_descriptors(Plan& plan) {
  std::array<int, kFdsMax> safe{};  // out of the way of the numbers they are about to take
  for (int i = 0; i < plan.fd_count; ++i) {
    auto at = static_cast<std::size_t>(i);
    safe[at] = fcntl(plan.fds[at], F_DUPFD_CLOEXEC, static_cast<int>(kFdsMax) + 1);
    if (safe[at] < 0) return false;
  }
  int kept = plan.fd_count;
  if (plan.report >= 0) plan.report = fcntl(plan.report, F_DUPFD_CLOEXEC, static_cast<int>(kFdsMax) + 1);
  for (int i = 0; i < plan.fd_count; ++i) {
    if (dup2(safe[static_cast<std::size_t>(i)], i) < 0) return false;
  }
  if (plan.report >= 0) plan.report = dup3(plan.report, kept++, O_CLOEXEC);
  // Best effort on kernels before 5.9: our own descriptors are close-on-exec anyway.
  syscall(SYS_close_range, static_cast<unsigned>(kept), ~0U, 0U);
  return true;
}

[[noreturn]] void give_up(Plan& plan) {
  plan.error = errno;
  if (plan.report >= 0) {
    const Failure failure{plan.stage, plan.step, plan.error};
    [[maybe_unused]] const auto told = write(plan.report, &failure, sizeof failure);
  }
  _exit(127);
}

void need(Plan& plan, Stage stage, bool done) {
  plan.stage = stage;
  if (!done) give_up(plan);
}

// Becomes who the task is, where it is counted.
void begin(Plan& plan) {
  need(plan, Stage::kSetUp, setsid() >= 0);
  if (plan.adopt_orphans) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  if (plan.confinement != nullptr) {
    need(plan, Stage::kGroups, enter_groups(*plan.confinement));
    need(plan, Stage::kUser, become(plan.confinement->user));
  }
  if (!plan.die_with_parent) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);  // a change of user has undone what was set before
  if (getppid() != plan.parent) _exit(127);
}

[[noreturn]] void become_program(Plan& plan) {
  const Confinement* confinement = plan.confinement;
  if (confinement != nullptr) need(plan, Stage::kConfine, confine(*confinement));  // before its descriptor goes
  need(plan, Stage::kSetUp, move_descriptors(plan));
  if (plan.cwd != nullptr) need(plan, Stage::kCwd, chdir(plan.cwd) == 0);
  if (confinement != nullptr) {
    TaskLimits limits = confinement->limits;
    if (limits.processes > 0 && confinement->jail != nullptr) limits.processes += kJailProcesses;
    need(plan, Stage::kConfine, limit_use(limits));
  }
  plan.stage = Stage::kExec;
  default_signals();
  for (char* const* file = plan.files; *file != nullptr; ++file) {
    execve(*file, plan.argv, plan.envp);
    if (errno != EACCES || file[1] == nullptr) break;
  }
  give_up(plan);
}

[[noreturn]] __attribute__((noinline, no_sanitize("address", "undefined"))) void child(Plan& plan) {
  begin(plan);
  become_program(plan);
}

// ---------------------------------------------------------------- into namespaces
//
// Three processes: one outside, which we know and which ends as the program ends; the first one inside, which no signal
// from inside can end, and with which everything inside ends; and the program.

pid_t copy_of_us() { return static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); }

void close_all_but(int fd) {
  if (fd > 0) syscall(SYS_close_range, 0U, static_cast<unsigned>(fd - 1), 0U);
  syscall(SYS_close_range, static_cast<unsigned>(fd) + 1, ~0U, 0U);
}

[[noreturn]] void inside(Plan& plan, int tell) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  plan.step = take_steps(*plan.confinement->jail);
  need(plan, Stage::kJail, plan.step == plan.confinement->jail->steps.size());
  const pid_t program = copy_of_us();
  need(plan, Stage::kSetUp, program >= 0);
  if (program == 0) become_program(plan);
  close_all_but(tell);
  for (;;) {
    int status = 0;
    const pid_t ended = waitpid(-1, &status, 0);
    if (ended < 0 && errno != EINTR) _exit(127);
    if (ended != program) continue;
    [[maybe_unused]] const auto told = write(tell, &status, sizeof status);
    _exit(0);
  }
}

// Signals to the task's group come here, too; they are blocked, and what they do inside is what counts.
[[noreturn]] void outside(Plan& plan) {
  begin(plan);
  need(plan, Stage::kNamespaces, enter_namespaces(*plan.confinement->jail));
  int ends[2];
  need(plan, Stage::kSetUp, pipe2(ends, O_CLOEXEC) == 0);
  const pid_t first = copy_of_us();
  need(plan, Stage::kSetUp, first >= 0);
  if (first == 0) inside(plan, ends[1]);
  close_all_but(ends[0]);
  int status = 0, own = 0;
  ssize_t got = 0;
  do got = read(ends[0], &status, sizeof status);
  while (got < 0 && errno == EINTR);
  while (waitpid(first, &own, 0) < 0 && errno == EINTR) {}
  if (got != static_cast<ssize_t>(sizeof status)) status = own;
  if (WIFSIGNALED(status)) {
    default_signals();
    ::kill(getpid(), WTERMSIG(status));
  }
  _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 127);
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const std::string& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

// Waits until the program runs, or something has failed.
pid_t run_outside(Plan& plan) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    plan.error = errno;
    return -1;
  }
  plan.report = ends[1];
  const pid_t pid = copy_of_us();
  const int error = errno;
  if (pid == 0) outside(plan);
  close(ends[1]);
  Failure failure{};
  ssize_t got = 0;
  do got = pid < 0 ? 0 : read(ends[0], &failure, sizeof failure);
  while (got < 0 && errno == EINTR);
  close(ends[0]);
  if (pid < 0) {
    plan.error = error;
  } else if (got == static_cast<ssize_t>(sizeof failure)) {
    plan.stage = failure.stage;
    plan.step = failure.step;
    plan.error = failure.error;
  }
  return pid;
}

pid_t run_child(Plan& plan) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t pid = -1;
  if (plan.confinement != nullptr && plan.confinement->jail != nullptr) {
    pid = run_outside(plan);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return pid;
  }
  pid = vfork();
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
  const auto unavailable = [&](const std::string& what) {
    return Error{Code::kUnavailable, what + ": " + why, {}, ""};
  };
  if (plan.stage == Stage::kUser)
    return unavailable("cannot become the user " + std::to_string(plan.confinement->user.uid));
  if (plan.stage == Stage::kGroups) return unavailable("cannot enter the task's control group");
  if (plan.stage == Stage::kNamespaces) return unavailable("namespaces cannot be made");
  if (plan.stage == Stage::kJail)
    return unavailable(describe(plan.confinement->jail->steps[plan.step]) + " cannot be had in namespaces");
  if (plan.stage == Stage::kConfine) return Error{Code::kUnavailable, "cannot confine a process: " + why, {}, ""};
  if (plan.error == E2BIG) why += "; pass large values through stdin";
  if (plan.error == ENOENT) why += " (or the interpreter in its first line is missing)";
  return Error{Code::kInvalid, "cannot run " + std::string(plan.file) + ": " + why, {}, ""};
}

Error system_error(const char* what) {
  return Error{Code::kUnavailable, std::string(what) + ": " + std::strerror(errno), {}, ""};
}

// Of a process, not of a thread: as its children are.
std::mutex& spawned_mutex() {
  static std::mutex mutex;
  return mutex;
}
std::set<pid_t>& spawned() {
  static std::set<pid_t> pids;
  return pids;
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
  std::vector<std::string> all = find_programs(program, path);
  return all.empty() ? std::string() : std::move(all.front());
}

std::vector<std::string> find_programs(std::string_view program, std::string_view path) {
  if (program.find('/') != std::string_view::npos) return {std::string(program)};
  std::vector<std::string> out;
  while (!path.empty()) {
    std::string_view dir = path.substr(0, path.find(':'));
    path.remove_prefix(std::min(path.size(), dir.size() + 1));
    std::string file = std::string(dir.empty() ? "." : dir) + "/" + std::string(program);
    if (access(file.c_str(), X_OK) == 0) out.push_back(std::move(file));
  }
  return out;
}

Result<pid_t> spawn(const SpawnSpec& spec) {
  assert(!spec.argv.empty() && spec.fds.size() <= kFdsMax);
  std::vector<std::string> files = find_programs(spec.argv[0], spec.path);
  if (files.empty()) {
    return Error{
        Code::kInvalid, "cannot run " + spec.argv[0] + ": no such program in PATH (" + spec.path + ")", {}, ""};
  }
  std::vector<char*> candidates = pointers(files);
  std::vector<char*> argv = pointers(spec.argv);
  std::vector<char*> envp = pointers(spec.env);
  Plan plan{};
  plan.file = files.front().c_str();
  plan.files = candidates.data();
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
  if (plan.error == 0) {
    const std::lock_guard lock(spawned_mutex());
    spawned().insert(pid);
    return pid;
  }
  if (pid > 0) waitpid(pid, nullptr, 0);
  return failure(plan, spec);
}

bool reap(pid_t pid, int& status, bool wait) {
  pid_t got = 0;
  do got = waitpid(pid, &status, wait ? 0 : WNOHANG);
  while (got < 0 && errno == EINTR);
  if (got == 0) return false;
  const std::lock_guard lock(spawned_mutex());
  spawned().erase(pid);
  return got == pid;
}

bool is_spawned(pid_t pid) {
  const std::lock_guard lock(spawned_mutex());
  return spawned().contains(pid);
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
