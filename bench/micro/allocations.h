// Allocations: how often this thread has called operator new, so that a benchmark can say how many one item costs.
// Threads: each counts its own.
#pragma once

#include <cstdint>

namespace millrace::bench {

std::uint64_t allocations();  // of this thread so far

}  // namespace millrace::bench
