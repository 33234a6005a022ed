// Settings: what the options of a worker mean for the tasks that it runs.
//
// Threads: any, before the worker runs. Fails: kInvalid for an option that is not well formed, which it names; kRefused
// for what was asked for and cannot be had here.
#pragma once

#include "worker/executors/executor.h"
#include "worker/shell/worker.h"

namespace millrace {

Result<ExecutorOptions> executor_options(const WorkerOptions& options);
// Sets the labels that say what isolation this worker can give.
Status tell_isolation(WorkerOptions& options, const HousingOptions& housing);
// What the operator asked for by name is there, or the worker does not start.
Status check_housing(const HousingOptions& asked, const Housing& housing);

}  // namespace millrace
