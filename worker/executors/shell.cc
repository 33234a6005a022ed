#include "worker/executors/shell.h"

#include <sys/wait.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <optional>

#include "common/model/shell_fields.h"
#include "worker/executors/process.h"
#include "worker/executors/task_support.h"

namespace millrace {
namespace {

constexpr int kEngineRefused = 125;  // a container engine: it could not run the container, 126 or 127: not the program
constexpr int kEngineRefusedLast = 127;
constexpr int kSignalledBase = 128;  // as shells count: killed by signal 9 is exit code 137

class ShellExecutor;

class ShellTask final : public Process::Listener {
 public:
  ShellTask(ShellExecutor& owner, AttemptId attempt) : owner_(owner), attempt_(attempt) {}

  ~ShellTask() override;

  Status start(Reactor& reactor, const TaskContext& task, const std::string& work_dir, const std::string& engine,
               Housing* housing);
  void kill(Reason why);
  void on_output(LogStream stream, std::string_view bytes) override;
  void on_exit(int wait_status) override;

 private:
  Outcome outcome(int wait_status) const;
  Payload output(int exit_code) const;
  Result<Payload> chosen_output() const;

  ShellExecutor& owner_;
  AttemptId attempt_;
  std::unique_ptr<Process> process_;
  std::string stdout_, stderr_;
  Reason why_killed_ = Reason::kNone;
  ExitCodes exit_codes_;
  Terms terms_;
  TaskSeat seat_;
  ShellOutputs outputs_ = ShellOutputs::kAll;
  std::string output_file_;  // of `outputs: file`
  std::string container_;    // its name; empty: none
  std::int64_t started_us_ = steady_us();
};

// Makes an engine forget a container whose task was killed: its command line cannot kill what runs elsewhere.
class Removal final : public Process::Listener {
 public:
  static void start(Reactor& reactor, const std::string& engine, const std::string& container, const std::string& cwd,
                    std::map<std::string, std::unique_ptr<Removal>>& removals) {
    Environment environment = worker_environment();
    SpawnSpec spec;
    spec.argv = {engine, "rm", "-f", container};
    spec.path = std::string(lookup(environment, "PATH"));
    spec.env = to_strings(environment);
    spec.cwd = cwd;
    std::unique_ptr<Removal> removal(new Removal(container, removals));
    Result<std::unique_ptr<Process>> process = Process::start(reactor, *removal, std::move(spec), {});
    if (!process) return;
    removal->process_ = std::move(*process);
    removals[container] = std::move(removal);
  }
  void on_output(LogStream, std::string_view) override {}
  void on_exit(int) override { removals_.erase(std::string(container_)); }  // destroys this

 private:
  Removal(std::string container, std::map<std::string, std::unique_ptr<Removal>>& removals)
      : container_(std::move(container)), removals_(removals) {}
  std::string container_;
  std::map<std::string, std::unique_ptr<Removal>>& removals_;
  std::unique_ptr<Process> process_;
};

class ShellExecutor final : public Executor {
 public:
  // Without a housing: in containers.
  ShellExecutor(Housing* housing, std::string work_dir, Reactor& reactor, TaskObserver& observer,
                ExecutorCounts* counts)
      : housing_(housing), work_dir_(std::move(work_dir)), reactor_(reactor), observer_(observer), counts_(counts) {}

  void start(TaskContext task) override;
  void kill(const AttemptId& attempt, Reason why) override {
    auto found = tasks_.find(attempt);
    if (found != tasks_.end()) found->second->kill(why);
  }

  void log(const AttemptId& attempt, LogStream stream, std::string_view bytes) {
    observer_.on_log(attempt, stream, bytes);
  }
  void finish(AttemptId attempt, Outcome outcome) {
    tasks_.erase(attempt);
    observer_.on_done(attempt, std::move(outcome));
  }
  void remove(const std::string& container) { Removal::start(reactor_, engine_, container, work_dir_, removals_); }

 private:
  Status find_engine();

