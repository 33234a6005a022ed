// The executor `noop`: does nothing, at once or after `delay`. The engine's benchmarks run on it.
#pragma once

#include <memory>

#include "worker/executors/executor.h"

namespace millrace {

std::unique_ptr<Executor> make_noop_executor(Reactor& reactor, TaskObserver& observer);

// A delay as it is written: a number of seconds, or a number with a unit (us, ms, s, m, h, d). Not negative.
Result<Duration> parse_delay(const Value& value);

}  // namespace millrace
