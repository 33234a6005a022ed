// Interrupts: Ctrl-C (and SIGTERM, SIGHUP) as something a command can look at: the first asks for an orderly end, the
// second ends the process at once with 130.
//
// Promises: at the second signal `forced` is called, on a thread of its own, and then the process exits, whatever the
// other threads do; children of the process are killed. Children started meanwhile inherit no handler and no mask.
// Threads: one object a process at a time; requested() from any thread.
#pragma once

#include <functional>
#include <thread>

namespace millrace {

class Interrupts {
 public:
  explicit Interrupts(std::function<void()> forced);
  ~Interrupts();  // gives the signals back
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  bool requested() const;
  int fd() const { return wake_[0]; }  // readable from the first signal on

 private:
  void listen();

  std::function<void()> forced_;
  int wake_[2] = {-1, -1};
  std::thread thread_;
};

// Sends SIGKILL to every process that descends from this one. Linux: reads /proc.
void kill_descendants();

}  // namespace millrace
