// Zygote: a warm python process of a worker, from which interpreters are forked. It runs no task itself.
//
// Promises: every fork() is answered by on_forked() or on_fork_failed(), every forked interpreter that is not given up
// by on_died(), unless on_gone() comes, which ends them all (their process groups have been killed then). The pid of an
// interpreter is not used again before give_up(). Ending the Zygote ends its interpreters. Threads: the Reactor's.
// Owner: the listener, which may destroy it inside on_gone() only. Protocol: see runners/python_runner.py.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "worker/executors/housing.h"
#include "worker/executors/stream.h"

namespace millrace {

using InterpreterId = Id<struct InterpreterTag>;

class Zygote {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void on_forked(InterpreterId id, pid_t pid) = 0;
    virtual void on_fork_failed(InterpreterId id, const std::string& why) = 0;
    virtual void on_died(InterpreterId id, int wait_status) = 0;
    // `why` is a sentence; `started`: whether python had come up at all. The Zygote is of no more use.
    virtual void on_gone(const std::string& why, bool started) = 0;
  };

  // What it is for. Tasks of isolation `process` are forked from one that has given up its privileges and filters its
  // system calls itself: its children inherit that, and have only to take what must be each one's own. All others are
  // forked from one that may do what the worker may.
  enum class For : std::uint8_t { kConfined, kOthers };

  // Does not wait for python to start. Fails where there is no such program.
  // What confines its interpreters is taken from `housing` now.
  // `late_packages`: what is installed for this python counts in its interpreters only, once they are confined: no code
  // of a package (.pth files are code) runs in the zygote.
  static Result<std::unique_ptr<Zygote>> start(const std::string& python, For whom, bool late_packages,
                                               Housing& housing, Reactor& reactor, Listener& listener);
  ~Zygote();
  Zygote(const Zygote&) = delete;
  Zygote& operator=(const Zygote&) = delete;

  struct Fork {
    InterpreterId id;
    bool once;      // it serves a single task
    TaskUser user;  // who it becomes
    int place;      // below the work directory; -1: where all are
  };
  // The descriptors become the interpreter's channel, stdout and stderr.
  void fork(const Fork& fork, Fd channel, Fd out, Fd err);
  // Kills the interpreter with its group, and lets its pid go. It may have died already.
  void give_up(InterpreterId id);
  // Sends a signal to its group; at once when it is known, else as soon as it is forked.
  void signal(InterpreterId id, int signal_number);

 private:
  struct Order {
    char what;
    InterpreterId id;
    std::int64_t value;
    std::vector<Fd> fds;
    TaskUser user = {};
    int place = -1;
  };

  Zygote(Reactor& reactor, Listener& listener, pid_t pid, Fd control, Fd err);
  void order(Order order);
  void send_orders();
  bool send(const Order& order);
  void receive();
  void gone();
  std::string last_words() const;

  Reactor& reactor_;
  Listener& listener_;
  pid_t pid_;
  Fd control_;
  std::string stderr_tail_;
  Stream stderr_;
  bool ready_ = false;
  bool blocked_ = false;                      // orders wait for room in the socket
  std::deque<Order> orders_;                  // not sent yet
  std::map<InterpreterId, pid_t> pids_;       // 0: fork ordered, not answered
  std::map<InterpreterId, int> signals_due_;  // for those
  std::set<InterpreterId> given_up_early_;    // before the fork was answered
};

}  // namespace millrace
