#include "worker/executors/reactor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace millrace::test {
namespace {

struct Pipe {
  Pipe() { EXPECT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0); }
  ~Pipe() {
    close(ends[0]);
    close(ends[1]);
  }
  void put() { EXPECT_EQ(write(ends[1], "x", 1), 1); }
  int reader() const { return ends[0]; }
  int ends[2];
};

TEST(Reactor, CallsBackWhenADescriptorIsReadable) {
  Reactor reactor;
  Pipe pipe;
  int calls = 0;
  reactor.watch(pipe.reader(), Reactor::kRead, [&](std::uint32_t ready) {
    EXPECT_EQ(ready, Reactor::kRead);
    ++calls;
  });
  EXPECT_FALSE(reactor.run(0ms));
  pipe.put();
  EXPECT_TRUE(reactor.run(0ms));
  EXPECT_EQ(calls, 1);
}

TEST(Reactor, ReportsOnlyTheInterestOfTheMoment) {
  Reactor reactor;
  Pipe pipe;
  std::uint32_t got = 0;
  reactor.watch(pipe.ends[1], Reactor::kRead, [&](std::uint32_t ready) { got = ready; });
  EXPECT_FALSE(reactor.run(0ms));
  reactor.change(pipe.ends[1], Reactor::kWrite);
  EXPECT_TRUE(reactor.run(0ms));
  EXPECT_EQ(got, Reactor::kWrite);
}

TEST(Reactor, AHangUpCountsAsReadableAndWritable) {
  Reactor reactor;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::uint32_t got = 0;
  reactor.watch(ends[0], Reactor::kRead, [&](std::uint32_t ready) { got = ready; });
  close(ends[1]);
  EXPECT_TRUE(reactor.run(0ms));
  EXPECT_EQ(got, Reactor::kRead | Reactor::kWrite);
  reactor.forget(ends[0]);
  close(ends[0]);
}

TEST(Reactor, ACallbackMayForgetItselfAndOthersThatAreReadyToo) {
  Reactor reactor;
  Pipe a, b;
  int calls = 0;
  auto forget_both = [&](std::uint32_t) {
    ++calls;
    reactor.forget(a.reader());
    reactor.forget(b.reader());
  };
  reactor.watch(a.reader(), Reactor::kRead, forget_both);
  reactor.watch(b.reader(), Reactor::kRead, forget_both);
  a.put();
  b.put();
  reactor.run(0ms);
  reactor.run(0ms);
  EXPECT_EQ(calls, 1);
}

TEST(Reactor, ANewDescriptorDoesNotGetTheEventsOfAnOldOneWithItsNumber) {
  Reactor reactor;
  Pipe a, b;
  int fresh_calls = 0;
  auto replace_other = [&](int other) {
    reactor.forget(other);
    reactor.watch(other, Reactor::kWrite, [&](std::uint32_t) { ++fresh_calls; });
  };
  int calls = 0;
  reactor.watch(a.reader(), Reactor::kRead, [&](std::uint32_t) {
    if (calls++ == 0) replace_other(b.reader());
  });
  reactor.watch(b.reader(), Reactor::kRead, [&](std::uint32_t) {
    if (calls++ == 0) replace_other(a.reader());
  });
  a.put();
  b.put();
  reactor.run(0ms);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(fresh_calls, 0) << "was called for an event of its predecessor";
}

TEST(Reactor, TimersFireInOrderOfTimeThenOfCreation) {
  Reactor reactor;
  std::string order;
  reactor.after(20ms, [&] { order += 'd'; });
  reactor.after(5ms, [&] { order += 'c'; });
  reactor.after(0ms, [&] { order += 'a'; });
  reactor.after(0ms, [&] { order += 'b'; });
  while (order.size() < 4) reactor.run(100ms);
  EXPECT_EQ(order, "abcd");
  EXPECT_EQ(reactor.next_timer(), Duration::max());
}

TEST(Reactor, ATimerIsNeverEarly) {
  Reactor reactor;
  auto start = std::chrono::steady_clock::now();
  bool fired = false;
  reactor.after(15ms, [&] { fired = true; });
  while (!fired) reactor.run(1s);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 15ms);
}

TEST(Reactor, ACancelledTimerDoesNotFireAndCancellingTwiceIsHarmless) {
  Reactor reactor;
  bool fired = false;
  TimerId timer = reactor.after(0ms, [&] { fired = true; });
  reactor.cancel(timer);
  reactor.cancel(timer);
  EXPECT_FALSE(reactor.run(5ms));
  EXPECT_FALSE(fired);
}

TEST(Reactor, ATimerMayCancelTheNextOne) {
  Reactor reactor;
  bool fired = false;
  TimerId second;
  reactor.after(0ms, [&] { reactor.cancel(second); });
  second = reactor.after(0ms, [&] { fired = true; });
  reactor.run(5ms);
  EXPECT_FALSE(fired);
}

TEST(Reactor, ATimerThatStartsAnotherAtOnceDoesNotKeepTheLoopToItself) {
  Reactor reactor;
  int fired = 0;
  std::function<void()> again = [&] {
    ++fired;
    reactor.after(0ms, again);
  };
  reactor.after(0ms, again);
  reactor.run(0ms);
  EXPECT_EQ(fired, 1);
}

TEST(Reactor, NextTimerCountsDownToZero) {
  Reactor reactor;
  reactor.after(10ms, [] {});
  EXPECT_GT(reactor.next_timer(), 1ms);
  EXPECT_LE(reactor.next_timer(), 10ms);
  usleep(12'000);
  EXPECT_EQ(reactor.next_timer(), Duration::zero());
}

TEST(Reactor, ItsDescriptorIsReadableWhenAWatchedOneIs) {
  Reactor reactor;
  Pipe pipe;
  reactor.watch(pipe.reader(), Reactor::kRead, [](std::uint32_t) {});
  pollfd outer{reactor.fd(), POLLIN, 0};
  EXPECT_EQ(poll(&outer, 1, 0), 0);
  pipe.put();
  EXPECT_EQ(poll(&outer, 1, 0), 1);
}

TEST(Reactor, RunWaitsNoLongerThanItMay) {
  Reactor reactor;
  reactor.after(10s, [] {});
  auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(reactor.run(20ms));
  EXPECT_LT(std::chrono::steady_clock::now() - start, 2s);
}

}  // namespace
}  // namespace millrace::test
