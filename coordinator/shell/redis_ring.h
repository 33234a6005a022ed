// Commit ring: the commits of the last seconds as they went over the wire, so that a store that turns out to be behind
// (a failover that lost a suffix, a restart) can be brought to where it was (DESIGN rule 2).
//
// Promises: keeps the buffers that were formatted for the wire anyway, moved, not copied; at most kRingFor and
// kRingBytesMax of them, the oldest go first. Threads: one; owned by the RedisStore.
// Fails: a repair whose commits are not all there any more gives nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "common/io/redis.h"
#include "coordinator/shell/ports.h"
#include "coordinator/shell/redis_commit.h"

namespace millrace {

constexpr Duration kRingFor = 10s;
constexpr std::size_t kRingBytesMax = 64 * 1024 * 1024;

class CommitRing {
 public:
  using Steady = std::chrono::steady_clock;

  void keep(Steady::time_point now, FormattedCommit call);
  void keep(Steady::time_point now, const RedisCommand& value);  // small ones only: large ones stay in their sender

  struct Repair {
    std::vector<RedisCommand> values;  // to be answered before the calls go out
    std::vector<RedisCommand> calls;   // in order of the commits
  };
  // What brings the partition from `repair.after` on to the last commit kept of those epochs; nothing if the ring does
  // not reach back.
  std::optional<Repair> repair(const RepairPartition& repair) const;

  std::size_t bytes() const { return bytes_; }

 private:
  struct Kept {
    Steady::time_point at;
    FormattedCommit call;  // of a value: without slices
    std::size_t bytes = 0;
  };
  void add(Steady::time_point now, FormattedCommit call);

  std::deque<Kept> kept_;
  std::size_t bytes_ = 0;
};

}  // namespace millrace
