// Redis sweep: what retention reads and clears away (ports.h: ScanRuns, ReadFinished, Sweep), and how the server is
// (ExamineStore), as read machines like those of redis_reads.h.
//
// Promises: one step is bounded: a page of runs, entries, keys or needs. What it takes away can never be needed again,
// whoever owns the partition meanwhile: an entry of events whose runs do not exist any more (run ids are never used
// again); a key that is looked at anew by the function that drops it; the need of a run that does not exist while a
// later one of its partition does; a value that nobody needs, and that nobody has used for the grace (looked at by the
// function that drops it). Fails: as all reads do.
#pragma once

#include "coordinator/shell/redis_reads.h"

namespace millrace {

std::unique_ptr<RedisRead> make_scan(const ScanRuns& read);
std::unique_ptr<RedisRead> make_finished(const ReadFinished& read);
std::unique_ptr<RedisRead> make_sweep(const Sweep& sweep, std::uint16_t partitions);
std::unique_ptr<RedisRead> make_examine();

}  // namespace millrace
