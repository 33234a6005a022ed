// ExecutorContract: what every executor promises (worker/executors/executor.h). ProcessContract: what those promise in
// addition that run user code in processes. A new executor adds its row to the tables at the end.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/web_stub.h"
#include "tests/unit/executors/harness.h"

namespace millrace::test {

namespace {

struct Subject {
  const char* name;
  const char* executor;
  Value succeeds;
  std::string output;  // JSON of it
  Value fails;
  Reason reason;
  std::string message;  // of the failure
  Value endless;
  // Of executors with processes:
  Value says_hello;       // prints "hello" to stdout and "oh" to stderr, then goes on for a moment
  Value prints_pid;       // prints its pid, then never ends
  Value ignores_sigterm;  // prints a line, then never ends
  Value leaves_child;     // prints the pid of an endless child, then ends well
};

void PrintTo(const Subject& subject, std::ostream* out) { *out << subject.name; }

class ExecutorContract : public ::testing::TestWithParam<Subject> {
 protected:
  const Subject& s = GetParam();
  Harness h;
  AttemptId start(const Value& fields) { return h.start(s.executor, fields); }
  Outcome run(const Value& fields) { return h.run(s.executor, fields); }
  void kill(const AttemptId& attempt, Reason why) { h.kill(s.executor, attempt, why); }
  void SetUp() override {
    if (s.executor == std::string("javascript") && !has_node()) GTEST_SKIP() << "no node";
    if (s.executor == std::string("template") && !has_jinja()) GTEST_SKIP() << "no jinja2";
  }
};

class ProcessContract : public ExecutorContract {};

TEST_P(ExecutorContract, ATaskSucceedsWithAValue) {
  Outcome outcome = run(s.succeeds);
  EXPECT_TRUE(outcome.success) << outcome.error.message << outcome.error.traceback;
  EXPECT_EQ(outcome.reason, Reason::kNone);
  EXPECT_EQ(outcome.error, ErrorInfo{});
  EXPECT_EQ(outcome.output.json(), s.output);
}

TEST_P(ExecutorContract, ATaskFailsWithAReasonAndOneLine) {
  Outcome outcome = run(s.fails);
  EXPECT_FALSE(outcome.success);
  EXPECT_EQ(outcome.reason, s.reason);
  EXPECT_EQ(outcome.error.message, s.message);
}

TEST_P(ExecutorContract, AKilledTaskSaysWhy) {
  AttemptId attempt = start(s.endless);
  h.run_for(150ms);
  EXPECT_TRUE(h.recorder.of(attempt).outcomes.empty());
  kill(attempt, Reason::kTimeout);
  Outcome outcome = h.wait(attempt);
  EXPECT_FALSE(outcome.success);
  EXPECT_EQ(outcome.reason, Reason::kTimeout);
  EXPECT_EQ(outcome.error.message, "timed out");
  EXPECT_GE(outcome.ran, 100ms);
  EXPECT_LT(outcome.ran, 1500ms);
}

TEST_P(ExecutorContract, ATaskKilledInTheMomentOfItsStartEnds) {
  AttemptId attempt = start(s.endless);
  kill(attempt, Reason::kCancelRequested);
  Outcome outcome = h.wait(attempt);
  EXPECT_EQ(outcome.reason, Reason::kCancelRequested);
  EXPECT_EQ(outcome.error.message, "cancelled");
}

TEST_P(ExecutorContract, TheFirstReasonToKillIsTheOneThatIsReported) {
  AttemptId attempt = start(s.endless);
  kill(attempt, Reason::kTimeout);
  kill(attempt, Reason::kCancelRequested);
  EXPECT_EQ(h.wait(attempt).reason, Reason::kTimeout);
}

TEST_P(ExecutorContract, AnEndIsReportedOnce) {
  AttemptId ended = start(s.succeeds);
  AttemptId failed = start(s.fails);
  AttemptId killed = start(s.endless);
  h.run_for(100ms);
  kill(killed, Reason::kTimeout);
  for (const AttemptId& attempt : {ended, failed, killed}) h.wait(attempt);
  for (const AttemptId& attempt : {ended, failed, killed}) kill(attempt, Reason::kCancelRequested);
  h.run_for(200ms);
  for (const AttemptId& attempt : {ended, failed, killed}) {
    EXPECT_EQ(h.recorder.of(attempt).outcomes.size(), 1U);
    EXPECT_EQ(h.recorder.of(attempt).logs_after_done, 0);
  }
}

TEST_P(ExecutorContract, KillingAnUnknownAttemptIsIgnored) {
  kill(h.next_attempt(), Reason::kTimeout);
  EXPECT_TRUE(run(s.succeeds).success);
}

TEST_P(ExecutorContract, ManyTasksRunAndEachGetsItsOwnOutcome) {
  std::vector<AttemptId> good, bad;
  for (int i = 0; i < 12; ++i) {
    good.push_back(start(s.succeeds));
    bad.push_back(start(s.fails));
  }
  for (const AttemptId& attempt : good) EXPECT_EQ(h.wait(attempt).output.json(), s.output);
  for (const AttemptId& attempt : bad) EXPECT_EQ(h.wait(attempt).error.message, s.message);
}

TEST_P(ExecutorContract, TasksRunAtOnceAsManyAsThereAreSlots) {
  AttemptId first = start(s.endless);
  AttemptId second = start(s.succeeds);
  EXPECT_TRUE(h.wait(second).success);
  EXPECT_TRUE(h.recorder.of(first).outcomes.empty());
  kill(first, Reason::kCancelRequested);
  EXPECT_EQ(h.wait(first).reason, Reason::kCancelRequested);
}

TEST_P(ExecutorContract, AFailedOrKilledTaskHarmsNoLaterOne) {
  for (int i = 0; i < 3; ++i) {
    AttemptId endless = start(s.endless);
    h.run_for(50ms);
    kill(endless, Reason::kTimeout);
    h.wait(endless);
    EXPECT_FALSE(run(s.fails).success);
    EXPECT_EQ(run(s.succeeds).output.json(), s.output);
  }
}

TEST_P(ExecutorContract, AnObserverMayStartTheNextTaskFromOnDone) {
  int left = 5;
  AttemptId last;
  h.recorder.after_done = [&](const AttemptId&) {
    if (left-- > 0) last = start(s.succeeds);
  };
  start(s.succeeds);
  ASSERT_TRUE(h.run_until([&] { return left < 0; }));
  EXPECT_EQ(h.recorder.of(last).outcomes.size(), 1U);
  EXPECT_TRUE(h.recorder.of(last).outcomes[0].success);
}

TEST_P(ExecutorContract, WhatStillRunsDiesWithTheSetAndReportsNothing) {
  Recorder recorder;
  auto set = std::make_unique<ExecutorSet>(test_options(), h.reactor, recorder);
  TaskContext task = h.context(s.executor, s.endless);
  set->find(s.executor)->start(task);
  h.run_for(100ms);
  set.reset();
  h.run_for(50ms);
  EXPECT_TRUE(recorder.of(task.attempt).outcomes.empty());
}

TEST_P(ProcessContract, OutputArrivesWhileTheTaskRuns) {
  AttemptId attempt = start(s.says_hello);
  EXPECT_TRUE(h.run_until([&] { return h.recorder.of(attempt).out == "hello\n"; }));
  EXPECT_TRUE(h.run_until([&] { return h.recorder.of(attempt).err == "oh\n"; }));
  EXPECT_TRUE(h.recorder.of(attempt).outcomes.empty()) << "came only with the end";
  EXPECT_TRUE(h.wait(attempt).success);
  EXPECT_EQ(h.recorder.of(attempt).out, "hello\n");
}

TEST_P(ProcessContract, AProcessKilledFromOutsideIsACrash) {
  AttemptId attempt = start(s.prints_pid);
  pid_t pid = std::stoi(h.wait_for_output(attempt));
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  Outcome outcome = h.wait(attempt);
  EXPECT_FALSE(outcome.success);
  EXPECT_EQ(outcome.reason, Reason::kCrashed);
  EXPECT_EQ(outcome.error.message, "killed by signal 9 (SIGKILL)");
  EXPECT_TRUE(run(s.succeeds).success);
}

TEST_P(ProcessContract, ATaskThatIgnoresSigtermIsKilledAfterTheGrace) {
  AttemptId attempt = start(s.ignores_sigterm);
  h.wait_for_output(attempt);
  auto killed_at = std::chrono::steady_clock::now();
  kill(attempt, Reason::kTimeout);
  EXPECT_EQ(h.wait(attempt).reason, Reason::kTimeout);
  auto took = std::chrono::steady_clock::now() - killed_at;
  EXPECT_GE(took, kKillGrace - 50ms);
  EXPECT_LT(took, kKillGrace + 2s);
}

TEST_P(ProcessContract, AKilledTaskLeavesNothingRunning) {
  AttemptId attempt = start(s.prints_pid);
  pid_t pid = std::stoi(h.wait_for_output(attempt));
  kill(attempt, Reason::kCancelRequested);
  h.wait(attempt);
  EXPECT_TRUE(process_ends(pid));
}

TEST_P(ProcessContract, AChildThatATaskLeavesBehindIsKilled) {
  AttemptId attempt = start(s.leaves_child);
  EXPECT_TRUE(h.wait(attempt).success);
  pid_t child = std::stoi(h.recorder.of(attempt).out);
  EXPECT_GT(child, 1);
  EXPECT_TRUE(process_ends(child));
}

// The host is a process of its own here, killed without warning in the middle of a task.
TEST_P(ProcessContract, ATaskDiesWithItsWorker) {
  int channel[2];
  ASSERT_EQ(pipe(channel), 0);
  pid_t host = fork();
  if (host == 0) {
    ExecutorOptions options;
    options.work_dir = "/";  // nobody is left to remove a scratch directory
    Harness inner(options);
    AttemptId attempt = inner.start(s.executor, s.prints_pid);
    std::string line = inner.wait_for_output(attempt);
    if (write(channel[1], line.data(), line.size()) < 0) _exit(1);
    inner.run_for(60s);
    _exit(0);
  }
  char buffer[64] = {};
  ASSERT_GT(read(channel[0], buffer, sizeof buffer - 1), 0);
  ::kill(host, SIGKILL);
  waitpid(host, nullptr, 0);
  EXPECT_TRUE(process_ends(std::stoi(buffer)));
  close(channel[0]);
  close(channel[1]);
}

Value script(const char* text) { return object({{"script", text}}); }
Value warm_script(const char* text) { return object({{"script", text}, {"isolation", "none"}}); }

// What the subjects of io class talk to.
WebStub& web() {
  static WebStub stub([](const WebRequest& request) {
    if (request.path == "/endless" || request.body.find("endless") != std::string::npos) return WebReply{{}, true};
    if (request.path == "/fine") return web_json(R"({"answer":42})");
    if (request.body.find("fine") == std::string::npos)
      return web_json(R"({"error":{"message":"no such thing"}})", 404);
    return web_json(R"({"model":"m1","choices":[{"message":{"content":"42"},"finish_reason":"stop"}]})");
  });
  return stub;
}

Value llm_fields(const char* prompt) {
  return object({{"prompt", prompt}, {"base_url", web().url("/v1")}, {"model", "m"}, {"stream", false}});
}

const Subject kHttp{
    .name = "http",
    .executor = "http",
    .succeeds = object({{"url", web().url("/fine")}}),
    .output =
        R"({"status":200,"headers":{"content-length":"13","connection":"close","content-type":"application/json"},)"
        R"("body":{"answer":42},"url":")" +
        web().url("/fine") + R"("})",
    .fails = object({{"url", web().url("/missing")}}),
    .reason = Reason::kError,
    .message = "GET " + web().url("/missing") + R"(: status 404: {"error":{"message":"no such thing"}})",
    .endless = object({{"url", web().url("/endless")}}),
    .says_hello = {},
    .prints_pid = {},
    .ignores_sigterm = {},
    .leaves_child = {},
};

