// Keys on a real cluster: who gets in, who does not and is told why, and what a change of the allow-list does to those
// who are in (FAULTS row 38).
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>

#include "tests/process/failover.h"
#include "tests/process/workflows.h"
#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

// Keys in a directory of their own, made and listed by the program itself.
class KeyRing {
 public:
  KeyRing() {
    make("c1", "coordinator");
    for (const char* name : {"workers", "thief"}) make(name, "worker");
    make("alice", "operator");
    make("mallory", "operator");
    for (const char* name : {"workers", "thief", "alice"}) authorize(name);
  }
  Finished keys(std::vector<std::string> words) const {
    words.insert(words.begin(), {bin("millrace"), "keys"});
    words.insert(words.end(), {"--dir", scratch_.path()});
    return run_program(words);
  }
  void make(const std::string& name, const std::string& role) const {
    Finished made = keys({"generate", name, "--role", role});
    EXPECT_EQ(made.exit_code, 0) << made.err;
  }
  void authorize(const std::string& name, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words = {"authorize", name};
    words.insert(words.end(), more.begin(), more.end());
    Finished done = keys(words);
    EXPECT_EQ(done.exit_code, 0) << done.err;
  }
  void revoke(const std::string& name) const { EXPECT_EQ(keys({"revoke", name}).exit_code, 0); }
  std::string secret(const std::string& name) const { return scratch_.file(name + ".key"); }
  std::string open(const std::string& name) const { return scratch_.file(name + ".pub"); }
  std::string list() const { return scratch_.file("authorized"); }

 private:
  ScratchDirectory scratch_;
};

ClusterOptions with_keys(const KeyRing& ring, std::vector<std::string> workers) {
  ClusterOptions options;
  options.workers = std::move(workers);
  options.coordinator_options = {"--curve-key", ring.secret("c1"), "--curve-authorized", ring.list()};
  options.worker_options = {"--curve-server-key", ring.open("c1")};
  options.cli_variables = {{"MILLRACE_CURVE_KEY", ring.secret("alice")},
                           {"MILLRACE_CURVE_SERVER_KEY", ring.open("c1")}};
  return options;
}

class Security : public ::testing::Test {
 protected:
  Program& start_worker(const std::string& name, const std::string& key = "workers") {
    return cluster_.start_worker(name, {"--curve-key", ring_.secret(key)});
  }
  // `millrace list` with other keys than the cluster's.
  Finished list(const std::vector<std::string>& flags, const Variables& variables = {}) const {
    std::vector<std::string> words = {bin("millrace"), "list", "-o", "json", "--coordinator", cluster_.address()};
    words.insert(words.end(), flags.begin(), flags.end());
    return run_program(words, variables);
  }
  static void expect_refused(const Finished& finished, int code, const std::string& name) {
    EXPECT_EQ(finished.exit_code, code) << finished.out << finished.err;
    EXPECT_NE(finished.out.find("\"name\": \"" + name + "\""), std::string::npos) << finished.out;
  }
  void expect_unharmed() {
    EXPECT_TRUE(cluster_.coordinator().running());
    EXPECT_EQ(cluster_.cli({"submit", cluster_.workflow("quick", kQuick), "--wait"}).exit_code, 0);
  }
  // Lines of the coordinator's log that hold a text.
  std::size_t logged(const std::string& text) {
    const std::string log = cluster_.coordinator().err();
    std::size_t count = 0;
    for (std::size_t at = 0; (at = log.find(text, at)) != std::string::npos; ++at) ++count;
    return count;
  }

  KeyRing ring_;
  Cluster cluster_{with_keys(ring_, {})};
};

TEST_F(Security, WhoHasKeysWorksAsEverAndHearsEventsLive) {
  start_worker("w1");
  start_worker("w2");
  ASSERT_TRUE(cluster_.wait_for_workers(2)) << cluster_.coordinator().err();
  std::string run = cluster_.submit(cluster_.workflow("quick", kQuick));

  EXPECT_EQ(text_at(cluster_.wait(run), {"status"}), "succeeded");

  EXPECT_EQ(problem_of_history(cluster_.rows({"events", run})), "");
  Finished followed = cluster_.cli({"submit", cluster_.workflow("quick", kQuick), "--wait", "-o", "json"});
  EXPECT_EQ(followed.exit_code, 0) << followed.err;
}

