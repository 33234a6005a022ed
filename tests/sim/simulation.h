// Simulation: one seed, played from the start until every run has ended: the real loops and agents under a simulated
// clock, network and store, with clients, faults and the checker.
//
// Promises: the same seed and settings give the same trace, on every compiler. Threads: one; simulations in several
// threads do not meet. Fails: a broken invariant is in the result.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/sim/context.h"

namespace millrace::sim {

struct Played {
  std::uint64_t seed = 0;
  std::string broken;  // empty: everything held
  std::uint64_t hash = 0;
  std::uint64_t lines = 0;
  std::uint64_t actions = 0;
  std::size_t runs = 0;
  std::size_t succeeded = 0;
  std::vector<std::string> last;  // lines of the trace, when something is broken
};

Played play(std::uint64_t seed, const Settings& settings, bool print_trace);

}  // namespace millrace::sim
