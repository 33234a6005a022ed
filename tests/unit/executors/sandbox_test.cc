// Isolation `process`: what a confined task cannot do, what it still can, and that limits are held to and named.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/executors/harness.h"
#include "worker/executors/sandbox.h"

namespace millrace::test {
namespace {

class Attack : public ::testing::TestWithParam<const char*> {
 protected:
  std::string secrets = "/var/lib/millrace-hidden-" + std::to_string(getpid());
  std::unique_ptr<Harness> harness;

  void SetUp() override {
    if (!Sandbox().missing().empty()) GTEST_SKIP() << Sandbox().missing();
    if (GetParam() == std::string("javascript") && !has_node()) GTEST_SKIP() << "no node";
    std::error_code problem;
    if (!std::filesystem::create_directory(secrets, problem)) GTEST_SKIP() << "cannot write to /var/lib";
    std::ofstream(secrets + "/TOKEN") << "hunter2";
  }
  void TearDown() override { std::filesystem::remove_all(secrets); }

  Harness& h() {
    if (harness == nullptr) {
      ExecutorOptions options = test_options();
      options.housing.hidden = {secrets};
      harness = std::make_unique<Harness>(options);
    }
    return *harness;
  }
  // A shell command, run by the executor of this test in its own way.
  std::string says(const std::string& command, Value::Object more = {}) {
    const std::string executor = GetParam();
    std::string quoted;
    append_json_string(quoted, "(" + command + ") 2>&1 || echo failed");
    if (executor == "shell") {
      more.emplace_back("script", "(" + command + ") 2>&1 || echo failed");
      more.emplace_back("outputs", "text");
    } else if (executor == "python") {
      more.emplace_back("script", "import subprocess\noutput = subprocess.run(" + quoted +
                                      ", shell=True, capture_output=True, text=True).stdout.rstrip('\\n')");
    } else {
      more.emplace_back("script", "output = require('child_process').execSync(" + quoted + ").toString().trimEnd()");
    }
    const Outcome outcome = h().run(executor, Value(std::move(more)));
    EXPECT_TRUE(outcome.success) << outcome.error.message << outcome.error.traceback;
    const Result<Value> value = Value::parse(outcome.output.json());
    return value.ok() && value->is_string() ? value->as_string() : std::string(outcome.output.json());
  }
  static bool denied(const std::string& text) {
    for (const char* word : {"denied", "not permitted", "Permission", "Not permitted", "not implemented"})
      if (text.find(word) != std::string::npos) return true;
    return false;
  }
};

TEST_P(Attack, SecretsOfTheMachineAndOfTheWorkerCannotBeRead) {
  EXPECT_TRUE(denied(says("cat " + secrets + "/TOKEN"))) << says("cat " + secrets + "/TOKEN");
  EXPECT_TRUE(denied(says("cat /etc/shadow")));
  const std::string environ = "/proc/" + std::to_string(getpid()) + "/environ";
  EXPECT_TRUE(denied(says("cat " + environ))) << says("cat " + environ);
  EXPECT_TRUE(denied(says("head -c 10 /proc/" + std::to_string(getpid()) + "/mem")));
}

// As Kubernetes changes what it has mounted.
TEST_P(Attack, WhatIsHiddenByALinkStaysHiddenWhenTheLinkIsChanged) {
  if (!Sandbox::namespaces_missing({}).empty()) GTEST_SKIP() << "no user namespaces";
  for (const char* version : {"/one", "/two"}) {
    std::filesystem::create_directory(secrets + version);
    std::ofstream(secrets + version + "/key") << "hunter2";
  }
  std::filesystem::create_directory_symlink("one", secrets + "/now");
  ExecutorOptions options = test_options();
  options.housing.hidden = {secrets + "/now/key"};
  harness = std::make_unique<Harness>(options);
  const auto looks = [&](const std::string& path) { return says("cat " + path, {{"isolation", "namespaces"}}); };
  EXPECT_EQ(looks(secrets + "/one/key").find("hunter2"), std::string::npos);
  EXPECT_EQ(looks(secrets + "/TOKEN"), "hunter2") << "what nobody hides can be read";
  std::filesystem::create_directory_symlink("two", secrets + "/next");
  std::filesystem::rename(secrets + "/next", secrets + "/now");
  EXPECT_EQ(looks(secrets + "/two/key").find("hunter2"), std::string::npos);
}

TEST_P(Attack, TheSystemCannotBeWrittenTo) {
  for (const char* path : {"/etc/millrace-attack", "/usr/bin/millrace-attack", "/millrace-attack", "/etc/passwd"})
    EXPECT_TRUE(denied(says(std::string("echo x >>") + path))) << path;
  EXPECT_FALSE(std::filesystem::exists("/etc/millrace-attack"));
}

TEST_P(Attack, TheWorkerCannotBeSignalled) {
  const std::string text = says("kill -0 " + std::to_string(getpid()));
  if (text.empty()) GTEST_SKIP() << "the kernel's landlock does not scope signals";
  EXPECT_TRUE(denied(text)) << text;
}

TEST_P(Attack, NamespacesAndMountsCannotBeMade) {
  EXPECT_TRUE(denied(says("unshare -U true"))) << says("unshare -U true");
  EXPECT_TRUE(denied(says("mount -t tmpfs none /mnt"))) << says("mount -t tmpfs none /mnt");
}

TEST_P(Attack, WhatTasksNeedStillWorks) {
  EXPECT_EQ(
      says("echo hi >f; cat f; ls / >/dev/null; date >/dev/null; d=$(mktemp -d); echo there >$d/x; cat $d/x; rm -r $d"),
      "hi\nthere");
  EXPECT_EQ(says("cat /etc/passwd | head -n 1 | cut -d: -f1"), "root");
}

INSTANTIATE_TEST_SUITE_P(Every, Attack, ::testing::Values("shell", "python", "javascript"),
                         [](const auto& info) { return std::string(info.param); });

class Confined : public ::testing::Test {
 protected:
  Harness h;
  void SetUp() override {
    if (!Sandbox().missing().empty()) GTEST_SKIP() << Sandbox().missing();
  }
  Outcome python(const std::string& script, Value limits = {}) {
    return h.run("python", object({{"script", script}, {"limits", std::move(limits)}}));
  }
  Outcome shell(const std::string& script, Value limits) {
    return h.run("shell", object({{"script", script}, {"limits", std::move(limits)}}));
  }
};

TEST_F(Confined, DangerousSystemCallsFailAndKillNobody) {
  const Outcome outcome = python(R"(
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def errno_of(number, *arguments):
    return -ctypes.get_errno() if libc.syscall(number, *arguments) == -1 else 0
output = {"io_uring": errno_of(425, 1, 0), "bpf": errno_of(321, 0, 0, 0), "ptrace": errno_of(101, 16, os.getppid(), 0, 0),
          "keyctl": errno_of(250, 0, 0), "userfaultfd": errno_of(323, 0), "perf": errno_of(298, 0, 0, 0, 0, 0)}
)");
#if defined(__x86_64__)
  EXPECT_EQ(outcome.output.json(), R"({"io_uring":-38,"bpf":-1,"ptrace":-1,"keyctl":-1,"userfaultfd":-1,"perf":-1})")
      << outcome.error.message;
#else
  EXPECT_TRUE(outcome.success) << outcome.error.message;
#endif
}

TEST_F(Confined, TheStandardLibraryGoesOnUnderTheFilter) {
  const Outcome outcome = python(R"py(
import asyncio, concurrent.futures, hashlib, json, multiprocessing, os, pathlib, shutil, socket, sqlite3, ssl, subprocess
import tempfile, threading, time, zipfile

done = []
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder)
    (path / "a.txt").write_text("hello")
    os.rename(path / "a.txt", path / "b.txt")
    shutil.copytree(path, path.parent / (path.name + "-copy"))
    shutil.rmtree(str(path) + "-copy")
    with zipfile.ZipFile(path / "z.zip", "w") as z:
        z.write(path / "b.txt")
    db = sqlite3.connect(path / "db")
    db.execute("create table t (x)")
    db.execute("insert into t values (1)")
    db.commit()
    done.append(db.execute("select x from t").fetchone()[0])
done.append(subprocess.run(["echo", "x"], capture_output=True, text=True).stdout.strip())
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    done.append(sum(pool.map(abs, range(10))))
with multiprocessing.get_context("fork").Pool(2) as pool:
    done.append(sum(pool.map(abs, [1, -2])))
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
client.sendall(b"ping")
done.append(peer.recv(4).decode())

async def both():
    process = await asyncio.create_subprocess_exec("echo", "y", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return out.decode().strip()

done.append(asyncio.run(both()))
ssl.create_default_context()
hashlib.sha256(os.urandom(8))
time.sleep(0.01)
threading.Timer(0.01, lambda: None).start()
output = done
)py");
  EXPECT_EQ(outcome.output.json(), R"([1,"x",45,3,"ping","y"])") << outcome.error.message << outcome.error.traceback;
}

TEST_F(Confined, ALimitThatIsReachedIsNamed) {
  EXPECT_EQ(shell("while :; do :; done", object({{"cpu", "1s"}})).error.message,
            "cpu: it used more than 1s of cpu time");
  const Outcome spun = python("while True: pass", object({{"cpu", "1s"}}));
  EXPECT_EQ(spun.reason, Reason::kCpu);
  EXPECT_EQ(spun.error.message, "cpu: it used more than 1s of cpu time");
  EXPECT_EQ(shell("exec head -c 2000000 /dev/zero >big", object({{"file_size", "1MB"}})).error.message,
            "file_size: it wrote more than 1000000 bytes to one file");
  const Outcome memory = python("x = bytearray(2_000_000_000)", object({{"memory", "512MiB"}}));
  EXPECT_EQ(memory.reason, Reason::kOutOfMemory);
  const Outcome files = python("kept = [open('/dev/null') for _ in range(200)]", object({{"files", 64}}));
  EXPECT_TRUE(files.error.message.starts_with("OSError: [Errno 24] Too many open files")) << files.error.message;
  EXPECT_TRUE(python("output = 1").success) << "the next task is not harmed";
}

TEST_F(Confined, AnOutputBeyondItsLimitFailsTheTask) {
  const auto run = [&](const char* executor, const std::string& script, const char* limit) {
    return h.run(executor, object({{"script", script}, {"limits", object({{"output", limit}})}}));
  };
  const std::pair<const char*, const char*> scripts[] = {{"shell", "head -c 2000 /dev/zero | tr '\\0' x"},
                                                         {"python", "output = 'x' * 2000"},
                                                         {"javascript", "output = 'x'.repeat(2000)"}};
  for (const auto& [executor, script] : scripts) {
    if (std::string(executor) == "javascript" && !has_node()) continue;
    EXPECT_TRUE(run(executor, script, "3KiB").success) << executor;
    const Outcome outcome = run(executor, script, "1KiB");
    EXPECT_EQ(outcome.reason, Reason::kInvalidOutput) << executor;
    EXPECT_EQ(outcome.error.message.substr(0, 15), "output: it gave") << outcome.error.message;
    EXPECT_LT(outcome.output.size(), 1024U) << executor;
  }
}

TEST_F(Confined, WhatCannotBeHadIsRefusedWithTheReason) {
  if (geteuid() == 0) {
    const Outcome outcome = shell("true", object({{"processes", 10}}));
    EXPECT_EQ(outcome.reason, Reason::kRefused);
    EXPECT_EQ(outcome.error.message,
              "`limits.processes` cannot be had here: the kernel does not hold root to it; the worker must run as "
              "another user, or its tasks (--task-user)");
  }
  EXPECT_EQ(h.run("python", object({{"script", ""}, {"isolation", "none"}, {"limits", object({{"cpu", "1s"}})}}))
                .error.message,
            "`limits` need a process of the task's own");
  EXPECT_EQ(shell("true", object({{"cpus", 1}})).error.message,
            "`limits` has the unknown key 'cpus'; expected memory, cpu, processes, files, file_size or output");
}

TEST_F(Confined, TheOperatorsLeastIsRequired) {
  ExecutorOptions options = test_options();
  options.housing.isolation_min = Isolation::kProcess;
  Harness strict{options};
  for (const char* executor : {"shell", "python"}) {
    const Outcome outcome = strict.run(executor, object({{"script", "true"}, {"isolation", "none"}}));
    EXPECT_EQ(outcome.reason, Reason::kRefused);
    EXPECT_EQ(outcome.error.message, "this worker requires at least the isolation `process`");
  }
  EXPECT_TRUE(strict.run("shell", object({{"script", "true"}})).success);
}

TEST_F(Confined, WithoutIsolationNothingIsConfined) {
  const Outcome outcome = h.run("shell", object({{"script", "cat /proc/self/status | grep -E '^(NoNewPrivs|Seccomp):'"},
                                                 {"isolation", "none"},
                                                 {"outputs", "text"}}));
  EXPECT_EQ(outcome.output.json(), R"("NoNewPrivs:\t0\nSeccomp:\t0")");
  const Outcome inside = h.run(
      "shell", object({{"script", "cat /proc/self/status | grep -E '^(NoNewPrivs|Seccomp):'"}, {"outputs", "text"}}));
  EXPECT_EQ(inside.output.json(), R"("NoNewPrivs:\t1\nSeccomp:\t2")");
}

TEST_F(Confined, ATaskMayWriteToItsCwd) {
  const std::string dir = "/var/lib/millrace-cwd-" + std::to_string(getpid());
  std::error_code problem;
  if (!std::filesystem::create_directory(dir, problem)) GTEST_SKIP() << "cannot write to /var/lib";
  EXPECT_FALSE(h.run("shell", object({{"script", "echo x >" + dir + "/f"}})).success);
  EXPECT_TRUE(h.run("shell", object({{"script", "echo x >f"}, {"cwd", dir}})).success);
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace millrace::test
