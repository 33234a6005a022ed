// Redis commit: a TurnCommit as Redis commands, and what comes back; the function library and the check of a cluster.
//
// Pieces: Redis keeps a small hash in one compact block as long as no value is longer than 64 bytes, which saves about
// 250 bytes a run. So the values of small runs that are a little longer are cut into fields NAME, NAME.1, NAME.2 ...;
// longer ones, and those of large runs (whose hash is no longer compact anyway), stay whole.
//
// Promises: one FCALL carries all partitions of a turn; values, logs and fleet go before it. Threads: none; the check
// and the load block, for start-up and reconnect. Fails: as the Errors say.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/io/redis.h"
#include "coordinator/shell/ports.h"

namespace millrace {

constexpr int kFunctionVersion = 10;     // VERSION in commit.lua
constexpr int kStoreFormat = 1;          // of everything under mr:
constexpr std::size_t kPieceBytes = 64;  // hash-max-listpack-value, as Redis is shipped
constexpr std::size_t kPiecesMax = 8;    // of one value
constexpr std::uint32_t kSmallRunTasks = 16;

std::string piece_name(std::string_view name, std::size_t piece);    // "x", "x.1", "x.2" ...
std::string segment_field(std::uint64_t commit);                     // base 36
std::optional<std::uint64_t> parse_segment_field(std::string_view);  // without the piece

// What goes before the call, in order. Failures of the first kind stop the commit; those of the second do not matter.
std::vector<RedisCommand> value_commands(const TurnCommit& commit);  // and the fleet
std::vector<RedisCommand> log_commands(const TurnCommit& commit);
RedisCommand commit_command(const TurnCommit& commit);  // FCALL millrace_commit, or millrace_beat

// Where the batch of a numbered commit stands in a call, so that it can be sent again by itself (redis_ring.h).
struct CommitSlice {
  PartitionId partition;
  Epoch epoch;
  std::uint64_t number = 0;
  std::size_t begin = 0;  // in RedisCommand::formatted()
  std::size_t bytes = 0;
  std::size_t args = 0;
};
struct FormattedCommit {
  RedisCommand command;
  std::vector<CommitSlice> slices;  // of its numbered batches
};
// The call for some partitions of a turn. On a Redis Cluster only the first is declared as key: those of one node lie
// in many slots. `bytes`: about how long it will be.
FormattedCommit format_commit(const TurnCommit& commit, std::span<const std::size_t> which, bool on_cluster,
                              std::size_t bytes = 0);

// The reply to commit_command. `error` is set where the store refused; its partitions are then kUnknown.
CommitOutcome read_commit_reply(std::uint64_t turn, const std::vector<PartitionId>& partitions,
                                const RedisReply& reply);

CommitResult parse_result(std::string_view word);  // kUnknown: the word tells why it was refused

// Whether this Redis holds a cluster of this format and number of partitions; an empty one is marked as such.
Status check_cluster(Redis& redis, std::uint16_t partitions);
// Loads the function library where it is missing or older.
Status load_functions(Redis& redis);

}  // namespace millrace
