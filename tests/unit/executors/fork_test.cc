// What a python task inherits from the zygote that it was forked from, and what is its own.
#include "tests/unit/executors/harness.h"
#include "worker/executors/sandbox.h"

namespace millrace::test {
namespace {

class Forked : public ::testing::Test {
 protected:
  std::string output(const std::string& script, Value more = Value::Object{}) {
    more.set("script", script);
    const Outcome outcome = harness.run("python", std::move(more));
    EXPECT_TRUE(outcome.success) << outcome.error.message << "\n" << outcome.error.traceback;
    return outcome.success ? std::string(outcome.output.json()) : std::string();
  }

  Harness harness;
};

constexpr const char* kStatus =
    "lines = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
    "output = [int(lines[name]) for name in ('NoNewPrivs', 'Seccomp', 'Seccomp_filters')]\n";

TEST_F(Forked, OneFilterIsInheritedByConfinedTasksAndNothingByOthers) {
  if (!Sandbox().missing().empty()) GTEST_SKIP() << Sandbox().missing();
  const std::string before = output(kStatus, object({{"isolation", "none"}}));
  if (before != "[0,0,0]") GTEST_SKIP() << "everything is filtered here";
  EXPECT_EQ(output(kStatus), "[1,2,1]");
  EXPECT_EQ(output(kStatus, object({{"limits", object({{"files", 100}})}})), "[1,2,1]");
  EXPECT_EQ(output(kStatus, object({{"isolation", "none"}})), "[0,0,0]");
}

TEST_F(Forked, OfRootsCapabilitiesAConfinedTaskHasThoseThatProgramsNeed) {
  if (!Sandbox().missing().empty() || geteuid() != 0) GTEST_SKIP() << "needs root, and a kernel that confines";
  const std::string script =
      "lines = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
      "output = [int(lines[name], 16) & ~0b10011111011 for name in ('CapEff', 'CapPrm', 'CapInh')]\n";
  EXPECT_EQ(output(script), "[0,0,0]");
}

TEST_F(Forked, ATaskCannotSignalItsNeighbourWhichHasTheSameUser) {
  const std::string scoped =
      output("import ctypes\noutput = ctypes.CDLL(None).syscall(444, None, 0, 1)", object({{"isolation", "none"}}));
  if (std::stoi(scoped) < 6) GTEST_SKIP() << "the kernel's landlock does not scope signals";
  const AttemptId neighbour = harness.start(
      "python", object({{"script", "import os, time\nprint(os.getpid(), os.getppid(), flush=True)\ntime.sleep(60)"}}));
  const std::string line = harness.wait_for_output(neighbour);
  const std::string pids = line.substr(0, line.find('\n'));
  EXPECT_EQ(output("import os\noutput = []\nfor pid in '" + pids +
                   "'.split():\n"
                   "  try: os.kill(int(pid), 9)\n"
                   "  except PermissionError: output.append('refused')\n"
                   "for path in ('environ', 'mem'):\n"
                   "  try: open('/proc/" +
                   pids.substr(0, pids.find(' ')) +
                   "/' + path, 'rb').read(1)\n"
                   "  except OSError: output.append('unread')\n"),
            R"(["refused","refused","unread","unread"])");
  harness.run_for(50ms);
  EXPECT_TRUE(harness.recorder.of(neighbour).outcomes.empty());
  harness.kill("python", neighbour, Reason::kCancelRequested);
  harness.wait(neighbour);
}

TEST_F(Forked, RandomNumbersAreEachTasksOwn) {
  for (const char* isolation : {"process", "none"}) {
    const std::string script =
        "import random, tempfile\noutput = [random.random(), next(tempfile._get_candidate_names())]";
    const std::string first = output(script, object({{"isolation", isolation}}));
    EXPECT_NE(output(script, object({{"isolation", isolation}})), first) << isolation;
  }
}

TEST_F(Forked, ThreadsAreThoseOfTheProcessAlsoOfOneThatATaskForks) {
  EXPECT_EQ(
      output("import os, threading, time\n"
             "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
             "main = threading.main_thread()\n"
             "output = [main.native_id == os.getpid(), main is threading.current_thread(), threading.active_count()]\n"
             "pid = os.fork()\n"
             "if pid == 0: os._exit(threading.active_count())\n"
             "output.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"),
      "[true,true,2,1]");
}

TEST_F(Forked, SignalsAreAsInAProcessOfItsOwn) {
  EXPECT_EQ(output("import signal\n"
                   "output = [signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL, signal.set_wakeup_fd(-1)]"),
            "[true,-1]");
}

TEST_F(Forked, EveryKindOfParameterIsFilled) {
  TaskContext task = harness.context(
      "python",
      object(
          {{"script",
            "def main(a, /, b, c=3, *rest, d, e=5, **more):\n  return [a, b, c, list(rest), d, e, sorted(more)]\n"}}));
  task.inputs_json = std::make_shared<const std::string>(R"({"a": 1, "b": 2, "d": 4, "z": 9})");
  EXPECT_EQ(harness.run(std::move(task)).output.json(), R"([1,2,3,[],4,5,["z"]])");
  EXPECT_EQ(
      output(
          "import functools\n"
          "def doubles(f):\n  @functools.wraps(f)\n  def g(*args, **named): return 2 * f(*args, **named)\n  return g\n"
          "@doubles\ndef main(n=21): return n\n"),
      "42");
  EXPECT_EQ(output("class Callable:\n  def __call__(self, n=7): return n\nmain = Callable()\n"), "7");
}

TEST_F(Forked, AProcessDiesBeforeTheWorkerWhenMemoryIsShort) {
  for (const char* isolation : {"process", "none"})
    EXPECT_EQ(output("output = int(open('/proc/self/oom_score_adj').read())", object({{"isolation", isolation}})),
              "500");
}

}  // namespace
}  // namespace millrace::test
