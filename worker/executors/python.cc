#include "worker/executors/python.h"

#include <sys/wait.h>

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <deque>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "common/model/composed.h"
#include "common/model/field_checks.h"
#include "worker/executors/environments.h"
#include "worker/executors/interpreter.h"
#include "worker/executors/spoken.h"
#include "worker/executors/task_support.h"
#include "worker/executors/zygote.h"

namespace millrace {
namespace {

constexpr int kStandbyMax = 4;
constexpr Duration kDeathNoticeMax = 200ms;  // from the end of an interpreter's channel to the news of its death

// What a task may ask for: the parts of the lists that it was given.
class ListParts {
 public:
  ListParts() = default;
  explicit ListParts(const TaskContext& task) {
    for (const auto& [id, text] : task.nodes) {
      if (text != nullptr && is_composed(*text)) lists_.push_back(text);
    }
  }
  bool has(const Hash128& hash) {
    for (const auto& list : std::exchange(lists_, {})) {
      const Result<Composed> what = Composed::parse(*list);
      if (!what.ok()) continue;
      for (const Hash128& name : what->names()) names_.insert(name);
    }
    return names_.contains(hash);
  }

 private:
  std::vector<std::shared_ptr<const std::string>> lists_;  // until it asks
  std::set<Hash128> names_;
};

class PythonExecutor final : public Executor, Zygote::Listener, Interpreter::Listener {
 public:
  PythonExecutor(const ExecutorOptions& options, Zygote::For whom, bool late_packages, Housing& housing,
                 Reactor& reactor, TaskObserver& observer, ExecutorCounts& counts)
      : python_(options.python),
        whom_(whom),
        late_packages_(late_packages),
        slots_(std::max(1, options.slots)),
        secrets_(options.secrets),
        housing_(housing),
        reactor_(reactor),
        observer_(observer),
        counts_(counts) {
    if (options.warm) static_cast<void>(wake());  // a failure shows with the first task
  }
  ~PythonExecutor() override;

  void start(TaskContext task) override;
  void kill(const AttemptId& attempt, Reason why) override;
  bool has_tasks() const { return !jobs_.empty(); }

 private:
  struct Job {
    std::string request;                       // until it is sent
    std::optional<InterpreterId> interpreter;  // empty: waits for one
    Reason why_killed = Reason::kNone;
    std::string problem = {};  // why it could not begin
    std::optional<TimerId> kill_timer;
    Terms terms = {};
    TaskSeat place = {};  // in namespaces, where its interpreter has none
    ListParts lists = {};
    std::int64_t started_us = steady_us();
  };
  struct Seat {
    std::unique_ptr<Interpreter> interpreter;
    std::optional<AttemptId> attempt;  // empty: idle
    TaskSeat place = {};               // of one that serves a single task
    pid_t pid = 0;                     // 0: it is being forked
    std::optional<TimerId> death_timer;
  };

  // Of the zygote
  void on_forked(InterpreterId id, pid_t pid) override;
  void on_fork_failed(InterpreterId id, const std::string& why) override;
  void on_died(InterpreterId id, int wait_status) override;
  void on_gone(const std::string& why, bool started) override;
  // Of the interpreters
  void on_log(InterpreterId id, LogStream stream, std::string_view bytes) override;
  void on_reply(InterpreterId id, PythonReply reply) override;
  void on_said(InterpreterId id, PythonReply said) override;
  void on_hangup(InterpreterId id) override;

  void give_part(InterpreterId id, std::string_view name);
  Status wake();
  Result<InterpreterId> fork(bool once);
  Result<InterpreterId> vacant(bool once);
  bool room_for_another() const { return persistent_ < slots_; }
  void seat(InterpreterId id, const AttemptId& attempt);
  void send(InterpreterId id, Job& job);
  void keep_standbys();
  void seat_waiting();
  void dismiss(InterpreterId id, bool unclean);
  std::optional<AttemptId> vacate(InterpreterId id);
  void finish(AttemptId attempt, Outcome outcome);

