// Attacks: what a hostile task tries, in every tier that this machine can give; each is contained, a neighbour that
// runs at the same time is not harmed, and the slot comes back. Every attack is bounded, so that a hole does no damage
// here.
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/executors/harness.h"
#include "worker/executors/task_users.h"

namespace millrace::test {
namespace {

struct Setting {
  const char* executor;
  const char* isolation;
};

ExecutorOptions hardened() {
  ExecutorOptions options = test_options();
  const Result<UserRange> users = parse_task_user("auto");
  if (users.ok()) options.housing.users = *users;
  options.housing.groups = true;
  return options;
}

TaskUser a_task_user() {
  const Result<UserRange> users = parse_task_user("auto");
  return users.ok() && users->count > 0 ? TaskUser{users->first, users->first, true, false} : TaskUser{};
}

class Attacks : public ::testing::TestWithParam<Setting> {
 protected:
  std::unique_ptr<Harness> harness;
  AttemptId neighbour;

  void SetUp() override {
    if (!Sandbox().missing().empty()) GTEST_SKIP() << Sandbox().missing();
    const std::string isolation = GetParam().isolation;
    if (isolation == "namespaces" && !Sandbox::namespaces_missing(a_task_user()).empty())
      GTEST_SKIP() << Sandbox::namespaces_missing(a_task_user());
    if (GetParam().executor == std::string("javascript") && !has_node()) GTEST_SKIP() << "no node";
    harness = std::make_unique<Harness>(hardened());
    neighbour = harness->start("shell", object({{"script", "sleep 1; echo fine"}, {"outputs", "text"}}));
  }
  void TearDown() override {
    if (harness == nullptr) return;
    const Outcome outcome = harness->wait(neighbour);
    EXPECT_TRUE(outcome.success) << "the neighbour was harmed: " << outcome.error.message;
    EXPECT_TRUE(attack("echo free").success) << "the slot did not come back";
  }

  // A shell command, run by the executor of this test in its own way; it may be as bad as it likes.
  TaskContext task(const std::string& command, Value limits = {}) {
    std::string quoted;
    append_json_string(quoted, command);
    Value::Object fields;
    const std::string executor = GetParam().executor;
    if (executor == "shell") {
      fields.emplace_back("script", command);
    } else if (executor == "python") {
      fields.emplace_back("script", "import subprocess\nr = subprocess.run(" + quoted +
                                        ", shell=True, capture_output=True, text=True)\nif r.returncode: raise "
                                        "RuntimeError('exit %d: ' % r.returncode + r.stderr[-400:])\noutput = "
                                        "{'stdout': r.stdout.rstrip('\\n')}");
    } else {
      fields.emplace_back("script",
                          "output = {stdout: require('child_process').execSync(" + quoted + ").toString().trimEnd()}");
    }
    fields.emplace_back("isolation", GetParam().isolation);
    if (!limits.is_null()) fields.emplace_back("limits", std::move(limits));
    return harness->context(executor, Value(std::move(fields)));
  }
  Outcome attack(const std::string& command, Value limits = {}) {
    return harness->run(task(command, std::move(limits)));
  }
  std::string says(const std::string& command) {
    const Outcome outcome = attack("(" + command + ") 2>&1 || echo failed");
    EXPECT_TRUE(outcome.success) << outcome.error.message;
    const Result<Value> value = Value::parse(outcome.output.json());
    const Value* text = value.ok() ? value->find("stdout") : nullptr;
    return text == nullptr ? std::string() : text->as_string();
  }
  // Nothing that carries the mark in its command line is alive a moment later.
  bool gone(const std::string& mark) {
    for (int tries = 0; tries < 300; ++tries, harness->run_for(std::chrono::milliseconds(10))) {
      bool any = false;
      for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        std::ifstream in(entry.path() / "cmdline");
        const std::string line((std::istreambuf_iterator<char>(in)), {});
        any = any || line.find(mark) != std::string::npos;
      }
      if (!any) return true;
    }
    return false;
  }
};

TEST_P(Attacks, AForkBombEndsWithItsTask) {
  const std::string mark = "7." + std::to_string(getpid());
  const std::string bomb = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); sleep " + mark + " & done; wait";
  const Outcome outcome = attack(bomb, object({{"processes", 60}}));
  EXPECT_FALSE(outcome.success);
  EXPECT_EQ(outcome.reason, Reason::kProcesses);
  EXPECT_TRUE(outcome.error.message.starts_with("processes: ")) << outcome.error.message;
  EXPECT_TRUE(gone(mark));
}

TEST_P(Attacks, AMemoryBombIsOom) {
  if (GetParam().executor == std::string("javascript") &&
      !harness->executors.housing().groups().can(Controller::kMemory))
    GTEST_SKIP() << "no control groups";
  const Outcome outcome = attack("head -c 600000000 /dev/zero | tail | wc -c; exit 1", object({{"memory", "200MiB"}}));
  EXPECT_FALSE(outcome.success);
  EXPECT_EQ(to_string(outcome.reason), "oom") << outcome.error.message;
}

TEST_P(Attacks, AFileThatFillsTheDiskIsCutShort) {
  const Outcome outcome = attack("head -c 50000000 /dev/zero >big", object({{"file_size", "1MB"}}));
  EXPECT_FALSE(outcome.success);
}

TEST_P(Attacks, DescriptorsRunOutForTheTaskAlone) {
  const Outcome outcome =
      attack("python3 -c 'kept = [open(\"/dev/null\") for _ in range(200)]'", object({{"files", 64}}));
  EXPECT_FALSE(outcome.success);
}