  Housing* housing_;
  std::string engine_;  // docker or podman, once it was found
  std::string work_dir_;
  Reactor& reactor_;
  TaskObserver& observer_;
  ExecutorCounts* counts_;  // null: nobody asks
  std::map<std::string, std::unique_ptr<Removal>> removals_;
  std::map<AttemptId, std::unique_ptr<ShellTask>> tasks_;
};

std::string first_problem(const TaskContext& task, bool contained) {
  for (std::string problem : {check_string(task, "script"), check_string(task, "shell"), check_string(task, "cwd"),
                              check_string(task, "isolation"), check_list(task, "command"), check_list(task, "args"),
                              check_environment(task)}) {
    if (!problem.empty()) return problem;
  }
  if (!contained) {
    if (task.fields.find("script") == nullptr && list_field(task, "command").empty()) return "`command` is empty";
    return {};
  }
  for (const char* field : {"image", "network", "pull", "user"}) {
    if (std::string problem = check_string(task, field); !problem.empty()) return problem;
    if (string_field(task, field).starts_with('-')) return "`" + std::string(field) + "` begins with a dash";
  }
  return string_field(task, "image").empty() ? "`image` is empty" : "";
}

// `script` is the program text of `shell`; `args` follow it as $1, $2 ... or, with a command, as further arguments.
std::vector<std::string> argv_of(const TaskContext& task) {
  std::vector<std::string> argv = list_field(task, "command");
  if (argv.empty()) {
    std::string shell = string_field(task, "shell");
    if (shell.empty()) argv = {"/bin/sh", "-e"};
    else argv = {shell};
    argv.insert(argv.end(), {"-c", string_field(task, "script"), task.node});
  }
  for (std::string& argument : list_field(task, "args")) argv.push_back(std::move(argument));
  return argv;
}

// `docker run ...`. Values of variables come by the environment of the command line, which others cannot read.
std::vector<std::string> container_argv(const TaskContext& task, const std::string& engine, const std::string& name) {
  std::vector<std::string> argv = {engine, "run", "--rm", "--interactive", "--init", "--name", name};
  const auto option = [&](const char* flag, const char* field, const char* otherwise) {
    std::string value = string_field(task, field);
    if (value.empty()) value = otherwise;
    if (!value.empty()) argv.insert(argv.end(), {flag, std::move(value)});
  };
  option("--network", "network", "none");
  option("--pull", "pull", "missing");
  option("--user", "user", "");
  option("--workdir", "cwd", "");
  for (const char* variable : {"MILLRACE_RUN", "MILLRACE_NODE", "MILLRACE_ATTEMPT"})
    argv.insert(argv.end(), {"--env", variable});
  if (const Value* env = task.fields.find("env"); env != nullptr && env->is_object()) {
    for (const auto& [variable, value] : env->as_object()) argv.insert(argv.end(), {"--env", variable});
  }
  argv.push_back(string_field(task, "image"));
  if (task.fields.find("script") != nullptr || !list_field(task, "command").empty()) {
    for (std::string& word : argv_of(task)) argv.push_back(std::move(word));
  } else {
    for (std::string& word : list_field(task, "args")) argv.push_back(std::move(word));
  }
  return argv;
}

std::string unique_name(const AttemptId& attempt) {
  return to_string(attempt.run) + "-" + std::to_string(attempt.task.value) + "-" + std::to_string(attempt.epoch) + "-" +
         std::to_string(attempt.number);
}

ShellTask::~ShellTask() {
  process_.reset();
  if (!output_file_.empty()) unlink(output_file_.c_str());
}

Status ShellTask::start(Reactor& reactor, const TaskContext& task, const std::string& work_dir,
                        const std::string& engine, Housing* housing) {
  if (const Value* codes = task.fields.find("exit_codes"); codes != nullptr && !codes->is_null()) {
    Result<ExitCodes> read = ExitCodes::read(*codes);
    if (!read.ok()) return read.error();
    exit_codes_ = std::move(*read);
  }
  if (const Value* outputs = task.fields.find("outputs"); outputs != nullptr && !outputs->is_null()) {
    Result<ShellOutputs> read = read_shell_outputs(*outputs);
    if (!read.ok()) return read.error();
    outputs_ = *read;
  }
  std::string directory = work_dir;
  Confinement confinement;
  if (housing != nullptr) {
    Result<Terms> terms = housing->terms(task);
    if (!terms.ok()) return terms.error();
    terms_ = std::move(*terms);
    seat_ = housing->users().take(terms_.tier == Isolation::kNamespaces);
    directory = seat_.directory();
    confinement = housing->confinement(task, terms_, seat_.user(), directory);
  }
  Environment base = worker_environment();
  settle_in(base, confinement.user, directory, confinement.jail != nullptr);
  Environment environment = task_environment(task, std::move(base));
  if (outputs_ == ShellOutputs::kFile) {
    output_file_ = directory + "/output-" + unique_name(task.attempt);
    unlink(output_file_.c_str());
    assign(environment, "MILLRACE_OUTPUT", output_file_);
  }
  SpawnSpec spec;
  spec.confinement = &confinement;
  if (!engine.empty()) container_ = "millrace-" + unique_name(task.attempt);
  spec.argv = engine.empty() ? argv_of(task) : container_argv(task, engine, container_);
  spec.path = std::string(lookup(environment, "PATH"));
  spec.env = to_strings(environment);
  if (engine.empty()) spec.cwd = string_field(task, "cwd");
  if (spec.cwd.empty()) spec.cwd = directory;
  const Value* input = task.fields.find("stdin");
  Result<std::unique_ptr<Process>> process =
      Process::start(reactor, *this, std::move(spec), input == nullptr ? std::string() : text_of(*input));
  if (!process) return process.error();
  process_ = std::move(*process);
  return Done{};
}

void ShellTask::kill(Reason why) {
  if (why_killed_ == Reason::kNone) why_killed_ = why;
  process_->terminate();
}

void ShellTask::on_output(LogStream stream, std::string_view bytes) {
  (stream == LogStream::kStdout ? stdout_ : stderr_) += bytes;
  owner_.log(attempt_, stream, bytes);
}

void ShellTask::on_exit(int wait_status) {
  if (!container_.empty() && why_killed_ != Reason::kNone) owner_.remove(container_);
  if (wait_status != 0 && seat_.user().alone) kill_user(seat_.user().uid);  // at once, however many they are
  owner_.finish(attempt_, outcome(wait_status));
}

// Without the one newline that ends the last line.
std::string_view trimmed(std::string_view text) {
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return text;
}

std::string_view whole_text(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

std::string_view last_line(std::string_view text) {
  text = whole_text(text);
  const std::size_t newline = text.rfind('\n');
  return newline == std::string_view::npos ? text : text.substr(newline + 1);
}

Payload ShellTask::output(int exit_code) const {
  bool out_cut = process_->truncated(LogStream::kStdout);
  bool err_cut = process_->truncated(LogStream::kStderr);
  std::string json;
  json.reserve(stdout_.size() + stderr_.size() + 64);
  json += "{\"stdout\":";
  append_json_string(json, out_cut ? std::string_view(stdout_) : trimmed(stdout_));
  json += ",\"stderr\":";
  append_json_string(json, err_cut ? std::string_view(stderr_) : trimmed(stderr_));
  json += ",\"exit_code\":" + std::to_string(exit_code);
  if (out_cut || err_cut) json += ",\"truncated\":true";
  json += '}';
  return Payload::inline_json(std::move(json));
}

// The file that a task was to leave; absent: null.
Result<Payload> read_output_file(const std::string& path) {
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return Payload();
  struct stat status {};
  if (fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode))
    return Error{Code::kInvalid, "what $MILLRACE_OUTPUT names is no file", {}, ""};
  if (static_cast<std::uint64_t>(status.st_size) > kValueMax)
    return Error{Code::kInvalid, "the file of $MILLRACE_OUTPUT is larger than 256 MiB", {}, ""};
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t size = 0;
  for (ssize_t got = 1; got > 0 && size < text.size(); size += static_cast<std::size_t>(std::max<ssize_t>(got, 0)))
    got = read(fd.get(), text.data() + size, text.size() - size);
  text.resize(size);
  Result<Value> value = Value::parse(text);
  return Payload::inline_json(value.ok() ? value->dump() : Value(to_valid_utf8(text)).dump());
}

// What `outputs` asks for, of a task that has succeeded.
Result<Payload> ShellTask::chosen_output() const {
  if (outputs_ == ShellOutputs::kAll) return output(0);
  if (outputs_ == ShellOutputs::kFile) return read_output_file(output_file_);
  if (process_->truncated(LogStream::kStdout))
    return Error{Code::kInvalid, "stdout is larger than 1 MiB; `outputs: file` takes more", {}, ""};
  if (outputs_ == ShellOutputs::kText) return Payload::inline_json(Value(to_valid_utf8(trimmed(stdout_))).dump());
  if (outputs_ == ShellOutputs::kJson) {
    Result<Value> value = Value::parse(stdout_);
    if (!value.ok()) return Error{Code::kInvalid, "stdout is not JSON: " + value.error().what, {}, ""};
    return Payload::inline_json(value->dump());
  }
  Value lines = Value::Array{};
  for (std::string_view rest = trimmed(stdout_); !stdout_.empty();) {
    const std::size_t end = rest.find('\n');
    lines.push_back(to_valid_utf8(rest.substr(0, end)));
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  return Payload::inline_json(lines.dump());
}

Outcome ShellTask::outcome(int wait_status) const {
  bool signalled = WIFSIGNALED(wait_status);
  int exit_code = signalled ? kSignalledBase + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
  Outcome outcome;
  if (why_killed_ != Reason::kNone) {
    outcome = killed(why_killed_);
  } else if (signalled) {
    outcome = with_limit(terms_, WTERMSIG(wait_status), stderr_,
                         failed(Reason::kCrashed, describe_signal(WTERMSIG(wait_status))));
  } else if (const ExitMeaning meaning = exit_codes_.of(exit_code); meaning != ExitMeaning::kSuccess) {
    std::string message = "exit code " + std::to_string(exit_code);
    const bool by_engine = !container_.empty() && exit_code >= kEngineRefused && exit_code <= kEngineRefusedLast;
    // Of an engine all that it said: its reason stands before its advice.
    std::string_view detail = by_engine ? whole_text(stderr_) : last_line(stderr_);
    if (!detail.empty()) message.append(": ").append(detail);
    const int ended_by =
        exit_code > kSignalledBase ? exit_code - kSignalledBase : 0;  // as shells tell of their children
    outcome =
        with_limit(terms_, ended_by, stderr_,
                   failed(meaning == ExitMeaning::kRetry ? Reason::kError : Reason::kRefused, std::move(message)));
  } else if (Result<Payload> chosen = outputs_ == ShellOutputs::kAll ? output(exit_code) : chosen_output();
             chosen.ok()) {
    outcome.success = true;
    outcome.output = std::move(*chosen);
  } else {
    outcome = failed(Reason::kInvalidOutput, chosen.error().what);
  }
  if (!outcome.success) outcome.output = output(exit_code);
  else outcome = within_output(terms_.limits, std::move(outcome));
  outcome.ran = since(started_us_);
  return outcome;
}

Status ShellExecutor::find_engine() {
  if (housing_ != nullptr || !engine_.empty()) return Done{};
  const Environment environment = worker_environment();
  for (const char* name : {"docker", "podman"}) {
    engine_ = find_program(name, lookup(environment, "PATH"));
    if (!engine_.empty()) return Done{};
  }
  return Error{Code::kRefused, "this worker has no container engine: neither docker nor podman is in its PATH", {}, ""};
}

void ShellExecutor::start(TaskContext task) {
  std::string problem = first_problem(task, housing_ == nullptr);
  if (!problem.empty()) {
    observer_.on_done(task.attempt, failed(Reason::kInvalidInput, std::move(problem)));
    return;
  }
  if (Status engine = find_engine(); !engine.ok()) {
    observer_.on_done(task.attempt, failed(Reason::kRefused, engine.error().what));
    return;
  }
  const std::int64_t begun_us = steady_us();
  auto shell_task = std::make_unique<ShellTask>(*this, task.attempt);
  Status started = shell_task->start(reactor_, task, work_dir_, engine_, housing_);
  if (!started) {
    const Error& error = started.error();
    const bool field = error.code == Code::kInvalid && !error.details.empty();
    const Reason reason = field ? Reason::kInvalidInput : error.name == "isolation" ? Reason::kRefused : Reason::kError;
    observer_.on_done(task.attempt, failed(reason, error.what));
    return;
  }
  if (counts_ != nullptr) counts_->start_up.add(since(begun_us));  // spawn() comes back when the program has begun
  tasks_.emplace(task.attempt, std::move(shell_task));
}

}  // namespace

std::unique_ptr<Executor> make_shell_executor(std::string work_dir, Housing& housing, Reactor& reactor,
                                              TaskObserver& observer, ExecutorCounts& counts) {
  return std::make_unique<ShellExecutor>(&housing, std::move(work_dir), reactor, observer, &counts);
}

std::unique_ptr<Executor> make_container_executor(std::string work_dir, Reactor& reactor, TaskObserver& observer) {
  return std::make_unique<ShellExecutor>(nullptr, std::move(work_dir), reactor, observer, nullptr);
}

}  // namespace millrace
