// Plug-ins: executors in a shared object, in processes of a real worker.
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

const std::string kWords = std::string(MILLRACE_BIN_DIR) + "/../plugins/words.so";
const std::string kTomorrow = std::string(MILLRACE_BIN_DIR) + "/../plugins/tomorrow.so";
const std::string kKeeper = std::string(MILLRACE_BIN_DIR) + "/../plugins/keeper.so";
const std::string kSlow = std::string(MILLRACE_BIN_DIR) + "/../plugins/slow.so";

Finished start_with(const std::string& plugin) {
  return run_program({bin("millrace-worker"), "--coordinator", "tcp://127.0.0.1:1", "--plugin", plugin}, {}, 20s);
}

TEST(Plugin, ItsExecutorsRunAndTheirCrashIsOneFailedTask) {
  Cluster cluster({.workers = {"w1"}, .worker_options = {"--plugin", kWords}});
  const std::string run = cluster.submit(source("sdk/cpp/examples/words.yaml"));

  Value ended = cluster.wait(run);

  EXPECT_EQ(number_at(ended, {"outputs", "words"}), 6) << ended.dump() << cluster.worker("w1").err();
  EXPECT_NE(cluster.cli({"logs", run}).out.find("counted 6 words"), std::string::npos);
  const std::string bad = cluster.workflow("bad", R"yaml(
executors: [words, crash]
fail_fast: false
nodes:
  crash: {executor: crash}
  wrong: {executor: words, with: 5}
  after: {executor: words, with: still here, depends_on: [crash, wrong], on_upstream_failure: run}
)yaml");
  Value failed = cluster.wait(cluster.submit(bad));
  EXPECT_EQ(text_at(failed, {"nodes", "crash", "error", "code"}), "crashed") << failed.dump();
  EXPECT_EQ(text_at(failed, {"nodes", "wrong", "error", "message"}), "`with` must be a text");
  EXPECT_EQ(number_at(failed, {"nodes", "after", "outputs", "words"}), 2);
}

TEST(Plugin, AnItemOfAFanOutIsGivenToIt) {
  Cluster cluster({.workers = {"w1"}, .worker_options = {"--plugin", kWords}});
  const std::string file = cluster.workflow("places", R"yaml(
executors: [place]
nodes:
  each: {executor: place, foreach: [a, {b: 2}, 3]}
  none: {executor: place}
outputs:
  each: "{{ nodes.each }}"
  none: "{{ nodes.none }}"
)yaml");

  Value ended = cluster.wait(cluster.submit(file));

  EXPECT_EQ(at(ended, {"outputs"}).dump(), R"({"each":[[0,"a"],[1,{"b":2}],[2,3]],"none":null})") << ended.dump();
}

TEST(Plugin, ItHandsFilesOverAndReadsSecretsThatStayUnseen) {
  Cluster cluster({.workers = {}});
  const std::string secrets = cluster.scratch().file("secrets");
  ASSERT_EQ(run_program({bin("millrace"), "secret", "init", "--secrets-file", secrets}).exit_code, 0);
  ASSERT_EQ(run_program({"sh", "-c",
                         "printf hush-hush-12345 | " + bin("millrace") + " secret set KEY --secrets-file " + secrets})
                .exit_code,
            0);
  cluster.start_worker("w1", {"--plugin", kKeeper, "--secrets-file", secrets});
  const std::string file = cluster.workflow("keep", R"yaml(
executors: [keep, whisper]
fail_fast: false
nodes:
  keep: {executor: keep, with: 3000000}
  known: {executor: whisper, with: KEY}
  unknown: {executor: whisper, with: OTHER}
  mapped: {executor: keep, foreach: [1], with: 5}
)yaml");

  const std::string run = cluster.submit(file);
  Value ended = cluster.wait(run);

  EXPECT_EQ(at(ended, {"nodes", "keep", "outputs"}).dump(),
            R"(["/nowhere/x: No such file or directory","the name of an artifact is that of a file, without a path"])")
      << ended.dump() << cluster.worker("w1").err();
  EXPECT_EQ(at(ended, {"nodes", "known", "outputs"}).dump(), R"({"size":15,"secret":"***"})") << ended.dump();
  EXPECT_NE(text_at(ended, {"nodes", "unknown", "error", "message"}).find("the secret 'OTHER' is not known"),
            std::string::npos)
      << ended.dump();
  EXPECT_NE(ended.dump().find("items of a mapped node cannot hand over artifacts"), std::string::npos) << ended.dump();
  const std::string out = cluster.scratch().file("out");
  ASSERT_EQ(cluster.cli({"artifacts", run, "--download", out}).exit_code, 0);
  EXPECT_TRUE(read_file(out + "/keep/letters.txt") == std::string(3'000'000, 'k'));
  EXPECT_EQ(read_file(out + "/keep/file"), "of a file");
  const std::string seen = ended.dump() + cluster.cli({"logs", run}).out + cluster.worker("w1").err();
  EXPECT_NE(seen.find("it is ***"), std::string::npos) << seen;
  EXPECT_EQ(seen.find("hush-hush"), std::string::npos) << seen;
}

TEST(Plugin, ATaskThatTakesTooLongIsKilledWithItsProcess) {
  Cluster cluster({.workers = {"w1"}, .slots = 1, .worker_options = {"--plugin", kSlow}});
  const std::string text = R"yaml(
executors: [forever]
nodes:
  a: {executor: forever, timeout: 300ms}
)yaml";
  for (int i = 0; i < 2; ++i) {  // the slot comes back
    Value ended = cluster.wait(cluster.submit(cluster.workflow("forever", text)));
    EXPECT_EQ(text_at(ended, {"nodes", "a", "error", "code"}), "timeout") << ended.dump();
  }
}

TEST(Plugin, OneOfAnotherVersionOrNoneAtAllIsRefusedAtTheStart) {
  Finished tomorrow = start_with(kTomorrow);
  EXPECT_EQ(tomorrow.exit_code, 2);
  EXPECT_NE(tomorrow.err.find("made for version 99 of the plug-in interface, this worker has version 1"),
            std::string::npos)
      << tomorrow.err;
  Finished missing = start_with("/nowhere/x.so");
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_NE(missing.err.find("plug-in /nowhere/x.so: "), std::string::npos) << missing.err;
}

}  // namespace
}  // namespace millrace::test