TEST_F(Security, StrangersAreToldWhyAtOnceAndTheCoordinatorIsUnharmed) {
  start_worker("w1");
  ASSERT_TRUE(cluster_.wait_for_workers(1));
  const std::string server = ring_.open("c1");

  expect_refused(list({"--curve-key", ring_.secret("mallory"), "--curve-server-key", server}), 6, "key_refused");
  expect_refused(list({"--curve-key", ring_.secret("alice"), "--curve-server-key", ring_.open("thief")}), 5,
                 "wrong_server_key");
  expect_refused(list({}), 6, "key_required");
  expect_refused(list({"--curve-key", ring_.secret("workers"), "--curve-server-key", server}), 6, "role_refused");
  EXPECT_EQ(list({"--curve-key", ring_.secret("alice")}).exit_code, 2);
  EXPECT_EQ(list({"--curve-key", ring_.open("alice"), "--curve-server-key", server}).exit_code, 2);

  for (int i = 0; i < 5; ++i) list({"--curve-key", ring_.secret("mallory"), "--curve-server-key", server});
  EXPECT_EQ(logged("unknown key"), 1U) << "every refusal counts, and each peer is logged once in a while";
  for (const char* reason : {"not encrypted for our key", "has the role worker"}) EXPECT_GE(logged(reason), 1U);
  EXPECT_GE(logged("no key was shown") + logged("broken off"), 1U);
  expect_unharmed();
}

TEST_F(Security, AWorkerThatIsNotLetInLeavesWithTheReason) {
  struct Case {
    std::vector<std::string> flags;
    int code;
    std::string name;
  };
  const std::string server = ring_.open("c1");
  const std::vector<Case> cases = {
      {{"--curve-key", ring_.secret("mallory"), "--curve-server-key", server}, 6, "key_refused"},
      {{"--curve-key", ring_.secret("alice"), "--curve-server-key", server}, 6, "role_refused"},
      {{"--curve-key", ring_.secret("workers"), "--curve-server-key", ring_.open("thief")}, 5, "wrong_server_key"},
      {{}, 6, "key_required"},
  };
  for (const Case& one : cases) {
    std::vector<std::string> words = {bin("millrace-worker"), "--coordinator", cluster_.address(), "--id", "x"};
    words.insert(words.end(), one.flags.begin(), one.flags.end());
    Finished left = run_program(words, {}, 20s);
    EXPECT_EQ(left.exit_code, one.code) << one.name << "\n" << left.err;
    EXPECT_NE(left.err.find(one.name), std::string::npos) << left.err;
  }
  start_worker("w1");
  ASSERT_TRUE(cluster_.wait_for_workers(1));
  expect_unharmed();
}

TEST_F(Security, ARevokedWorkerEndsItsTasksAndLeavesAndItsWorkGoesToAnother) {
  std::string marks = cluster_.scratch().file("marks");
  start_worker("w1", "thief");
  ASSERT_TRUE(cluster_.wait_for_workers(1));
  std::string run = cluster_.submit(cluster_.workflow("endless", kEndless), {"-i", "marks=" + marks});
  ASSERT_TRUE(eventually(10s, [&] { return count_lines(marks) == 1; }));
  start_worker("w2");

  ring_.revoke("thief");

  EXPECT_EQ(cluster_.worker("w1").wait(10s), 6) << cluster_.worker("w1").err();
  EXPECT_NE(cluster_.worker("w1").err().find("key_revoked"), std::string::npos);
  EXPECT_TRUE(eventually(20s, [&] { return count_lines(marks) == 2; })) << "the task is tried elsewhere";
  EXPECT_EQ(cluster_.cli({"cancel", run}).exit_code, 0);
  Program& back = start_worker("w3", "thief");
  EXPECT_EQ(back.wait(10s), 6) << back.err();

  ring_.authorize("thief");
  EXPECT_TRUE(eventually(10s, [&] { return logged("key authorized") == 1; }));
  start_worker("w3", "thief");
  EXPECT_TRUE(cluster_.wait_for_workers(2)) << cluster_.worker("w3").err();
}

