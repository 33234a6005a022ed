#include "tests/support/cluster.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "tests/support/store_file.h"

namespace millrace::test {
namespace {

Value parsed(const std::string& text, const std::string& of) {
  Result<Value> value = Value::parse(text);
  EXPECT_TRUE(value.ok()) << of << " printed what is not one JSON value:\n" << text;
  return value.ok() ? *value : Value();
}

std::string joined(const std::vector<std::string>& words) {
  std::string text = "millrace";
  for (const std::string& word : words) text += " " + word;
  return text;
}

}  // namespace

Cluster::Cluster(ClusterOptions options) : options_(std::move(options)), redis_(options_.append) {
  start_redis();
  if (!options_.store.empty()) { EXPECT_EQ(load_store(source("tests/data/" + options_.store), redis_.path()), ""); }
  for (std::size_t i = 0; i < options_.coordinators; ++i) {
    addresses_.push_back("tcp://127.0.0.1:" + std::to_string(free_port()));
    events_.push_back("tcp://127.0.0.1:" + std::to_string(free_port()));
    start_coordinator(i);
  }
  for (const std::string& name : options_.workers) start_worker(name);
  EXPECT_TRUE(wait_for_workers(options_.workers.size())) << "the workers did not come:\n" << coordinator().err();
}

Variables Cluster::environment() const {
  Variables variables = {{"MILLRACE_COORDINATOR", addresses_[0]}, {"NO_COLOR", "1"}};
  variables.insert(variables.end(), options_.cli_variables.begin(), options_.cli_variables.end());
  return variables;
}

void Cluster::start_redis() { EXPECT_TRUE(redis_.start()) << redis_.error(); }

void Cluster::start_coordinator(std::size_t which) {
  const std::string program = "millrace-coordinator";
  std::vector<std::string> words = {options_.programs.empty() ? bin(program) : options_.programs + "/" + program,
                                    "--listen",
                                    addresses_[which],
                                    "--events",
                                    events_[which],
                                    "--redis",
                                    options_.redis.empty() ? redis_.url() : options_.redis,
                                    "--id",
                                    name_of(which)};
  words.insert(words.end(), options_.coordinator_options.begin(), options_.coordinator_options.end());
  programs_.insert_or_assign(name_of(which), Program::start(words, scratch_.file(name_of(which))));
}

Program& Cluster::start_worker(const std::string& name, const std::vector<std::string>& more) {
  std::vector<std::string> words = {
      bin("millrace-worker"), "--coordinator", addresses_[0], "--id", name, "--slots", std::to_string(options_.slots)};
  if (!options_.task_user.empty()) words.insert(words.end(), {"--task-user", options_.task_user});
  words.insert(words.end(), options_.worker_options.begin(), options_.worker_options.end());
  words.insert(words.end(), more.begin(), more.end());
  return programs_.insert_or_assign(name, Program::start(words, scratch_.file(name))).first->second;
}

Finished Cluster::cli(const std::vector<std::string>& words, Wait at_most) const {
  std::vector<std::string> all = {bin("millrace")};
  all.insert(all.end(), words.begin(), words.end());
  return run_program(all, environment(), at_most);
}

Finished Cluster::cli_at(std::size_t coordinator, std::vector<std::string> words, Wait at_most) const {
  words.insert(words.begin(), bin("millrace"));
  Variables variables = environment();
  variables[0].second = addresses_[coordinator];
  return run_program(words, variables, at_most);
}

Program Cluster::start_cli(const std::vector<std::string>& words, const std::string& log) const {
  std::vector<std::string> all = {bin("millrace")};
  all.insert(all.end(), words.begin(), words.end());
  return Program::start(all, scratch_.file(log), environment());
}

Value Cluster::json(std::vector<std::string> words) const {
  words.insert(words.end(), {"-o", "json"});
  Finished finished = cli(words);
  EXPECT_EQ(finished.exit_code, 0) << joined(words) << "\n" << finished.out << finished.err;
  return parsed(finished.out, joined(words));
}

std::vector<Value> Cluster::rows(std::vector<std::string> words) const {
  words.insert(words.end(), {"-o", "jsonl"});
  Finished finished = cli(words);
  EXPECT_EQ(finished.exit_code, 0) << joined(words) << "\n" << finished.out << finished.err;
  std::vector<Value> rows;
  std::istringstream lines(finished.out);
  for (std::string line; std::getline(lines, line);) rows.push_back(parsed(line, joined(words)));
  return rows;
}

std::string Cluster::submit(const std::string& file, const std::vector<std::string>& more) const {
  std::vector<std::string> words = {"submit", file};
  words.insert(words.end(), more.begin(), more.end());
  std::string run = text_at(json(words), {"run"});
  EXPECT_EQ(run.size(), 13U) << "not a run's id: " << run;
  return run;
}

Value Cluster::wait(const std::string& run, Wait at_most) const {
  Finished finished = cli({"wait", run, "-o", "json"}, at_most);
  EXPECT_NE(finished.exit_code, -1) << "the run " << run << " did not end";
  return finished.exit_code == -1 ? Value() : parsed(finished.out, "millrace wait");
}

std::string Cluster::node_status(const std::string& run, std::string_view node) const {
  return text_at(json({"status", run}), {"nodes", node, "status"});
}

bool Cluster::wait_for_workers(std::size_t count, Wait at_most) const {
  return eventually(at_most, [&] {
    Finished finished = cli({"workers", "-o", "jsonl"});
    std::size_t ready = 0;
    for (std::size_t place = 0; (place = finished.out.find("\"status\":\"ready\"", place)) != std::string::npos;
         ++place) {
      ++ready;
    }
    return finished.exit_code == 0 && ready == count;
  });
}

std::string Cluster::workflow(std::string_view name, std::string_view text) const {
  return scratch_.write(std::string(name) + ".yaml", text);
}

const Value& at(const Value& value, std::initializer_list<std::string_view> path) {
  static const Value kNothing;
  const Value* here = &value;
  for (std::string_view key : path) {
    here = here->find(key);
    if (here == nullptr) return kNothing;
  }
  return *here;
}

std::string text_at(const Value& value, std::initializer_list<std::string_view> path) {
  const Value& found = at(value, path);
  return found.is_string() ? found.as_string() : "";
}

std::int64_t number_at(const Value& value, std::initializer_list<std::string_view> path) {
  const Value& found = at(value, path);
  return found.is_int() ? found.as_int() : -1;
}

std::string problem_of_history(const std::vector<Value>& events) {
  std::set<std::string> ended;
  bool run_ended = false;
  for (std::size_t i = 0; i < events.size(); ++i) {
    const std::string line = events[i].dump();
    const std::string type = text_at(events[i], {"type"});
    const std::string node = text_at(events[i], {"node"});
    if (number_at(events[i], {"seq"}) != static_cast<std::int64_t>(i) + 1) return "a gap before " + line;
    if ((type == "run_accepted") != (i == 0)) return "accepted at the wrong place: " + line;
    if (run_ended) return "after the run's end: " + line;
    if (!node.empty() && ended.contains(node)) return "after the node's end: " + line;
    if (type == "task_succeeded" || type == "task_failed" || type == "task_skipped" || type == "task_cancelled") {
      ended.insert(node);
    }
    run_ended = type == "run_succeeded" || type == "run_degraded" || type == "run_failed" || type == "run_cancelled";
  }
  return run_ended ? "" : "the run has no end";
}

std::vector<std::string> nodes_in_order(const std::vector<Value>& events, std::string_view type) {
  std::vector<std::string> nodes;
  for (const Value& event : events) {
    if (text_at(event, {"type"}) == type) nodes.push_back(text_at(event, {"node"}));
  }
  return nodes;
}

}  // namespace millrace::test
