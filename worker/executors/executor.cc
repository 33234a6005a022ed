#include "worker/executors/executor.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "worker/executors/noop.h"
#include "worker/executors/python.h"
#include "worker/executors/shell.h"

namespace millrace {
namespace {

// A fresh private directory; where none can be made, tasks run in the temporary directory itself.
std::string make_scratch(std::string& created) {
  const char* base = std::getenv("TMPDIR");
  std::string root = base != nullptr && *base != '\0' ? base : "/tmp";
  std::string path = root + "/millrace-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) return root;
  created = path;
  return path;
}

}  // namespace

ExecutorSet::ExecutorSet(const ExecutorOptions& options, Reactor& reactor, TaskObserver& observer) {
  std::string work_dir = options.work_dir.empty() ? make_scratch(scratch_) : options.work_dir;
  executors_.emplace_back("noop", make_noop_executor(reactor, observer));
  executors_.emplace_back("python", make_python_executor(options, work_dir, reactor, observer));
  executors_.emplace_back("shell", make_shell_executor(work_dir, reactor, observer));
}

ExecutorSet::~ExecutorSet() {
  executors_.clear();
  if (scratch_.empty()) return;
  std::error_code ignored;  // a file of another user may stay
  std::filesystem::remove_all(scratch_, ignored);
}

Executor* ExecutorSet::find(std::string_view name) {
  auto found = std::find_if(executors_.begin(), executors_.end(), [&](const auto& row) { return row.first == name; });
  return found == executors_.end() ? nullptr : found->second.get();
}

std::vector<std::string> ExecutorSet::names() const {
  std::vector<std::string> out;
  for (const auto& row : executors_) out.push_back(row.first);
  return out;
}

}  // namespace millrace
