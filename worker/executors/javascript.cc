#include "worker/executors/javascript.h"

#include <sys/wait.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>

#include "worker/executors/interpreter.h"
#include "worker/executors/node_process.h"
#include "worker/executors/spoken.h"
#include "worker/executors/task_support.h"

namespace millrace {
namespace {

constexpr int kStandbyMax = 2;  // processes of 40 MB each

class JavascriptExecutor final : public Executor, NodeProcess::Listener {
 public:
  JavascriptExecutor(const ExecutorOptions& options, Housing& housing, Reactor& reactor, TaskObserver& observer,
                     ExecutorCounts& counts)
      : node_(options.node),
        slots_(std::max(1, options.slots)),
        secrets_(options.secrets),
        housing_(housing),
        reactor_(reactor),
        observer_(observer),
        counts_(counts) {}

  void start(TaskContext task) override;
  void kill(const AttemptId& attempt, Reason why) override;

 private:
  struct Job {
    std::string request;             // until it is sent
    NodeProcess* process = nullptr;  // null: waits for one
    Reason why_killed = Reason::kNone;
    Terms terms = {};
    std::int64_t started_us = steady_us();
  };
  struct Seat {
    std::unique_ptr<NodeProcess> process;
    TaskSeat place = {};  // of one that serves a single task; given back when it has gone
    std::optional<AttemptId> attempt;
    bool leaving = false;  // killed; on_gone() is to come
  };

  void on_log(NodeProcess& from, LogStream stream, std::string_view bytes) override;
  void on_reply(NodeProcess& from, PythonReply reply) override;
  void on_gone(NodeProcess& from, int wait_status) override;
  void on_said(NodeProcess& from, PythonReply said) override;

  Result<NodeProcess*> fresh(bool once, TaskSeat place, const Confinement& confinement);
  Result<NodeProcess*> fresh(bool once);
  Result<NodeProcess*> own_process(const TaskContext& task, const Terms& terms);
  Result<NodeProcess*> vacant(bool once);
  void seat(NodeProcess& process, const AttemptId& attempt);
  void keep_standbys();
  void seat_waiting();
  void dismiss(NodeProcess& process);
  void finish(AttemptId attempt, Outcome outcome);

