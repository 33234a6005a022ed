// Plug-ins: executors in shared objects (sdk/cpp/millrace_plugin.h), each task in a warm process of its own.
//
// Promises: the code of a plug-in never runs in this process: it is described, and served, by processes that run
// plugin_host(). One request at a time a process, at most `slots` processes an executor; one whose task was killed or
// that crashed is replaced. Threads: the Reactor's. Fails: describe_plugin() with a sentence that names the file: not
// there, no plug-in, of another version, or with an executor that is there already.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "worker/executors/executor.h"

namespace millrace {

constexpr const char* kPluginHostWord = "plugin-host";  // of the worker's program: it is one then

// The names of its executors.
Result<std::vector<std::string>> describe_plugin(const std::string& file);

std::unique_ptr<Executor> make_plugin_executor(const ExecutorOptions& options, std::string file, std::string work_dir,
                                               Reactor& reactor, TaskObserver& observer);

// `plugin-host FILE`: serves tasks over descriptor 3. `plugin-host FILE list`: prints the names, one a line, or says on
// standard error what is wrong. The process's exit code.
int plugin_host(const std::vector<std::string>& arguments);

}  // namespace millrace
