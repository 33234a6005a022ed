// Health: what a coordinator tells `millrace doctor`: of itself, of its store, and what it has found wrong.
//
// Values; the judgement of a single coordinator is made there (coordinator/shell/diagnose.h), that over several by who
// asked them (cli/doctor.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/time.h"

namespace millrace {

// The store as its server tells of itself; what it does not tell is empty or zero.
struct ServerFacts {
  std::string kind;                    // "redis", "memory"
  std::string version;                 // of the server
  std::string mode;                    // "standalone", "sentinel", "cluster"
  std::string role;                    // "master", "slave"
  Duration answered{};                 // how long a question took
  std::uint32_t format = 0;            // of what is stored
  std::uint32_t function_version = 0;  // of the library that is loaded
  std::uint64_t used_bytes = 0;
  std::uint64_t max_bytes = 0;  // zero: no limit
  std::string eviction;         // maxmemory-policy
  std::string appendonly;       // "yes", "no"
  std::string appendfsync;      // "always", "everysec", "no"
  std::string save;             // points of snapshots; empty: none, or not told
  std::string durability;  // what the cluster is run for: "memory", "everysec", "always", "replicated"; empty: unsaid
  std::uint32_t replicas = 0;
  std::string last_write_failed;  // which of "aof", "rdb" failed last; empty: none
  bool config_told = false;       // CONFIG GET was answered
  bool operator==(const ServerFacts&) const = default;
};

struct Finding {
  std::string severity;  // "error": work is lost or stands still; "warning": it may; "note": good to know
  std::string check;     // "configuration", "connectivity", "clock", "store", "versions", "capacity", "audit"
  std::string subject;   // coordinator, worker, partition ... it is about; may be empty
  std::string message;
  std::string action;  // what to do
  bool operator==(const Finding&) const = default;
};

struct LimitUse {
  std::string name;  // "runs", "tasks", "bytes"
  std::uint64_t used = 0;
  std::uint64_t max = 0;  // zero: none
  bool operator==(const LimitUse&) const = default;
};

struct AuditSummary {
  std::uint64_t looked = 0;    // at so many tasks since the start
  std::uint64_t found = 0;     // that were in nobody's hands, and counts that did not add up
  std::uint64_t repaired = 0;  // of those
  bool operator==(const AuditSummary&) const = default;
};

struct CoordinatorHealth {
  std::string name;
  std::string version;
  std::string endpoint;
  std::uint32_t protocol = 0;          // of messages
  std::uint32_t function_version = 0;  // that it needs
  std::uint32_t format = 0;            // of what is stored, that it writes
  Time now{};                          // by its clock
  bool store_up = false;
  ServerFacts store;
  std::uint32_t partitions = 0;  // of the cluster
  std::uint32_t owned = 0;
  std::uint32_t awaited = 0;  // that nobody is known to serve
  std::uint64_t runs_live = 0;
  std::uint64_t ready = 0;    // tasks that wait for a slot
  std::uint64_t running = 0;  // tasks that a worker has
  std::uint64_t slots = 0;
  std::uint32_t workers_ready = 0;
  std::uint32_t workers_draining = 0;
  std::uint32_t workers_silent = 0;
  std::vector<LimitUse> limits;
  AuditSummary audit;
  std::vector<Finding> findings;
  bool operator==(const CoordinatorHealth&) const = default;
};

}  // namespace millrace
