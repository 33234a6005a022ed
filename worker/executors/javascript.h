// The executor `javascript`: a script in a warm Node.js process.
//
// With isolation `process` (the default) each task has a process of its own, started while its predecessors work; with
// `none`, tasks share warm processes, one after another. Output and errors as those of `python`.
#pragma once

#include <memory>
#include <string>

#include "worker/executors/executor.h"

namespace millrace {

// Null where there is no such program: then the executor is not offered.
std::unique_ptr<Executor> make_javascript_executor(const ExecutorOptions& options, Housing& housing, Reactor& reactor,
                                                   TaskObserver& observer, ExecutorCounts& counts);

}  // namespace millrace
