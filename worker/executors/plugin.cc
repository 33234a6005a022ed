#include "worker/executors/plugin.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <optional>

#include "worker/executors/node_process.h"
#include "worker/executors/spoken.h"
#include "worker/executors/task_support.h"

namespace millrace {
namespace {

constexpr int kDescribeMs = 10'000;
constexpr std::size_t kDescriptionMax = 64 * 1024;

std::string own_program() {
  std::array<char, 4096> path{};
  const ssize_t size = readlink("/proc/self/exe", path.data(), path.size() - 1);
  return size > 0 ? std::string(path.data(), static_cast<std::size_t>(size)) : "millrace-worker";
}

Environment plugin_environment() { return worker_environment(); }

// A task holds a process from its start to its end; who comes while all are busy waits.
class PluginExecutor final : public Executor, NodeProcess::Listener {
 public:
  PluginExecutor(const ExecutorOptions& options, std::string file, std::string work_dir, Reactor& reactor,
                 TaskObserver& observer)
      : file_(std::move(file)),
        slots_(static_cast<std::size_t>(std::max(1, options.slots))),
        confined_only_(options.housing.isolation_min != Isolation::kNone),
        secrets_(options.secrets),
        work_dir_(std::move(work_dir)),
        reactor_(reactor),
        observer_(observer) {}

  void start(TaskContext task) override {
    if (confined_only_)
      return observer_.on_done(task.attempt, failed(Reason::kRefused,
                                                    "plug-ins run with isolation `none`, and this "
                                                    "worker demands more (--isolation)"));
    const AttemptId attempt = task.attempt;
    const Value* with = task.fields.find("with");
    task.fields = Value::Object{{"function", task.executor}, {"script", with == nullptr ? "null" : with->dump()}};
    jobs_[attempt].request = python_request(task);
    waiting_.push_back(attempt);
    seat_waiting();
  }

  void kill(const AttemptId& attempt, Reason why) override {
    const auto found = jobs_.find(attempt);
    if (found == jobs_.end() || found->second.why_killed != Reason::kNone) return;
    found->second.why_killed = why;
    if (found->second.process != nullptr) return found->second.process->kill_now();
    std::erase(waiting_, attempt);
    finish(attempt, killed(why));
  }

 private:
  struct Job {
    std::string request = {};        // until it is sent
    NodeProcess* process = nullptr;  // null: waits for one
    Reason why_killed = Reason::kNone;
    std::int64_t started_us = steady_us();
  };
  struct Seat {
    std::unique_ptr<NodeProcess> process;
    std::optional<AttemptId> attempt;
  };

  void seat_waiting() {
    while (!waiting_.empty()) {
      if (idle_.empty() && seats_.size() >= slots_) return;
      const AttemptId attempt = waiting_.front();
      waiting_.pop_front();
      if (idle_.empty()) {
        Result<std::unique_ptr<NodeProcess>> fresh = NodeProcess::serve(
            {own_program(), kPluginHostWord, file_}, plugin_environment(), work_dir_, reactor_, *this);
        if (!fresh.ok()) {
          finish(attempt, failed(Reason::kRefused, fresh.error().what));
          continue;
        }
        idle_.push_back(fresh->get());
        seats_[fresh->get()].process = std::move(*fresh);
      }
      NodeProcess* process = idle_.back();
      idle_.pop_back();
      seats_.find(process)->second.attempt = attempt;
      Job& job = jobs_.find(attempt)->second;
      job.process = process;
      process->send(std::exchange(job.request, {}));
    }
  }

  // The last thing a caller does: the observer may start and kill tasks.
  void finish(AttemptId attempt, Outcome outcome) {
    const auto found = jobs_.find(attempt);
    if (found->second.why_killed != Reason::kNone) outcome = killed(found->second.why_killed);
    outcome.ran = since(found->second.started_us);
    jobs_.erase(found);
    observer_.on_done(attempt, std::move(outcome));
  }

  void on_log(NodeProcess& from, LogStream stream, std::string_view bytes) override {
    const Seat& seat = seats_.find(&from)->second;
    if (seat.attempt) observer_.on_log(*seat.attempt, stream, bytes);
  }

  void on_said(NodeProcess& from, PythonReply said) override {
    take_spoken(seats_.find(&from)->second.attempt, said, secrets_, observer_,
                [&](std::string_view text, bool good) { from.answer(text, good); });
  }

