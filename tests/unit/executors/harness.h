// Harness: an ExecutorSet on a Reactor with an observer that remembers everything. A task that does not end within
// kPatience fails the test.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "worker/executors/executor.h"
#include "worker/executors/reactor.h"
#include "worker/executors/spawn.h"

namespace millrace::test {

constexpr auto kPatience = std::chrono::seconds(30);

struct Seen {
  std::string out, err;
  std::vector<std::pair<EventType, Value>> news;
  std::vector<std::string> secrets;
  std::map<std::string, std::pair<std::string, std::string>> artifacts;  // by name: content type, bytes; whole ones
  std::string artifact;                                                  // what has come of one
  std::vector<Outcome> outcomes;
  int logs_after_done = 0;
  int values_wanted = 0;
};

class Recorder final : public TaskObserver {
 public:
  void on_log(const AttemptId& attempt, LogStream stream, std::string_view bytes) override {
    Seen& seen = seen_[attempt];
    (stream == LogStream::kStdout ? seen.out : seen.err) += bytes;
    if (!seen.outcomes.empty()) ++seen.logs_after_done;
  }
  void on_done(const AttemptId& attempt, Outcome outcome) override {
    seen_[attempt].outcomes.push_back(std::move(outcome));
    if (after_done) after_done(attempt);
  }
  void on_news(const AttemptId& attempt, EventType type, Value data) override {
    Seen& seen = seen_[attempt];
    seen.news.emplace_back(type, std::move(data));
    if (!seen.outcomes.empty()) ++seen.logs_after_done;
  }
  void on_secret(const AttemptId& attempt, std::string_view secret) override {
    seen_[attempt].secrets.emplace_back(secret);
  }
  std::string on_artifact(const AttemptId& attempt, const ArtifactPart& part) override {
    if (part.name == "refused") return "no such artifacts here";
    Seen& seen = seen_[attempt];
    if (part.first) seen.artifact.clear();
    seen.artifact += part.bytes;
    if (part.last) seen.artifacts[std::string(part.name)] = {std::string(part.type), seen.artifact};
    if (!seen.outcomes.empty()) ++seen.logs_after_done;
    return "";
  }
  void on_value_wanted(const AttemptId& attempt, const Hash128& hash, TakeValue then) override {
    ++seen_[attempt].values_wanted;
    const auto found = values.find(hash);
    then(found == values.end() ? nullptr : found->second);
  }
  Seen& of(const AttemptId& attempt) { return seen_[attempt]; }

  std::map<Hash128, std::shared_ptr<const std::string>> values;  // that tasks may want
  std::function<void(const AttemptId&)> after_done;

 private:
  std::map<AttemptId, Seen> seen_;
};

inline bool has_node() { return !find_program("node", std::getenv("PATH")).empty(); }
inline bool has_jinja() { return std::system("python3 -c 'import jinja2' 2>/dev/null") == 0; }

// Two slots, and leave to reach the servers of the tests.
inline ExecutorOptions test_options() {
  ExecutorOptions options;
  options.slots = 2;
  options.egress.allow(AddressKind::kLoopback);
  return options;
}

class Harness {
 public:
  explicit Harness(const ExecutorOptions& options = test_options()) : executors(options, reactor, recorder) {}

  AttemptId next_attempt() { return AttemptId{make_run_id(PartitionId{1}, 1, 7), TaskIndex{++tasks_}, 1, 1}; }

  TaskContext context(const std::string& executor, Value fields) {
    TaskContext task;
    task.attempt = next_attempt();
    task.node = "the-node";
    task.workflow = "the-workflow";
    task.executor = executor;
    task.fields = std::move(fields);
    return task;
  }

  AttemptId start(TaskContext task) {
    AttemptId attempt = task.attempt;
    Executor* executor = executors.find(task.executor);
    executor->start(std::move(task));
    return attempt;
  }
  AttemptId start(const std::string& executor, Value fields) { return start(context(executor, std::move(fields))); }

  void kill(const std::string& executor, const AttemptId& attempt, Reason why) {
    executors.find(executor)->kill(attempt, why);
  }

  bool run_until(const std::function<bool()>& condition, std::chrono::milliseconds patience = kPatience) {
    auto deadline = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      reactor.run(10ms);
    }
    return true;
  }
  void run_for(std::chrono::milliseconds time) {
    run_until([] { return false; }, time);
  }

  Outcome wait(const AttemptId& attempt) {
    bool ended = run_until([&] { return !recorder.of(attempt).outcomes.empty(); });
    EXPECT_TRUE(ended) << "the task did not end";
    return ended ? recorder.of(attempt).outcomes.front() : Outcome{};
  }
  Outcome run(TaskContext task) { return wait(start(std::move(task))); }
  Outcome run(const std::string& executor, Value fields) { return run(context(executor, std::move(fields))); }

  // Waits for a line on stdout and returns all of it so far.
  std::string wait_for_output(const AttemptId& attempt) {
    EXPECT_TRUE(run_until([&] { return recorder.of(attempt).out.find('\n') != std::string::npos; }));
    return recorder.of(attempt).out;
  }

  Reactor reactor;
  Recorder recorder;
  ExecutorSet executors;

 private:
  std::uint32_t tasks_ = 0;
};

inline Value object(std::initializer_list<Value::Member> members) { return Value(Value::Object(members)); }
inline Value list(std::initializer_list<Value> items) { return Value(Value::Array(items)); }

// Neither running nor about to: gone, or a zombie that its parent has not collected yet. Waits a little for it.
inline bool process_ends(pid_t pid) {
  for (int i = 0; i < 300; ++i) {
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    if (!std::getline(stat, line)) return true;
    std::size_t after_name = line.rfind(") ");
    if (after_name != std::string::npos && line[after_name + 2] == 'Z') return true;
    usleep(10'000);
  }
  return false;
}

}  // namespace millrace::test
