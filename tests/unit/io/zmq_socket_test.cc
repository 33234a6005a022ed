#include "common/io/zmq_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>

namespace millrace {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Waits for a message as a program would; false after 5 s.
bool await(ZmqSocket& socket, Frames& frames) {
  Poller poller;
  poller.add(socket);
  const auto deadline = SteadyClock::now() + 5s;
  while (SteadyClock::now() < deadline) {
    if (socket.receive(frames)) return true;
    poller.wait(100ms);
  }
  return false;
}

struct Pair {
  ZmqContext context;
  RouterSocket router;
  DealerSocket dealer;
  std::string peer;  // the dealer's routing id, known once it has spoken

  explicit Pair(const SocketOptions& options = {}, const std::string& endpoint = "tcp://127.0.0.1:0")
      : router(context, options), dealer(context, options) {
    EXPECT_TRUE(router.bind(endpoint).ok());
    EXPECT_TRUE(dealer.connect(router.last_endpoint()).ok());
    EXPECT_EQ(dealer.send("env", "hello"), SendResult::kSent);
    Frames frames;
    EXPECT_TRUE(await(router, frames));
    EXPECT_EQ(frames.size(), 3U);
    peer = frames[0];
  }
};

TEST(ZmqSocket, MessagesTravelBothWaysWithTheirPartsIntact) {
  for (const char* endpoint : {"tcp://127.0.0.1:0", "tcp://127.0.0.1:*", "tcp://localhost:0", "inproc://pair"}) {
    Pair pair({}, endpoint);
    Frames frames;
    for (const std::size_t size : {0UL, 10UL, 5'000UL, 3'000'000UL}) {
      std::string body(size, 'b');
      ASSERT_EQ(pair.router.send(pair.peer, "env", std::move(body)), SendResult::kSent);
      ASSERT_TRUE(await(pair.dealer, frames)) << endpoint;
      ASSERT_EQ(frames.size(), 2U);
      EXPECT_EQ(frames[0], "env");
      EXPECT_EQ(frames[1], std::string(size, 'b'));
    }
    EXPECT_FALSE(pair.dealer.receive(frames));
    EXPECT_EQ(frames.size(), 0U);
  }
}

TEST(ZmqSocket, FramesKeepTheirBytesWhenTheyAreMoved) {
  Pair pair;
  const std::string large(100'000, 'x');
  pair.router.send(pair.peer, "tiny", std::string(large));
  Frames first;
  ASSERT_TRUE(await(pair.dealer, first));
  Frames second(std::move(first));
  Frames third;
  third = std::move(second);
  EXPECT_EQ(first.size(), 0U);  // NOLINT: a moved-from one is empty
  ASSERT_EQ(third.size(), 2U);
  EXPECT_EQ(third[0], "tiny");
  EXPECT_EQ(third[1], large);
}

TEST(ZmqSocket, AnUnknownPeerIsGoneAndTheBodyStaysWithItsOwner) {
  Pair pair;
  std::string body(10'000, 'b');
  EXPECT_EQ(pair.router.send("nobody", "env", std::move(body)), SendResult::kGone);
  EXPECT_EQ(body.size(), 10'000U);  // NOLINT: not moved from
}

TEST(ZmqSocket, AFullPeerIsAnAnswerAndWhatWasAcceptedArrives) {
  SocketOptions small;
  small.send_hwm = 10;
  small.receive_hwm = 10;
  Pair pair(small);
  std::size_t sent = 0;
  SendResult result = SendResult::kSent;
  std::string body;
  while (sent < 100'000) {
    body.assign(50'000, 'b');
    result = pair.router.send(pair.peer, "env", std::move(body));
    if (result != SendResult::kSent) break;
    ++sent;
  }
  ASSERT_EQ(result, SendResult::kFull);
  EXPECT_EQ(body.size(), 50'000U);  // NOLINT: not moved from
  Frames frames;
  for (std::size_t i = 0; i < sent; ++i) ASSERT_TRUE(await(pair.dealer, frames)) << i << " of " << sent;
  EXPECT_FALSE(pair.dealer.receive(frames));
}

TEST(ZmqSocket, ASecondPeerWithTheSameIdDoesNotTakeThePlaceOfTheFirst) {
  ZmqContext context;
  RouterSocket router(context);
  ASSERT_TRUE(router.bind("tcp://127.0.0.1:0").ok());
  DealerSocket first(context, {}, "same");
  ASSERT_TRUE(first.connect(router.last_endpoint()).ok());
  first.send("env", "from the first");
  Frames frames;
  ASSERT_TRUE(await(router, frames));
  DealerSocket second(context, {}, "same");
  ASSERT_TRUE(second.connect(router.last_endpoint()).ok());
  second.send("env", "from the second");
  std::this_thread::sleep_for(200ms);
  EXPECT_FALSE(router.receive(frames));
  ASSERT_EQ(router.send("same", "env", "reply"), SendResult::kSent);
  EXPECT_TRUE(await(first, frames));
}

TEST(ZmqSocket, PartsBeyondTheLimitAreDroppedAndCounted) {
  ZmqContext context;
  RouterSocket router(context);
  ASSERT_TRUE(router.bind("tcp://127.0.0.1:0").ok());
  struct Talker : DealerSocket {
    using DealerSocket::DealerSocket;
    using ZmqSocket::send_parts;
  } talker(context);
  ASSERT_TRUE(talker.connect(router.last_endpoint()).ok());
  const std::vector<std::string_view> parts(30, "part");
  talker.send_parts(parts, nullptr);
  talker.send("env", "after");
  Frames frames;
  ASSERT_TRUE(await(router, frames));
  EXPECT_EQ(frames.size(), Frames::kPartsMax);
  EXPECT_EQ(frames.parts_dropped(), 31 - Frames::kPartsMax);
  ASSERT_TRUE(await(router, frames));
  EXPECT_EQ(frames[2], "after");
  EXPECT_EQ(frames.parts_dropped(), 0U);
}

TEST(ZmqSocket, AMessageOverTheLimitCostsItsSenderTheConnectionOnly) {
  SocketOptions options;
  options.message_bytes_max = 1000;
  ZmqContext context;
  RouterSocket router(context, options);
  ASSERT_TRUE(router.bind("tcp://127.0.0.1:0").ok());
  DealerSocket dealer(context);
  ASSERT_TRUE(dealer.connect(router.last_endpoint()).ok());
  dealer.send("env", std::string(2000, 'x'));
  DealerSocket other(context);
  ASSERT_TRUE(other.connect(router.last_endpoint()).ok());
  other.send("env", "small");
  Frames frames;
  ASSERT_TRUE(await(router, frames));
  EXPECT_EQ(frames[2], "small");
  EXPECT_FALSE(router.receive(frames));
}

TEST(ZmqSocket, APublisherSeesSubscriptionsAndReachesTheirTopicsOnly) {
  ZmqContext context;
  PubSocket pub(context);
  ASSERT_TRUE(pub.bind("tcp://127.0.0.1:0").ok());
  SubSocket sub(context);
  ASSERT_TRUE(sub.connect(pub.last_endpoint()).ok());
  ASSERT_TRUE(sub.subscribe("run-a").ok());
  Poller poller;
  poller.add(pub);
  std::optional<Subscription> seen;
  for (int i = 0; i < 50 && !(seen = pub.next_subscription()); ++i) poller.wait(100ms);
  ASSERT_TRUE(seen.has_value());
  EXPECT_TRUE(seen->subscribed);
  EXPECT_EQ(seen->topic, "run-a");
  pub.send("run-b", "env", "not for them");
  pub.send("run-a", "env", "body");
  Frames frames;
  ASSERT_TRUE(await(sub, frames));
  EXPECT_EQ(frames[0], "run-a");
  EXPECT_EQ(frames[2], "body");
  ASSERT_TRUE(sub.unsubscribe("run-a").ok());
  for (int i = 0; i < 50 && !(seen = pub.next_subscription()); ++i) poller.wait(100ms);
  ASSERT_TRUE(seen.has_value());
  EXPECT_FALSE(seen->subscribed);
}

TEST(ZmqSocket, BindingToATakenPortNamesTheEndpoint) {
  ZmqContext context;
  RouterSocket first(context);
  RouterSocket second(context);
  ASSERT_TRUE(first.bind("tcp://127.0.0.1:0").ok());
  const Status taken = second.bind(first.last_endpoint());
  ASSERT_FALSE(taken.ok());
  EXPECT_EQ(taken.error().code, Code::kUnavailable);
  EXPECT_NE(taken.error().what.find(first.last_endpoint()), std::string::npos);
}

// ---------------------------------------------------------------- poller

TEST(Poller, TimeoutsBelowAMillisecondAreKept) {
  Pair pair;
  Poller poller;
  poller.add(pair.dealer);
  const auto start = SteadyClock::now();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(poller.wait(200us), 0);
  const auto took = SteadyClock::now() - start;
  EXPECT_GE(took, 20 * 200us);
  EXPECT_LT(took, 200ms);
}

TEST(Poller, WhatWasNotReadIsReportedAgain) {
  Pair pair;
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  Poller poller;
  const Poller::Slot socket = poller.add(pair.dealer);
  const Poller::Slot reading = poller.add_fd(pipe_fds[0], true);
  const Poller::Slot writing = poller.add_fd(pipe_fds[1], false, false);
  pair.router.send(pair.peer, "env", "one");
  ASSERT_EQ(write(pipe_fds[1], "x", 1), 1);
  const auto deadline = SteadyClock::now() + 5s;
  while (poller.wait(100ms) < 2 && SteadyClock::now() < deadline) std::this_thread::sleep_for(1ms);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(poller.wait(0us), 2);
    EXPECT_TRUE(poller.readable(socket));
    EXPECT_TRUE(poller.readable(reading));
    EXPECT_FALSE(poller.writable(writing));
  }
  poller.set_fd(writing, pipe_fds[1], false, true);
  EXPECT_EQ(poller.wait(0us), 3);
  EXPECT_TRUE(poller.writable(writing));
  poller.remove(reading);
  poller.remove(writing);
  Frames frames;
  EXPECT_TRUE(pair.dealer.receive(frames));
  EXPECT_EQ(poller.wait(0us), 0);
  close(pipe_fds[0]);
  close(pipe_fds[1]);
}

TEST(Poller, AMessageEndsTheWaitAtOnce) {
  Pair pair;
  Poller poller;
  poller.add(pair.dealer);
  std::thread sender([&] {
    std::this_thread::sleep_for(50ms);
    pair.router.send(pair.peer, "env", "late");
  });
  const auto start = SteadyClock::now();
  EXPECT_EQ(poller.wait(10s), 1);
  EXPECT_LT(SteadyClock::now() - start, 5s);
  sender.join();
}

}  // namespace
}  // namespace millrace
