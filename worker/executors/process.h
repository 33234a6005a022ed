// Process: a running program, its output, and its end.
//
// Promises: on_output() as bytes arrive, then on_exit() exactly once, when the program has ended, its process group has
// been killed and its output is read (what has left the group is killed, too: see leftovers.h); nothing after that. The
// program's end decides, not the end of its pipes: children that it left behind and that hold them are killed. Threads:
// the Reactor's. Owner: the listener, which outlives it and may destroy it inside on_exit(); destroying it earlier
// kills the group and waits for the program to be gone. Fails: start() with a sentence for the user.
#pragma once

#include <memory>
#include <optional>

#include "worker/executors/stream.h"

namespace millrace {

class Process {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void on_output(LogStream stream, std::string_view bytes) = 0;
    virtual void on_exit(int wait_status) = 0;  // as of waitpid()
  };

  // Descriptors 0 to 2 are made here: stdin reads `input`, stdout and stderr are captured. `spec.fds` are those from 3
  // on.
  static Result<std::unique_ptr<Process>> start(Reactor& reactor, Listener& listener, SpawnSpec spec,
                                                std::string_view input);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void drain();       // hands on the output that is there now
  void begin_task();  // what is kept of the output is counted anew
  void kill_now();    // SIGKILL
  void terminate();   // SIGTERM now, SIGKILL after kKillGrace
  pid_t pid() const { return pid_; }
  bool truncated(LogStream stream) const;

 private:
  Process(Reactor& reactor, Listener& listener, pid_t pid, Fd pidfd, Fd out, Fd err);
  void ended();

  Reactor& reactor_;
  Listener& listener_;
  pid_t pid_;
  Fd pidfd_;
  Stream out_, err_;
  std::optional<TimerId> kill_timer_;
  bool reaped_ = false;
};

}  // namespace millrace
