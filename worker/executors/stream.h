// Stream: our end of a task's stdout or stderr.
//
// Promises: hands on at most kStreamMax bytes a task, as they come; reads and drops the rest, so a writer never blocks.
// Threads: the Reactor's. Owner: whoever runs the process; the Reactor outlives it.
#pragma once

#include <functional>
#include <string_view>

#include "worker/executors/executor.h"
#include "worker/executors/reactor.h"
#include "worker/executors/spawn.h"

namespace millrace {

class Stream {
 public:
  using Sink = std::function<void(std::string_view bytes)>;

  Stream(Reactor& reactor, Fd fd, Sink sink);
  ~Stream() { close(); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void drain();  // reads what is there now, without waiting
  void begin_task() { taken_ = 0; }
  bool truncated() const { return taken_ > kStreamMax; }

 private:
  bool read_once();  // false: nothing there now, or ended
  void close();

  Reactor& reactor_;
  Fd fd_;
  Sink sink_;
  std::size_t taken_ = 0;  // bytes read since begin_task()
};

}  // namespace millrace