const Subject kLlm{
    .name = "llm",
    .executor = "llm",
    .succeeds = llm_fields("fine"),
    .output =
        R"({"text":"42","model":"m1","provider":null,"finish_reason":"stop","usage":null,"cost":null,"requests":1})",
    .fails = llm_fields("bad"),
    .reason = Reason::kError,
    .message = "m: status 404: no such thing",
    .endless = llm_fields("endless"),
    .says_hello = {},
    .prints_pid = {},
    .ignores_sigterm = {},
    .leaves_child = {},
};

const Subject kNoop{
    .name = "noop",
    .executor = "noop",
    .succeeds = object({}),
    .output = "null",
    .fails = object({{"delay", "soon"}}),
    .reason = Reason::kInvalidInput,
    .message = "`delay` is \"soon\"; expected seconds or a duration like 10ms",
    .endless = object({{"delay", 1000}}),
    .says_hello = {},
    .prints_pid = {},
    .ignores_sigterm = {},
    .leaves_child = {},
};

const Subject kShell{
    .name = "shell",
    .executor = "shell",
    .succeeds = script("echo $((40 + 2))"),
    .output = R"({"stdout":"42","stderr":"","exit_code":0})",
    .fails = script("echo broken >&2; exit 3"),
    .reason = Reason::kError,
    .message = "exit code 3: broken",
    .endless = script("sleep 1000"),
    .says_hello = script("echo hello; echo oh >&2; sleep 0.4"),
    .prints_pid = script("echo $$; sleep 1000"),
    .ignores_sigterm = script("trap '' TERM; echo ready; while :; do sleep 1; done"),
    .leaves_child = script("sleep 1000 & echo $!"),
};

