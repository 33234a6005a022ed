// Three hosts with their own addresses: coordinators on two, Redis on the third, workers on all, everything beyond
// loopback with keys, as it is deployed. Links are cut and healed under load; the event stream is held against what is
// promised (FAULTS rows 30 to 34).
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <set>
#include <thread>

#include "tests/multinode/hosts.h"
#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

constexpr std::size_t kRedisHost = 2;
const char* const kWorkerPort = "5711";

class Multinode : public ::testing::Test {
 protected:
  void SetUp() override {
    hosts_ = std::make_unique<Hosts>(3);
    if (!hosts_->problem().empty()) GTEST_SKIP() << "no network namespaces: " << hosts_->problem();
    make_keys();
    start_redis();
    for (std::size_t host = 0; host < 2; ++host) start_coordinator(host);
    for (std::size_t host = 0; host < 3; ++host) start_worker(host);
    ASSERT_TRUE(eventually(30s, [&] { return workers_known() == 3; })) << logs();
  }
  void TearDown() override {
    if (HasFailure() && hosts_->problem().empty()) std::printf("%s\n", logs().c_str());
    programs_.clear();
  }

  void make_keys() {
    for (const auto& [name, role] : std::map<std::string, std::string>{
             {"coordinators", "coordinator"}, {"workers", "worker"}, {"alice", "operator"}}) {
      EXPECT_EQ(
          run_program({bin("millrace"), "keys", "generate", name, "--role", role, "--dir", scratch_.path()}).exit_code,
          0);
      EXPECT_EQ(run_program({bin("millrace"), "keys", "authorize", name, "--dir", scratch_.path()}).exit_code, 0);
    }
  }
  std::string key(const std::string& name) const { return scratch_.file(name + ".key"); }
  std::string open_key() const { return scratch_.file("coordinators.pub"); }
  std::string endpoint(std::size_t host) const { return "tcp://" + hosts_->address(host) + ":" + kWorkerPort; }

  void start(const std::string& name, std::size_t host, const std::vector<std::string>& words) {
    programs_.insert_or_assign(name, Program::start(hosts_->at(host, words), scratch_.file(name)));
  }
  void start_redis() {
    start("redis", kRedisHost,
          {"redis-server", "--bind", hosts_->address(kRedisHost), "--port", "6379", "--protected-mode", "no", "--save",
           "", "--appendonly", "yes", "--dir", scratch_.path()});
    ASSERT_TRUE(eventually(10s, [&] {
      return run_program(hosts_->at(0, {"redis-cli", "-h", hosts_->address(kRedisHost), "ping"})).out == "PONG\n";
    }));
  }
  void start_coordinator(std::size_t host) {
    const std::string name = "c" + std::to_string(host + 1);
    start(name, host,
          {bin("millrace-coordinator"), "--id", name, "--listen", endpoint(host), "--events",
           "tcp://" + hosts_->address(host) + ":5712", "--redis", "redis://" + hosts_->address(kRedisHost) + ":6379/0",
           "--curve-key", key("coordinators"), "--curve-authorized", scratch_.file("authorized")});
  }
  void start_worker(std::size_t host) {
    const std::string name = "w" + std::to_string(host + 1);
    start(name, host,  // they find the other coordinator from the first
          {bin("millrace-worker"), "--id", name, "--coordinator", endpoint(0), "--slots", "4", "--curve-key",
           key("workers"), "--curve-server-key", open_key()});
  }

  // `millrace WORDS...` on a host, by default the one with Redis, with both coordinators to choose from.
  Finished cli(std::vector<std::string> words, Wait at_most = 60s, std::size_t host = kRedisHost) const {
    words.insert(words.begin(), bin("millrace"));
    return run_program(hosts_->at(host, words),
                       {{"MILLRACE_COORDINATOR", endpoint(0) + "," + endpoint(1)},
                        {"MILLRACE_CURVE_KEY", key("alice")},
                        {"MILLRACE_CURVE_SERVER_KEY", open_key()}},
                       at_most);
  }
  std::size_t workers_known() const {
    const std::string out = cli({"workers", "-o", "jsonl", "--timeout", "3s"}).out;
    std::size_t ready = 0;
    for (std::size_t at = 0; (at = out.find("\"status\":\"ready\"", at)) != std::string::npos; ++at) ++ready;
    return ready;
  }
  // Again with the same key until it is acknowledged: which run it is does not depend on how often it was said.
  std::string submit(const std::string& file, const std::string& idempotency_key) const {
    for (int tries = 0; tries < 40; ++tries) {
      const Finished said =
          cli({"submit", file, "--idempotency-key", idempotency_key, "-o", "name", "--timeout", "5s"});
      if (said.exit_code == 0) return said.out.substr(0, said.out.find('\n'));
    }
    ADD_FAILURE() << "nobody accepted " << idempotency_key;
    return "";
  }
  std::vector<Value> history(const std::string& run) const {
    const Finished events = cli({"events", run, "-o", "json"});
    const Result<Value> all = Value::parse(events.out);
    EXPECT_TRUE(all.ok()) << events.out << events.err;
    const Value* list = all.ok() ? all->find("events") : nullptr;
    return list == nullptr ? std::vector<Value>()
                           : std::vector<Value>(list->as_array().begin(), list->as_array().end());
  }
  std::string logs() {
    std::string text;
    for (auto& [name, program] : programs_) {
      std::string log = program.err();
      if (log.size() > 4'000) log.erase(0, log.size() - 4'000);
      text += "---- " + name + "\n" + log;
    }
    return text;
  }

