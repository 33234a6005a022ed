// Real processes for a benchmark: Redis, a coordinator and workers in a private directory, and what they used.
//
// Promises: nothing outlives the Cluster; sockets are unix sockets or on loopback. Threads: one. Fails: start() says
// what.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/io/zmq_socket.h"

namespace millrace::bench {

struct ClusterOptions {
  std::string bin_dir;                   // of millrace-coordinator and millrace-worker
  std::string store = "redis";           // redis | memory
  std::string appendfsync = "everysec";  // everysec | always | no
  std::string transport = "tcp";         // tcp | ipc: of all that speak to the coordinator
  int workers = 2;
  bool simulated = false;      // the workers: all in one process beside this program (fleet.cc)
  int slots = 0;               // of each worker; 0: its default
  std::uint32_t runs_max = 0;  // live runs that the coordinator admits; 0: its default
  bool streams = false;        // triggers may follow streams of this cluster's Redis, which they call `bench`
  bool curve = false;          // keys of their own for all, and everything encrypted
  std::vector<std::pair<std::string, std::string>> settings = {};  // of the coordinator, as environment variables
  std::vector<std::string> worker_arguments = {};                  // besides those that all workers have
};

struct Usage {  // of one kind of process, summed
  double cpu_s = 0;
  double rss_mb = 0;      // at most
  double rss_now_mb = 0;  // right now
};

class Cluster {
 public:
  explicit Cluster(ClusterOptions options) : options_(std::move(options)) {}
  ~Cluster() { stop(); }
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  Status start();  // returns when processes run; whether they serve is for the client to ask
  void stop();
  const std::string& endpoint() const { return endpoint_; }
  const std::optional<CurveClient>& client_keys() const { return client_keys_; }  // of an operator; none without curve
  Usage coordinator() const { return usage({coordinator_}); }
  Usage workers() const { return usage(workers_); }
  Usage redis() const { return usage({redis_}); }
  std::string redis_url() const { return "unix://" + redis_socket_; }
  std::int64_t redis_bytes() const;  // that hold data: without buffers of clients and of the AOF; 0 without Redis
  std::string logs() const;          // the end of each process's log, for errors

 private:
  Status start_redis();
  Status make_keys();
  void start_workers();
  pid_t spawn(const std::vector<std::string>& argv, const std::string& log,
              const std::vector<std::pair<std::string, std::string>>& settings = {}) const;
  static Usage usage(const std::vector<pid_t>& pids);

  ClusterOptions options_;
  std::string directory_;
  std::string endpoint_;
  std::string redis_socket_;
  std::optional<CurveClient> client_keys_;
  pid_t redis_ = -1;
  pid_t coordinator_ = -1;
  std::vector<pid_t> workers_;
};

}  // namespace millrace::bench
