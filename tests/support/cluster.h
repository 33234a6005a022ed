// Cluster: a private Redis, coordinators and workers as real programs on loopback, and the command line to talk to
// them.
//
// Promises: everything is started with the tests' own ports and directory, and is gone with the object. Starting again
// what was killed uses the same address, name and data. Threads: a test's main one. Fails: by a test failure.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/value.h"
#include "tests/support/process.h"
#include "tests/support/redis_server.h"

namespace millrace::test {

struct ClusterOptions {
  std::vector<std::string> workers = {"w1", "w2"};
  int slots = 2;
  Append append = Append::kEverysec;
  std::vector<std::string> coordinator_options = {};
  std::vector<std::string> worker_options = {};  // of all of them
  std::string task_user = "none";  // tasks of tests write where only we may; empty: what a worker does by itself
  Variables cli_variables = {};    // besides the cluster's address
  std::size_t coordinators = 1;
  std::string redis = {};     // URL; empty: a server of its own
  std::string store = {};     // of tests/data: what Redis holds before a coordinator begins
  std::string programs = {};  // directory of the first coordinators' program, where it is not this build's
};

class Cluster {
 public:
  explicit Cluster(ClusterOptions options = {});  // returns when all workers are known

  void start_redis();  // again, after redis().kill_now()
  void start_coordinator(std::size_t which = 0);
  void upgrade() { options_.programs.clear(); }  // what is started from now on is of this build
  Program& start_worker(const std::string& name, const std::vector<std::string>& more = {});
  RedisServer& redis() { return redis_; }
  Program& coordinator(std::size_t which = 0) { return programs_.at(name_of(which)); }
  static std::string name_of(std::size_t coordinator) { return "coordinator-" + std::to_string(coordinator + 1); }
  Program& worker(const std::string& name) { return programs_.at(name); }

  // `millrace WORDS...` with this cluster's address in the environment.
  Finished cli(const std::vector<std::string>& words, Wait at_most = 60s) const;
  Program start_cli(const std::vector<std::string>& words, const std::string& log) const;
  Value json(std::vector<std::string> words) const;               // with `-o json`; expects exit code 0
  std::vector<Value> rows(std::vector<std::string> words) const;  // with `-o jsonl`; expects exit code 0

  std::string submit(const std::string& file, const std::vector<std::string>& more = {}) const;  // the run's id
  Value wait(const std::string& run, Wait at_most = 60s) const;  // how it ended, whatever the exit code
  std::string node_status(const std::string& run, std::string_view node) const;
  bool wait_for_workers(std::size_t count, Wait at_most = 20s) const;

  const std::string& address(std::size_t coordinator = 0) const { return addresses_[coordinator]; }
  // `millrace WORDS...` at one coordinator alone.
  Finished cli_at(std::size_t coordinator, std::vector<std::string> words, Wait at_most = 60s) const;
  const ScratchDirectory& scratch() const { return scratch_; }
  std::string workflow(std::string_view name, std::string_view text) const;  // a file in the scratch directory

 private:
  Variables environment() const;

  ScratchDirectory scratch_;
  ClusterOptions options_;
  std::vector<std::string> addresses_;
  std::vector<std::string> events_;
  RedisServer redis_;
  std::map<std::string, Program> programs_;  // last: they end before the directory goes
};

// A member of a member of ...; null where there is none.
const Value& at(const Value& value, std::initializer_list<std::string_view> path);
std::string text_at(const Value& value, std::initializer_list<std::string_view> path);     // "" where there is no text
std::int64_t number_at(const Value& value, std::initializer_list<std::string_view> path);  // -1 where there is none

// What a run's durable events tell, checked from outside: numbered 1, 2, 3 ... without a gap, `run_accepted` first, one
// end and that last, at most one success a node, nothing of a node after its end. Returns what is wrong; empty: sound.
std::string problem_of_history(const std::vector<Value>& events);
std::vector<std::string> nodes_in_order(const std::vector<Value>& events, std::string_view type);

}  // namespace millrace::test
