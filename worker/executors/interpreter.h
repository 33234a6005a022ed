// Interpreter: our side of one forked python interpreter: its channel and its output.
//
// Promises: on_log() and on_reply() in the order in which they were made; a reply comes after all output written before
// it. on_hangup() when its channel ends or carries nonsense; nothing after that. One request at a time.
// Threads: the Reactor's. Owner: the listener, which may destroy it inside on_reply() and on_hangup().
// Protocol: see runners/python_runner.py.
#pragma once

#include <memory>
#include <string>

#include "worker/executors/zygote.h"

namespace millrace {

struct PythonReply {
  enum class Kind : std::uint8_t { kOk, kError, kInvalidOutput, kOutOfMemory };
  Kind kind = Kind::kOk;
  bool retire = false;  // the interpreter serves no other task
  std::string message, traceback, output;
};

class Interpreter {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void on_log(InterpreterId id, LogStream stream, std::string_view bytes) = 0;
    virtual void on_reply(InterpreterId id, PythonReply reply) = 0;
    virtual void on_hangup(InterpreterId id) = 0;
  };

  // Orders a fork from the zygote; requests may be sent at once.
  static Result<std::unique_ptr<Interpreter>> fork(Zygote& zygote, InterpreterId id, bool once, Reactor& reactor,
                                                   Listener& listener);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  void send(std::string request);
  void finish_reading();  // after its process ended: takes what is still on the way; may destroy this
  bool once() const { return once_; }

 private:
  Interpreter(InterpreterId id, bool once, Reactor& reactor, Listener& listener, Fd channel, Fd out, Fd err);
  void write_some();
  bool read_some();  // false: nothing there now, or this may be destroyed
  void drain_output();
  void hang_up();

  InterpreterId id_;
  bool once_;
  Reactor& reactor_;
  Listener& listener_;
  Fd channel_;
  Stream out_, err_;
  std::string request_;
  std::size_t sent_ = 0;
  bool blocked_ = false;  // the request waits for room in the channel
  std::string reply_;
};

// The bytes of a request: see the protocol. `cwd` and the environment are the task's own.
std::string python_request(const TaskContext& task);

}  // namespace millrace
