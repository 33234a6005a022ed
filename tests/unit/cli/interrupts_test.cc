#include "cli/interrupts.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "cli/exit_code.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

TEST(Interrupts, TheFirstSignalIsARequest) {
  Interrupts interrupts([] { FAIL(); });
  EXPECT_FALSE(interrupts.requested());
  ::raise(SIGINT);
  pollfd wait{interrupts.fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&wait, 1, 5000), 1);
  EXPECT_TRUE(interrupts.requested());
}

TEST(InterruptsDeathTest, TheSecondSignalEndsTheProcessWhateverItDoes) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        Interrupts interrupts([] { (void)!::write(STDERR_FILENO, "killed all\n", 11); });
        ::raise(SIGINT);
        std::this_thread::sleep_for(50ms);
        ::raise(SIGTERM);
        for (;;) ::pause();
      },
      ::testing::ExitedWithCode(kExitInterrupted), "killed all");
}

TEST(Interrupts, KillDescendantsReachesGrandchildren) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  pid_t child = ::fork();
  if (child == 0) {
    if (::fork() == 0) ::setpgid(0, 0);
    char byte = 'x';
    (void)!::write(ends[1], &byte, 1);
    for (;;) ::pause();
  }
  ::close(ends[1]);
  char byte = 0;
  ASSERT_EQ(::read(ends[0], &byte, 1), 1);
  ASSERT_EQ(::read(ends[0], &byte, 1), 1);
  kill_descendants();
  EXPECT_EQ(::read(ends[0], &byte, 1), 0);  // end of file: nobody holds the writing end any more
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  ::close(ends[0]);
}

}  // namespace
}  // namespace millrace
