// Worker: the process around an Agent: links to coordinators, executors, rendering of fields, heartbeats.
//
// Threads: run() is the worker's thread (sockets, executors, agent); one more thread sends the heartbeats on a
// connection of its own. Owns everything it starts: when run() returns no task and no child process is left.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/io/zmq_socket.h"
#include "common/model/records.h"
#include "common/model/requirements.h"

namespace millrace {

constexpr char kWorkerVersion[] = "0.1.0";
constexpr std::uint32_t kIoSlots = 2000;  // io attempts at once, on one event loop

struct WorkerOptions {
  std::string name;                       // --id; empty: host name and process id
  std::vector<std::string> coordinators;  // endpoints; inproc:// ones need the coordinator's ZmqContext
  std::optional<CurveClient> curve;       // our keys, and that of the coordinators
  std::uint32_t slots = 0;                // 0: the number of cores
  Labels labels;
  std::vector<std::string> queues;  // that it serves; none: the default one; "*": all
  Resources resources;              // cpu and memory, where not given, are those of the machine
  std::string python = "python3";
  bool warm = false;  // start interpreters at once, not with the first python task
  std::uint32_t prefetch_max = 1024;
  Duration drain_grace = 30s;                         // then running tasks are killed
  std::string http;                                   // HOST:PORT for operators; empty: none
  std::string http_token;                             // what all its pages but the probes need; empty: nothing
  bool insecure_listen = false;                       // http beyond loopback without a token
  std::vector<std::string> allow_egress = {};         // what http and llm tasks may reach besides: see EgressRules
  std::vector<std::string> secrets_dirs = {};         // see Secrets
  std::string secrets_file = {};                      // encrypted: see SecretFile; empty: none
  std::string secrets_key_file = {};                  // that opens it; empty: secrets_file with .key at its end
  bool hides_secrets = true;                          // confined tasks cannot read the files of secrets
  std::string requirements_dir = {};                  // see RequirementsOptions; empty: no requirements
  std::vector<std::string> find_links = {};           // places with wheels
  bool no_index = false;                              // only these
  std::map<std::string, std::string> providers = {};  // see LlmProviders
  std::vector<std::string> plugins = {};              // files: see worker/executors/plugin.h
  std::string isolation = "none";                     // the least that tasks must have: none, process or namespaces
  std::string runtime_class = {};                     // of the container that the worker runs in
  std::string task_user = "none";                     // who tasks run as: see parse_task_user()
  std::map<std::string, std::string> limits = {};     // of tasks: see TaskLimits
  std::string cgroup = "none";                        // where control groups are made: none, auto or a path
  std::string pin = {};                               // processors that tasks run on; empty: all
  std::map<std::string, std::string> queue_settings = {};  // by queue, as JSON: see QueueSettings
};

class Worker {
 public:
  // Errors: kInvalid for endpoints, rules and providers that are not well formed; of `http` as HttpServer. Connects,
  // and does not wait for it.
  static Result<std::unique_ptr<Worker>> create(ZmqContext& context, WorkerOptions options);
  virtual ~Worker() = default;
  // Works until drained. Errors: kRefused, named "id_in_use", "version", "key_revoked" ..., when a coordinator refuses
  // the worker for good; when keys stand between it and every coordinator, what ConnectionFaults says. Logs one line
  // when a coordinator welcomes it and one when it has drained.
  virtual Status run() = 0;
  // From any thread, async-signal-safe: finish what runs, then return from run(). Called again: kill what runs.
  virtual void drain() = 0;
};

}  // namespace millrace
