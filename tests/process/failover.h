// What the failover tests share: many live runs held open by a gate, and a look at who owns what in the store itself.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/cluster.h"

namespace millrace::test {

using SteadyTime = std::chrono::steady_clock::time_point;

// `gate` runs until there is a file; behind it are `width` no-ops and a join.
inline std::string gated(int width) {
  std::string text =
      "name: gated\ninputs:\n  open: {type: string, required: true}\nnodes:\n"
      "  gate:\n    executor: shell\n    env: {OPEN: \"{{ inputs.open }}\"}\n"
      "    script: while [ ! -e \"$OPEN\" ]; do sleep 0.05; done\n";
  std::string all;
  for (int i = 0; i < width; ++i) {
    text += "  n" + std::to_string(i) + ": {executor: noop, depends_on: [gate]}\n";
    all += (i == 0 ? "n" : ", n") + std::to_string(i);
  }
  return text + "  join: {executor: noop, depends_on: [" + all + "]}\n";
}

inline std::string owner_in_store(Cluster& cluster, int partition) {
  Finished got = run_program(
      {"redis-cli", "-s", cluster.redis().path(), "HGET", "mr:{p" + std::to_string(partition) + "}:owner", "owner"});
  while (!got.out.empty() && got.out.back() == '\n') got.out.pop_back();
  return got.out;
}

inline std::multiset<std::string> owners_in_store(Cluster& cluster) {
  std::multiset<std::string> owners;
  for (int p = 0; p < 16; ++p) owners.insert(owner_in_store(cluster, p));
  return owners;
}

inline bool balanced(Cluster& cluster) {
  std::multiset<std::string> owners = owners_in_store(cluster);
  return owners.count(Cluster::name_of(0)) == 8 && owners.count(Cluster::name_of(1)) == 8;
}

// Kills one of two coordinators with `runs` live runs of `width` + 2 tasks each and checks, with the event stream and
// the store only, that nothing is lost or done twice and that every partition is served again within 3 s.
inline void kill_one_of_two(std::size_t runs, int width) {
  Cluster cluster({.workers = {"w1", "w2"}, .slots = 4, .coordinators = 2});
  ASSERT_TRUE(eventually(20s, [&] { return balanced(cluster); })) << "two coordinators do not share the partitions";
  const std::string open = cluster.scratch().file("open");
  const std::string file = cluster.workflow("gated", gated(width));
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < runs; ++i) ids.push_back(cluster.submit(file, {"-i", "open=" + open}));
  ASSERT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), runs);
  Program waits = cluster.start_cli({"wait", ids[0], "-o", "name", "--no-progress"}, "wait");
  Program follows = cluster.start_cli({"events", ids[1], "-f", "-o", "jsonl"}, "follow");
  ASSERT_TRUE(eventually(20s, [&] { return !follows.out().empty(); }));

  cluster.coordinator(0).kill();  // the one that all of them talk to
  const auto killed = std::chrono::steady_clock::now();
  auto since_killed = [&] { return std::chrono::duration_cast<Wait>(std::chrono::steady_clock::now() - killed); };
  const std::string other = cluster.address(1);
  // Submissions to every partition, at the survivor, from the first moment on.
  std::vector<Program> submits;
  for (int i = 0; i < 24; ++i) {
    submits.push_back(cluster.start_cli({"submit", file, "-i", "open=" + open, "-o", "name", "-c", other},
                                        "submit-" + std::to_string(i)));
  }
  Wait last{};
  ASSERT_TRUE(eventually(20s, [&] { return owners_in_store(cluster).count(Cluster::name_of(1)) == 16; }));
  const Wait taken = since_killed();
  for (std::size_t i = 0; i < submits.size(); ++i) {
    EXPECT_EQ(submits[i].wait(20s), 0) << submits[i].err();
    last = since_killed();
    std::string id = submits[i].out();
    ids.push_back(id.substr(0, id.find('\n')));
  }
  std::printf("taken over %lld ms after the kill, all submissions acknowledged after %lld ms\n",
              static_cast<long long>(taken.count()), static_cast<long long>(last.count()));
  EXPECT_LT(last, 3s);

  std::ofstream(open) << "open";
  EXPECT_EQ(waits.wait(120s), 0) << waits.err();
  EXPECT_EQ(follows.wait(60s), 0) << follows.err();
  std::vector<Value> seen;
  std::istringstream lines(follows.out());
  for (std::string line; std::getline(lines, line);) {
    Result<Value> event = Value::parse(line);
    ASSERT_TRUE(event.ok()) << line;
    if (number_at(*event, {"seq"}) > 0) seen.push_back(*event);
  }
  EXPECT_EQ(problem_of_history(seen), "") << "what the follower saw";
  for (const std::string& id : ids) {
    Finished ended = cluster.cli_at(1, {"wait", id, "-o", "json", "--no-progress"}, 120s);
    ASSERT_EQ(ended.exit_code, 0) << id << ended.out << ended.err;
    Finished events = cluster.cli_at(1, {"events", id, "-o", "json"});
    Result<Value> history = Value::parse(events.out);
    ASSERT_TRUE(history.ok()) << events.out << events.err;
    const Value* list = history->find("events");
    ASSERT_NE(list, nullptr);
    const std::vector<Value> rows(list->as_array().begin(), list->as_array().end());
    EXPECT_EQ(problem_of_history(rows), "") << id;
    EXPECT_EQ(nodes_in_order(rows, "task_succeeded").size(), static_cast<std::size_t>(width) + 2) << id;
    EXPECT_TRUE(nodes_in_order(rows, "task_retrying").empty()) << id << ": a running task was given up";
  }
}

}  // namespace millrace::test
