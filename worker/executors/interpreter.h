// Interpreter: our side of one forked python interpreter: its channel and its output.
//
// Promises: on_log() and on_reply() in the order in which they were made; a reply comes after all output written before
// it. on_hangup() when its channel ends or carries nonsense; nothing after that. One request at a time.
// Threads: the Reactor's. Owner: the listener, which may destroy it inside on_reply() and on_hangup().
// Protocol: see runners/python_runner.py.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "worker/executors/zygote.h"

namespace millrace {

struct PythonReply {
  enum class Kind : std::uint8_t { kOk, kError, kInvalidOutput, kOutOfMemory, kProgress, kSecret, kArtifact, kPart };
  Kind kind = Kind::kOk;
  bool retire = false;      // the interpreter serves no other task
  std::uint16_t flags = 0;  // of a part of a file: 1 the first, 2 the last
  std::string message, traceback, output;
  Duration ran{};  // an end's: how long the task's own code took
  // What a task says while it runs: progress (`output` is JSON), the secret `message` that it asks for, a part of a
  // file that it hands over (`output`; `message` and `traceback`: name and content type; see artifact_part()), or the
  // part of a list reference that it asks for (`message`: the name).
  bool is_end() const { return kind < Kind::kProgress; }
};

// What `file` names came with the workflow, under its name without the folder: it becomes `script`. Fails: kInvalid.
Status unpack_file(TaskContext& task);

Outcome outcome_of(PythonReply end);
ArtifactPart artifact_part(const PythonReply& said);           // a loan of it
std::string answer_to_task(std::string_view text, bool good);  // its bytes

class Interpreter {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void on_log(InterpreterId id, LogStream stream, std::string_view bytes) = 0;
    virtual void on_reply(InterpreterId id, PythonReply reply) = 0;
    virtual void on_said(InterpreterId id, PythonReply said) = 0;  // not an end; must not destroy it
    virtual void on_hangup(InterpreterId id) = 0;
  };

  // Orders a fork from the zygote; requests may be sent at once.
  static Result<std::unique_ptr<Interpreter>> fork(Zygote& zygote, const Zygote::Fork& fork, Reactor& reactor,
                                                   Listener& listener);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  void send(std::string request);
  void answer(std::string_view text, bool good);  // what was asked for, or nothing; else what is wrong
  void finish_reading();  // after its process ended: takes what is still on the way; may destroy this
  bool once() const { return once_; }

 private:
  Interpreter(InterpreterId id, bool once, Reactor& reactor, Listener& listener, Fd channel, Fd out, Fd err);
  void write_some();
  bool read_some();  // false: nothing there now, or this may be destroyed
  bool take_replies();
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
// `confinement`: what an interpreter of its own is confined to before the script runs; null: nothing.
std::string python_request(const TaskContext& task, const Confinement* confinement = nullptr);
// Takes a reply from the front of what a channel brought; empty while a part of it is missing. Fails: it is nonsense.
Status read_reply(std::string& bytes, std::optional<PythonReply>& reply);

}  // namespace millrace
