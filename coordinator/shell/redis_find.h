// Redis find: FindRuns over all partitions, newest first. Each partition's index is read in chunks; the heads are
// merged; the headers of the next candidates are fetched and filtered, until the page is full or enough was looked at.
//
// Promises: the order of listing.h; a run whose header is damaged is left out (LoadRun reports it). Threads: none.
#pragma once

#include <memory>
#include <optional>

#include "coordinator/shell/listing.h"
#include "coordinator/shell/redis_reads.h"

namespace millrace {

std::unique_ptr<RedisRead> make_find(const FindRuns& find, std::uint16_t partitions, std::optional<RunPosition> before);

}  // namespace millrace
