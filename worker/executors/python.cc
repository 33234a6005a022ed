#include "worker/executors/python.h"

#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <deque>
#include <map>
#include <optional>

#include "worker/executors/interpreter.h"
#include "worker/executors/task_support.h"
#include "worker/executors/zygote.h"

namespace millrace {
namespace {

constexpr int kStandbyMax = 4;
constexpr Duration kDeathNoticeMax = 200ms;  // from the end of an interpreter's channel to the news of its death

class PythonExecutor final : public Executor, Zygote::Listener, Interpreter::Listener {
 public:
  PythonExecutor(const ExecutorOptions& options, std::string work_dir, Reactor& reactor, TaskObserver& observer)
      : python_(options.python),
        slots_(std::max(1, options.slots)),
        work_dir_(std::move(work_dir)),
        reactor_(reactor),
        observer_(observer) {
    if (options.warm) static_cast<void>(wake());  // a failure shows with the first task
  }
  ~PythonExecutor() override;

  void start(TaskContext task) override;
  void kill(const AttemptId& attempt, Reason why) override;

 private:
  struct Job {
    std::string request;                       // until it is sent
    std::optional<InterpreterId> interpreter;  // empty: waits for one
    Reason why_killed = Reason::kNone;
    std::optional<TimerId> kill_timer;
    std::int64_t started_us = steady_us();
  };
  struct Seat {
    std::unique_ptr<Interpreter> interpreter;
    std::optional<AttemptId> attempt;  // empty: idle
    std::optional<TimerId> death_timer;
  };

  // Of the zygote
  void on_forked(InterpreterId, pid_t) override {}
  void on_fork_failed(InterpreterId id, const std::string& why) override;
  void on_died(InterpreterId id, int wait_status) override;
  void on_gone(const std::string& why, bool started) override;
  // Of the interpreters
  void on_log(InterpreterId id, LogStream stream, std::string_view bytes) override;
  void on_reply(InterpreterId id, PythonReply reply) override;
  void on_hangup(InterpreterId id) override;

  Status wake();
  Result<InterpreterId> fork(bool once);
  Result<InterpreterId> vacant(bool once);
  bool room_for_another() const { return persistent_ < slots_; }
  void seat(InterpreterId id, const AttemptId& attempt);
  void keep_standbys();
  void seat_waiting();
  void dismiss(InterpreterId id);
  std::optional<AttemptId> vacate(InterpreterId id);
  void finish(AttemptId attempt, Outcome outcome);