TEST_P(Attacks, TheWorkerCannotBeReadTracedOrSignalled) {
  const std::string pid = std::to_string(getpid());
  EXPECT_NE(says("cat /etc/shadow").find("failed"), std::string::npos);
  EXPECT_NE(says("cat /proc/" + pid + "/environ").find("failed"), std::string::npos);
  EXPECT_NE(says("head -c 10 /proc/" + pid + "/mem").find("failed"), std::string::npos);
  EXPECT_NE(says("kill -0 " + pid).find("failed"), std::string::npos);
  EXPECT_NE(
      says("python3 -c 'import ctypes,sys; sys.exit(ctypes.CDLL(None).ptrace(16," + pid + ",0,0)!=0)'").find("failed"),
      std::string::npos);
  EXPECT_EQ(says("python3 -c 'import ctypes; c=ctypes.CDLL(None,use_errno=True); c.syscall(425,1,0); "
                 "print(ctypes.get_errno())'"),
            "38")
      << "io_uring";
}

TEST_P(Attacks, FilesOfAnotherTaskCannotBeRead) {
  if (geteuid() != 0 && GetParam().isolation == std::string("process")) GTEST_SKIP() << "tasks share a user here";
  const AttemptId owner =
      harness->start("shell", object({{"script", "echo mine >secret; echo mine >/tmp/of-" + std::to_string(getpid()) +
                                                     "; pwd; sleep 2; rm /tmp/of-" + std::to_string(getpid())}}));
  std::string where = harness->wait_for_output(owner);
  where.pop_back();
  EXPECT_NE(says("cat " + where + "/secret").find("failed"), std::string::npos);
  EXPECT_NE(says("cat /tmp/of-" + std::to_string(getpid())).find("failed"), std::string::npos);
  EXPECT_TRUE(harness->wait(owner).success);
}

TEST_P(Attacks, ADaemonDoesNotOutliveItsTask) {
  const std::string mark = "11." + std::to_string(getpid());
  EXPECT_TRUE(
      attack("setsid sh -c 'setsid sleep " + mark + " </dev/null >/dev/null 2>&1 &' & wait; sleep 0.1").success);
  EXPECT_TRUE(gone(mark)) << "after a good end";
  EXPECT_FALSE(attack("setsid sh -c 'setsid sleep " + mark + " </dev/null >/dev/null 2>&1 &' & wait; sleep 0.1; exit 3")
                   .success);
  EXPECT_TRUE(gone(mark)) << "after a bad one";
  const AttemptId late =
      harness->start(task("setsid sh -c 'setsid sleep " + mark + " </dev/null >/dev/null 2>&1 &' & wait; sleep 30"));
  harness->run_for(std::chrono::milliseconds(1500));
  harness->kill(GetParam().executor, late, Reason::kTimeout);
  EXPECT_EQ(harness->wait(late).reason, Reason::kTimeout);
  EXPECT_TRUE(gone(mark)) << "after a kill";
}

TEST_P(Attacks, InNamespacesThereIsNoNetworkButWhatIsAskedFor) {
  if (GetParam().isolation != std::string("namespaces")) GTEST_SKIP() << "the network is not restricted";
  const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(server, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(server, 4), 0);
  getsockname(server, reinterpret_cast<sockaddr*>(&address), &size);
  const std::string here = "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", " +
                           std::to_string(ntohs(address.sin_port)) + "), 1)'";
  EXPECT_NE(says(here).find("refused"), std::string::npos);
  EXPECT_NE(
      says("python3 -c 'import socket; socket.create_connection((\"169.254.169.254\", 80), 1)'").find("unreachable"),
      std::string::npos);
  TaskContext asks = task(here);
  asks.fields.set("network", true);
  EXPECT_TRUE(harness->run(std::move(asks)).success);
  close(server);
}

TEST_P(Attacks, InNamespacesTheSystemIsReadOnlyAndTheTaskAloneInIt) {
  if (GetParam().isolation != std::string("namespaces")) GTEST_SKIP() << "of namespaces";
  for (const char* place : {"/usr", "/etc", "/home", "/opt", "/var/lib", "/run/lock"})
    EXPECT_NE(says(std::string("touch ") + place + "/x").find("failed"), std::string::npos) << place;
  EXPECT_EQ(says("touch x /tmp/y /var/tmp/z /dev/shm/a && ls /tmp | grep -v millrace-work"), "y");
  EXPECT_EQ(says("echo >/dev/null; head -c 1 /dev/zero | wc -c; ls /dev/vda /dev/mem 2>&1 | grep -c 'No such'"),
            "1\n2");
  EXPECT_EQ(says("ls /proc | grep -c '^[0-9]' | xargs test 9 -gt && echo few"), "few");
  EXPECT_NE(says("unshare -U true").find("failed"), std::string::npos);
  EXPECT_NE(says("mount -t tmpfs none /mnt").find("failed"), std::string::npos);
}

std::string name_of(const ::testing::TestParamInfo<Setting>& info) {
  return std::string(info.param.executor) + "_" + info.param.isolation;
}
INSTANTIATE_TEST_SUITE_P(Every, Attacks,
                         ::testing::Values(Setting{"shell", "process"}, Setting{"python", "process"},
                                           Setting{"javascript", "process"}, Setting{"shell", "namespaces"},
                                           Setting{"python", "namespaces"}, Setting{"javascript", "namespaces"}),
                         name_of);

}  // namespace
}  // namespace millrace::test
