// The executors `shell`: a script for /bin/sh -e, or a command by its argv; and `container`: the same inside a
// container of docker or podman, whichever is found in PATH.
//
// Output: {"stdout", "stderr", "exit_code"}, also when the task fails; `"truncated": true` where a stream was cut. With
// `outputs` it is, on success, what stdout holds as text, lines or JSON, or what the task left in the file that
// $MILLRACE_OUTPUT names (JSON if it parses, else text). `exit_codes` says which codes are a success, and which
// failures another try could mend.
#pragma once

#include <memory>
#include <string>

#include "worker/executors/executor.h"

namespace millrace {

std::unique_ptr<Executor> make_shell_executor(std::string work_dir, Housing& housing, Reactor& reactor,
                                              TaskObserver& observer, ExecutorCounts& counts);
std::unique_ptr<Executor> make_container_executor(std::string work_dir, Reactor& reactor, TaskObserver& observer);

}  // namespace millrace
