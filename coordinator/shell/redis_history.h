// Redis history: what is read of a run entry by entry, its events and its logs, as read machines like those of
// redis_reads.h.
//
// Promises: events in their order without a gap; log lines in theirs; at most kReadLimitMax of either. Fails: as all
// reads do; make_logs() is null where the cursor is not one of ours.
#pragma once

#include "coordinator/shell/redis_reads.h"

namespace millrace {

std::unique_ptr<RedisRead> make_events(const ReadRunEvents& read, EventPositions& positions);
std::unique_ptr<RedisRead> make_logs(const ReadRunLogs& read);

}  // namespace millrace
