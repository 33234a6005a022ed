// Embedded: a coordinator and a worker inside this process, for `millrace run` without a cluster. The same loop, agent
// and executors as on one, over inproc:// and with the store in memory.
//
// Promises: when the destructor returns, both threads have ended and no task is left. Threads: create and destroy in
// one; kill() and fault() from any. Fails: start() says why one of them cannot begin; fault() why one ended by itself.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "common/base/result.h"
#include "coordinator/shell/coordinator.h"
#include "worker/shell/worker.h"

namespace millrace {

class Embedded {
 public:
  static constexpr const char* kEndpoint = "inproc://millrace";
  static constexpr const char* kEvents = "inproc://millrace-events";

  static Result<std::unique_ptr<Embedded>> start(ZmqContext& context, std::uint32_t slots, const std::string& python);
  ~Embedded();

  void kill();  // everything that runs, without waiting for it
  std::optional<Error> fault() const;

 private:
  Embedded() = default;
  void ended(const char* what, const Status& status);

  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<Worker> worker_;
  mutable std::mutex mutex_;  // of fault_: written by the two threads, read by the command's
  std::optional<Error> fault_;
  std::thread coordinator_thread_;
  std::thread worker_thread_;
};

}  // namespace millrace
