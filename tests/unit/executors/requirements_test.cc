// `requirements` of python nodes: environments that are made once, by pip, from wheels that the tests make by hand.
#include <sys/stat.h>

#include <filesystem>
#include <iterator>
#include <set>

#include "tests/unit/executors/harness.h"
#include "worker/executors/environments.h"

namespace millrace::test {
namespace {

bool has_pip() { return std::system("python3 -I -c 'import pip, venv' 2>/dev/null") == 0; }

// A wheel of one module; `lines` stand in it. `pth`: what an environment that has it does when python starts.
void make_wheel(const std::string& directory, const std::string& name, const std::string& version,
                const std::string& lines, const std::string& pth = "") {
  const std::string info = name + "-" + version + ".dist-info/";
  const std::string code =
      "import sys, zipfile\n"
      "directory, name, version, lines, pth, info = sys.argv[1:]\n"
      "with zipfile.ZipFile(f'{directory}/{name}-{version}-py3-none-any.whl', 'w') as wheel:\n"
      "    wheel.writestr(name + '.py', lines)\n"
      "    if pth: wheel.writestr(name + '.pth', pth)\n"
      "    wheel.writestr(info + 'METADATA', f'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n')\n"
      "    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: "
      "py3-none-any\\n')\n"
      "    files = [name + '.py'] + ([name + '.pth'] if pth else []) + [info + 'METADATA', info + 'WHEEL', info + "
      "'RECORD']\n"
      "    wheel.writestr(info + 'RECORD', ''.join(file + ',,\\n' for file in files))\n";
  SpawnSpec spec;
  spec.argv = {"python3", "-c", code, directory, name, version, lines, pth, info};
  spec.path = std::getenv("PATH");
  spec.env = {"PATH=" + spec.path};
  spec.cwd = "/";
  const Result<pid_t> pid = spawn(spec);
  ASSERT_TRUE(pid.ok());
  int status = -1;
  ASSERT_TRUE(reap(*pid, status));
  ASSERT_EQ(status, 0);
}

class Requirements : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_pip()) GTEST_SKIP() << "no pip";
    std::string pattern = (std::filesystem::temp_directory_path() / "millrace-requirements-test-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    std::filesystem::create_directory(wheels());
    make_wheel(wheels(), "answers", "1.0", "answer = 41\n");
    make_wheel(wheels(), "answers", "2.0", "answer = 42\n");
    options_ = test_options();
    options_.requirements.directory = environments();
    options_.requirements.find_links = {wheels()};
    options_.requirements.no_index = true;
  }
  void TearDown() override {
    h_.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  std::string wheels() const { return directory_ + "/wheels"; }
  std::string environments() const { return directory_ + "/environments"; }
  Harness& h() {
    if (h_ == nullptr) h_ = std::make_unique<Harness>(options_);
    return *h_;
  }
  static Value asks(Value requirements, const std::string& script = "import answers\noutput = answers.answer") {
    return object({{"script", script}, {"requirements", std::move(requirements)}});
  }
  std::size_t made() const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(environments()))
      count += std::filesystem::exists(entry.path() / ".millrace-ready") ? 1U : 0U;
    return count;
  }

  std::string directory_;
  ExecutorOptions options_;
  std::unique_ptr<Harness> h_;
};

TEST_F(Requirements, EachSetHasAnEnvironmentOfItsOwnThatIsMadeOnce) {
  const Outcome first = h().run("python", asks(list({"answers==1.0"})));
  EXPECT_EQ(first.output.json(), "41") << first.error.message << first.error.traceback;
  EXPECT_EQ(h().run("python", asks(list({"answers==2.0"}))).output.json(), "42");
  EXPECT_EQ(made(), 2U);
  std::filesystem::remove_all(wheels());  // nothing is installed again
  EXPECT_EQ(h().run("python", asks(list({" answers==1.0", "answers==1.0"}))).output.json(), "41");
  h_.reset();
  EXPECT_EQ(h().run("python", asks(list({"answers==2.0"}))).output.json(), "42") << "another worker finds it";
  EXPECT_FALSE(h().run("python", object({{"script", "import answers"}})).success) << "others have nothing of it";
}

TEST_F(Requirements, HoldInEveryIsolation) {
  for (const char* isolation : {"process", "none", "namespaces"}) {
    if (isolation == std::string("namespaces") && !Sandbox::namespaces_missing({}).empty()) continue;
    Value fields = asks(list({"answers==2.0"}), "import answers, sys\noutput = [answers.answer, sys.prefix]");
    fields.set("isolation", isolation);
    const Outcome done = h().run("python", std::move(fields));
    ASSERT_TRUE(done.success) << isolation << " " << done.error.message << done.error.traceback;
    EXPECT_EQ(done.output.json().substr(0, 4), "[42,");
    EXPECT_NE(done.output.json().find(environments()), std::string::npos) << done.output.json();
  }
}

TEST_F(Requirements, WhoComesWhileAnEnvironmentIsMadeWaitsForIt) {
  std::vector<AttemptId> attempts;
  for (int i = 0; i < 8; ++i) attempts.push_back(h().start("python", asks(list({"answers==2.0"}))));
  Harness other(options_);  // another worker of the machine
  EXPECT_EQ(other.run("python", asks(list({"answers==2.0"}))).output.json(), "42");
  for (const AttemptId& attempt : attempts) EXPECT_EQ(h().wait(attempt).output.json(), "42");
  EXPECT_EQ(made(), 1U);
}