#define PYTHON_SUBJECT(label, make)                                                                             \
  Subject {                                                                                                     \
    .name = label, .executor = "python", .succeeds = make("output = {'answer': 40 + 2}"),                       \
    .output = R"({"answer":42})", .fails = make("1 / 0"), .reason = Reason::kError,                             \
    .message = "ZeroDivisionError: division by zero", .endless = make("while True: pass"),                      \
    .says_hello = make("import sys, time\nprint('hello')\nprint('oh', file=sys.stderr)\ntime.sleep(0.4)"),      \
    .prints_pid = make("import os\nprint(os.getpid())\nwhile True: pass"),                                      \
    .ignores_sigterm =                                                                                          \
        make("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready')\nwhile True: pass"), \
    .leaves_child = make("import subprocess\nchild = subprocess.Popen(['sleep', '1000'])\nprint(child.pid)"),   \
  }

const Subject kPython = PYTHON_SUBJECT("python", script);
const Subject kPythonWarm = PYTHON_SUBJECT("python_without_isolation", warm_script);

#define JAVASCRIPT_SUBJECT(label, make)                                                                          \
  Subject {                                                                                                      \
    .name = label, .executor = "javascript", .succeeds = make("output = {answer: 40 + 2}"),                      \
    .output = R"({"answer":42})", .fails = make("null.x"), .reason = Reason::kError,                             \
    .message = "TypeError: Cannot read properties of null (reading 'x')", .endless = make("for (;;) {}"),        \
    .says_hello = make("console.log('hello'); console.error('oh'); await new Promise(r => setTimeout(r, 400))"), \
    .prints_pid = make("console.log(process.pid); for (;;) {}"),                                                 \
    .ignores_sigterm = make("process.on('SIGTERM', () => {}); console.log('ready'); for (;;) {}"),               \
    .leaves_child = make("const c = require('child_process').spawn('sleep', ['1000']); console.log(c.pid)"),     \
  }