TEST_F(Security, ARevokedOperatorIsCutOffWhileItWaitsAndHearsNoMoreEvents) {
  start_worker("w1");
  ASSERT_TRUE(cluster_.wait_for_workers(1));
  ring_.make("bob", "operator");
  ring_.authorize("bob");
  std::string run =
      cluster_.submit(cluster_.workflow("endless", kEndless), {"-i", "marks=" + cluster_.scratch().file("marks")});
  auto as_bob = [&](const std::vector<std::string>& verb, const std::string& log) {
    std::vector<std::string> words = {bin("millrace")};
    words.insert(words.end(), verb.begin(), verb.end());
    words.insert(words.end(), {"--coordinator", cluster_.address(), "--curve-key", ring_.secret("bob"),
                               "--curve-server-key", ring_.open("c1")});
    return Program::start(words, cluster_.scratch().file(log));
  };
  ASSERT_TRUE(eventually(10s, [&] { return logged("key authorized") == 1; }));
  Program waits = as_bob({"wait", run}, "waits");
  Program follows = as_bob({"events", run, "-f"}, "follows");
  Program ours = cluster_.start_cli({"events", run, "-f", "-o", "jsonl"}, "ours");
  ASSERT_TRUE(eventually(10s, [&] { return !follows.out().empty() && !ours.out().empty(); })) << follows.err();

  ring_.revoke("bob");

  EXPECT_EQ(waits.wait(10s), 6) << waits.err();
  EXPECT_EQ(follows.wait(10s), 6) << follows.err();
  EXPECT_EQ(cluster_.cli({"cancel", run}).exit_code, 0);
  EXPECT_EQ(ours.wait(10s), 0) << "others go on, over connections made anew:\n" << ours.err();
  EXPECT_NE(ours.out().find("run_cancelled"), std::string::npos);
}

TEST_F(Security, AStolenNameIsRefusedWhetherItsHolderLivesOrNot) {
  start_worker("w1");
  ASSERT_TRUE(cluster_.wait_for_workers(1));
  auto steal = [&] {
    return run_program({bin("millrace-worker"), "--coordinator", cluster_.address(), "--id", "w1", "--curve-key",
                        ring_.secret("thief"), "--curve-server-key", ring_.open("c1")},
                       {}, 20s);
  };
  Finished thief = steal();
  EXPECT_EQ(thief.exit_code, 6) << thief.err;
  EXPECT_NE(thief.err.find("id_in_use"), std::string::npos) << thief.err;
  expect_unharmed();

  cluster_.worker("w1").kill();
  ASSERT_TRUE(cluster_.wait_for_workers(0));
  thief = steal();
  EXPECT_EQ(thief.exit_code, 6) << thief.err;
  EXPECT_NE(thief.err.find("belongs to the key 'workers'"), std::string::npos) << thief.err;

  start_worker("w1");
  EXPECT_TRUE(cluster_.wait_for_workers(1)) << "its owner comes back";
}

TEST_F(Security, AWorkerKilledAndStartedAgainAtOnceUnderItsNameComesInByItself) {
  std::string marks = cluster_.scratch().file("marks");
  start_worker("w-0");
  ASSERT_TRUE(cluster_.wait_for_workers(1));
  std::string run = cluster_.submit(cluster_.workflow("endless", kEndless), {"-i", "marks=" + marks});
  ASSERT_TRUE(eventually(10s, [&] { return count_lines(marks) == 1; }));

  cluster_.worker("w-0").kill();
  Program& again = start_worker("w-0");

  EXPECT_TRUE(eventually(15s, [&] { return count_lines(marks) == 2; })) << again.err();
  EXPECT_TRUE(again.running()) << again.err();
  EXPECT_EQ(cluster_.cli({"cancel", run}).exit_code, 0);
}

