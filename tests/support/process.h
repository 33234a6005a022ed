// Programs that tests start, and the places they work in.
//
// Promises: no program outlives the test that started it: destroying a Program kills it, and the kernel kills it when
// the test process itself dies. What a program's own children left behind becomes our child (adopt_orphans()), so that
// live_children() tells whether anything is left. Threads: a test's main one. Fails: by a test failure, or by a
// Finished whose fields say what happened.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::test {

using namespace std::chrono_literals;
using Wait = std::chrono::milliseconds;

// A private directory. Kept, with its path printed, when the test has failed.
class ScratchDirectory {
 public:
  ScratchDirectory();
  ~ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  const std::string& path() const { return path_; }
  std::string write(std::string_view name, std::string_view text) const;  // returns the file's path
  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

std::string read_file(const std::string& path);  // empty where there is none
std::size_t count_lines(const std::string& path);

using Variables = std::vector<std::pair<std::string, std::string>>;  // added to our environment; empty value: removed

struct Finished {
  int exit_code = -1;  // 128 + signal where one ended it; -1: it was killed because it took too long
  std::string out;
  std::string err;
};

class Program {
 public:
  // Output is appended to LOG.out and LOG.err. In a process group of its own; standard input is empty.
  static Program start(const std::vector<std::string>& words, const std::string& log, const Variables& variables = {});
  ~Program();
  Program(Program&& other) noexcept;
  Program& operator=(Program&& other) noexcept;

  pid_t pid() const { return pid_; }
  bool running();
  void signal(int number) const;          // to the program alone
  void signal_group(int number) const;    // as a terminal's Ctrl-C does
  void kill();                            // SIGKILL, and waits
  std::optional<int> wait(Wait at_most);  // the exit code as in Finished; nothing: still running
  std::string out() const { return read_file(log_ + ".out"); }
  std::string err() const { return read_file(log_ + ".err"); }

 private:
  Program(pid_t pid, std::string log) : pid_(pid), log_(std::move(log)) {}
  pid_t pid_ = -1;
  std::string log_;
  std::optional<int> exit_code_;
};

// Runs a program to its end.
Finished run_program(const std::vector<std::string>& words, const Variables& variables = {}, Wait at_most = 60s);

// Asks every 10 ms until it is so. False: it never was.
bool eventually(Wait at_most, const std::function<bool()>& is_so);

std::uint16_t free_port();        // of loopback; free a moment ago
void adopt_orphans();             // from now on
std::set<pid_t> live_children();  // of this process since adopt_orphans(), zombies left out

std::string bin(std::string_view program);  // a program of this build
std::string source(std::string_view path);  // a file of the source tree

}  // namespace millrace::test
