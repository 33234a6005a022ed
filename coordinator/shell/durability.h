// Durability: how much of what was acknowledged may be lost, as the operator asked for it, and whether Redis is
// configured to give that (docs/durability.md).
//
// Promises: what Redis does not tell (CONFIG refused) is said to be unknown, never taken for good. Threads: pure
// functions, but read_facts, which blocks on a connection with nothing else in flight.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/time.h"
#include "common/io/redis.h"

namespace millrace {

enum class DurabilityMode : std::uint8_t {
  kMemory,      // what Redis holds in memory: its end loses what was written since its last save
  kEverysec,    // AOF, synced once a second
  kAlways,      // AOF, synced before each answer
  kReplicated,  // effects leave only when that many replicas have the turn
};
std::string_view to_string(DurabilityMode mode);
std::optional<DurabilityMode> parse_durability(std::string_view word);

struct Durability {
  DurabilityMode mode = DurabilityMode::kEverysec;
  std::uint32_t replicas = 1;  // of kReplicated
  Duration timeout = 500ms;    // of one WAIT of kReplicated; asked again until enough replicas have it
};
constexpr Duration kReplicaWaitMin = 10ms;
constexpr Duration kReplicaWaitMax = 1s;  // beats wait behind it

// What one Redis server tells of itself; nothing: it does not.
struct RedisFacts {
  std::string address;
  std::optional<std::string> appendonly;
  std::optional<std::string> appendfsync;
  std::optional<std::string> maxmemory;
  std::optional<std::string> maxmemory_policy;
  std::optional<std::string> min_replicas_to_write;
  std::optional<std::string> role;
  std::optional<std::uint32_t> replicas;  // connected
};
Result<RedisFacts> read_facts(Redis& redis, std::string address, Duration timeout);

// In what this server is configured weaker than asked, each with the way out; empty: it is not.
std::vector<std::string> weaker_than(const Durability& asked, const RedisFacts& facts);

}  // namespace millrace
