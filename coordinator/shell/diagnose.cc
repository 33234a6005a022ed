#include "coordinator/shell/diagnose.h"

#include <algorithm>
#include <string>

namespace millrace {
namespace {

constexpr const char* kError = "error";
constexpr const char* kWarning = "warning";
constexpr const char* kNote = "note";

int rank(const Finding& finding) { return finding.severity == kError ? 0 : finding.severity == kWarning ? 1 : 2; }

std::string mebibytes(std::uint64_t bytes) { return std::to_string(bytes >> 20U) + " MiB"; }

class Diagnosis {
 public:
  explicit Diagnosis(CoordinatorHealth& health) : health_(health) {}

  void store() {
    const ServerFacts& s = health_.store;
    if (!health_.store_up) {
      return add(kError, "connectivity", "store", "coordinator '" + health_.name + "' has no connection to its store",
                 "start Redis, or mend --redis of that coordinator; its log tells what it tries");
    }
    if (s.kind == "memory") {
      return add(kNote, "store", "store", "the state of all runs is in memory and ends with the coordinator",
                 "for runs that must outlive it: --store redis");
    }
    if (s.kind != "redis") return;
    durability(s);
    memory(s);
    if (s.role == "slave")
      add(kError, "store", "redis", "the coordinator writes to a Redis that is a replica",
          "point --redis to the primary");
    if (!s.last_write_failed.empty())
      add(kError, "store", "redis", "Redis could not write its " + s.last_write_failed + " file the last time",
          "look at Redis' log: its disk may be full or read-only");
    if (s.answered > kStoreSlow)
      add(kWarning, "store", "redis",
          "Redis took " + std::to_string(s.answered / 1ms) + " ms to answer: every commit waits for that",
          "look for slow commands (SLOWLOG GET), a busy disk, or a machine without processor time");
    if (s.function_version != 0 && s.function_version < health_.function_version)
      add(kError, "versions", "redis",
          "the function library in Redis is version " + std::to_string(s.function_version) + ", version " +
              std::to_string(health_.function_version) + " is needed",
          "restart this coordinator: it loads its own");
    if (s.function_version == 0)
      add(kError, "versions", "redis", "the function library is not in Redis",
          "it is loaded with the next connection; if not: allow FUNCTION LOAD to the coordinator's user");
    if (s.format > health_.format)
      add(kError, "versions", "redis", "the store was written by a newer Millrace: format " + std::to_string(s.format),
          "run a coordinator of that version");
  }

  void partitions() {
    if (health_.awaited > 0)
      add(kError, "audit", "partitions",
          std::to_string(health_.awaited) + " of " + std::to_string(health_.partitions) +
              " partitions are served by nobody that '" + health_.name + "' knows of",
          "millrace partitions; start the coordinators that are missing, or wait for the take-over (2 s)");
  }

  void capacity() {
    for (const LimitUse& limit : health_.limits) {
      if (limit.max == 0 || static_cast<double>(limit.used) < kNearFull * static_cast<double>(limit.max)) continue;
      const bool full = limit.used >= limit.max;
      add(full ? kError : kWarning, "capacity", limit.name,
          "coordinator '" + health_.name + "': " + std::to_string(limit.used) + " of " + std::to_string(limit.max) +
              " " + limit.name +
              (full ? ": submissions are refused (queue_full)" : ": submissions will be refused soon"),
          "add workers, or raise --" + limit.name + "-max");
    }
    if (health_.workers_ready == 0) {
      const bool waits = health_.ready > 0;
      add(waits ? kError : kWarning, "capacity", "workers",
          waits ? std::to_string(health_.ready) + " tasks are ready and no worker takes any" : "no worker takes tasks",
          "start millrace-worker; `millrace workers` shows those that drain or are silent");
    } else if (health_.slots > 0 && health_.ready > health_.slots * kDemandPerSlot) {
      add(kWarning, "capacity", "workers",
          std::to_string(health_.ready) + " tasks wait for " + std::to_string(health_.slots) + " slots",
          "add workers (GET /v1/scale says how many)");
    }
    if (health_.workers_silent > 0)
      add(kWarning, "connectivity", "workers", std::to_string(health_.workers_silent) + " workers are silent",
          "`millrace workers` names them; look at their hosts and the network between");
  }

