// Resume: which results of an ended run a new one takes over when it runs that one again.
//
// A run that has ended never reopens. To run it again is a new run with records of its own: those of results that still
// hold are copies (values by reference stay where they are), everything else runs. A result holds if its node
// succeeded, or was skipped for another reason than a failure; nobody has undone it since; it is the same node in the
// new definition; it is not to run again by its name; and everything upstream of it holds, too. What cleans up never
// holds: it belongs to the run that it cleans up after. A fallback is no result.
//
// Promises: deterministic; the old run is only read. Threads: pure functions. Fails: kConflict `run_live` where the old
// run has not ended, `nothing_to_run` where it succeeded and nothing would run; kInvalid `unknown_node`; kRefused
// `too_much_to_share`.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/model/operator_messages.h"
#include "coordinator/core/partition.h"

namespace millrace {

constexpr std::uint32_t kSharedMax = kYamlNodesMax;                // results that one run takes over: one commit
constexpr std::size_t kSharedBytesMax = std::size_t{64} << 20U;    // of their inline values
constexpr std::size_t kSharedInlineMax = std::size_t{512} * 1024;  // the rest of them goes by reference
constexpr std::size_t kSharedSmall = 256;                          // but not these

using SharedResults = std::vector<std::pair<TaskIndex, TaskRecord>>;  // by task of the new run, ascending

Result<SharedResults> shared_results(const RestoredRun& old, const Plan& plan, const Resume& how);

// A run that is in memory as if it had been read back; items of mapped nodes are left out.
RestoredRun as_stored(const Run& run);

}  // namespace millrace