  std::string node_;
  int slots_;
  Secrets secrets_;
  Housing& housing_;
  Reactor& reactor_;
  TaskObserver& observer_;
  ExecutorCounts& counts_;
  int shared_ = 0;  // processes of isolation none
  std::map<NodeProcess*, Seat> seats_;
  std::vector<NodeProcess*> idle_once_, idle_shared_;
  std::map<AttemptId, Job> jobs_;
  std::deque<AttemptId> waiting_;  // isolation none, all processes busy
};

std::string first_problem(const TaskContext& task) {
  for (std::string problem : {check_string(task, "script"), check_string(task, "function"),
                              check_string(task, "isolation"), check_string(task, "cwd"), check_environment(task)}) {
    if (!problem.empty()) return problem;
  }
  const std::string function = string_field(task, "function");
  if (function.empty() && task.fields.find("script") == nullptr) return "`script` must be text";
  if (!function.empty() && function.find(':') == std::string::npos)
    return "`function` is \"" + function + "\"; expected module:function";
  const Value* limits = task.fields.find("limits");
  const bool limited = limits != nullptr && !limits->is_null();
  if (limited && string_field(task, "isolation") == "none") return "`limits` need a process of the task's own";
  return {};
}

Outcome crashed(int wait_status, const Terms& terms) {
  if (WIFSIGNALED(wait_status)) {
    const int number = WTERMSIG(wait_status);
    return with_limit(terms, number, {}, failed(Reason::kCrashed, describe_signal(number)));
  }
  return failed(Reason::kCrashed,
                "node exited with code " + std::to_string(WEXITSTATUS(wait_status)) + " before the task had ended");
}

void JavascriptExecutor::start(TaskContext task) {
  Status loaded = unpack_file(task);
  std::string problem = loaded.ok() ? first_problem(task) : loaded.error().what;
  if (!problem.empty()) return observer_.on_done(task.attempt, failed(Reason::kInvalidInput, std::move(problem)));
  Result<Terms> terms = housing_.terms(task, true);
  if (!terms.ok()) return observer_.on_done(task.attempt, not_started(terms.error()));
  const bool once = !housing_.may_share(*terms);
  // Those that wait are confined as usual: other limits, places and namespaces need a process of their own.
  const bool own = once && (!housing_.is_usual(*terms) || !string_field(task, "cwd").empty());
  const bool ready = !own && !(once ? idle_once_ : idle_shared_).empty();
  Result<NodeProcess*> process = own ? own_process(task, *terms) : vacant(once);
  if (!process.ok() && process.error().code != Code::kConflict)
    return observer_.on_done(task.attempt, failed(Reason::kRefused, process.error().what));
  ++(ready ? counts_.hits : counts_.misses);
  Job& job = jobs_[task.attempt];
  job.request = python_request(task);
  job.terms = std::move(*terms);
  if (!process.ok()) return waiting_.push_back(task.attempt);
  seat(**process, task.attempt);
  if (once && !own) keep_standbys();
}

// By the object `millrace`.
void JavascriptExecutor::on_said(NodeProcess& from, PythonReply said) {
  const auto seat = seats_.find(&from);
  take_spoken(seat == seats_.end() ? std::nullopt : seat->second.attempt, said, secrets_, observer_,
              [&](std::string_view text, bool good) { from.answer(text, good); });
}

void JavascriptExecutor::kill(const AttemptId& attempt, Reason why) {
  auto found = jobs_.find(attempt);
  if (found == jobs_.end() || found->second.why_killed != Reason::kNone) return;
  found->second.why_killed = why;
  if (found->second.process != nullptr) return found->second.process->terminate();
  waiting_.erase(std::find(waiting_.begin(), waiting_.end(), attempt));
  finish(attempt, killed(why));
}

Result<NodeProcess*> JavascriptExecutor::own_process(const TaskContext& task, const Terms& terms) {
  TaskSeat place = housing_.users().take(terms.tier == Isolation::kNamespaces);
  const Confinement confinement = housing_.confinement(task, terms, place.user(), place.directory());
  return fresh(true, std::move(place), confinement);
}

Result<NodeProcess*> JavascriptExecutor::fresh(bool once) {
  TaskSeat place;
  Confinement confinement;
  if (once) {
    place = housing_.users().take(false);
    confinement = housing_.usual(place.user());
  } else {
    confinement.user = housing_.users().shared();
    confinement.pin = housing_.usual({}).pin;
  }
  return fresh(once, std::move(place), confinement);
}

Result<NodeProcess*> JavascriptExecutor::fresh(bool once, TaskSeat place, const Confinement& confinement) {
  const std::string& directory = once ? place.directory() : housing_.users().shared_directory();
  Result<std::unique_ptr<NodeProcess>> process =
      NodeProcess::start(node_, directory, once, confinement, reactor_, *this);
  if (!process.ok()) return process.error();
  ++counts_.starts;
  NodeProcess* raw = process->get();
  Seat& seat = seats_[raw];
  seat.process = std::move(*process);
  seat.place = std::move(place);
  if (!once) ++shared_;
  return raw;
}

// A process without a task; kConflict: all are busy, one will be free.
Result<NodeProcess*> JavascriptExecutor::vacant(bool once) {
  std::vector<NodeProcess*>& idle = once ? idle_once_ : idle_shared_;
  if (!idle.empty()) {
    NodeProcess* process = once ? idle.front() : idle.back();  // started longest ago; used last
    idle.erase(once ? idle.begin() : idle.end() - 1);
    return process;
  }
  if (!once && shared_ >= slots_) return Error{Code::kConflict, "all processes are busy", {}, ""};
  return fresh(once);
}

void JavascriptExecutor::seat(NodeProcess& process, const AttemptId& attempt) {
  Job& job = jobs_.find(attempt)->second;
  job.process = &process;
  seats_.find(&process)->second.attempt = attempt;
  process.send(std::exchange(job.request, {}));
}

void JavascriptExecutor::keep_standbys() {
  const auto wanted = static_cast<std::size_t>(std::min(slots_, kStandbyMax));
  while (idle_once_.size() < wanted) {
    Result<NodeProcess*> process = fresh(true);
    if (!process.ok()) return;  // the task that needs it will say why
    idle_once_.push_back(*process);
  }
}

void JavascriptExecutor::seat_waiting() {
  while (!waiting_.empty()) {
    Result<NodeProcess*> process = vacant(false);
    if (!process.ok() && process.error().code == Code::kConflict) return;
    const AttemptId attempt = waiting_.front();
    waiting_.pop_front();
    if (process.ok()) seat(**process, attempt);
    else finish(attempt, failed(Reason::kRefused, process.error().what));
  }
}

// Takes a process out of service; it and what it left behind are killed.
void JavascriptExecutor::dismiss(NodeProcess& process) {
  Seat& seat = seats_.find(&process)->second;
  if (seat.leaving) return;
  seat.leaving = true;
  if (!process.once()) --shared_;
  for (std::vector<NodeProcess*>* idle : {&idle_once_, &idle_shared_}) std::erase(*idle, &process);
  process.kill_now();
  if (seat.place.user().alone) kill_user(seat.place.user().uid);  // also what has left its group
}

// The last thing a caller does: the observer may start and kill tasks.
void JavascriptExecutor::finish(AttemptId attempt, Outcome outcome) {
  auto found = jobs_.find(attempt);
  if (found->second.why_killed != Reason::kNone) outcome = killed(found->second.why_killed);
  else outcome = within_output(found->second.terms.limits, std::move(outcome));
  outcome.ran = since(found->second.started_us);
  jobs_.erase(found);
  observer_.on_done(attempt, std::move(outcome));
}

void JavascriptExecutor::on_log(NodeProcess& from, LogStream stream, std::string_view bytes) {
  const Seat& seat = seats_.find(&from)->second;
  if (seat.attempt) observer_.on_log(*seat.attempt, stream, bytes);
}

void JavascriptExecutor::on_reply(NodeProcess& from, PythonReply reply) {
  Seat& seat = seats_.find(&from)->second;
  const std::optional<AttemptId> attempt = std::exchange(seat.attempt, std::nullopt);
  const bool was_killed = attempt && jobs_.find(*attempt)->second.why_killed != Reason::kNone;
  if (!attempt || reply.retire || was_killed) dismiss(from);
  else idle_shared_.push_back(&from);
  seat_waiting();
  if (!attempt) return;
  const Duration whole = since(jobs_.find(*attempt)->second.started_us);
  if (reply.ran > Duration::zero()) counts_.start_up.add(whole - reply.ran);
  Outcome outcome = outcome_of(std::move(reply));
  if (!outcome.success) {
    const std::string said = outcome.error.message + outcome.error.traceback;
    outcome = with_limit(jobs_.find(*attempt)->second.terms, 0, said, std::move(outcome));
  }
  finish(*attempt, std::move(outcome));
}

void JavascriptExecutor::on_gone(NodeProcess& from, int wait_status) {
  auto found = seats_.find(&from);
  if (!found->second.leaving && !found->second.attempt) ++counts_.restarts;  // one that stood by
  dismiss(from);
  const std::optional<AttemptId> attempt = found->second.attempt;
  const std::unique_ptr<NodeProcess> process = std::move(found->second.process);  // goes last
  const TaskSeat place = std::move(found->second.place);
  if (place.user().alone && wait_status != 0) kill_user(place.user().uid);  // at once, however many they are
  seats_.erase(found);
  seat_waiting();
  if (attempt) finish(*attempt, crashed(wait_status, jobs_.find(*attempt)->second.terms));
}

}  // namespace

std::unique_ptr<Executor> make_javascript_executor(const ExecutorOptions& options, Housing& housing, Reactor& reactor,
                                                   TaskObserver& observer, ExecutorCounts& counts) {
  const Environment environment = worker_environment();
  if (find_program_for(housing.users().shared(), options.node, lookup(environment, "PATH")).empty()) return nullptr;
  return std::make_unique<JavascriptExecutor>(options, housing, reactor, observer, counts);
}

}  // namespace millrace
