// Redis parts: a part of a large value, read from where it is kept, or added to what has come of it.
//
// Promises: a value that came in parts is there under its name only after all of it was read back and found to be what
// its hash says; then it looks as one that was written at once. Whoever sends them, parts of one value are the same
// bytes, so several may send it at a time. What does not come whole goes kPartsLife after its latest part. Threads:
// none; owned by the RedisStore. A part that is read was not checked: who puts them together checks the whole.
#pragma once

#include <memory>

#include "coordinator/shell/redis_reads.h"

namespace millrace {

constexpr Duration kPartsLife = 1h;

std::unique_ptr<RedisRead> make_part_read(const LoadValue& read);
std::unique_ptr<RedisRead> make_part_write(const StorePart& part);

}  // namespace millrace
