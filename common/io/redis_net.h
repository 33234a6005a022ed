// Redis net: where a cluster's Redis is, and connections to it: one server, the current master of a Sentinel group, or
// every master of a Redis Cluster.
//
// Promises: a connection of a net was a master when it was made (ROLE), and every slot of a Redis Cluster has one.
// Credentials never appear in safe() or in an error. Threads: connecting blocks and uses nothing shared: it may run on
// a thread of its own. Fails: the Error names the servers that were asked and what each said.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/io/redis.h"

namespace millrace {

// redis:// or unix:// as RedisUrl reads them, or
//   sentinel://[[USER]:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/MASTER[/DB]    (26379 unless told)
//   cluster://[[USER]:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]                 (6379 unless told)
// User and password are those of the servers that hold data; Sentinels are asked without.
struct RedisTarget {
  enum class Kind : std::uint8_t { kStandalone, kSentinel, kCluster };
  Kind kind = Kind::kStandalone;
  std::vector<RedisUrl> seeds;  // the server; the Sentinels; some nodes of the Redis Cluster
  std::string master;           // of a Sentinel group
  RedisUrl login;               // user, password, database of the servers that hold data

  static Result<RedisTarget> parse(std::string_view text);
  static RedisTarget standalone(const RedisUrl& url);
  std::string safe() const;
  RedisUrl at(std::string host, std::uint16_t port) const;  // a server of it, with credentials
};
std::string_view to_string(RedisTarget::Kind kind);  // "standalone" ...

constexpr std::size_t kRedisSlots = 16'384;
std::uint16_t redis_slot(std::string_view key);  // by its hash tag

// The key that a command is about: what stands first, or behind the number of keys of a call; empty: none.
std::string_view key_of(const RedisCommand& command);

struct RedisNode {
  std::string address;  // HOST:PORT as it names itself, or the socket's path
  std::unique_ptr<Redis> connection;
};
struct RedisNet {
  std::vector<RedisNode> nodes;      // of a Redis Cluster all masters with slots; one otherwise
  std::vector<std::uint16_t> slots;  // slot -> node; empty unless it is a Redis Cluster

  std::size_t node_for(std::string_view key) const { return slots.empty() ? 0 : slots[redis_slot(key)]; }
};

Result<RedisNet> connect_net(const RedisTarget& target, Duration timeout);

// The master of a Sentinel group as the first Sentinel that answers knows it.
Result<RedisUrl> ask_sentinels(const RedisTarget& target, Duration timeout);

}  // namespace millrace
