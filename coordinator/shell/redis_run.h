// Redis run: a run as it stands in its hash, put together from pieces and checked.
//
// Promises: a run is answered only if info, record and every segment open, no segment is newer than the record, and
// count and sum of the live task records are those of the record. Threads: pure functions. Fails: the Error names run
// and key, and is named `damaged`.
#pragma once

#include <optional>

#include "common/io/redis.h"
#include "coordinator/shell/redis_commit.h"
#include "coordinator/shell/run_codec.h"

namespace millrace {

// From the reply to HGETALL; nothing if there is no such key.
Result<std::optional<StoredRun>> read_run(RunId run, const RedisReply& fields);

struct RunHeader {
  StoredInfo info;
  StoredRecord record;
};
RedisCommand header_command(RunId run);  // HMGET of all pieces of `.i` and `.m`
Result<std::optional<RunHeader>> read_header(RunId run, const RedisReply& reply);

}  // namespace millrace
