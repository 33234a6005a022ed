// Executor: a way of running a task. The port that every executor implements, and the table of them.
//
// Promises of every executor (held to by the ExecutorContract suite): start() never blocks; each started task ends in
// exactly one on_done(), also when killed, when its process crashes, when it cannot be started; logs arrive before
// on_done(); after on_done() nothing of the task is left running. A task harms no other. Threads: everything happens on
// the thread that runs the Reactor. on_done() may be called before start() returns.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/base/value.h"
#include "common/model/event.h"
#include "common/model/executor_fields.h"
#include "common/model/outcome.h"
#include "common/net/egress.h"
#include "worker/executors/counts.h"
#include "worker/executors/housing.h"
#include "worker/executors/llm_providers.h"
#include "worker/executors/secrets.h"

namespace millrace {

class Reactor;
class ReactorLoop;

// What a task can see. Owned by the executor from start() on.
struct TaskContext {
  AttemptId attempt;
  std::string node;  // id
  std::string workflow;
  std::string trace_id;
  std::string executor;
  Value fields;                                    // rendered: no expression is left in it
  std::shared_ptr<const std::string> inputs_json;  // object of the run's inputs; null: {}
  std::vector<std::pair<std::string, std::shared_ptr<const std::string>>>
      nodes;  // visible upstream outputs as JSON, by id; for python also lists, as what they are put together from
  std::vector<std::string> secrets = {};  // that stand in the fields
  std::string queue = {};                 // empty: default
  // Further names that code sees, as JSON: `item` and `index` of a mapped node.
  std::vector<std::pair<std::string, std::shared_ptr<const std::string>>> vars = {};
};

enum class LogStream : std::uint8_t { kStdout, kStderr };

struct ArtifactPart {
  std::string_view name, type, bytes;
  bool first = false, last = false;
};

class TaskObserver {
 public:
  virtual ~TaskObserver() = default;
  virtual void on_log(const AttemptId& attempt, LogStream stream, std::string_view bytes) = 0;
  virtual void on_done(const AttemptId& attempt, Outcome outcome) = 0;  // `waited` is the host's to fill
  // What a running task says of itself: kTaskProgress or kTaskTokens. Nobody waits for it.
  virtual void on_news(const AttemptId& /*attempt*/, EventType /*type*/, Value /*data*/) {}
  // A part of a file that the task hands over, in order; its last makes it an artifact of the attempt's outcome, in the
  // place of an earlier one of that name. Returns what is wrong with it: then it is none; "": nothing.
  virtual std::string on_artifact(const AttemptId& /*attempt*/, const ArtifactPart& /*part*/) {
    return "artifacts are not kept here";
  }
  // A part of a list reference that the task can see: `then` is told its bytes on this thread, perhaps at once, or null
  // where it cannot be had; and nothing once the task has ended.
  using TakeValue = std::function<void(std::shared_ptr<const std::string>)>;
  virtual void on_value_wanted(const AttemptId& /*attempt*/, const Hash128& /*hash*/, TakeValue then) { then(nullptr); }
  // A secret that the task is about to use: it must not stand in anything that the task says from now on.
  virtual void on_secret(const AttemptId& /*attempt*/, std::string_view /*secret*/) {}
};

class Executor {
 public:
  virtual ~Executor() = default;
  virtual void start(TaskContext task) = 0;
  // Ends a task: its process group gets SIGTERM, after kKillGrace SIGKILL. Its on_done() then says `why`, unless it had
  // already ended. Unknown attempts are ignored.
  virtual void kill(const AttemptId& attempt, Reason why) = 0;
};

constexpr Duration kKillGrace = 2s;
constexpr std::size_t kStreamMax = 1024 * 1024;  // bytes of stdout, and of stderr, that are kept per task

// Where environments for `requirements` of python nodes are made, and of what: see PythonEnvironments.
struct RequirementsOptions {
  std::string directory = {};                // empty: none are made
  std::vector<std::string> find_links = {};  // directories and URLs with wheels
  bool no_index = false;                     // only these
  Duration timeout = 600s;                   // of making one
};

struct ExecutorOptions {
  int slots = 1;                   // how many tasks run at once: sizes the pool of warm interpreters
  std::string python = "python3";  // the interpreter
  std::string node = "node";       // Node.js; where there is none, `javascript` is not offered
  bool warm = false;               // start python at once, not with its first task
  std::string work_dir =
      {};  // where tasks without `cwd` run; empty: a private directory under TMPDIR, removed at the end
  EgressRules egress = {};      // what http and llm may reach; the providers' own endpoints besides
  LlmProviders providers = {};  // by name
  Secrets secrets = Secrets();
  HousingOptions housing = {};
  RequirementsOptions requirements = {};
  std::vector<std::pair<std::string, std::string>> plugins = {};  // executor, and the file that has it: see plugin.h
};

// All executors of this worker by name: the one table (a row an executor). `observer` and `reactor` outlive the set.
class ExecutorSet {
 public:
  ExecutorSet(const ExecutorOptions& options, Reactor& reactor, TaskObserver& observer);
  ~ExecutorSet();  // kills what still runs, and what it left behind, without on_done()
  ExecutorSet(const ExecutorSet&) = delete;
  ExecutorSet& operator=(const ExecutorSet&) = delete;
  Executor* find(std::string_view name);  // null: no such executor here
  std::vector<std::string> names() const;
  const Secrets& secrets() const { return secrets_; }
  const Housing& housing() const { return *housing_; }
  const CountsByExecutor& counts() const { return counts_; }  // of those that start processes

 private:
  std::string scratch_;  // made and removed by us, or by a later worker if we are killed; empty: none
  int scratch_lock_ = -1;
  Secrets secrets_;
  CountsByExecutor counts_;  // its values stay where they are
  std::unique_ptr<Housing> housing_;
  std::unique_ptr<ReactorLoop> loop_;
  std::unique_ptr<Egress> egress_;
  std::vector<std::pair<std::string, std::unique_ptr<Executor>>> executors_;
};

}  // namespace millrace
