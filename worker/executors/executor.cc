#include "worker/executors/executor.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "worker/executors/http.h"
#include "worker/executors/javascript.h"
#include "worker/executors/leftovers.h"
#include "worker/executors/llm.h"
#include "worker/executors/net_adaptor.h"
#include "worker/executors/noop.h"
#include "worker/executors/plugin.h"
#include "worker/executors/python.h"
#include "worker/executors/shell.h"
#include "worker/executors/template.h"

namespace millrace {
namespace {

constexpr std::string_view kScratchName = "/millrace-work-";
constexpr auto kScratchSettled = std::chrono::seconds(2);  // younger ones may not have their lock yet

// The lock ends with the process that holds it, however that ends: what can be locked belongs to nobody any more.
int locked(const std::string& directory) {
  int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  close(fd);
  return -1;
}

// Processes that have left their group outlive a worker that is killed: those of users of their own are known by that.
void end_abandoned(const std::string& scratch) {
  if (geteuid() != 0) return;
  std::error_code ignored;
  for (std::filesystem::directory_iterator it(scratch, ignored), end; !ignored && it != end; it.increment(ignored)) {
    struct stat status {};
    const bool found = lstat(it->path().c_str(), &status) == 0;
    if (found && S_ISDIR(status.st_mode) && status.st_uid != 0) kill_abandoned_user(status.st_uid);
  }
}

// Removes what workers of this user that were killed have left behind.
void sweep_scratch(const std::string& root) {
  std::error_code ignored;
  const std::string prefix = root + std::string(kScratchName);
  const auto settled = std::filesystem::file_time_type::clock::now() - kScratchSettled;
  std::vector<std::string> found;
  for (std::filesystem::directory_iterator it(root, ignored), end; it != end; it.increment(ignored)) {
    if (it->path().string().starts_with(prefix)) found.push_back(it->path().string());
  }
  for (const std::string& path : found) {
    struct stat status {};
    if (lstat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) || status.st_uid != geteuid()) continue;
    const bool was_locked = (status.st_mode & 0777) == 0711;  // as is what users enter
    if (!was_locked && std::filesystem::last_write_time(path, ignored) > settled) continue;
    int fd = locked(path);
    if (fd < 0) continue;
    end_abandoned(path);
    std::filesystem::remove_all(path, ignored);
    close(fd);
  }
}

// A fresh private directory; where none can be made, tasks run in the temporary directory itself. Their users must get
// there: where TMPDIR lies in a place that is ours alone, it is not below it.
std::string make_scratch(const UserRange& users, std::string& created, int& lock) {
  const char* base = std::getenv("TMPDIR");
  std::string root = base != nullptr && *base != '\0' ? base : "/tmp";
  if (users.count > 0 && !can_access({users.first, users.gid != 0 ? users.gid : users.first, true}, root, X_OK))
    root = "/tmp";
  sweep_scratch(root);
  for (;;) {
    std::string path = root + std::string(kScratchName) + "XXXXXX";
    if (mkdtemp(path.data()) == nullptr) return root;
    lock = locked(path);
    if (lock >= 0 && access(path.c_str(), F_OK) == 0) return created = path;
    if (lock >= 0) close(lock);  // another worker has swept it away before it had its lock
  }
}

}  // namespace

namespace {

// A provider that the operator configured may be reached, wherever it is.
EgressRules rules_of(const ExecutorOptions& options) {
  EgressRules rules = options.egress;
  for (const auto& [name, provider] : options.providers) {
    if (auto origin = origin_of(provider.base_url); origin.ok()) rules.allow_host(origin->first, origin->second);
  }
  return rules;
}

}  // namespace

ExecutorSet::ExecutorSet(const ExecutorOptions& options, Reactor& reactor, TaskObserver& observer)
    : secrets_(options.secrets),
      loop_(std::make_unique<ReactorLoop>(reactor)),
      egress_(Egress::make(*loop_, rules_of(options))) {
  adopt_leftovers();
  const std::string work_dir =
      options.work_dir.empty() ? make_scratch(options.housing.users, scratch_, scratch_lock_) : options.work_dir;
  housing_ = std::make_unique<Housing>(options.housing, work_dir, !scratch_.empty());
  executors_.emplace_back("container", make_container_executor(work_dir, reactor, observer));
  executors_.emplace_back("http", make_http_executor(*egress_, observer));
  if (auto javascript = make_javascript_executor(options, *housing_, reactor, observer, counts_["javascript"]))
    executors_.emplace_back("javascript", std::move(javascript));
  executors_.emplace_back("llm", make_llm_executor(options.providers, secrets_, *egress_, reactor, observer));
  executors_.emplace_back("noop", make_noop_executor(reactor, observer));
  executors_.emplace_back("python", make_python_executor(options, *housing_, reactor, observer, counts_["python"]));
  Executor& python = *executors_.back().second;
  executors_.emplace_back("shell", make_shell_executor(work_dir, *housing_, reactor, observer, counts_["shell"]));
  executors_.emplace_back("template", make_template_executor(python, housing_->least(), observer));
  for (const auto& [name, file] : options.plugins)
    executors_.emplace_back(name, make_plugin_executor(options, file, work_dir, reactor, observer));
}

ExecutorSet::~ExecutorSet() {
  executors_.clear();
  end_leftovers();
  if (scratch_.empty()) return;
  std::error_code ignored;  // a file of another user may stay
  std::filesystem::remove_all(scratch_, ignored);
  if (scratch_lock_ >= 0) close(scratch_lock_);
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
