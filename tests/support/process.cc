#include "tests/support/process.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

namespace millrace::test {
namespace {

// Below the ports that the kernel gives to outgoing connections: one of those could take a port that was free a moment
// ago. Processes begin at different places.
constexpr std::uint32_t kPortsFirst = 10'000;
constexpr std::uint32_t kPorts = 20'000;

int open_log(const std::string& path) { return open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600); }

[[noreturn]] void become(const std::vector<std::string>& words, const std::string& log, const Variables& variables,
                         pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  setpgid(0, 0);
  dup2(open("/dev/null", O_RDONLY), 0);
  dup2(open_log(log + ".out"), 1);
  dup2(open_log(log + ".err"), 2);
  for (const auto& [name, value] : variables) {
    if (value.empty()) unsetenv(name.c_str());
    else setenv(name.c_str(), value.c_str(), 1);
  }
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  dprintf(2, "cannot start %s\n", argv[0]);
  _exit(127);
}

std::set<pid_t> children_before;  // adopt_orphans()

std::set<pid_t> children() {
  std::set<pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    pid_t pid = static_cast<pid_t>(std::atol(entry.path().filename().c_str()));
    if (pid <= 0) continue;
    // "PID (COMMAND) STATE PARENT ...": the command may hold anything, so read from its last parenthesis on.
    std::string stat = read_file(entry.path() / "stat");
    std::size_t end = stat.rfind(')');
    if (end == std::string::npos) continue;
    char state = 0;
    int parent = 0;
    if (std::sscanf(stat.c_str() + end + 1, " %c %d", &state, &parent) == 2 && parent == getpid() && state != 'Z') {
      children.insert(pid);
    }
  }
  return children;
}

int decode_status(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

}  // namespace

ScratchDirectory::ScratchDirectory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "millrace-test.XXXXXX").string();
  path_ = mkdtemp(pattern.data()) == nullptr ? "" : pattern;
  EXPECT_FALSE(path_.empty()) << "cannot make a directory like " << pattern;
}

ScratchDirectory::~ScratchDirectory() {
  if (::testing::Test::HasFailure()) {
    std::printf("kept for a look: %s\n", path_.c_str());
  } else {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
}

std::string ScratchDirectory::write(std::string_view name, std::string_view text) const {
  std::ofstream(file(name)) << text;
  return file(name);
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::size_t count_lines(const std::string& path) {
  std::string text = read_file(path);
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

Program Program::start(const std::vector<std::string>& words, const std::string& log, const Variables& variables) {
  pid_t parent = getpid();
  pid_t pid = fork();
  if (pid == 0) become(words, log, variables, parent);
  EXPECT_GT(pid, 0) << "fork failed for " << words[0];
  setpgid(pid, pid);  // here too: whoever comes first
  return Program(pid, log);
}

Program::~Program() { kill(); }

Program::Program(Program&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), log_(std::move(other.log_)), exit_code_(other.exit_code_) {}

Program& Program::operator=(Program&& other) noexcept {
  kill();
  pid_ = std::exchange(other.pid_, -1);
  log_ = std::move(other.log_);
  exit_code_ = other.exit_code_;
  return *this;
}

bool Program::running() { return pid_ > 0 && !wait(0ms); }

void Program::signal(int number) const {
  if (pid_ > 0 && !exit_code_) ::kill(pid_, number);
}

void Program::signal_group(int number) const {
  if (pid_ > 0 && !exit_code_) ::kill(-pid_, number);
}

void Program::kill() {
  if (pid_ <= 0 || exit_code_) return;
  ::kill(pid_, SIGKILL);
  wait(60s);
}

std::optional<int> Program::wait(Wait at_most) {
  eventually(at_most, [this] {
    int status = 0;
    if (!exit_code_ && waitpid(pid_, &status, WNOHANG) == pid_) exit_code_ = decode_status(status);
    return exit_code_.has_value();
  });
  return exit_code_;
}

Finished run_program(const std::vector<std::string>& words, const Variables& variables, Wait at_most) {
  ScratchDirectory scratch;
  Program program = Program::start(words, scratch.file("program"), variables);
  std::optional<int> exit_code = program.wait(at_most);
  return {exit_code.value_or(-1), program.out(), program.err()};
}

bool eventually(Wait at_most, const std::function<bool()>& is_so) {
  auto deadline = std::chrono::steady_clock::now() + at_most;
  while (!is_so()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

std::uint16_t free_port() {
  static std::uint32_t tries = 0;
  for (;; ++tries) {
    auto port = static_cast<std::uint16_t>(kPortsFirst + (static_cast<std::uint32_t>(getpid()) * 8 + tries) % kPorts);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool free = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    close(fd);
    if (free) return ++tries, port;
  }
}

void adopt_orphans() {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  children_before = children();
}

std::set<pid_t> live_children() {
  std::set<pid_t> live = children();
  for (pid_t pid : children_before) live.erase(pid);
  return live;
}

std::string bin(std::string_view program) { return std::string(MILLRACE_BIN_DIR) + "/" + std::string(program); }
std::string source(std::string_view path) { return std::string(MILLRACE_SOURCE_DIR) + "/" + std::string(path); }

}  // namespace millrace::test