  std::string python_;
  int slots_;
  std::string work_dir_;
  Reactor& reactor_;
  TaskObserver& observer_;
  std::unique_ptr<Zygote> zygote_;
  std::uint64_t interpreters_made_ = 0;
  int persistent_ = 0;  // seats with isolation none
  std::map<InterpreterId, Seat> seats_;
  std::vector<InterpreterId> idle_once_, idle_persistent_;
  std::map<AttemptId, Job> jobs_;
  std::deque<AttemptId> waiting_;  // isolation none, all interpreters busy
};

std::string first_problem(const TaskContext& task) {
  const Value* script = task.fields.find("script");
  if (script == nullptr || !script->is_string()) return "`script` must be text";
  for (std::string problem : {check_string(task, "isolation"), check_string(task, "cwd"), check_environment(task)}) {
    if (!problem.empty()) return problem;
  }
  std::string isolation = string_field(task, "isolation");
  if (!isolation.empty() && isolation != "process" && isolation != "none") {
    return "`isolation` is \"" + isolation + "\"; expected process or none";
  }
  return {};
}

Outcome outcome_of(PythonReply reply) {
  switch (reply.kind) {
    case PythonReply::Kind::kOk: {
      Outcome outcome;
      outcome.success = true;
      outcome.output = Payload::inline_json(std::move(reply.output));
      return outcome;
    }
    case PythonReply::Kind::kError: return failed(Reason::kError, std::move(reply.message), std::move(reply.traceback));
    case PythonReply::Kind::kInvalidOutput: return failed(Reason::kInvalidOutput, std::move(reply.message));
    case PythonReply::Kind::kOutOfMemory:
      return failed(Reason::kOutOfMemory, std::move(reply.message), std::move(reply.traceback));
  }
  return failed(Reason::kError, "unknown kind of reply");
}

Outcome crashed(int wait_status) {
  if (WIFSIGNALED(wait_status)) return failed(Reason::kCrashed, describe_signal(WTERMSIG(wait_status)));
  return failed(Reason::kCrashed, "the interpreter exited with code " + std::to_string(WEXITSTATUS(wait_status)) +
                                      " before the task had ended");
}

PythonExecutor::~PythonExecutor() {
  for (auto& [attempt, job] : jobs_) {
    if (job.kill_timer) reactor_.cancel(*job.kill_timer);
  }
  for (auto& [id, seat] : seats_) {
    if (seat.death_timer) reactor_.cancel(*seat.death_timer);
  }
  seats_.clear();
}

void PythonExecutor::start(TaskContext task) {
  std::string problem = first_problem(task);
  if (!problem.empty()) {
    observer_.on_done(task.attempt, failed(Reason::kInvalidInput, std::move(problem)));
    return;
  }
  bool once = string_field(task, "isolation") != "none";
  Status awake = wake();
  Result<InterpreterId> id = awake ? vacant(once) : Result<InterpreterId>(awake.error());
  if (!id && id.error().code != Code::kConflict) {
    observer_.on_done(task.attempt, failed(Reason::kRefused, id.error().what));
    return;
  }
  Job& job = jobs_[task.attempt];
  job.request = python_request(task);
  if (!id) {
    waiting_.push_back(task.attempt);
    return;
  }
  seat(*id, task.attempt);
  if (once) keep_standbys();
}

void PythonExecutor::kill(const AttemptId& attempt, Reason why) {
  auto found = jobs_.find(attempt);
  if (found == jobs_.end() || found->second.why_killed != Reason::kNone) return;
  Job& job = found->second;
  job.why_killed = why;
  auto queued = std::find(waiting_.begin(), waiting_.end(), attempt);
  if (queued != waiting_.end()) {
    waiting_.erase(queued);
    finish(attempt, killed(why));
    return;
  }
  if (!zygote_) return;  // it died, and the task's end is on its way
  InterpreterId id = *job.interpreter;
  zygote_->signal(id, SIGTERM);
  job.kill_timer = reactor_.after(kKillGrace, [this, id] {
    if (zygote_) zygote_->signal(id, SIGKILL);
  });
}

Status PythonExecutor::wake() {
  if (zygote_) return Done{};
  Result<std::unique_ptr<Zygote>> zygote = Zygote::start(python_, work_dir_, reactor_, *this);
  if (!zygote) return zygote.error();
  zygote_ = std::move(*zygote);
  return Done{};
}

Result<InterpreterId> PythonExecutor::fork(bool once) {
  InterpreterId id{++interpreters_made_};
  Result<std::unique_ptr<Interpreter>> interpreter = Interpreter::fork(*zygote_, id, once, reactor_, *this);
  if (!interpreter) return interpreter.error();
  seats_[id].interpreter = std::move(*interpreter);
  if (!once) ++persistent_;
  return id;
}

// An interpreter without a task; kConflict: all are busy, one will be free.
Result<InterpreterId> PythonExecutor::vacant(bool once) {
  std::vector<InterpreterId>& idle = once ? idle_once_ : idle_persistent_;
  if (!idle.empty()) {
    InterpreterId id = once ? idle.front() : idle.back();  // forked longest ago; used last
    idle.erase(once ? idle.begin() : idle.end() - 1);
    return id;
  }
  if (!once && !room_for_another()) return Error{Code::kConflict, "all interpreters are busy", {}, ""};
  return fork(once);
}

void PythonExecutor::seat(InterpreterId id, const AttemptId& attempt) {
  Job& job = jobs_.find(attempt)->second;
  job.interpreter = id;
  Seat& seat = seats_.find(id)->second;
  seat.attempt = attempt;
  seat.interpreter->send(std::exchange(job.request, {}));
}

// Forked while their predecessors work, so that a task finds its process ready.
void PythonExecutor::keep_standbys() {
  auto wanted = static_cast<std::size_t>(std::min(slots_, kStandbyMax));
  while (idle_once_.size() < wanted) {
    Result<InterpreterId> id = fork(true);
    if (!id) return;  // the task that needs it will say why
    idle_once_.push_back(*id);
  }
}

// The next tasks that wait for a persistent interpreter, as far as there are any.
void PythonExecutor::seat_waiting() {
  while (!waiting_.empty()) {
    Status awake = wake();
    Result<InterpreterId> id = awake ? vacant(false) : Result<InterpreterId>(awake.error());
    if (!id && id.error().code == Code::kConflict) return;
    AttemptId attempt = waiting_.front();
    waiting_.pop_front();
    if (id) seat(*id, attempt);
    else finish(attempt, failed(Reason::kRefused, id.error().what));
  }
}

// Takes an interpreter out of service; what its process left behind is killed.
void PythonExecutor::dismiss(InterpreterId id) {
  auto found = seats_.find(id);
  if (found == seats_.end()) return;
  if (found->second.death_timer) reactor_.cancel(*found->second.death_timer);
  bool once = found->second.interpreter->once();
  if (!once) --persistent_;
  std::vector<InterpreterId>& idle = once ? idle_once_ : idle_persistent_;
  idle.erase(std::remove(idle.begin(), idle.end(), id), idle.end());
  if (zygote_) zygote_->give_up(id);
  seats_.erase(found);
}

std::optional<AttemptId> PythonExecutor::vacate(InterpreterId id) {
  std::optional<AttemptId> attempt = seats_.find(id)->second.attempt;
  seats_.find(id)->second.attempt.reset();
  return attempt;
}

// The last thing a caller does: the observer may start and kill tasks.
void PythonExecutor::finish(AttemptId attempt, Outcome outcome) {
  auto found = jobs_.find(attempt);
  if (found->second.kill_timer) reactor_.cancel(*found->second.kill_timer);
  if (found->second.why_killed != Reason::kNone) outcome = killed(found->second.why_killed);
  outcome.ran = since(found->second.started_us);
  jobs_.erase(found);
  observer_.on_done(attempt, std::move(outcome));
}

void PythonExecutor::on_log(InterpreterId id, LogStream stream, std::string_view bytes) {
  auto found = seats_.find(id);
  if (found != seats_.end() && found->second.attempt) observer_.on_log(*found->second.attempt, stream, bytes);
}

void PythonExecutor::on_reply(InterpreterId id, PythonReply reply) {
  std::optional<AttemptId> attempt = vacate(id);
  bool was_killed = attempt && jobs_.find(*attempt)->second.why_killed != Reason::kNone;
  if (!attempt || reply.retire || was_killed) dismiss(id);
  else idle_persistent_.push_back(id);
  seat_waiting();
  if (attempt) finish(*attempt, outcome_of(std::move(reply)));
}

// Its process is dying, and on_died() will say of what; or the task has closed our descriptor, and has to die.
void PythonExecutor::on_hangup(InterpreterId id) {
  auto found = seats_.find(id);
  if (found == seats_.end() || found->second.death_timer) return;
  found->second.death_timer = reactor_.after(kDeathNoticeMax, [this, id] {
    if (zygote_) zygote_->signal(id, SIGKILL);
  });
}

void PythonExecutor::on_died(InterpreterId id, int wait_status) {
  auto found = seats_.find(id);
  if (found == seats_.end()) return;
  found->second.interpreter->finish_reading();  // a reply may have been overtaken by the death
  if (seats_.count(id) == 0) return;
  std::optional<AttemptId> attempt = vacate(id);
  dismiss(id);
  seat_waiting();
  if (attempt) finish(*attempt, crashed(wait_status));
}

void PythonExecutor::on_fork_failed(InterpreterId id, const std::string& why) {
  if (seats_.count(id) == 0) return;
  std::optional<AttemptId> attempt = vacate(id);
  dismiss(id);
  seat_waiting();
  if (attempt) finish(*attempt, failed(Reason::kRefused, "cannot fork a python process: " + why));
}

void PythonExecutor::on_gone(const std::string& why, bool started) {
  std::vector<AttemptId> lost;
  for (const auto& [id, seat] : seats_) {
    if (seat.attempt) lost.push_back(*seat.attempt);
  }
  zygote_.reset();
  while (!seats_.empty()) dismiss(seats_.begin()->first);
  if (!started) {  // another one would not start either
    lost.insert(lost.end(), waiting_.begin(), waiting_.end());
    waiting_.clear();
  }
  Reason reason = started ? Reason::kCrashed : Reason::kRefused;
  for (const AttemptId& attempt : lost) finish(attempt, failed(reason, why));
  seat_waiting();
}

}  // namespace

std::unique_ptr<Executor> make_python_executor(const ExecutorOptions& options, std::string work_dir, Reactor& reactor,
                                               TaskObserver& observer) {
  return std::make_unique<PythonExecutor>(options, std::move(work_dir), reactor, observer);
}

}  // namespace millrace
