// The logs of tasks, live: `millrace logs -f` against a real cluster.
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

TEST(Logs, AreFollowedWhileTheTaskRunsAndToTheEndOfTheRun) {
  Cluster cluster({.workers = {"w1"}});
  const std::string go = cluster.scratch().file("go");
  const std::string run = cluster.submit(cluster.workflow("talks.yaml", R"yaml(
inputs: {go: {type: string, required: true}}
nodes:
  talks:
    executor: shell
    env: {GO: "{{ inputs.go }}"}
    script: |
      echo first
      echo trouble >&2
      while [ ! -e "$GO" ]; do sleep 0.05; done
      echo last
  other: {executor: shell, depends_on: [talks], script: echo of another node}
)yaml"),
                                         {"-i", "go=" + go});
  Program all = cluster.start_cli({"logs", run, "-f"}, "all");
  Program one = cluster.start_cli({"logs", run, "talks", "--follow"}, "one");

  EXPECT_TRUE(eventually(
      20s,
      [&] { return all.out().find("first") != std::string::npos && one.out().find("trouble") != std::string::npos; }))
      << all.out() << all.err();
  EXPECT_EQ(cluster.node_status(run, "talks"), "running") << "the lines came before the task's end";
  EXPECT_EQ(all.out().find("last"), std::string::npos);
  std::ofstream(go) << "now";

  EXPECT_EQ(all.wait(30s), 0) << all.err();
  EXPECT_EQ(one.wait(30s), 0) << one.err();
  for (const char* line : {"first", "trouble", "last"}) {
    EXPECT_NE(all.out().find(line), std::string::npos) << all.out();
    EXPECT_NE(one.out().find(line), std::string::npos) << one.out();
  }
  EXPECT_NE(all.out().find("of another node"), std::string::npos) << all.out();
  EXPECT_EQ(one.out().find("of another node"), std::string::npos) << one.out();
}

TEST(Logs, OfATaskThatFloodsAreCappedAndSayHowMuchIsMissing) {
  Cluster cluster({.workers = {"w1"}});
  const std::string run = cluster.submit(cluster.workflow("flood.yaml", R"yaml(
nodes:
  flood: {executor: python, script: "for i in range(60): print('x' * 100000)"}
)yaml"));
  const Value ended = cluster.wait(run);
  EXPECT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump();
  std::string out;
  EXPECT_TRUE(eventually(10s, [&] {
    out = cluster.cli({"logs", run}).out;
    return out.find("bytes of log dropped") != std::string::npos;
  })) << out.substr(0, 500);
  EXPECT_LT(out.size(), 4'000'000U);
}

}  // namespace
}  // namespace millrace::test