  ScratchDirectory scratch_;
  std::unique_ptr<Hosts> hosts_;
  std::map<std::string, Program> programs_;  // last: they end before the hosts go
};

// Layers of tasks, each of which depends on two of the layer before and adds up what it sees.
std::string layered(int layers, int width, std::map<std::string, std::vector<std::string>>& upstream) {
  std::string text = "name: layered\nnodes:\n";
  for (int layer = 0; layer < layers; ++layer) {
    for (int i = 0; i < width; ++i) {
      const std::string id = "t" + std::to_string(layer) + "_" + std::to_string(i);
      std::string sum = "1";
      for (int up : {i, (i + 1) % width}) {
        if (layer == 0) break;
        const std::string before = "t" + std::to_string(layer - 1) + "_" + std::to_string(up);
        upstream[id].push_back(before);
        sum += " + {{ nodes." + before + ".stdout }}";
      }
      text += "  " + id + ":\n    executor: shell\n    retry: {max_attempts: 3, max_losses: 50}\n    script: |\n" +
              "      sleep 0.1\n      printf %s $(($SUM))\n    env: {SUM: \"" + sum + "\"}\n";
    }
  }
  return text + "outputs:\n  total: \"{{ nodes.t" + std::to_string(layers - 1) + "_0.stdout }}\"\n";
}

std::string total_of(int layers) { return std::to_string((1 << layers) - 1); }

TEST_F(Multinode, WorkersFindEveryCoordinatorFromOneAddress) {
  for (const char* coordinator : {"c1", "c2"}) {
    for (const char* worker : {"w1", "w2", "w3"}) {
      EXPECT_TRUE(
          eventually(15s,
                     [&] {
                       return programs_.at(coordinator).err().find(std::string("worker ") + worker + " has joined") !=
                              std::string::npos;
                     }))
          << coordinator << " does not know " << worker;
    }
  }
}

TEST_F(Multinode, WithoutKeysNobodyListensBeyondLoopback) {
  const Finished refused = run_program(hosts_->at(0, {bin("millrace-coordinator"), "--listen", "tcp://0.0.0.0:5799",
                                                      "--events", "tcp://0.0.0.0:5798", "--store", "memory"}),
                                       {}, 10s);
  EXPECT_EQ(refused.exit_code, 2) << refused.err;
}

TEST_F(Multinode, TenLinksCutAndHealedUnderLoadBreakNoPromise) {
  constexpr int kRounds = 10;
  constexpr int kLayers = 5;
  std::map<std::string, std::vector<std::string>> upstream;
  const std::string file = scratch_.write("layered.yaml", layered(kLayers, 4, upstream));
  std::mt19937 random(4711);
  std::vector<std::string> runs;
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < 3; ++i) runs.push_back(submit(file, "run-" + std::to_string(round) + "-" + std::to_string(i)));
    const std::size_t host = static_cast<std::size_t>(round) % 3;
    hosts_->cut(host);
    std::this_thread::sleep_for(std::chrono::milliseconds(500 + random() % 6'500));  // some longer than a lease
    hosts_->heal(host);
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 1'500));
  }
  EXPECT_EQ(std::set<std::string>(runs.begin(), runs.end()).size(), runs.size()) << "two submissions became one run";
  std::size_t lost = 0;
  for (const std::string& run : runs) {
    const Finished ended = cli({"wait", run, "-o", "json", "--no-progress"}, 120s);
    ASSERT_EQ(ended.exit_code, 0) << run << "\n" << ended.out << ended.err;
    const Result<Value> view = Value::parse(ended.out);
    ASSERT_TRUE(view.ok()) << ended.out;
    EXPECT_EQ(text_at(*view, {"outputs", "total"}), total_of(kLayers)) << ended.out;
    const std::vector<Value> events = history(run);
    EXPECT_EQ(problem_of_history(events), "") << run;
    std::map<std::string, std::size_t> done;
    for (const std::string& node : nodes_in_order(events, "task_succeeded")) done.emplace(node, done.size());
    EXPECT_EQ(done.size(), static_cast<std::size_t>(kLayers) * 4) << run;
    for (const auto& [node, before] : upstream) {
      for (const std::string& up : before) EXPECT_LT(done[up], done[node]) << run << ": " << node << " before " << up;
    }
    lost += nodes_in_order(events, "task_retrying").size();
  }
  EXPECT_TRUE(eventually(20s, [&] { return workers_known() == 3; })) << "a worker did not come back";
  for (auto& [name, program] : programs_) EXPECT_TRUE(program.running()) << name << " ended";
  std::printf("%zu runs checked, %d cuts, %zu attempts tried again\n", runs.size(), kRounds, lost);
}

}  // namespace
}  // namespace millrace::test
