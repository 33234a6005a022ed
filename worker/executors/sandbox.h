// Sandbox: how the process of a task is confined: isolation tier 1, `process`, which needs no privilege, and tier 2,
// `namespaces` (see jail.h), in which what follows holds besides, but for the places.
//
// A confined process and all it starts: gain no privileges by exec, and lose most of
// root's; cannot trace, nor read the memory and environment
// of, nor (Linux 6.12) signal a process outside; cannot write outside of the places below, nor read what holds secrets
// of the machine (/etc/shadow, ssh host keys, the worker's secrets directories); cannot make namespaces, mount, load
// modules, use io_uring, bpf, perf, keyrings ...: such calls fail with EPERM or ENOSYS, nothing is killed for asking.
// Limits bound what it uses. It may write to its work directory and its `cwd`, /tmp, /var/tmp, /home, /root, /srv,
// /mnt, /media and /opt, but not where secrets are; of /dev it has null, zero, full, the random ones, tty, ptmx, pts
// and shm. Promises: confine() and limit_use() only make system calls, as a child of vfork() may. Threads: any, one at
// a time. Fails: missing() says what the kernel cannot do; nothing is weakened silently: whoever asked for it by name
// is refused.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/time.h"
#include "common/model/task_limits.h"
#include "worker/executors/jail.h"
#include "worker/executors/spawn.h"
#include "worker/executors/task_users.h"

namespace millrace {

struct Confinement {
  int landlock = -1;  // a ruleset; -1: none
  const sock_fprog* filter = nullptr;
  TaskLimits limits;
  Isolation tier = Isolation::kNone;
  std::shared_ptr<const Jail> jail = {};  // of tier namespaces
  TaskUser user = {};                     // who it becomes
  std::vector<std::string> cgroups = {};  // files that take its process id
  std::vector<int> pin = {};              // processors; none: all
};

// Of the calling process, for good, in this order: where it belongs; who it is; what it may do, while the ruleset is
// open; what it may use. False: errno says why. Async-signal-safe.
bool enter_groups(const Confinement& confinement);  // and lets it die first
void let_die_first(pid_t pid);  // it is what the kernel ends first when memory is short; 0: the caller
bool pin_to(const std::vector<int>& processors, pid_t pid);  // 0: the caller
bool become(const TaskUser& user);
bool confine(const Confinement& confinement);
bool limit_use(const TaskLimits& limits);

class Sandbox {
 public:
  // `hidden`: directories and files that tasks must not read. `runtime_class`: of the container that the worker is in;
  // empty: none that the operator vouches for.
  explicit Sandbox(std::vector<std::string> hidden = {}, Isolation least = Isolation::kNone,
                   std::string runtime_class = {});

  // How a task is kept apart that asks for `isolation` (empty: it does not): process or namespaces, or none. Fails,
  // with the reason, where that is less than the operator requires, or cannot be had here.
  Result<Isolation> tier(std::string_view isolation, const TaskUser& user) const;

  // What the kernel does not offer, as a sentence; empty: everything is there.
  const std::string& missing() const { return missing_; }
  // Likewise what namespaces need. Tried out, once for each user, by making them.
  static const std::string& namespaces_missing(const TaskUser& user);
  Isolation least() const { return least_; }
  const sock_fprog* filter() const;
  // Of the tier `process`, for a task that may also write to these directories. What is missing is left out. The
  // descriptor is a loan until the next call.
  Confinement confinement(const std::vector<std::string>& writable, const TaskLimits& limits);
  // Of the tier `namespaces`.
  Confinement jailed(JailPlaces places, bool network, const TaskUser& user, const TaskLimits& limits) const;

 private:
  Fd ruleset(const std::vector<std::string>& writable) const;
  bool is_hidden(const std::string& path) const;
  bool holds_hidden(const std::string& path) const;
  void allow_below(int ruleset, const std::string& path, std::uint64_t rights, int depth) const;

  std::vector<std::string> hidden_now() const;
  std::vector<std::string> named_;   // as they were given
  std::vector<std::string> hidden_;  // where they led when ruleset_ was made
  Isolation least_;
  std::string runtime_class_;
  int abi_ = 0;
  std::string missing_;
  std::vector<std::string> made_for_;
  std::int64_t made_of_ = 0;  // when / and /etc were last changed
  Fd ruleset_;
};

}  // namespace millrace
