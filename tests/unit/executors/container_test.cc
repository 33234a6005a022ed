// `container` against an engine that is none: a script called docker that shows what it was asked, or runs it here.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/executors/harness.h"

namespace millrace::test {
namespace {

class Container : public ::testing::Test {
 protected:
  std::string dir = std::filesystem::temp_directory_path().string() + "/millrace-engine-" + std::to_string(getpid());
  std::string path = std::getenv("PATH");

  void SetUp() override { std::filesystem::create_directory(dir); }
  void TearDown() override {
    setenv("PATH", path.c_str(), 1);
    std::filesystem::remove_all(dir);
  }
  void engine(const char* name, const std::string& script) {
    std::ofstream(dir + "/" + name) << "#!/bin/sh\n" << script;
    chmod((dir + "/" + name).c_str(), 0755);
    setenv("PATH", (dir + ":" + path).c_str(), 1);
  }
  static std::string text(const Outcome& outcome) {
    EXPECT_TRUE(outcome.success) << outcome.error.message;
    return std::string(outcome.output.json());
  }
};

TEST_F(Container, TheEngineIsToldWhatToRunAndSecretsStandInNoArgument) {
  engine("docker", "for a in \"$@\"; do printf '%s\\n' \"$a\"; done; printf '%s\\n' \"T=$T\"; cat");
  Harness h;
  TaskContext task = h.context("container", object({{"image", "alpine:3"},
                                                    {"command", list({"cat", "-"})},
                                                    {"env", object({{"T", "t0k"}})},
                                                    {"stdin", "in"},
                                                    {"cwd", "/work"},
                                                    {"user", "1000"},
                                                    {"outputs", "lines"}}));
  const std::string name = "millrace-" + to_string(task.attempt.run) + "-1-1-1";
  EXPECT_EQ(text(h.run(std::move(task))),
            R"(["run","--rm","--interactive","--init","--name",")" + name +
                R"(","--network","none","--pull","missing","--user","1000","--workdir","/work","--env","MILLRACE_RUN",)"
                R"("--env","MILLRACE_NODE","--env","MILLRACE_ATTEMPT","--env","T","alpine:3","cat","-","T=t0k","in"])");
}

TEST_F(Container, AScriptRunsInTheShellOfTheImage) {
  engine("docker", "while [ \"$1\" != img ]; do shift; done; shift; exec \"$@\"");
  Harness h;
  EXPECT_EQ(text(h.run("container", object({{"image", "img"},
                                            {"script", "echo \"$MILLRACE_NODE $1\""},
                                            {"args", list({"x"})},
                                            {"outputs", "text"}}))),
            R"("the-node x")");
  const Outcome failed = h.run("container", object({{"image", "img"}, {"script", "echo no >&2; exit 7"}}));
  EXPECT_EQ(failed.error.message, "exit code 7: no");
}

TEST_F(Container, WhatTheEngineRefusesIsSaidWhole) {
  engine("docker",
         "echo 'docker: Error response from daemon: pull access denied for img,' >&2;"
         "echo 'repository does not exist.' >&2; echo \"See 'docker run --help'.\" >&2; exit 125");
  Harness h;
  const Outcome failed = h.run("container", object({{"image", "img"}}));
  EXPECT_EQ(failed.error.message,
            "exit code 125: docker: Error response from daemon: pull access denied for img,\n"
            "repository does not exist.\nSee 'docker run --help'.");
  engine("docker", "i=0; while [ $i -lt 9999 ]; do echo a line of many; i=$((i+1)); done >&2; exit 125");
  EXPECT_LE(h.run("container", object({{"image", "img"}})).error.message.size(), kErrorMessageMax);
}

TEST_F(Container, AKilledTasksContainerIsRemoved) {
  engine("docker", "echo \"$*\" >>" + dir + "/calls; [ \"$1\" = rm ] || exec sleep 1000");
  Harness h;
  const AttemptId attempt = h.start("container", object({{"image", "img"}}));
  h.run_for(150ms);
  h.kill("container", attempt, Reason::kTimeout);
  EXPECT_EQ(h.wait(attempt).reason, Reason::kTimeout);
  const auto calls = [&] {
    std::ifstream in(dir + "/calls");
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  EXPECT_TRUE(h.run_until([&] {
    return calls().find("rm -f millrace-" + to_string(attempt.run)) != std::string::npos;
  })) << calls();
}

TEST_F(Container, PodmanWillDoAndWithoutAnEngineTheErrorSaysSo) {
  const Value fields = object({{"image", "img"}, {"outputs", "text"}});
  setenv("PATH", dir.c_str(), 1);
  Harness without;
  const Outcome none = without.run("container", fields);
  EXPECT_EQ(none.reason, Reason::kRefused);
  EXPECT_EQ(none.error.message, "this worker has no container engine: neither docker nor podman is in its PATH");
  engine("podman", "echo podman");
  setenv("PATH", dir.c_str(), 1);
  Harness h;
  EXPECT_EQ(text(h.run("container", fields)), "\"podman\"");
}

TEST_F(Container, AnImageThatLooksLikeAnOptionIsRefused) {
  engine("docker", "echo ran");
  Harness h;
  EXPECT_EQ(h.run("container", object({{"image", "--privileged"}})).error.message, "`image` begins with a dash");
  EXPECT_EQ(h.run("container", object({{"image", ""}})).error.message, "`image` is empty");
}

}  // namespace
}  // namespace millrace::test
