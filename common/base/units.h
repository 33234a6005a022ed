// Durations and sizes as people write them: `100ms`, `30s`, `1h30m`, `64KiB`, `1.5MB`. A unit is always written.
//
// Promises: exact in the target unit (microseconds, bytes; what is finer is refused), total, never throws.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/base/time.h"

namespace millrace {

// One or more numbers with us, ms, s, m, h or d, largest first if several: `1h30m`. Not negative; at most 10,000 days.
Result<Duration> parse_duration(std::string_view text);

// One number with B, KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024).
Result<std::uint64_t> parse_size(std::string_view text);

// A moment as RFC 3339 writes it: `2026-01-31T08:00:00Z`, `2026-01-31T09:00:00.5+01:00`; the zone is always written.
// From 1970 to 9999; what is finer than a microsecond is cut off.
Result<Time> parse_time(std::string_view text);

// A duration, or a moment: `2h`, `2026-01-31T08:00:00Z`.
Result<Deadline> parse_deadline(std::string_view text);

// A moment in UTC, to the second or, where it has one, with its fraction.
std::string format_time(Time time);

// The shortest exact text that parses back: `90s` is `1m30s`, zero is `0s`.
std::string format_duration(Duration duration);

}  // namespace millrace