TEST_F(Security, AKeyIsExchangedWithoutAPause) {
  start_worker("w1");
  start_worker("w2");
  ASSERT_TRUE(cluster_.wait_for_workers(2));
  // The same owner, another key: made elsewhere, since names of files are taken.
  KeyRing fresh;
  ring_.authorize(fresh.open("workers"), {"--rotate"});
  ASSERT_TRUE(eventually(10s, [&] { return logged("key authorized") == 1; }));

  for (const char* name : {"w1", "w2"}) {
    cluster_.worker(name).signal(SIGTERM);
    EXPECT_EQ(cluster_.worker(name).wait(20s), 0);
    cluster_.start_worker(name, {"--curve-key", fresh.secret("workers")});
    EXPECT_TRUE(cluster_.wait_for_workers(2)) << cluster_.worker(name).err();
    expect_unharmed();
  }
  EXPECT_EQ(ring_.keys({"revoke", ring_.open("workers")}).exit_code, 0);
  ASSERT_TRUE(eventually(10s, [&] { return logged("key revoked") == 1; }));
  expect_unharmed();
  EXPECT_TRUE(cluster_.worker("w1").running());
  Program& old = start_worker("w3");
  EXPECT_EQ(old.wait(10s), 6);
}

TEST_F(Security, ARestartOfTheCoordinatorNeedsNothingFromAnybody) {
  start_worker("w1");
  ASSERT_TRUE(cluster_.wait_for_workers(1));
  cluster_.coordinator().kill();
  cluster_.start_coordinator();
  EXPECT_TRUE(cluster_.wait_for_workers(1)) << cluster_.worker("w1").err();
  expect_unharmed();
}

TEST_F(Security, TheListIsReadAgainOnSighupAndABrokenOneChangesNothing) {
  start_worker("w1");
  ASSERT_TRUE(cluster_.wait_for_workers(1));
  const std::string good = read_file(ring_.list());
  { std::ofstream(ring_.list()) << "worker w1 rubbish\n"; }
  cluster_.coordinator().signal(SIGHUP);
  EXPECT_TRUE(eventually(10s, [&] { return logged("the one before stays in force") >= 1; }));
  EXPECT_GE(logged("authorized:1: not a public key"), 1U);
  expect_unharmed();
  { std::ofstream(ring_.list()) << good; }
  cluster_.coordinator().signal(SIGHUP);
  expect_unharmed();
}

TEST(SecurityOfPorts, ACurveClientIsToldThatTheCoordinatorHasNoKeys) {
  KeyRing ring;
  Cluster plain({.workers = {"w1"}});
  const std::vector<std::string> keys = {"--curve-key", ring.secret("alice"), "--curve-server-key", ring.open("c1")};
  std::vector<std::string> words = {"list", "-o", "json"};
  words.insert(words.end(), keys.begin(), keys.end());
  Finished told = plain.cli(words);
  EXPECT_EQ(told.exit_code, 5) << told.out;
  EXPECT_NE(told.out.find("not_curve"), std::string::npos) << told.out;

  words = {bin("millrace-worker"), "--coordinator", plain.address(), "--id", "w2"};
  words.insert(words.end(), keys.begin(), keys.end());
  Finished left = run_program(words, {}, 20s);
  EXPECT_EQ(left.exit_code, 5) << left.err;
  EXPECT_NE(left.err.find("not_curve"), std::string::npos) << left.err;
  EXPECT_EQ(plain.cli({"submit", plain.workflow("quick", kQuick), "--wait"}).exit_code, 0);
}

