// NodeProcess: one Node.js process that serves `javascript` tasks, or the process of a plug-in, which serves as such a
// one does: its channel and its output.
//
// Promises: on_log() and on_reply() in the order in which they were made; a reply comes after all output written before
// it. on_gone() exactly once, when the process has ended and its group is dead; nothing after that. One request at a
// time. Threads: the Reactor's. Owner: the listener, which may destroy it inside on_reply() and on_gone(); destroying
// it kills the process with its group. Protocol: see runners/javascript_runner.js.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "worker/executors/interpreter.h"
#include "worker/executors/process.h"
#include "worker/executors/sandbox.h"

namespace millrace {

class NodeProcess final : Process::Listener {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void on_log(NodeProcess& from, LogStream stream, std::string_view bytes) = 0;
    virtual void on_reply(NodeProcess& from, PythonReply reply) = 0;
    virtual void on_gone(NodeProcess& from, int wait_status) = 0;
    virtual void on_said(NodeProcess& /*from*/, PythonReply /*said*/) {}  // not an end; must not destroy it
  };

  // `once`: it serves a single task. Requests may be sent at once.
  static Result<std::unique_ptr<NodeProcess>> start(const std::string& node, const std::string& work_dir, bool once,
                                                    const Confinement& confinement, Reactor& reactor,
                                                    Listener& listener);
  // Any program that speaks the protocol over its descriptor 3, and serves many tasks. Not confined.
  static Result<std::unique_ptr<NodeProcess>> serve(std::vector<std::string> argv,
                                                    const std::vector<std::pair<std::string, std::string>>& environment,
                                                    const std::string& work_dir, Reactor& reactor, Listener& listener);
  ~NodeProcess() override;
  NodeProcess(const NodeProcess&) = delete;
  NodeProcess& operator=(const NodeProcess&) = delete;

  void send(std::string request);
  void answer(std::string_view text, bool good);  // to what a task has said
  void terminate() { process_->terminate(); }     // SIGTERM now, SIGKILL after kKillGrace
  void kill_now() { process_->kill_now(); }       // SIGKILL to its group; on_gone() follows
  bool once() const { return once_; }

 private:
  NodeProcess(bool once, Reactor& reactor, Listener& listener, Fd channel);
  void on_output(LogStream stream, std::string_view bytes) override { listener_.on_log(*this, stream, bytes); }
  void on_exit(int wait_status) override;
  void write_some();
  bool read_some();  // false: nothing there now, or this may be destroyed
  void close_channel();

  bool once_;
  Reactor& reactor_;
  Listener& listener_;
  Fd channel_;
  std::unique_ptr<Process> process_;
  std::string request_;
  std::size_t sent_ = 0;
  bool blocked_ = false;
  bool answered_ = true;  // no request is out
  std::string reply_;
  std::shared_ptr<const bool> alive_ =
      std::make_shared<const bool>(true);  // on_exit() looks whether a reply destroyed us
};

}  // namespace millrace
