#include "common/io/fault.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>

namespace millrace {
namespace {

using namespace std::chrono_literals;

// A plan belongs to its process: each test forks.
template <class Body>
int status_of(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    close(2);
    body();
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, WUNTRACED), child);
  if (WIFSTOPPED(status)) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  return status;
}

TEST(Fault, WithoutAPlanAPointIsInert) {
  const int status = status_of([] {
    if (!arm_faults(nullptr).ok() || !arm_faults("").ok() || faults_armed()) _exit(1);
    fault_point(FaultPoint::kResultSent);
  });
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Fault, KillsAtTheTimeThatWasSaid) {
  const int status = status_of([] {
    if (!arm_faults("result_sent:kill@3").ok()) _exit(1);
    fault_point(FaultPoint::kTaskRunning);
    fault_point(FaultPoint::kResultSent);
    fault_point(FaultPoint::kResultSent);
    fault_point(FaultPoint::kResultSent);
  });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  const int early = status_of([] {
    (void)arm_faults("result_sent:kill@3");
    fault_point(FaultPoint::kResultSent);
    fault_point(FaultPoint::kResultSent);
  });
  EXPECT_TRUE(WIFEXITED(early));
}

TEST(Fault, Stops) {
  const int status = status_of([] {
    (void)arm_faults("accept_before_commit:stop");
    fault_point(FaultPoint::kAcceptBeforeCommit);
  });
  ASSERT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(WSTOPSIG(status), SIGSTOP);
}

TEST(Fault, DelaysOnceOrFromThenOn) {
  auto took = [](const char* plan) {
    const auto begun = std::chrono::steady_clock::now();
    const int status = status_of([plan] {
      (void)arm_faults(plan);
      for (int i = 0; i < 4; ++i) fault_point(FaultPoint::kCommitBeforeEvent);
    });
    EXPECT_TRUE(WIFEXITED(status));
    return std::chrono::steady_clock::now() - begun;
  };
  EXPECT_GE(took("commit_before_event:delay=50@2+"), 150ms);
  const auto once = took("commit_before_event:delay=300");
  EXPECT_GE(once, 300ms);
  EXPECT_LT(once, 590ms);
}

TEST(Fault, SeveralPointsHaveAPlanEach) {
  const int status = status_of([] {
    if (!arm_faults("task_running:delay=1,result_sent:kill").ok()) _exit(1);
    fault_point(FaultPoint::kTaskRunning);
    fault_point(FaultPoint::kResultSent);
  });
  EXPECT_TRUE(WIFSIGNALED(status));
}

TEST(Fault, APlanThatIsNotUnderstoodIsRefusedWithItsPart) {
  for (const char* plan : {"nowhere:kill", "result_sent", "result_sent:maim", "result_sent:kill@0",
                           "result_sent:kill@x", "result_sent:delay=soon", "result_sent:kill,,"}) {
    const int status = status_of([plan] {
      const Status armed = arm_faults(plan);
      _exit(!armed.ok() && armed.error().name == "fault" && !faults_armed() ? 7 : 0);
    });
    EXPECT_EQ(WEXITSTATUS(status), 7) << plan;
  }
}

TEST(Fault, EveryPointHasAWord) {
  for (std::size_t i = 0; i < kFaultPoints; ++i) {
    const std::string plan = std::string(to_string(static_cast<FaultPoint>(i))) + ":delay=0";
    const int status = status_of([&] { _exit(arm_faults(plan.c_str()).ok() ? 7 : 0); });
    EXPECT_EQ(WEXITSTATUS(status), 7) << plan;
  }
}

}  // namespace
}  // namespace millrace