TEST(SecurityOfPorts, BeyondLoopbackACoordinatorListensWithKeysOrWhenToldSoAndWarns) {
  KeyRing ring;
  ScratchDirectory scratch;
  auto coordinator = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = {bin("millrace-coordinator"), "--store", "memory", "--events",
                                      "tcp://127.0.0.1:0"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  for (const std::vector<std::string>& open : std::vector<std::vector<std::string>>{
           {"--listen", "tcp://0.0.0.0:0"}, {"--listen", "tcp://127.0.0.1:0", "--events", "tcp://*:0"}}) {
    std::vector<std::string> words = {bin("millrace-coordinator"), "--store", "memory"};
    words.insert(words.end(), open.begin(), open.end());
    Finished refused = run_program(words, {}, 10s);
    EXPECT_EQ(refused.exit_code, 2) << refused.err;
    EXPECT_NE(refused.err.find("remote_bind"), std::string::npos) << refused.err;
  }
  Program warned =
      Program::start(coordinator({"--listen", "tcp://0.0.0.0:0", "--insecure-listen"}), scratch.file("warned"));
  EXPECT_TRUE(eventually(10s, [&] { return warned.err().find("listening") != std::string::npos; })) << warned.err();
  EXPECT_NE(warned.err().find("--insecure-listen"), std::string::npos) << warned.err();
  Program secure = Program::start(
      coordinator({"--listen", "tcp://0.0.0.0:0", "--curve-key", ring.secret("c1"), "--curve-authorized", ring.list()}),
      scratch.file("secure"));
  EXPECT_TRUE(eventually(10s, [&] { return secure.err().find("listening") != std::string::npos; })) << secure.err();
  EXPECT_EQ(secure.err().find("\"warn\""), std::string::npos) << secure.err();

  for (const std::vector<std::string>& half : std::vector<std::vector<std::string>>{
           {"--curve-key", ring.secret("c1")},
           {"--curve-authorized", ring.list()},
           {"--curve-key", ring.open("c1"), "--curve-authorized", ring.list()},
           {"--curve-key", ring.secret("c1"), "--curve-authorized", scratch.file("nowhere")},
           {"--curve-key", ring.secret("c1"), "--curve-authorized", ring.open("c1")}}) {
    EXPECT_EQ(run_program(coordinator(half), {}, 10s).exit_code, 2) << half[0];
  }
}

TEST(SecurityOfPorts, NoSecretIsPrintedByAnybody) {
  KeyRing ring;
  const std::string file = read_file(ring.secret("c1"));
  const std::string secret = file.substr(file.find("secret ") + 7, 40);
  ASSERT_EQ(secret.size(), 40U);
  for (const char* daemon : {"millrace-coordinator", "millrace-worker"}) {
    Finished printed = run_program({bin(daemon), "--print-config", "--curve-key", ring.secret("c1")});
    EXPECT_EQ(printed.exit_code, 0);
    EXPECT_NE(printed.out.find(ring.secret("c1")), std::string::npos) << "where the key is may be told";
    EXPECT_EQ(printed.out.find(secret), std::string::npos);
  }
  Cluster cluster(with_keys(ring, {}));
  EXPECT_EQ(cluster.coordinator().err().find(secret), std::string::npos);
  EXPECT_EQ(ring.keys({"list", "-o", "json"}).out.find(secret), std::string::npos);
}

TEST(SecurityOfTwo, CoordinatorsThatShareAKeyForwardToEachOther) {
  KeyRing ring;
  ClusterOptions options = with_keys(ring, {});
  options.coordinators = 2;
  Cluster cluster(options);
  cluster.start_worker("w1", {"--curve-key", ring.secret("workers")});
  ASSERT_TRUE(eventually(20s, [&] { return balanced(cluster); })) << cluster.coordinator(1).err();
  std::string file = cluster.workflow("quick", kQuick);
  for (int i = 0; i < 8; ++i) {  // some of them to the other one's partitions, from either side
    const auto at = static_cast<std::size_t>(i % 2);
    Finished ran = cluster.cli_at(at, {"submit", file, "--wait", "--no-progress"});
    EXPECT_EQ(ran.exit_code, 0) << ran.err << cluster.coordinator(at).err();
  }
}

}  // namespace
}  // namespace millrace::test
