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
#include <vector>

#include "common/base/result.h"
#include "common/vault/secret_file.h"
#include "coordinator/shell/coordinator.h"
#include "worker/shell/worker.h"

namespace millrace {

class Embedded {
 public:
  static constexpr const char* kEndpoint = "inproc://millrace";
  static constexpr const char* kEvents = "inproc://millrace-events";

  struct Options {
    std::uint32_t slots = 0;                   // 0: one a core
    std::string python = {};                   // empty: the one of the worker's options
    SecretPaths secrets = {};                  // of an encrypted file; empty: none
    std::string requirements_dir = {};         // as of WorkerOptions
    std::vector<std::string> find_links = {};  // as of WorkerOptions
    bool no_index = false;                     // as of WorkerOptions
  };
  static Result<std::unique_ptr<Embedded>> start(ZmqContext& context, const Options& options);
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
