// Sandbox: how the process of a task is confined: isolation tier 1, `process`. Needs no privilege.
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
#include "worker/executors/spawn.h"

namespace millrace {

struct Confinement {
  int landlock = -1;  // a ruleset; -1: none
  const sock_fprog* filter = nullptr;
  TaskLimits limits;
};

// Confine the calling process for good: what it may do, while the ruleset is open; what it may use, last of all. False:
// errno says why. Async-signal-safe.
bool confine(const Confinement& confinement);
bool limit_use(const TaskLimits& limits);

class Sandbox {
 public:
  // `hidden`: directories that tasks must not read.
  explicit Sandbox(std::vector<std::string> hidden = {}, Isolation least = Isolation::kNone);

  // Whether a task that asks for `isolation` (empty: it does not) with these limits is to be confined. Fails, with the
  // reason, where that is less than the operator requires, or cannot be had here.
  Result<bool> confines(std::string_view isolation, const TaskLimits& limits) const;

  // What the kernel does not offer, as a sentence; empty: everything is there.
  const std::string& missing() const { return missing_; }
  const sock_fprog* filter() const;
  // For a task that may also write to these directories. What is missing is left out. The descriptor is a loan until
  // the next call.
  Confinement confinement(const std::vector<std::string>& writable, const TaskLimits& limits);

 private:
  Fd ruleset(const std::vector<std::string>& writable) const;
  bool is_hidden(const std::string& path) const;
  bool holds_hidden(const std::string& path) const;
  void allow_below(int ruleset, const std::string& path, std::uint64_t rights, int depth) const;

  std::vector<std::string> hidden_;
  Isolation least_;
  int abi_ = 0;
  std::string missing_;
  std::vector<std::string> made_for_;
  std::int64_t made_of_ = 0;  // when / and /etc were last changed
  Fd ruleset_;
};

}  // namespace millrace
