// The executor `python`: scripts in warm interpreters; no interpreter starts for a task.
//
// `isolation: process` (default): every task has a fork of the warm zygote to itself; a few stand by, forked ahead.
// `isolation: none`: up to `slots` interpreters run one task after another, each in fresh globals; one that is killed,
// crashes, or is left with a thread or a child process by its task is replaced.
#pragma once

#include <memory>
#include <string>

#include "worker/executors/executor.h"

namespace millrace {

std::unique_ptr<Executor> make_python_executor(const ExecutorOptions& options, Housing& housing, Reactor& reactor,
                                               TaskObserver& observer, ExecutorCounts& counts);

}  // namespace millrace
