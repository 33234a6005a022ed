// The executor `shell`: a script for /bin/sh -e, or a command by its argv.
//
// Output: {"stdout", "stderr", "exit_code"}, also when the task fails; `"truncated": true` where a stream was cut.
#pragma once

#include <memory>
#include <string>

#include "worker/executors/executor.h"

namespace millrace {

std::unique_ptr<Executor> make_shell_executor(std::string work_dir, Reactor& reactor, TaskObserver& observer);

}  // namespace millrace