TEST_F(Requirements, AFileOfTheWorkerNamesThemToo) {
  const std::string file = directory_ + "/requirements.txt";
  std::ofstream(file) << "# ours\nanswers==2.0\n";
  EXPECT_EQ(h().run("python", asks(file)).output.json(), "42");
  EXPECT_EQ(h().run("python", asks(list({"answers==2.0"}))).output.json(), "42");
  EXPECT_EQ(made(), 1U) << "the same set";
  std::ofstream(file) << "answers\n";
  EXPECT_EQ(h().run("python", asks(file)).error.message,
            "`requirements`: " + file + ":1: \"answers\" is no pinned package; expected NAME==VERSION");
  EXPECT_EQ(h().run("python", asks(directory_ + "/none")).error.message,
            "`requirements`: " + directory_ + "/none cannot be read");
}

TEST_F(Requirements, WhatPipCannotInstallFailsWithItsLastLines) {
  const Outcome none = h().run("python", asks(list({"answers==3.0"})));
  EXPECT_EQ(none.reason, Reason::kError);
  EXPECT_EQ(none.error.message,
            "the requirements could not be installed: No matching distribution found for answers==3.0");
  EXPECT_NE(none.error.traceback.find("(from versions: 1.0, 2.0)"), std::string::npos) << none.error.traceback;
  EXPECT_EQ(made(), 0U);
  make_wheel(wheels(), "answers", "3.0", "answer = 43\n");
  EXPECT_EQ(h().run("python", asks(list({"answers==3.0"}))).error, none.error) << "not tried again at once";
  Harness other(options_);
  EXPECT_EQ(other.run("python", asks(list({"answers==3.0"}))).output.json(), "43");
}

TEST_F(Requirements, AnInterpreterWithoutPipBringsItByEnsurepip) {
  const std::string bare = directory_ + "/bare";
  ASSERT_EQ(std::system(("python3 -I -m venv --without-pip " + bare).c_str()), 0);
  if (std::system((bare + "/bin/python -c 'import ensurepip' 2>/dev/null").c_str()) != 0)
    GTEST_SKIP() << "no ensurepip";
  options_.python = bare + "/bin/python";
  const Outcome done = h().run("python", asks(list({"answers==2.0"})));
  EXPECT_EQ(done.output.json(), "42") << done.error.message << done.error.traceback;
}

TEST_F(Requirements, ThatTakeTooLongAreGivenUp) {
  std::filesystem::create_directory(environments());
  std::ofstream(directory_ + "/python") << "#!/bin/sh\nsleep 60\n";
  chmod((directory_ + "/python").c_str(), 0755);
  options_.python = directory_ + "/python";
  options_.requirements.timeout = 1s;
  const Outcome late = h().run("python", asks(list({"answers==1.0"})));
  EXPECT_EQ(late.error.message, "the requirements could not be installed: it took longer than 1 s");
}

TEST_F(Requirements, ATaskThatIsKilledWhileItWaitsEndsAtOnce) {
  const AttemptId killed = h().start("python", asks(list({"answers==2.0"})));
  const AttemptId other = h().start("python", asks(list({"answers==2.0"})));
  h().kill("python", killed, Reason::kTimeout);
  ASSERT_EQ(h().recorder.of(killed).outcomes.size(), 1U);
  EXPECT_EQ(h().recorder.of(killed).outcomes[0].reason, Reason::kTimeout);
  EXPECT_EQ(h().wait(other).output.json(), "42");
  EXPECT_EQ(h().recorder.of(killed).outcomes.size(), 1U);
}

TEST_F(Requirements, WithoutADirectoryForThemAreRefused) {
  options_.requirements.directory.clear();
  const Outcome refused = h().run("python", asks(list({"answers==1.0"})));
  EXPECT_EQ(refused.reason, Reason::kRefused);
  EXPECT_EQ(refused.error.message, "this worker installs no requirements: it was not told where (--requirements-dir)");
  EXPECT_EQ(
      h().run("python", object({{"script", "1"}, {"requirements", list({"a==1"})}, {"venv", "/v"}})).error.message,
      "`requirements`: they stand beside `venv`; expected one of them");
}

// A .pth file is code that python runs when it starts.
TEST_F(Requirements, NoCodeOfAPackageRunsOutsideOfATask) {
  const std::string mark = directory_ + "/ran";
  make_wheel(wheels(), "eager", "1.0", "x = 1\n",
             "import os; open('" + mark + "', 'a').write(str(os.getpid()) + '\\n') if os.access('" + directory_ +
                 "', os.W_OK) else None\n");
  Value fields = asks(list({"eager==1.0"}), "import os\noutput = os.getpid()");
  fields.set("isolation", "none");  // not confined, so that it can leave its mark
  const Outcome done = h().run("python", std::move(fields));
  ASSERT_TRUE(done.success) << done.error.message << done.error.traceback;
  std::ifstream in(mark);
  std::set<std::string> pids{std::istream_iterator<std::string>(in), {}};
  EXPECT_EQ(pids, std::set<std::string>{std::string(done.output.json())}) << "the task's process alone";
}

TEST_F(Requirements, AnEnvironmentThatWasLeftUnfinishedIsMadeAgain) {
  ASSERT_TRUE(h().run("python", asks(list({"answers==1.0"}))).success);
  h_.reset();
  for (const auto& entry : std::filesystem::directory_iterator(environments())) {
    if (!entry.is_directory()) continue;
    std::filesystem::remove(entry.path() / ".millrace-ready");
    std::filesystem::remove(entry.path() / "bin/python");
  }
  EXPECT_EQ(h().run("python", asks(list({"answers==1.0"}))).output.json(), "41");
}

}  // namespace
}  // namespace millrace::test
