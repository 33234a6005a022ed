// Where tasks run: the processors, the cpu weight and the control groups that an operator gives to queues.
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>

#include "tests/unit/executors/harness.h"

namespace millrace::test {
namespace {

// The processors that this process may use.
std::vector<int> processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  std::vector<int> out;
  for (int one = 0; one < CPU_SETSIZE; ++one) {
    if (CPU_ISSET(static_cast<std::size_t>(one), &set)) out.push_back(one);
  }
  return out;
}

ExecutorOptions housed(HousingOptions housing) {
  ExecutorOptions options = test_options();
  options.housing = std::move(housing);
  return options;
}

TEST(Processors, AreNumbersAndRanges) {
  EXPECT_EQ(*parse_processors("0-3,6"), (std::vector<int>{0, 1, 2, 3, 6}));
  EXPECT_EQ(*parse_processors("5"), std::vector<int>{5});
  for (const char* bad : {"", "a", "3-1", "-1", "1,", "1-", "0-99999", "1 2"})
    EXPECT_FALSE(parse_processors(bad)) << bad;
}

TEST(QueueSettings, AreReadAndWhatIsWrongIsNamed) {
  const Result<QueueSettings> all = parse_queue_settings(R"({"pin":"0-1","cpu_weight":50,"cgroup":"batch"})");
  ASSERT_TRUE(all.ok());
  EXPECT_EQ(all->pin, (std::vector<int>{0, 1}));
  EXPECT_EQ(all->cpu_weight, 50U);
  EXPECT_EQ(all->cgroup, "batch");
  EXPECT_EQ(parse_queue_settings(R"({"pin":3})")->pin, std::vector<int>{3});
  EXPECT_EQ(parse_queue_settings(R"({"pin":[0,2]})")->pin, (std::vector<int>{0, 2}));
  const std::pair<const char*, const char*> wrong[] = {
      {R"({"cpu_weight":0})", "1 to 10000"},       {R"({"cpu_weight":10001})", "1 to 10000"},
      {R"({"cgroup":"../up"})", "like a node id"}, {R"({"pin":"x"})", "processors like 0-3,6"},
      {R"({"nice":1})", "unknown key 'nice'"},     {"[]", "a mapping"}};
  for (const auto& [json, why] : wrong) {
    const Result<QueueSettings> settings = parse_queue_settings(json);
    ASSERT_FALSE(settings.ok()) << json;
    EXPECT_NE(settings.error().what.find(why), std::string::npos) << settings.error().what;
  }
}

// A task of each executor that says where it runs: as it is read in /proc/self/status.
struct Way {
  const char* executor;
  const char* isolation;
  const char* script;
};
constexpr const char* kPython =
    "output = [l.split()[1] for l in open('/proc/self/status') if l.startswith('Cpus_allowed_list')][0]";
constexpr const char* kJavascript =
    "output = require('fs').readFileSync('/proc/self/status', 'utf8').match(/Cpus_allowed_list:\\s*(\\S+)/)[1]";
constexpr const char* kShell = "awk '/^Cpus_allowed_list/ {printf \"%s\", $2}' /proc/self/status";

class Pinned : public ::testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    if (std::string(GetParam().executor) == "javascript" && !has_node()) GTEST_SKIP() << "no node";
  }
  static std::string where(Harness& h, const std::string& queue) {
    TaskContext task =
        h.context(GetParam().executor, object({{"script", GetParam().script}, {"isolation", GetParam().isolation}}));
    task.queue = queue;
    if (std::string(GetParam().executor) == "shell") task.fields.set("outputs", "text");
    const Outcome outcome = h.run(std::move(task));
    EXPECT_TRUE(outcome.success) << outcome.error.message << outcome.error.traceback;
    return outcome.success ? Value::parse(outcome.output.json())->as_string() : "";
  }
};

TEST_P(Pinned, ATaskRunsOnTheProcessorsOfTheWorkerOrOfItsQueue) {
  const std::vector<int> ours = processors();
  const int first = ours.front(), last = ours.back();
  HousingOptions housing;
  housing.all.pin = {last};
  housing.queues["early"].pin = {first};
  housing.queues["other"].cpu_weight = 0;  // says nothing of processors
  Harness h(housed(std::move(housing)));
  EXPECT_EQ(where(h, ""), std::to_string(last));
  EXPECT_EQ(where(h, "early"), std::to_string(first));
  EXPECT_EQ(where(h, "other"), std::to_string(last));
  EXPECT_EQ(where(h, ""), std::to_string(last)) << "the next one is where it was";
}

TEST_P(Pinned, WithoutThemItRunsOnAll) {
  cpu_set_t before;
  sched_getaffinity(0, sizeof before, &before);
  Harness h;
  const std::string all = where(h, "");
  cpu_set_t after;
  sched_getaffinity(0, sizeof after, &after);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
  EXPECT_EQ(parse_processors(all).ok() ? *parse_processors(all) : std::vector<int>(), processors());
}

INSTANTIATE_TEST_SUITE_P(Every, Pinned,
                         ::testing::Values(Way{"shell", "process", kShell}, Way{"shell", "none", kShell},
                                           Way{"python", "process", kPython}, Way{"python", "none", kPython},
                                           Way{"javascript", "process", kJavascript},
                                           Way{"javascript", "none", kJavascript}),
                         [](const auto& way) { return std::string(way.param.executor) + "_" + way.param.isolation; });

