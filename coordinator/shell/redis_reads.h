// Redis reads: each StoreRead as a small machine that asks for commands and takes their replies until it can answer.
//
// Promises: what is answered was checked: a run against its checksums and against the counts and sums of its record, a
// value against its hash. Threads: none; owned by the RedisStore. Fails: by a ReadFailed that names the run and key.
#pragma once

#include <charconv>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/io/redis.h"
#include "coordinator/shell/ports.h"
#include "coordinator/shell/redis_commit.h"

namespace millrace {

using RedisCommands = std::vector<RedisCommand>;
using RedisReplies = std::vector<RedisReply>;
using ReadAnswer = std::optional<StoreAnswer>;  // nothing: more is asked for

class RedisRead {
 public:
  virtual ~RedisRead() = default;
  // Takes the replies to the commands asked for last (none at first) and either answers or asks for more. No reply is
  // an error: those end the read before.
  virtual ReadAnswer step(RedisReplies& replies, RedisCommands& commands) = 0;
  virtual bool takes_error(std::string_view) const { return false; }  // a reply that is this error is handed in, too
};

// Where the events of a run go on in the stream of its partition, so that paging does not start over.
struct EventPosition {
  std::uint64_t seq = 0;  // of the last event seen
  std::string entry;      // that holds it
};
using EventPositions = std::map<RunId, EventPosition>;

struct RedisReadContext {
  std::uint16_t partitions = 0;
  EventPositions* positions = nullptr;
};

// A number as Redis writes it; zero where there is none.
template <class T>
T number_of(std::string_view text) {
  T value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::unique_ptr<RedisRead> make_read(const StoreRead& read, const RedisReadContext& context);  // any but a repair

// Writes values, then what was committed, again; answers how far the store has come.
std::unique_ptr<RedisRead> make_repair(const RepairPartition& repair, std::vector<RedisCommand> values,
                                       std::vector<RedisCommand> calls);

}  // namespace millrace
