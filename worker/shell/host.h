// Host: runs what the Agent starts: fetches values held by reference, renders fields, hands tasks to executors, and
// turns what they say into inputs for the Agent.
//
// Promises: each start() ends in exactly one TaskEnded, whatever happens; logs of a task come before it. Secrets of a
// task stand in nothing that it says: logs, news, output, error (see Mask). A value is
// asked for part by part, a part again (kFetchAgain, doubling) until it comes, the value is said to be gone, or the
// attempt is killed. A large output is sent ahead of the report that names it (see Uploads).
// Threads: that of the Reactor. Owns the executors and their processes; the Reactor outlives it.
// Fails: as the outcome of the attempt: kInvalidInput (a field), kMissingValue, kRefused (no such executor),
// kInvalidOutput (larger than kValueMax), kRefused (files where no coordinator keeps them).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "worker/core/agent.h"
#include "worker/executors/executor.h"
#include "worker/executors/mask.h"
#include "worker/shell/attachments.h"
#include "worker/shell/bindings.h"
#include "worker/shell/item_runs.h"
#include "worker/shell/task_logs.h"
#include "worker/shell/uploads.h"
#include "worker/shell/value_cache.h"

namespace millrace {

constexpr Duration kFetchAgain = 2s;
constexpr Duration kFetchAgainMax = 60s;
constexpr std::size_t kValueCacheBytes = 128 * 1024 * 1024;

class Host final : public TaskObserver {
 public:
  Host(const ExecutorOptions& options, Reactor& reactor);
  ~Host() override;

  void start(Time now, StartTask task);
  void kill(const AttemptId& attempt, Reason why);
  void kill_all(Reason why);
  void value_came(Time now, ValueReply reply);
  void part_taken(Time now, const PartTaken& taken);
  void takes_parts(LinkId link, bool takes) { uploads_.takes_parts(link, takes); }  // whether that coordinator does
  void pass(Time now);  // what is due: log pieces, repeated requests, items that take too long
  // Begins the next items of attempts that have some, up to a number. True: there are more that could begin.
  bool go_on(Time now);
  Time next_deadline() const;

  // What has happened, and what is asked for, since the last call; into an empty vector.
  void take_inputs(std::vector<AgentInput>& inputs);
  void take_requests(std::vector<ToCoordinator>& requests);

  std::size_t tasks() const { return running_.size() + waiting_.size() + item_runs_.size() + uploads_.size(); }
  std::vector<std::string> executors() const { return executors_.names(); }
  const Housing& housing() const { return executors_.housing(); }
  const CountsByExecutor& counts() const { return executors_.counts(); }
  const TaskLogs& logs() const { return logs_; }

  void on_log(const AttemptId& attempt, LogStream stream, std::string_view bytes) override;
  void on_done(const AttemptId& attempt, Outcome outcome) override;
  void on_news(const AttemptId& attempt, EventType type, Value data) override;
  void on_secret(const AttemptId& attempt, std::string_view secret) override;
  std::string on_artifact(const AttemptId& attempt, const ArtifactPart& part) override;
  void on_value_wanted(const AttemptId& attempt, const Hash128& hash, TakeValue then) override;

 private:
  using Values = std::map<Hash128, SharedText>;
  struct WaitingTask {
    Assignment assignment;  // of none: a task whose items have begun
    Values values;          // null until they have come
    std::size_t missing = 0;
    LinkId link = {};
    bool items = false;
  };
  struct Running {
    Executor* executor = nullptr;
    LinkId link;
  };
  struct Fetch {
    LinkId link;
    Time again{};
    Duration pause{};
    std::vector<AttemptId> wanted_by;
    Time asked{};
    PartPace pace = {};
    PartsIn parts;
    std::string text = {};                                      // what has come
    bool damaged = false;                                       // it has come once, and was not what its hash says
    std::vector<std::pair<AttemptId, TakeValue>> read_by = {};  // tasks that run
  };

  bool await_values(WaitingTask&& task, const AttemptId& attempt, const std::vector<Hash128>& wanted);
  Fetch& fetch(const Hash128& hash, LinkId link);
  void ask(const Hash128& hash, Fetch& fetch);
  void value_ended(const Hash128& hash, const SharedText& json, const char* problem);
  void launch(WaitingTask&& task);
  void begin(const AttemptId& attempt, Running running, TaskContext&& task);
  struct Items {
    ItemRun run;
    Values values;
    LinkId link = {};
    Values besides = {};      // that the item at hand needs
    Time times_out = kNever;  // the item that runs
    bool took_too_long = false;
  };
  void begin_item(const AttemptId& attempt, Items& items);
  void item_ended(const AttemptId& attempt, Items& items, Outcome&& outcome);
  void ended(const AttemptId& attempt, Outcome&& outcome);
  void tell_end(const AttemptId& attempt, Outcome&& outcome);
  void finish(const AttemptId& attempt, Reason reason, std::string message);
  void mask(const AttemptId& attempt, Outcome& outcome);

  ValueCache cache_{kValueCacheBytes};
  std::map<AttemptId, WaitingTask> waiting_;  // for values
  std::map<Hash128, Fetch> fetches_;
  std::unordered_map<AttemptId, Running, AttemptHash> running_;
  std::unordered_map<AttemptId, Items, AttemptHash> item_runs_;
  std::deque<AttemptId> to_begin_;  // of these, that have no item running
  std::vector<AgentInput> inputs_;
  std::vector<ToCoordinator> requests_;
  TaskLogs logs_;
  Uploads uploads_;
  std::unordered_map<AttemptId, Attachments, AttemptHash> attachments_;  // of attempts that have handed files over
  std::unordered_map<AttemptId, Mask, AttemptHash> masks_;               // of attempts that have secrets
  Time now_{};                                                           // of the latest call
  ExecutorSet executors_;  // its end may still speak to what stands before it
  Bindings bindings_{&executors_.secrets()};
};

}  // namespace millrace