  std::string python_;
  Zygote::For whom_;
  bool late_packages_;
  int slots_;
  Secrets secrets_;
  Housing& housing_;
  Reactor& reactor_;
  TaskObserver& observer_;
  ExecutorCounts& counts_;
  std::unique_ptr<Zygote> zygote_;
  bool had_zygote_ = false;
  std::uint64_t interpreters_made_ = 0;
  int persistent_ = 0;  // seats with isolation none
  std::map<InterpreterId, Seat> seats_;
  std::vector<InterpreterId> idle_once_, idle_persistent_;
  std::map<AttemptId, Job> jobs_;
  std::deque<AttemptId> waiting_;  // isolation none, all interpreters busy
};

std::string first_problem(const TaskContext& task) {
  for (std::string problem : {check_string(task, "script"), check_string(task, "function"),
                              check_string(task, "isolation"), check_string(task, "cwd"), check_environment(task)}) {
    if (!problem.empty()) return problem;
  }
  const bool has_function = !string_field(task, "function").empty();
  if (!has_function && task.fields.find("script") == nullptr) return "`script` must be text";
  if (has_function && string_field(task, "function").find(':') == std::string::npos)
    return "`function` is \"" + string_field(task, "function") + "\"; expected module:function";
  const Value* limits = task.fields.find("limits");
  if (limits != nullptr && !limits->is_null() && string_field(task, "isolation") == "none")
    return "`limits` need a process of the task's own";
  return {};
}

Outcome crashed(int wait_status, const Terms& terms) {
  if (WIFSIGNALED(wait_status)) {
    const int number = WTERMSIG(wait_status);
    return with_limit(terms, number, {}, failed(Reason::kCrashed, describe_signal(number)));
  }
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
  Result<Terms> terms = housing_.terms(task);
  if (!terms.ok()) return observer_.on_done(task.attempt, not_started(terms.error()));
  const bool once = !housing_.may_share(*terms);
  Status awake = wake();
  const bool stood_by = !(once ? idle_once_ : idle_persistent_).empty();
  Result<InterpreterId> id = awake ? vacant(once) : Result<InterpreterId>(awake.error());
  if (!id && id.error().code != Code::kConflict) {
    observer_.on_done(task.attempt, failed(Reason::kRefused, id.error().what));
    return;
  }
  const bool ready = stood_by && id && seats_.find(*id)->second.pid != 0;
  ++(ready ? counts_.hits : counts_.misses);
  Job& job = jobs_[task.attempt];
  job.lists = ListParts(task);
  if (once) {
    job.terms = std::move(*terms);
    const TaskSeat& place = seats_.find(*id)->second.place;
    if (job.terms.tier == Isolation::kNamespaces && place.place() < 0) job.place = housing_.users().take(true);
    const std::string& directory = job.place.place() < 0 ? place.directory() : job.place.directory();
    const Confinement confinement = housing_.confinement(task, job.terms, place.user(), directory);
    job.request = python_request(task, &confinement);
  } else {
    job.request = python_request(task, nullptr);
  }
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
  Result<std::unique_ptr<Zygote>> zygote = Zygote::start(python_, whom_, late_packages_, housing_, reactor_, *this);
  if (!zygote) return zygote.error();
  zygote_ = std::move(*zygote);
  ++counts_.starts;
  if (std::exchange(had_zygote_, true)) ++counts_.restarts;
  return Done{};
}

Result<InterpreterId> PythonExecutor::fork(bool once) {
  InterpreterId id{++interpreters_made_};
  TaskSeat place;
  if (once) place = housing_.users().take(false);
  const Zygote::Fork fork{id, once, once ? place.user() : housing_.users().shared(), place.place()};
  Result<std::unique_ptr<Interpreter>> interpreter = Interpreter::fork(*zygote_, fork, reactor_, *this);
  if (!interpreter) return interpreter.error();
  Seat& seat = seats_[id];
  seat.interpreter = std::move(*interpreter);
  seat.place = std::move(place);
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
  send(id, job);
}

// What is done to the process from outside has to be done before.
void PythonExecutor::send(InterpreterId id, Job& job) {
  const Seat& seat = seats_.find(id)->second;
  if (seat.pid == 0) return;  // on_forked() sends it
  if (Status placed = place_process(job.terms, seat.pid); !placed.ok()) {
    job.problem = placed.error().what;
    zygote_->signal(id, SIGKILL);
    return;
  }
  seat.interpreter->send(std::exchange(job.request, {}));
}

void PythonExecutor::on_forked(InterpreterId id, pid_t pid) {
  const auto found = seats_.find(id);
  if (found == seats_.end()) return;
  found->second.pid = pid;
  let_die_first(pid);
  if (!found->second.attempt) return;
  Job& job = jobs_.find(*found->second.attempt)->second;
  if (!job.request.empty()) send(id, job);
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
void PythonExecutor::dismiss(InterpreterId id, bool unclean) {
  auto found = seats_.find(id);
  if (found == seats_.end()) return;
  if (found->second.death_timer) reactor_.cancel(*found->second.death_timer);
  bool once = found->second.interpreter->once();
  if (!once) --persistent_;
  std::vector<InterpreterId>& idle = once ? idle_once_ : idle_persistent_;
  idle.erase(std::remove(idle.begin(), idle.end(), id), idle.end());
  if (zygote_) zygote_->give_up(id);
  const TaskUser& user = found->second.place.user();
  if (user.alone && unclean) kill_user(user.uid);  // at once, however many they are
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
  else if (!found->second.problem.empty()) outcome = failed(Reason::kRefused, found->second.problem);
  else outcome = within_output(found->second.terms.limits, std::move(outcome));
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
  if (!attempt || reply.retire || was_killed) dismiss(id, was_killed);
  else idle_persistent_.push_back(id);
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

// By the module `millrace`.
void PythonExecutor::on_said(InterpreterId id, PythonReply said) {
  if (said.kind == PythonReply::Kind::kPart) return give_part(id, said.message);
  const Seat& seat = seats_.find(id)->second;
  take_spoken(seat.attempt, said, secrets_, observer_,
              [&](std::string_view text, bool good) { seat.interpreter->answer(text, good); });
}

void PythonExecutor::give_part(InterpreterId id, std::string_view name) {
  Seat& seat = seats_.find(id)->second;
  const std::optional<Hash128> hash = parse_hash128(name);
  if (!seat.attempt || !hash || !jobs_.find(*seat.attempt)->second.lists.has(*hash))
    return seat.interpreter->answer("it is no part of a list that the task can see", false);
  const AttemptId attempt = *seat.attempt;
  observer_.on_value_wanted(attempt, *hash, [this, id, attempt](const std::shared_ptr<const std::string>& part) {
    const auto found = seats_.find(id);
    if (found == seats_.end() || found->second.attempt != attempt) return;
    found->second.interpreter->answer(part != nullptr ? std::string_view(*part) : "a part of the list is gone",
                                      part != nullptr);
  });
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
  dismiss(id, true);
  seat_waiting();
  if (attempt) finish(*attempt, crashed(wait_status, jobs_.find(*attempt)->second.terms));
}

void PythonExecutor::on_fork_failed(InterpreterId id, const std::string& why) {
  if (seats_.count(id) == 0) return;
  std::optional<AttemptId> attempt = vacate(id);
  dismiss(id, false);
  seat_waiting();
  if (attempt) finish(*attempt, failed(Reason::kRefused, "cannot fork a python process: " + why));
}

void PythonExecutor::on_gone(const std::string& why, bool started) {
  std::vector<AttemptId> lost;
  for (const auto& [id, seat] : seats_) {
    if (seat.attempt) lost.push_back(*seat.attempt);
  }
  zygote_.reset();
  while (!seats_.empty()) dismiss(seats_.begin()->first, true);
  if (!started) {  // another one would not start either
    lost.insert(lost.end(), waiting_.begin(), waiting_.end());
    waiting_.clear();
  }
  Reason reason = started ? Reason::kCrashed : Reason::kRefused;
  for (const AttemptId& attempt : lost) finish(attempt, failed(reason, why));
  seat_waiting();
}

Result<RequirementSet> requirements_of(const Value& field) {
  if (!field.is_string()) return read_requirements(field);
  const std::string& path = field.as_string();
  std::ifstream in(path, std::ios::binary);
  if (!in) return Error{Code::kInvalid, path + " cannot be read", {}, "requirements"};
  std::string text(kRequirementsBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return parse_requirements_file(text, path);
}

Outcome not_installed(const Error& error) {
  const Reason reason = error.code == Code::kFailed ? Reason::kError : Reason::kRefused;
  return failed(reason, error.what, error.details.empty() ? std::string() : error.details[0].message);
}

// One interpreter's two kinds of tasks: those that are confined alike, and those that are not.
class PythonPair final : public Executor {
 public:
  PythonPair(const ExecutorOptions& options, bool late_packages, Housing& housing, Reactor& reactor,
             TaskObserver& observer, ExecutorCounts& counts)
      : housing_(housing),
        confined_(options, Zygote::For::kConfined, late_packages, housing, reactor, observer, counts),
        others_(cold(options), Zygote::For::kOthers, late_packages, housing, reactor, observer, counts) {}

  void start(TaskContext task) override { (housing_.is_confined(task) ? confined_ : others_).start(std::move(task)); }
  void kill(const AttemptId& attempt, Reason why) override {  // who does not know it ignores it
    confined_.kill(attempt, why);
    others_.kill(attempt, why);
  }
  bool has_tasks() const { return confined_.has_tasks() || others_.has_tasks(); }

 private:
  static ExecutorOptions cold(ExecutorOptions options) {
    options.warm = false;
    return options;
  }

  Housing& housing_;
  PythonExecutor confined_, others_;
};

// An executor for each interpreter that tasks have asked for: the worker's own, those of virtual environments, and
// those of environments that are made for a set of requirements.
class PythonExecutors final : public Executor {
 public:
  PythonExecutors(ExecutorOptions options, Housing& housing, Reactor& reactor, TaskObserver& observer,
                  ExecutorCounts& counts)
      : options_(std::move(options)),
        housing_(housing),
        reactor_(reactor),
        observer_(observer),
        counts_(counts),
        own_(options_, false, housing_, reactor_, observer_, counts_),
        environments_(options_.requirements, options_.python, housing_, reactor_) {
    options_.warm = false;
  }

  void start(TaskContext task) override {
    if (Status loaded = unpack_file(task); !loaded.ok())
      return observer_.on_done(task.attempt, failed(Reason::kInvalidInput, loaded.error().what));
    if (std::string problem = check_string(task, "venv"); !problem.empty())
      return observer_.on_done(task.attempt, failed(Reason::kInvalidInput, std::move(problem)));
    const Value* requirements = task.fields.find("requirements");
    if (requirements != nullptr && !requirements->is_null()) return install(std::move(task), *requirements);
    start_in(std::move(task), false);
  }

  // Those that do not know the attempt ignore it.
  void kill(const AttemptId& attempt, Reason why) override {
    if (installing_.erase(attempt) > 0) {
      environments_.forget(attempt);
      return observer_.on_done(attempt, killed(why));
    }
    own_.kill(attempt, why);
    for (auto& [python, other] : others_) other.executor->kill(attempt, why);
  }

 private:
  static constexpr std::size_t kVenvsMax = 16;
  struct Other {
    std::unique_ptr<PythonPair> executor;
    std::uint64_t used = 0;  // counts up
  };

  // The task waits until its environment is there; then it is one with that `venv`.
  void install(TaskContext&& task, const Value& requirements) {
    const AttemptId attempt = task.attempt;
    Result<RequirementSet> set = requirements_of(requirements);
    if (set.ok() && !string_field(task, "venv").empty())
      set = Error{Code::kInvalid, "they stand beside `venv`; expected one of them", {}, ""};
    if (!set.ok())
      return observer_.on_done(attempt, failed(Reason::kInvalidInput, "`requirements`: " + set.error().what));
    installing_.emplace(attempt, std::move(task));
    environments_.want(*set, attempt, [this, attempt](Result<std::string> directory) {
      auto waits = installing_.extract(attempt);
      if (waits.empty()) return;  // killed by what another's answer led to
      if (!directory.ok()) return observer_.on_done(attempt, not_installed(directory.error()));
      waits.mapped().fields.set("venv", std::move(*directory));
      start_in(std::move(waits.mapped()), true);
    });
  }

  void start_in(TaskContext task, bool installed) {
    const std::string venv = string_field(task, "venv");
    if (venv.empty()) return own_.start(std::move(task));
    const std::string python = venv + "/bin/python";
    if (access(python.c_str(), X_OK) != 0) {
      return observer_.on_done(
          task.attempt, failed(Reason::kRefused,
                               "`venv` " + venv + " is no virtual environment of this worker: there is no " + python));
    }
    auto found = others_.find(python);
    if (found == others_.end()) {
      if (!make_room())
        return observer_.on_done(task.attempt,
                                 failed(Reason::kRefused, "this worker serves 16 virtual environments already"));
      options_.python = python;
      Other other{std::make_unique<PythonPair>(options_, installed, housing_, reactor_, observer_, counts_), 0};
      found = others_.emplace(python, std::move(other)).first;
    }
    found->second.used = ++uses_;
    found->second.executor->start(std::move(task));
  }

  // Ends the interpreters of the one that nobody has used for longest. False: all have tasks.
  bool make_room() {
    if (others_.size() < kVenvsMax) return true;
    auto oldest = others_.end();
    for (auto it = others_.begin(); it != others_.end(); ++it) {
      const bool idle = !it->second.executor->has_tasks();
      if (idle && (oldest == others_.end() || it->second.used < oldest->second.used)) oldest = it;
    }
    if (oldest == others_.end()) return false;
    others_.erase(oldest);
    return true;
  }

  ExecutorOptions options_;
  Housing& housing_;
  Reactor& reactor_;
  TaskObserver& observer_;
  ExecutorCounts& counts_;
  PythonPair own_;
  std::map<std::string, Other> others_;  // by interpreter
  std::uint64_t uses_ = 0;
  std::map<AttemptId, TaskContext> installing_;
  PythonEnvironments environments_;
};

}  // namespace

std::unique_ptr<Executor> make_python_executor(const ExecutorOptions& options, Housing& housing, Reactor& reactor,
                                               TaskObserver& observer, ExecutorCounts& counts) {
  return std::make_unique<PythonExecutors>(options, housing, reactor, observer, counts);
}

}  // namespace millrace