  void on_reply(NodeProcess& from, PythonReply reply) override {
    Seat& seat = seats_.find(&from)->second;
    const std::optional<AttemptId> attempt = std::exchange(seat.attempt, std::nullopt);
    const bool was_killed = attempt && jobs_.find(*attempt)->second.why_killed != Reason::kNone;
    if (!was_killed) idle_.push_back(&from);  // else its end is on its way
    seat_waiting();
    if (attempt) finish(*attempt, outcome_of(std::move(reply)));
  }

  void on_gone(NodeProcess& from, int wait_status) override {
    std::erase(idle_, &from);
    const auto found = seats_.find(&from);
    const std::optional<AttemptId> attempt = found->second.attempt;
    const std::unique_ptr<NodeProcess> process = std::move(found->second.process);  // goes last
    seats_.erase(found);
    seat_waiting();
    if (!attempt) return;
    const std::string how = WIFSIGNALED(wait_status) ? describe_signal(WTERMSIG(wait_status))
                                                     : "exited with code " + std::to_string(WEXITSTATUS(wait_status)) +
                                                           " before the task had ended";
    finish(*attempt, failed(Reason::kCrashed, "the plug-in's process was " + how));
  }

  std::string file_;
  std::size_t slots_;
  bool confined_only_;
  Secrets secrets_;
  std::string work_dir_;
  Reactor& reactor_;
  TaskObserver& observer_;
  std::map<NodeProcess*, Seat> seats_;
  std::vector<NodeProcess*> idle_;
  std::map<AttemptId, Job> jobs_;
  std::deque<AttemptId> waiting_;
};

// What the process writes to both, until it ends.
std::string read_both(const Fd& out, const Fd& err, std::string& complaint) {
  std::string words;
  std::array<pollfd, 2> ends = {pollfd{out.get(), POLLIN, 0}, pollfd{err.get(), POLLIN, 0}};
  const std::int64_t until = steady_us() + kDescribeMs * 1000LL;
  while ((ends[0].fd >= 0 || ends[1].fd >= 0) && steady_us() < until && words.size() < kDescriptionMax) {
    if (poll(ends.data(), ends.size(), 100) <= 0) continue;
    for (std::size_t i = 0; i < ends.size(); ++i) {
      std::array<char, 4096> buffer;
      if (ends[i].fd < 0 || ends[i].revents == 0) continue;
      const ssize_t n = read(ends[i].fd, buffer.data(), buffer.size());
      if (n > 0) (i == 0 ? words : complaint).append(buffer.data(), static_cast<std::size_t>(n));
      else if (n == 0 || (errno != EAGAIN && errno != EINTR)) ends[i].fd = -1;
    }
  }
  return words;
}

}  // namespace

Result<std::vector<std::string>> describe_plugin(const std::string& file) {
  Result<Channel> out = make_output_pipe();
  if (!out) return out.error();
  Result<Channel> err = make_output_pipe();
  if (!err) return err.error();
  Result<Fd> nothing = make_input("");
  if (!nothing) return nothing.error();
  SpawnSpec spec;
  spec.argv = {own_program(), kPluginHostWord, file, "list"};
  spec.env = to_strings(plugin_environment());
  spec.fds = {nothing->get(), out->theirs.get(), err->theirs.get()};
  const Result<pid_t> pid = spawn(spec);
  if (!pid.ok()) return pid.error();
  out->theirs.reset();
  err->theirs.reset();
  std::string complaint;
  const std::string words = read_both(out->ours, err->ours, complaint);
  signal_group(*pid, SIGKILL);  // it has ended, or never will
  int status = 0;
  while (waitpid(*pid, &status, 0) < 0 && errno == EINTR) {}
  std::vector<std::string> names;
  for (std::size_t at = 0; at < words.size();) {
    const std::size_t end = std::min(words.find('\n', at), words.size());
    names.push_back(words.substr(at, end - at));
    at = end + 1;
  }
  if (!names.empty()) return names;
  while (!complaint.empty() && complaint.back() == '\n') complaint.pop_back();
  return Error{Code::kInvalid,
               complaint.empty() ? "plug-in " + file + ": it does not describe itself" : complaint,
               {},
               "plugin"};
}

std::unique_ptr<Executor> make_plugin_executor(const ExecutorOptions& options, std::string file, std::string work_dir,
                                               Reactor& reactor, TaskObserver& observer) {
  return std::make_unique<PluginExecutor>(options, std::move(file), std::move(work_dir), reactor, observer);
}

}  // namespace millrace
