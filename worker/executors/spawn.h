// spawn: starts a program in a process group of its own, with exactly the descriptors and environment it is given.
//
// Promises: the cost does not grow with the memory of the caller (vfork); every signal has its default action; all
// other descriptors are closed. Threads: any; with `die_with_parent` the process is killed when the calling *thread*
// ends. Fails: with a sentence that names the program or the directory; nothing is left running then.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace millrace {

// A descriptor that is closed with its owner.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_ = -1;
};

// Both ends close-on-exec. `ours` does not block.
struct Channel {
  Fd ours, theirs;
};
Result<Channel> make_output_pipe();             // ours reads what theirs writes
Result<Channel> make_socket_pair(int type);     // AF_UNIX, of this socket type
Result<Fd> make_input(std::string_view bytes);  // readable from its start; /dev/null when empty

struct SpawnSpec {
  std::vector<std::string> argv;  // argv[0] without a slash is looked up in `path`
  std::vector<std::string> env;   // NAME=value
  std::string path;
  std::string cwd;
  std::vector<int> fds;                             // become descriptors 0, 1, 2 ... of the program
  bool die_with_parent = true;                      // SIGKILL when the caller ends
  const struct Confinement* confinement = nullptr;  // sandbox.h; null: none
  bool adopt_orphans = false;                       // its orphaned descendants become its children, not ours
};

Result<pid_t> spawn(const SpawnSpec& spec);
// Collects a program that was spawned. `wait` false: only where it has ended. False: not now, or it is not ours.
bool reap(pid_t pid, int& status, bool wait = true);
// Whether a child of ours was spawned here and not collected.
bool is_spawned(pid_t pid);

// The file that `program` names: itself if it has a slash, else the first executable of that name in `path`; empty:
// none.
std::string find_program(std::string_view program, std::string_view path);
// All of them, in that order.
std::vector<std::string> find_programs(std::string_view program, std::string_view path);

// SIGTERM, SIGKILL ... to the group that `leader` was started with. `leader` must not have been reaped.
void signal_group(pid_t leader, int signal_number);

std::string describe_signal(int signal_number);  // "killed by signal 9 (SIGKILL)"

}  // namespace millrace