const Subject kJavascript = JAVASCRIPT_SUBJECT("javascript", script);
const Subject kJavascriptWarm = JAVASCRIPT_SUBJECT("javascript_without_isolation", warm_script);

const Subject kTemplate{
    .name = "template",
    .executor = "template",
    .succeeds = object({{"template", "{{ 40 + 2 }}"}}),
    .output = R"("42")",
    .fails = object({{"template", "a\n{{ nobody }}"}}),
    .reason = Reason::kError,
    .message = "UndefinedError: 'nobody' is undefined (line 2: {{ nobody }})",
    .endless =
        object({{"template", "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}"}}),
    .says_hello = {},
    .prints_pid = {},
    .ignores_sigterm = {},
    .leaves_child = {},
};

std::string name_of(const ::testing::TestParamInfo<Subject>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Every, ExecutorContract,
                         ::testing::Values(kHttp, kJavascript, kJavascriptWarm, kLlm, kNoop, kShell, kPython,
                                           kPythonWarm, kTemplate),
                         name_of);
INSTANTIATE_TEST_SUITE_P(WithProcesses, ProcessContract,
                         ::testing::Values(kShell, kPython, kPythonWarm, kJavascript, kJavascriptWarm), name_of);

}  // namespace
}  // namespace millrace::test
