#include "worker/executors/shell.h"

#include <sys/wait.h>

#include <map>

#include "worker/executors/process.h"
#include "worker/executors/task_support.h"

namespace millrace {
namespace {

constexpr int kSignalledBase = 128;  // as shells count: killed by signal 9 is exit code 137

class ShellExecutor;

class ShellTask final : public Process::Listener {
 public:
  ShellTask(ShellExecutor& owner, AttemptId attempt) : owner_(owner), attempt_(attempt) {}

  Status start(Reactor& reactor, const TaskContext& task, const std::string& work_dir);
  void kill(Reason why);
  void on_output(LogStream stream, std::string_view bytes) override;
  void on_exit(int wait_status) override;

 private:
  Outcome outcome(int wait_status) const;
  Payload output(int exit_code) const;

  ShellExecutor& owner_;
  AttemptId attempt_;
  std::unique_ptr<Process> process_;
  std::string stdout_, stderr_;
  Reason why_killed_ = Reason::kNone;
  std::int64_t started_us_ = steady_us();
};

class ShellExecutor final : public Executor {
 public:
  ShellExecutor(std::string work_dir, Reactor& reactor, TaskObserver& observer)
      : work_dir_(std::move(work_dir)), reactor_(reactor), observer_(observer) {}

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

 private:
  std::string work_dir_;
  Reactor& reactor_;
  TaskObserver& observer_;
  std::map<AttemptId, std::unique_ptr<ShellTask>> tasks_;
};

std::string first_problem(const TaskContext& task) {
  for (std::string problem : {check_string(task, "script"), check_string(task, "shell"), check_string(task, "cwd"),
                              check_list(task, "command"), check_list(task, "args"), check_environment(task)}) {
    if (!problem.empty()) return problem;
  }
  bool has_script = task.fields.find("script") != nullptr;
  if (!has_script && list_field(task, "command").empty()) return "`command` is empty";
  return {};
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

Status ShellTask::start(Reactor& reactor, const TaskContext& task, const std::string& work_dir) {
  Environment environment = task_environment(task);
  SpawnSpec spec;
  spec.argv = argv_of(task);
  spec.path = std::string(lookup(environment, "PATH"));
  spec.env = to_strings(environment);
  spec.cwd = string_field(task, "cwd");
  if (spec.cwd.empty()) spec.cwd = work_dir;
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

void ShellTask::on_exit(int wait_status) { owner_.finish(attempt_, outcome(wait_status)); }

// Without the one newline that ends the last line.
std::string_view trimmed(std::string_view text) {
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return text;
}

std::string_view last_line(std::string_view text) {
  std::size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string_view::npos) return {};
  text = text.substr(0, end + 1);
  std::size_t newline = text.rfind('\n');
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

Outcome ShellTask::outcome(int wait_status) const {
  bool signalled = WIFSIGNALED(wait_status);
  int exit_code = signalled ? kSignalledBase + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
  Outcome outcome;
  if (why_killed_ != Reason::kNone) {
    outcome = killed(why_killed_);
  } else if (signalled) {
    outcome = failed(Reason::kCrashed, describe_signal(WTERMSIG(wait_status)));
  } else if (exit_code != 0) {
    std::string message = "exit code " + std::to_string(exit_code);
    std::string_view detail = last_line(stderr_);
    if (!detail.empty()) message.append(": ").append(detail);
    outcome = failed(Reason::kError, std::move(message));
  } else {
    outcome.success = true;
  }
  outcome.output = output(exit_code);
  outcome.ran = since(started_us_);
  return outcome;
}

void ShellExecutor::start(TaskContext task) {
  std::string problem = first_problem(task);
  if (!problem.empty()) {
    observer_.on_done(task.attempt, failed(Reason::kInvalidInput, std::move(problem)));
    return;
  }
  auto shell_task = std::make_unique<ShellTask>(*this, task.attempt);
  Status started = shell_task->start(reactor_, task, work_dir_);
  if (!started) {
    observer_.on_done(task.attempt, failed(Reason::kError, started.error().what));
    return;
  }
  tasks_.emplace(task.attempt, std::move(shell_task));
}

}  // namespace

std::unique_ptr<Executor> make_shell_executor(std::string work_dir, Reactor& reactor, TaskObserver& observer) {
  return std::make_unique<ShellExecutor>(std::move(work_dir), reactor, observer);
}

}  // namespace millrace
