#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/unit/executors/harness.h"

namespace millrace::test {
namespace {

class Shell : public ::testing::Test {
 protected:
  Harness h;
  Outcome run(Value fields) { return h.run("shell", std::move(fields)); }
  Outcome script(const char* text) { return run(object({{"script", text}})); }
  std::string stdout_of(Value fields) { return stdout_of(run(std::move(fields))); }
  static std::string stdout_of(const Outcome& outcome) { return member(outcome, "stdout").as_string(); }
  static Value member(const Outcome& outcome, const char* name) {
    Value output = Value::parse(outcome.output.json()).value();
    const Value* found = output.find(name);
    return found == nullptr ? Value() : *found;
  }
};

TEST_F(Shell, AScriptStopsAtTheFirstCommandThatFails) {
  Outcome outcome = script("echo one; false; echo two");
  EXPECT_EQ(outcome.error.message, "exit code 1");
  EXPECT_EQ(stdout_of(outcome), "one");
}

TEST_F(Shell, ACommandIsAnArgvAndNoShellReadsIt) {
  EXPECT_EQ(stdout_of(object({{"command", list({"printf", "%s|", "$HOME", "a b", "; ls", 7, true})}})),
            "$HOME|a b|; ls|7|true|");
}

TEST_F(Shell, ArgsAreThePositionalParametersOfAScript) {
  EXPECT_EQ(stdout_of(object({{"script", "echo \"$0: $# $1 $2\""}, {"args", list({"a b", "$(id)"})}})),
            "the-node: 2 a b $(id)");
}

TEST_F(Shell, AnotherShellMayRunTheScript) {
  EXPECT_EQ(stdout_of(object({{"script", "x=(1 2 3); echo ${#x[@]}"}, {"shell", "bash"}})), "3");
}

TEST_F(Shell, EnvReachesTheScriptAsText) {
  Value env = object({{"NAME", "va lue"}, {"NUMBER", 1.5}, {"NOTHING", nullptr}, {"LIST", list({1, "x"})}});
  EXPECT_EQ(stdout_of(object({{"script", "echo \"$NAME|$NUMBER|$NOTHING|$LIST\""}, {"env", env}})),
            "va lue|1.5||[1,\"x\"]");
}

TEST_F(Shell, TheEnvironmentIsCleanAndNamesTheAttempt) {
  setenv("MILLRACE_TEST_SECRET", "hunter2", 1);
  TaskContext task = h.context("shell", object({{"script", "env | cut -d= -f1 | sort"}}));
  Outcome outcome = h.run(std::move(task));
  unsetenv("MILLRACE_TEST_SECRET");
  std::string names = stdout_of(outcome);
  EXPECT_EQ(names.find("SECRET"), std::string::npos) << names;
  for (const char* name : {"PATH", "HOME", "LANG", "TMPDIR", "MILLRACE_RUN", "MILLRACE_NODE", "MILLRACE_ATTEMPT"}) {
    EXPECT_NE(names.find(name), std::string::npos) << name;
  }
  EXPECT_EQ(stdout_of(object({{"script", "echo $MILLRACE_NODE $MILLRACE_ATTEMPT"}})), "the-node 1");
}

TEST_F(Shell, TextOnStdinIsPassedAsItIs) {
  EXPECT_EQ(stdout_of(object({{"command", list({"cat"})}, {"stdin", "no newline \xC3\xA9"}})), "no newline \xC3\xA9");
}

TEST_F(Shell, OtherValuesOnStdinAreJson) {
  EXPECT_EQ(stdout_of(object({{"command", list({"cat"})}, {"stdin", object({{"a", list({1, nullptr})}})}})),
            R"({"a":[1,null]})");
}

TEST_F(Shell, StdinIsEmptyWithoutTheField) { EXPECT_EQ(stdout_of(object({{"script", "cat; echo end"}})), "end"); }

TEST_F(Shell, AMegabyteOnStdinThatNobodyReadsIsNoProblem) {
  EXPECT_TRUE(run(object({{"script", "exit 0"}, {"stdin", std::string(4 << 20, 'x')}})).success);
  EXPECT_EQ(stdout_of(object({{"script", "wc -c"}, {"stdin", std::string(4 << 20, 'x')}})), "4194304");
}

TEST_F(Shell, CwdIsWhereItRuns) { EXPECT_EQ(stdout_of(object({{"script", "pwd"}, {"cwd", "/usr"}})), "/usr"); }

TEST_F(Shell, WithoutCwdItRunsInAPrivateDirectoryThatGoesWithTheSet) {
  std::string dir;
  {
    Harness inner;
    Outcome outcome = inner.run("shell", object({{"script", "touch file; pwd"}}));
    dir = stdout_of(outcome);
    EXPECT_TRUE(std::filesystem::exists(dir + "/file"));
    EXPECT_EQ(std::filesystem::status(dir).permissions(), std::filesystem::perms::owner_all);
  }
  EXPECT_FALSE(std::filesystem::exists(dir));
}

TEST_F(Shell, ExactlyOneTrailingNewlineIsRemoved) {
  EXPECT_EQ(stdout_of(script("printf 'a\\n\\n'")), "a\n");
  EXPECT_EQ(stdout_of(script("printf 'a\\n'")), "a");
  EXPECT_EQ(stdout_of(script("printf 'a'")), "a");
  EXPECT_EQ(stdout_of(script("printf '\\n'")), "");
}

TEST_F(Shell, BytesThatAreNotUtf8BecomeTheReplacementCharacter) {
  EXPECT_EQ(stdout_of(script("printf 'a\\377b\\000c'")), std::string("a\xEF\xBF\xBD"
                                                                     "b\0c",
                                                                     7));
}

TEST_F(Shell, AStreamIsCutAtItsLimitAndTheWriterIsNotHeldUp) {
  Outcome outcome = script("head -c 3000000 /dev/zero | tr '\\0' x; echo done >&2");
  EXPECT_TRUE(outcome.success);
  EXPECT_EQ(stdout_of(outcome).size(), kStreamMax);
  EXPECT_EQ(member(outcome, "stderr"), Value("done"));
  EXPECT_EQ(member(outcome, "truncated"), Value(true));
}

TEST_F(Shell, AStreamOfExactlyItsLimitIsNotCut) {
  Outcome outcome = script("head -c 1048576 /dev/zero | tr '\\0' x");
  EXPECT_EQ(stdout_of(outcome).size(), kStreamMax);
  EXPECT_TRUE(member(outcome, "truncated").is_null());
}

TEST_F(Shell, AFailureKeepsTheOutputAndSaysTheLastLineOfStderr) {
  Outcome outcome = script("echo partial; echo first >&2; echo 'last line' >&2; echo >&2; exit 9");
  EXPECT_EQ(outcome.reason, Reason::kError);
  EXPECT_EQ(outcome.error.message, "exit code 9: last line");
  EXPECT_EQ(outcome.output.json(), R"({"stdout":"partial","stderr":"first\nlast line\n","exit_code":9})");
}

TEST_F(Shell, DyingOfASignalIsACrashWithAnExitCodeAsShellsCount) {
  Outcome outcome = script("echo before; kill -SEGV $$");
  EXPECT_EQ(outcome.reason, Reason::kCrashed);
  EXPECT_EQ(outcome.error.message, "killed by signal 11 (SIGSEGV)");
  EXPECT_EQ(stdout_of(outcome), "before");
  EXPECT_EQ(member(outcome, "exit_code"), Value(139));
}

TEST_F(Shell, ATimeoutKeepsWhatWasPrinted) {
  AttemptId attempt = h.start("shell", object({{"script", "echo partial; sleep 1000"}}));
  h.wait_for_output(attempt);
  h.kill("shell", attempt, Reason::kTimeout);
  Outcome outcome = h.wait(attempt);
  EXPECT_EQ(outcome.reason, Reason::kTimeout);
  EXPECT_EQ(stdout_of(outcome), "partial");
  EXPECT_EQ(member(outcome, "exit_code"), Value(143));
}

TEST_F(Shell, WhatCannotBeStartedSaysWhy) {
  Outcome missing = run(object({{"command", list({"no-such-program-here"})}}));
  EXPECT_EQ(missing.reason, Reason::kError);
  EXPECT_EQ(missing.error.message.substr(0, 64),
            "cannot run no-such-program-here: no such program in PATH (" + std::string(getenv("PATH")).substr(0, 6));
  EXPECT_EQ(run(object({{"command", list({"/etc/passwd"})}})).error.message,
            "cannot run /etc/passwd: Permission denied");
  EXPECT_EQ(run(object({{"script", "true"}, {"cwd", "/no/such/dir"}})).error.message,
            "cwd /no/such/dir: No such file or directory");
  EXPECT_NE(run(object({{"command", list({"echo", std::string(4 << 20, 'x')})}})).error.message.find("stdin"),
            std::string::npos);
}

TEST_F(Shell, FieldsOfTheWrongKindAreNamed) {
  EXPECT_EQ(run(object({{"command", "ls -l"}})).error.message, "`command` must be a list, not string");
  EXPECT_EQ(run(object({{"command", list({})}})).error.message, "`command` is empty");
  EXPECT_EQ(run(object({{"script", "true"}, {"env", list({})}})).error.message,
            "`env` must be a map of names to values, not array");
  EXPECT_EQ(run(object({{"script", "true"}, {"env", object({{"A=B", "c"}})}})).error.message,
            "`env` holds the name \"A=B\"; a name is not empty and has no =");
  Outcome nul = run(object({{"script", "true"}, {"args", list({std::string("a\0b", 3)})}}));
  EXPECT_EQ(nul.reason, Reason::kInvalidInput);
  EXPECT_EQ(nul.error.message, "`args` holds a NUL character");
}

// ---- exit codes and outputs

TEST_F(Shell, ExitCodesMeanWhatTheMapSays) {
  const Value codes = object({{"3", "success"}, {"75", "retry"}, {"default", "fail"}});
  const auto outcome = [&](const char* text) { return run(object({{"script", text}, {"exit_codes", codes}})); };
  EXPECT_TRUE(outcome("exit 0").success);
  EXPECT_TRUE(outcome("exit 3").success);
  EXPECT_EQ(member(outcome("exit 3"), "exit_code"), Value(3));
  EXPECT_EQ(outcome("exit 75").reason, Reason::kError);  // the node's `retry` tries it again
  EXPECT_EQ(outcome("exit 1").reason, Reason::kRefused);
  EXPECT_EQ(outcome("exit 1").error.message, "exit code 1");
  EXPECT_EQ(run(object({{"script", "x"}, {"exit_codes", object({{"300", "fail"}})}})).error.message,
            "`exit_codes` holds '300: \"fail\"'; expected a mapping of exit codes (0 to 255, or default) to success, "
            "retry or "
            "fail");
}

TEST_F(Shell, TheOutputIsWhatIsAskedFor) {
  const auto output = [&](const char* text, const char* outputs) {
    const Outcome outcome = run(object({{"script", text}, {"outputs", outputs}}));
    return outcome.success ? std::string(outcome.output.json()) : outcome.error.message;
  };
  EXPECT_EQ(output("echo a; echo b", "text"), R"("a\nb")");
  EXPECT_EQ(output("echo a; echo; echo b", "lines"), R"(["a","","b"])");
  EXPECT_EQ(output("true", "lines"), "[]");
  EXPECT_EQ(output("echo '{\"b\": [1, 2.50]}'", "json"), R"({"b":[1,2.5]})");
  EXPECT_TRUE(output("echo nope", "json").starts_with("stdout is not JSON: "));
  EXPECT_EQ(output("echo log; echo '[1]' >$MILLRACE_OUTPUT", "file"), "[1]");
  EXPECT_EQ(output("printf 'a\\nb' >$MILLRACE_OUTPUT", "file"), R"("a\nb")");
  EXPECT_EQ(output("true", "file"), "null");
  EXPECT_EQ(output("ln -s /etc/passwd $MILLRACE_OUTPUT", "file"), "null");
  EXPECT_EQ(output("mkdir $MILLRACE_OUTPUT", "file"), "what $MILLRACE_OUTPUT names is no file");
  EXPECT_EQ(output("head -c 2000000 /dev/zero | tr '\\0' x", "text"),
            "stdout is larger than 1 MiB; `outputs: file` takes more");
}

TEST_F(Shell, AFailureKeepsAllStreamsWhateverIsAskedFor) {
  const Outcome outcome = run(object({{"script", "echo '[1]'; exit 4"}, {"outputs", "json"}}));
  EXPECT_EQ(outcome.output.json(), R"({"stdout":"[1]","stderr":"","exit_code":4})");
}

TEST_F(Shell, ABackgroundChildThatHoldsThePipesDoesNotDelayTheEnd) {
  auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(stdout_of(script("(sleep 1000; echo never) & echo now")), "now");
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

TEST_F(Shell, TheTaskInheritsNoDescriptorOfTheWorker) {
  int leaky = fcntl(STDERR_FILENO, F_DUPFD, 50);  // without close-on-exec, as a careless library might
  ASSERT_GE(leaky, 50);
  EXPECT_EQ(stdout_of(object({{"command", list({"ls", "/proc/self/fd"})}})), "0\n1\n2\n3");  // 3: the listing itself
  close(leaky);
}

TEST_F(Shell, SignalsHaveTheirDefaultActionsAgain) {
  signal(SIGPIPE, SIG_IGN);
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  sigprocmask(SIG_BLOCK, &blocked, nullptr);
  std::string text = stdout_of(script("grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f2 | tr '\\n' ' '"));
  sigprocmask(SIG_UNBLOCK, &blocked, nullptr);
  signal(SIGPIPE, SIG_DFL);
  EXPECT_EQ(text, "0000000000000000 0000000000000000 ");
}

TEST_F(Shell, ATaskHasASessionOfItsOwn) {
  EXPECT_EQ(stdout_of(script("[ $(cut -d' ' -f6 /proc/$$/stat) = $$ ] && echo leader")), "leader");
}

TEST_F(Shell, ManyEndedTasksLeaveNoDescriptorAndNoZombie) {
  auto descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
  };
  script("true");
  auto before = descriptors();
  for (int i = 0; i < 30; ++i) script("true & echo x");
  EXPECT_EQ(descriptors(), before);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a child was left";
}

}  // namespace
}  // namespace millrace::test
