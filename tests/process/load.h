// Load: a client that submits without a pause while a test does harm.
//
// Promises: what was acknowledged is looked at when the harm is over: it ended, once, with all its tasks in order.
// Threads: one of its own, which ends with the object. Fails: by a test failure.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/cluster.h"

namespace millrace::test {

inline constexpr char kChain[] =
    "name: chain\nnodes:\n  a: {executor: noop}\n  b: {executor: noop, depends_on: [a]}\n"
    "  c: {executor: noop, depends_on: [b]}\n";

// Submits until told to stop; every acknowledged run has to end once.
class Load {
 public:
  Load(Cluster& cluster, std::string file) : cluster_(cluster), file_(std::move(file)) {
    thread_ = std::thread([this] {
      for (int i = 0; !stop_; ++i) {
        const std::string key = "load-" + std::to_string(i);
        const auto asked = std::chrono::steady_clock::now();
        Finished got = cluster_.cli({"submit", file_, "--idempotency-key", key, "-o", "name", "--timeout", "20s"});
        const auto took = std::chrono::duration_cast<Wait>(std::chrono::steady_clock::now() - asked);
        slowest_ = std::max(slowest_, took);
        while (!got.out.empty() && got.out.back() == '\n') got.out.pop_back();
        if (got.exit_code == 0) acknowledged_.push_back(got.out), ++count_;
        else errors_.push_back(got.err);
      }
    });
  }
  ~Load() { finish(); }
  void finish() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  void expect_all_ended() {
    finish();
    EXPECT_TRUE(errors_.empty()) << errors_.front();
    EXPECT_GT(acknowledged_.size(), 5U);
    std::set<std::string> different(acknowledged_.begin(), acknowledged_.end());
    EXPECT_EQ(different.size(), acknowledged_.size());
    for (const std::string& run : acknowledged_) {
      EXPECT_EQ(text_at(cluster_.wait(run), {"status"}), "succeeded") << run;
      const std::vector<Value> events = cluster_.rows({"events", run});
      EXPECT_EQ(problem_of_history(events), "") << run;
      EXPECT_EQ(nodes_in_order(events, "task_succeeded"), (std::vector<std::string>{"a", "b", "c"})) << run;
    }
  }
  Wait slowest() const { return slowest_; }
  std::size_t acknowledged() const { return count_; }

 private:
  Cluster& cluster_;
  std::string file_;
  std::atomic<bool> stop_ = false;
  std::vector<std::string> acknowledged_;
  std::atomic<std::size_t> count_ = 0;  // of them
  std::vector<std::string> errors_;
  Wait slowest_{0};
  std::thread thread_;
};

inline std::string owners(const Cluster& cluster) {
  std::string all;
  for (const Value& row : cluster.rows({"partitions"}))
    all += text_at(row, {"owner"}) + " " + std::to_string(number_at(row, {"epoch"})) + "\n";
  return all;
}

}  // namespace millrace::test