  void audit() {
    if (health_.audit.found == 0) return;
    const bool mended = health_.audit.repaired == health_.audit.found;
    add(mended ? kNote : kError, "audit", "tasks",
        "since coordinator '" + health_.name + "' began: " + std::to_string(health_.audit.found) +
            " things in nobody's hands, " + std::to_string(health_.audit.repaired) + " of them put right",
        "this is a fault of Millrace itself: please report it with the lines `audit:` of the log");
  }

 private:
  void add(const char* severity, const char* check, std::string subject, std::string message, std::string action) {
    health_.findings.push_back({severity, check, std::move(subject), std::move(message), std::move(action)});
  }

  // What is asked of Redis against what it is configured for; where nothing is asked, that a crash loses little.
  void durability(const ServerFacts& s) {
    const bool aof = s.appendonly == "yes";
    const bool always = aof && s.appendfsync == "always";
    const std::string& asked = s.durability;
    if (asked == "memory") return;
    if (!aof)
      return add(asked.empty() ? kWarning : kError, "store", "redis",
                 std::string("Redis keeps no append-only file: its crash loses ") +
                     (s.save.empty() ? "everything" : "all since its last snapshot") +
                     (asked.empty() ? "" : ", and --durability " + asked + " was asked for"),
                 "redis-cli CONFIG SET appendonly yes, and in redis.conf; or --durability memory to accept it");
    if (asked == "always" && !always)
      add(kError, "store", "redis",
          "--durability always was asked for, and Redis syncs its file '" + s.appendfsync + "'",
          "redis-cli CONFIG SET appendfsync always, and in redis.conf");
    else if (s.appendfsync == "no")
      add(kWarning, "store", "redis", "Redis leaves it to the system when its file is synced (appendfsync no)",
          "redis-cli CONFIG SET appendfsync everysec, and in redis.conf");
    if (asked == "replicated" && s.replicas == 0)
      add(kError, "store", "redis", "--durability replicated was asked for, and Redis has no replica",
          "connect a replica: commits wait for it");
  }

  void memory(const ServerFacts& s) {
    if (!s.eviction.empty() && s.eviction != "noeviction" && s.max_bytes > 0)
      add(kError, "configuration", "redis",
          "Redis may throw away state of runs when its memory is full (maxmemory-policy " + s.eviction + ")",
          "redis-cli CONFIG SET maxmemory-policy noeviction, and in redis.conf");
    if (s.eviction.ends_with("lfu"))
      add(kWarning, "configuration", "redis",
          "with maxmemory-policy " + s.eviction + " unused values are never deleted",
          "redis-cli CONFIG SET maxmemory-policy noeviction, and in redis.conf");
    if (s.max_bytes > 0 && static_cast<double>(s.used_bytes) >= kNearFull * static_cast<double>(s.max_bytes))
      add(s.used_bytes >= s.max_bytes ? kError : kWarning, "capacity", "redis",
          "Redis uses " + mebibytes(s.used_bytes) + " of " + mebibytes(s.max_bytes),
          "raise maxmemory, or keep less: --retention-age, --retention-count");
  }

  CoordinatorHealth& health_;
};

}  // namespace

void diagnose(CoordinatorHealth& health) {
  Diagnosis diagnosis(health);
  diagnosis.store();
  diagnosis.partitions();
  diagnosis.capacity();
  diagnosis.audit();
  sort_by_severity(health.findings);
}

void sort_by_severity(std::vector<Finding>& findings) {
  std::ranges::stable_sort(findings, {}, [](const Finding& finding) { return rank(finding); });
}

}  // namespace millrace
