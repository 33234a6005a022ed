// Jail: isolation tier 2, `namespaces`: what a task finds around it, as a list of steps.
//
// Inside: its own processes (its own /proc), its own IPC, no network but a loopback of its own unless it asks for more;
// a read-only system; private /tmp, /var/tmp, /run, /dev; its work directory and `cwd`, writable; nothing where secrets
// of the machine are. When the task ends, the kernel ends everything in it. Needs user namespaces, no privilege. The
// steps are data, since two take them: spawn(), for programs, and the zygote (runners/python_runner.py), for python.
// Promises: take_steps() and enter_namespaces() only make system calls, as a child of fork() may. Threads: any.
// Fails: with errno, and the step by number; describe() says it in words.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace millrace {

struct JailStep {
  enum class Op : std::uint8_t {  // python_runner.py knows them by number
    kMount,                       // `b`: type, `c`: data; without a type a bind of `c`; `n`: flags
    kClone,                       // of the mount at `a`, kept in slot `n`
    kAttach,                      // slot `n` at `a`; an empty slot is skipped
    kReadOnly,                    // the mount at `a`; `n` 1: with all below it
    kMakeDirectory,               // `a`, mode `n`; there already: good
    kMakeFile,                    // likewise
    kLink,                        // `a` leads to `b`
    kLoopback,                    // up
  };
  Op op;
  std::string a, b = {}, c = {};
  std::uint64_t n = 0;
  bool optional = false;  // what is not there is left out
};

struct Jail {
  bool network = false;
  uid_t uid = 0;  // who is inside, the same as outside
  gid_t gid = 0;
  std::string home = {};  // where the task begins
  std::vector<JailStep> steps;
};

struct JailPlaces {
  std::vector<std::string> writable;  // directories
  std::vector<std::string> readable;  // that must be seen, also where a private place would cover them
  std::vector<std::string> hidden;    // files and directories
  std::string scratch;                // where all tasks' directories are; covered but for those above
};

Jail make_jail(const JailPlaces& places, bool network, uid_t uid, gid_t gid);
std::string jail_json(const Jail& jail);  // {"flags", "uid", "gid", "steps": [[op, a, b, c, n, optional] ...]}
std::string describe(const JailStep& step);

unsigned long namespace_flags(const Jail& jail);
// The caller (of one thread) leaves its namespaces; its next child is the first process inside. Async-signal-safe.
bool enter_namespaces(const Jail& jail);
// By that child. Number of steps: all are done; else the step that failed, with errno.
std::size_t take_steps(const Jail& jail);

}  // namespace millrace
