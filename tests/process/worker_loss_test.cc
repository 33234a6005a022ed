// Workers that die, leave or are not what they say they are.
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/process/workflows.h"
#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

// Submits, waits until the attempt of `node` that writes the first mark runs, and tells on which worker.
std::string worker_of(const Cluster& cluster, const std::string& run, std::string_view node, const std::string& marks) {
  EXPECT_TRUE(eventually(20s, [&] { return count_lines(marks) >= 1; })) << "the task did not start";
  std::string worker;
  eventually(5s, [&] {
    worker = text_at(cluster.json({"status", run}), {"nodes", node, "worker"});
    return !worker.empty();
  });
  return worker;
}

TEST(WorkerLoss, ATaskWhoseWorkerIsKilledRunsAgainElsewhereAndTheRunGivesTheRightAnswer) {
  Cluster cluster;
  std::string marks = cluster.scratch().file("marks");
  std::string run = cluster.submit(cluster.workflow("relay", kRelay), {"-i", "marks=" + marks});
  std::string victim = worker_of(cluster, run, "slow", marks);
  ASSERT_TRUE(victim == "w1" || victim == "w2") << victim;

  cluster.worker(victim).kill();

  Value ended = cluster.wait(run);
  EXPECT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump();
  EXPECT_EQ(number_at(ended, {"outputs", "answer"}), 3);
  EXPECT_EQ(number_at(ended, {"nodes", "slow", "attempts"}), 2);
  EXPECT_EQ(text_at(ended, {"nodes", "slow", "worker"}), victim == "w1" ? "w2" : "w1");
  EXPECT_EQ(number_at(ended, {"nodes", "first", "attempts"}), 1);
  EXPECT_EQ(count_lines(marks), 2U);
  EXPECT_EQ(problem_of_history(cluster.rows({"events", run})), "");
}

TEST(WorkerLoss, WorkWaitsWhileThereIsNoWorkerAndGoesOnWhenOneComes) {
  Cluster cluster({.workers = {"w1"}});
  cluster.worker("w1").kill();
  std::string run = cluster.submit(cluster.workflow("quick", kQuick), {"-i", "n=4"});

  cluster.start_worker("w2");

  Value ended = cluster.wait(run);
  EXPECT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump();
  EXPECT_EQ(number_at(ended, {"outputs", "answer"}), 8);
  EXPECT_EQ(text_at(ended, {"nodes", "twice", "worker"}), "w2");
}

TEST(WorkerLoss, AWorkerThatComesBackUnderItsNameIsTakenOnceTheFirstIsGivenUpAndRunsTheLostTaskAgain) {
  Cluster cluster({.workers = {"w1"}});
  std::string marks = cluster.scratch().file("marks");
  std::string run = cluster.submit(cluster.workflow("relay", kRelay), {"-i", "marks=" + marks});
  ASSERT_EQ(worker_of(cluster, run, "slow", marks), "w1");

  cluster.worker("w1").kill();
  cluster.start_worker("w1");
  bool taken = eventually(20s, [&] {  // as a supervisor does: the name is held until three heartbeats have failed
    if (!cluster.worker("w1").running()) cluster.start_worker("w1");
    return text_at(cluster.json({"status", run}), {"status"}) == "succeeded";
  });

  ASSERT_TRUE(taken) << cluster.worker("w1").err();
  Value ended = cluster.wait(run);
  EXPECT_EQ(number_at(ended, {"outputs", "answer"}), 3) << ended.dump();
  EXPECT_EQ(number_at(ended, {"nodes", "slow", "attempts"}), 2);
}

TEST(WorkerLoss, AWorkerThatWasStoppedPastItsLeaseReportsInVainAndGoesOnWorking) {
  Cluster cluster;
  std::string marks = cluster.scratch().file("marks");
  std::string file = cluster.workflow("zombie", R"yaml(
inputs:
  marks: {type: string, required: true}
nodes:
  task:
    executor: shell
    env: {MARKS: "{{ inputs.marks }}"}
    script: |
      echo "$$" >> "$MARKS"
      if [ "$(wc -l < "$MARKS")" -eq 1 ]; then sleep 2; echo zombie; else sleep 4; echo living; fi
outputs:
  said: "{{ nodes.task.stdout }}"
)yaml");
  std::string run = cluster.submit(file, {"-i", "marks=" + marks});
  std::string zombie = worker_of(cluster, run, "task", marks);

  cluster.worker(zombie).signal(SIGSTOP);
  ASSERT_TRUE(eventually(20s, [&] { return count_lines(marks) == 2; })) << "the task was not given to the other worker";
  cluster.worker(zombie).signal(SIGCONT);

  Value ended = cluster.wait(run);
  EXPECT_EQ(text_at(ended, {"outputs", "said"}), "living") << ended.dump();
  EXPECT_NE(text_at(ended, {"nodes", "task", "worker"}), zombie);
  EXPECT_EQ(problem_of_history(cluster.rows({"events", run})), "");
  EXPECT_TRUE(cluster.wait_for_workers(2)) << "it did not come back: " << cluster.worker(zombie).err();
}