TEST(OperatorsLimits, HoldForATaskThatNamesNoneWhateverItsIsolation) {
  HousingOptions housing;
  housing.limits.files = 77;
  Harness h(housed(std::move(housing)));
  const auto output = [&](const char* executor, const char* isolation, const char* script) {
    const Outcome outcome = h.run(executor, object({{"script", script}, {"isolation", isolation}}));
    EXPECT_TRUE(outcome.success) << executor << isolation << outcome.error.message;
    return outcome.success ? std::string(outcome.output.json()) : "";
  };
  for (const char* isolation : {"process", "none"}) {
    EXPECT_EQ(output("python", isolation, "import resource\noutput = resource.getrlimit(resource.RLIMIT_NOFILE)[1]"),
              "77")
        << isolation;
    if (!has_node()) continue;
    EXPECT_EQ(
        output("javascript", isolation,
               "output = require('fs').readFileSync('/proc/self/limits', 'utf8').match(/open files +\\d+ +(\\d+)/)[1]"),
        "\"77\"")
        << isolation;
  }
}

// Control groups of this machine, with the controllers that the test needs.
class Placed : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::string(GetParam()) == "javascript" && !has_node()) GTEST_SKIP() << "no node";
    const Cgroups groups;
    for (const Controller one : {Controller::kCpu, Controller::kMemory}) {
      if (!groups.can(one)) GTEST_SKIP() << "control groups cannot be made here: " << groups.missing();
    }
  }
  static HousingOptions with_groups() {
    HousingOptions housing;
    housing.groups = true;
    return housing;
  }
  // Starts a task that waits, and gives the group that it is in: a directory of the hierarchy that has the controller.
  static std::string group_of(Harness& h, const AttemptId& attempt, const std::string& controller) {
    const pid_t pid = std::stoi(h.wait_for_output(attempt));
    std::ifstream in("/proc/" + std::to_string(pid) + "/cgroup");
    std::string version2;
    for (std::string line; std::getline(in, line);) {
      const std::size_t first = line.find(':'), second = line.find(':', first + 1);
      const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
      if (names == ",,") version2 = "/sys/fs/cgroup" + line.substr(second + 1);
      if (names.find("," + controller + ",") != std::string::npos)
        return "/sys/fs/cgroup/" + controller + line.substr(second + 1);
    }
    return version2;
  }
  static AttemptId start(Harness& h, const std::string& queue, const char* isolation = "process", Value limits = {}) {
    const std::string executor = GetParam();
    const char* script = executor == "shell" ? "echo $$; sleep 60"
                         : executor == "python"
                             ? "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)"
                             : "console.log(process.pid); await new Promise((r) => setTimeout(r, 60000))";
    Value fields = object({{"script", script}, {"isolation", isolation}});
    if (limits.is_object()) fields.set("limits", std::move(limits));
    TaskContext task = h.context(executor, std::move(fields));
    task.queue = queue;
    return h.start(std::move(task));
  }
  static std::uint64_t number_in(const std::string& path) {
    std::ifstream in(path);
    std::uint64_t number = 0;
    in >> number;
    return number;
  }
};

TEST_P(Placed, AQueuesWeightAndGroupHoldForItsTasksAlone) {
  HousingOptions housing = with_groups();
  housing.queues["batch"].cpu_weight = 50;
  housing.queues["batch"].cgroup = "night";
  Harness h(housed(std::move(housing)));
  for (const char* isolation : {"process", "none"}) {
    const AttemptId batch = start(h, "batch", isolation);
    const AttemptId usual = start(h, "", isolation);
    const std::string group = group_of(h, batch, "cpu");
    EXPECT_NE(group.find("/night/"), std::string::npos) << group;
    const bool version2 = std::filesystem::exists(group + "/cpu.weight");
    EXPECT_EQ(number_in(group + (version2 ? "/cpu.weight" : "/cpu.shares")), version2 ? 50U : 512U) << group;
    EXPECT_EQ(group_of(h, usual, "cpu").find("/night/"), std::string::npos);
    for (const AttemptId& attempt : {batch, usual}) {
      h.kill(GetParam(), attempt, Reason::kTimeout);
      h.wait(attempt);
    }
    h.run_for(50ms);
    EXPECT_FALSE(std::filesystem::exists(group)) << "a task's group goes with it";
  }
}

TEST_P(Placed, ALimitOfMemoryHoldsForAllOfATaskTogetherAndEndsItByName) {
  Harness h(housed(with_groups()));
  const std::string executor = GetParam();
  const AttemptId attempt = start(h, "", "process", object({{"memory", "200MiB"}}));
  const std::string group = group_of(h, attempt, "memory");
  const bool version2 = std::filesystem::exists(group + "/memory.max");
  EXPECT_EQ(number_in(group + (version2 ? "/memory.max" : "/memory.limit_in_bytes")), 200U << 20);
  h.kill(executor, attempt, Reason::kTimeout);
  h.wait(attempt);
  const char* eats = executor == "shell" ? "dd if=/dev/zero of=/dev/null bs=600M count=1"
                     : executor == "python"
                         ? "a = []\nfor i in range(600): a.append(bytearray(b'x') * (1 << 20))"
                         : "const a = []; for (let i = 0; i < 600; ++i) a.push(Buffer.alloc(1 << 20, 'x'))";
  const Outcome outcome = h.run(executor, object({{"script", eats}, {"limits", object({{"memory", "200MiB"}})}}));
  EXPECT_EQ(outcome.reason, Reason::kOutOfMemory) << outcome.error.message;
  EXPECT_EQ(outcome.error.message, "oom: it used more than 200MiB of memory");
}

INSTANTIATE_TEST_SUITE_P(Every, Placed, ::testing::Values("shell", "python", "javascript"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace millrace::test
