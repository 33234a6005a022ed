// Report: the one JSON object that millrace-bench prints, made of the repeats of one scenario.
//
// Promises: the keys that callers rely on are always there (null: does not apply), as medians over repeats; more keys
// may follow them: `spread` (the name of a figure, nested ones with a dot, to [least, most] over the repeats),
// `samples` (latencies of one repeat), `latency_of`, `p999_ms`, `notes`, and what only the scenario has. Threads: pure
// functions.
#pragma once

#include <string>
#include <vector>

#include "bench/scenarios.h"
#include "common/base/value.h"

namespace millrace::bench {

Value report(const Options& options, const std::vector<Measured>& repeats);
std::string table_of(const Value& report);  // one figure a line, with its spread

}  // namespace millrace::bench
