#include "bench/pool.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

extern char** environ;

namespace millrace::bench {
namespace {

struct Program {
  pid_t pid = -1;
  int out = -1;  // what it prints
  std::string printed;
};

Error failed(Code code, std::string what) { return Error{code, std::move(what), {}, ""}; }

Result<Program> start(const std::vector<std::string>& argv) {
  std::vector<char*> raw;
  for (const std::string& argument : argv) raw.push_back(const_cast<char*>(argument.c_str()));
  raw.push_back(nullptr);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return failed(Code::kUnavailable, std::string("pipe: ") + std::strerror(errno));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  Program program{-1, ends[0], {}};
  const int error = posix_spawnp(&program.pid, raw[0], &actions, nullptr, raw.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (error == 0) return program;
  close(ends[0]);
  return failed(Code::kUnavailable, argv[0] + ": " + std::strerror(error));
}

// Takes what it has printed; true when it has closed its output.
bool take(Program& program) {
  char bytes[4096];
  const ssize_t got = read(program.out, bytes, sizeof bytes);
  if (got > 0) program.printed.append(bytes, static_cast<std::size_t>(got));
  return got == 0 || (got < 0 && errno != EINTR);
}

Status finish(Program& program, const std::string& wanted) {
  int status = 0;
  close(program.out);
  waitpid(program.pid, &status, 0);
  std::string& printed = program.printed;
  printed.erase(printed.find_last_not_of(" \n") + 1);
  if (status == 0 && printed == wanted) return Done{};
  return failed(Code::kFailed, "a program of the pool printed '" + printed.substr(0, 200) + "', status " +
                                   std::to_string(status) + ", not '" + wanted + "'");
}

double children_cpu() {
  rusage used{};
  getrusage(RUSAGE_CHILDREN, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

}  // namespace

Result<PoolMeasured> run_pool(const std::vector<std::string>& argv, const std::string& wanted, std::uint32_t tasks) {
  const std::size_t at_once = std::max(1U, std::thread::hardware_concurrency());
  const double cpu = children_cpu();
  const auto begin = std::chrono::steady_clock::now();
  std::vector<Program> running;
  Status fine = Done{};
  for (std::uint32_t started = 0; !running.empty() || (fine.ok() && started < tasks);) {
    while (fine.ok() && started < tasks && running.size() < at_once) {
      Result<Program> program = start(argv);
      if (program.ok()) running.push_back(std::move(program).value());
      else fine = program.error();
      ++started;
    }
    if (running.empty()) continue;
    std::vector<pollfd> waits;
    for (const Program& program : running) waits.push_back({program.out, POLLIN, 0});
    poll(waits.data(), waits.size(), -1);
    for (std::size_t i = waits.size(); i-- > 0;) {
      if (waits[i].revents == 0 || !take(running[i])) continue;
      Status ended = finish(running[i], wanted);
      if (fine.ok()) fine = ended;
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  if (!fine.ok()) return fine.error();
  return PoolMeasured{std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
                      children_cpu() - cpu};
}

}  // namespace millrace::bench