TEST(WorkerLoss, WorkThatMustNotRunTwiceFailsWhenItsWorkerIsLost) {
  Cluster cluster;
  std::string marks = cluster.scratch().file("marks");
  std::string text = kEndless;
  text += "    on_loss: fail\n";
  std::string run = cluster.submit(cluster.workflow("once", text), {"-i", "marks=" + marks});
  std::string victim = worker_of(cluster, run, "sleeper", marks);

  cluster.worker(victim).kill();

  Value ended = cluster.wait(run);
  EXPECT_EQ(text_at(ended, {"status"}), "failed") << ended.dump();
  EXPECT_EQ(text_at(ended, {"nodes", "sleeper", "error", "code"}), "lost");
  EXPECT_EQ(count_lines(marks), 1U);
}

TEST(WorkerLoss, AWorkerToldToTerminateFinishesItsTaskBeforeItLeaves) {
  Cluster cluster;
  std::string marks = cluster.scratch().file("marks");
  std::string file = cluster.workflow("three-seconds", R"yaml(
inputs:
  marks: {type: string, required: true}
nodes:
  slow:
    executor: shell
    env: {MARKS: "{{ inputs.marks }}"}
    script: "echo here >> $MARKS; sleep 3; echo done"
  after: {depends_on: [slow], executor: python, script: "output = slow['stdout']"}
outputs:
  answer: "{{ nodes.after }}"
)yaml");
  std::string run = cluster.submit(file, {"-i", "marks=" + marks});
  std::string leaver = worker_of(cluster, run, "slow", marks);

  cluster.worker(leaver).signal(SIGTERM);

  EXPECT_EQ(cluster.worker(leaver).wait(20s), 0) << cluster.worker(leaver).err();
  Value ended = cluster.wait(run);
  EXPECT_EQ(text_at(ended, {"outputs", "answer"}), "done") << ended.dump();
  EXPECT_EQ(number_at(ended, {"nodes", "slow", "attempts"}), 1);
  EXPECT_NE(text_at(ended, {"nodes", "after", "worker"}), leaver);
  EXPECT_EQ(count_lines(marks), 1U);
}

TEST(WorkerLoss, ADrainedWorkerLeavesAndIsListedNoMore) {
  Cluster cluster;

  EXPECT_EQ(cluster.cli({"drain", "w1"}).exit_code, 0);

  EXPECT_EQ(cluster.worker("w1").wait(20s), 0) << cluster.worker("w1").err();
  EXPECT_TRUE(cluster.wait_for_workers(1));
  EXPECT_EQ(cluster.cli({"drain", "nobody"}).exit_code, 3);
}

TEST(WorkerLoss, ASecondWorkerOfTheSameNameIsRefusedAndTheFirstGoesOn) {
  Cluster cluster({.workers = {"w1"}});
  Program second = Program::start({bin("millrace-worker"), "--coordinator", cluster.address(), "--id", "w1"},
                                  cluster.scratch().file("second"));

  EXPECT_EQ(second.wait(20s), 6) << second.err();
  EXPECT_NE(second.err().find("id_in_use"), std::string::npos) << second.err();
  EXPECT_EQ(cluster.cli({"submit", cluster.workflow("quick", kQuick), "--wait"}).exit_code, 0);
}

TEST(WorkerLoss, ATaskThatCrashesItsInterpreterOrLoopsForEverHarmsNoOther) {
  Cluster cluster({.workers = {"w1"}, .slots = 4});
  std::string file = cluster.workflow("neighbours", R"yaml(
fail_fast: false
nodes:
  crash:
    executor: python
    script: |
      import os, signal
      os.kill(os.getpid(), signal.SIGKILL)
  loop: {executor: python, timeout: 1s, script: "while True: pass"}
  exit: {executor: python, script: "import os; os._exit(7)"}
  calm-1: {executor: python, script: "import time; time.sleep(1.5); output = 1"}
  calm-2: {executor: python, script: "import time; time.sleep(0.2); output = 2"}
  calm-3: {depends_on: [calm-2], executor: python, script: "output = nodes['calm-2'] + 1"}
)yaml");

  Value ended = cluster.wait(cluster.submit(file));

  EXPECT_EQ(text_at(ended, {"status"}), "failed");
  EXPECT_EQ(text_at(ended, {"nodes", "crash", "error", "code"}), "crashed") << ended.dump();
  EXPECT_EQ(text_at(ended, {"nodes", "loop", "error", "code"}), "timeout") << ended.dump();
  EXPECT_EQ(text_at(ended, {"nodes", "exit", "status"}), "failed") << ended.dump();
  EXPECT_EQ(number_at(ended, {"nodes", "calm-1", "outputs"}), 1);
  EXPECT_EQ(number_at(ended, {"nodes", "calm-3", "outputs"}), 3);
  EXPECT_EQ(number_at(ended, {"nodes", "crash", "attempts"}), 1);
  EXPECT_TRUE(cluster.worker("w1").running());
  EXPECT_EQ(cluster.cli({"submit", cluster.workflow("quick", kQuick), "--wait"}).exit_code, 0);
}

TEST(WorkerLoss, AKilledWorkerLeavesNoInterpreterBehind) {
  adopt_orphans();
  Cluster cluster({.workers = {"w1"}});
  ASSERT_EQ(cluster.cli({"submit", cluster.workflow("quick", kQuick), "--wait"}).exit_code, 0);
  ASSERT_EQ(live_children().size(), 3U) << "Redis, the coordinator, the worker";

  cluster.worker("w1").kill();

  EXPECT_TRUE(eventually(10s, [] { return live_children().size() == 2; })) << "processes are left";
}

}  // namespace
}  // namespace millrace::test
