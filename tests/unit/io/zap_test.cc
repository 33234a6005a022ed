// CURVE over real sockets: who gets in, what a refused peer is told, and that nobody waits in silence.
#include "common/io/zap.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <set>

#include "common/io/connection_watch.h"
#include "common/io/zmtp_probe.h"

namespace millrace {
namespace {

using SteadyClock = std::chrono::steady_clock;

// A server with its handler in one context, and clients in another, as in two processes.
class CurveSockets : public ::testing::Test {
 protected:
  CurveSockets() : zap_(server_context_, [this](const ZapQuestion& question) { return decide(question); }) {
    EXPECT_TRUE(zap_.open().ok());
    SocketOptions options;
    options.curve_server = CurveServer{server_.secret_key, "door"};
    router_.emplace(server_context_, options);
    EXPECT_TRUE(router_->bind("tcp://127.0.0.1:0").ok());
    watch_.emplace(server_context_, *router_);
  }
  bool decide(const ZapQuestion& question) {
    asked_.emplace_back(std::string(question.domain) + " " + std::string(question.address));
    return allowed_.contains(std::string(question.public_key));
  }
  SocketOptions client_options(const CurveKeys& keys, const std::string& server_key) const {
    SocketOptions options;
    options.reconnect_first = 20ms;
    options.curve_client = CurveClient{keys, server_key};
    return options;
  }
  // Answers handshakes until it is so.
  bool until(const std::function<bool()>& so) {
    for (const auto deadline = SteadyClock::now() + 10s; SteadyClock::now() < deadline;) {
      zap_.answer(10);
      if (so()) return true;
      Poller poller;
      poller.add(zap_);
      poller.wait(5ms);
    }
    return false;
  }
  std::optional<Error> fault_of(const SocketOptions& options, const std::string& endpoint) {
    DealerSocket dealer(client_context_, options);
    ConnectionWatch watch(client_context_, dealer);
    ConnectionFaults faults(endpoint, options.curve_client.has_value());
    EXPECT_TRUE(dealer.connect(endpoint).ok());
    until([&] {
      while (const auto handshake = watch.next()) faults.take(*handshake);
      return faults.fault().has_value();
    });
    return faults.fault();
  }
  std::string endpoint() const { return router_->last_endpoint(); }
  bool heard_nothing() {
    Frames frames;
    return !router_->receive(frames);
  }

  ZmqContext server_context_;
  ZmqContext client_context_;
  CurveKeys server_ = new_curve_keys();
  CurveKeys client_ = new_curve_keys();
  std::set<std::string> allowed_;
  std::vector<std::string> asked_;
  ZapHandler zap_;
  std::optional<RouterSocket> router_;
  std::optional<ConnectionWatch> watch_;
};

TEST_F(CurveSockets, AnAllowedKeyGetsInAndItsMessagesCarryIt) {
  allowed_.insert(client_.public_key);
  DealerSocket dealer(client_context_, client_options(client_, server_.public_key));
  ASSERT_TRUE(dealer.connect(endpoint()).ok());
  dealer.send("env", "hello");
  Frames frames;
  ASSERT_TRUE(until([&] { return router_->receive(frames); }));
  EXPECT_EQ(frames[2], "hello");
  EXPECT_EQ(frames.user_id(), client_.public_key);
  EXPECT_EQ(asked_, std::vector<std::string>{"door 127.0.0.1"});

  const std::string peer(frames[0]);
  ASSERT_EQ(router_->send(peer, "env", std::string(100'000, 'x')), SendResult::kSent);
  ASSERT_TRUE(until([&] { return dealer.receive(frames); }));
  EXPECT_EQ(frames[1].size(), 100'000U);
  EXPECT_EQ(frames.user_id(), "") << "a client knows its server by its key";
}

TEST_F(CurveSockets, AnUnknownKeyIsRefusedByNameAndHeardOfByBothSides) {
  const std::optional<Error> fault = fault_of(client_options(client_, server_.public_key), endpoint());
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->name, "key_refused");
  EXPECT_EQ(fault->code, Code::kRefused);
  EXPECT_TRUE(until([&] { return watch_->next() == Handshake::kRefused; }));
  EXPECT_TRUE(heard_nothing());
}

TEST_F(CurveSockets, AWrongServerKeyIsToldAndNeverAsked) {
  allowed_.insert(client_.public_key);
  const std::optional<Error> fault = fault_of(client_options(client_, new_curve_keys().public_key), endpoint());
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->name, "wrong_server_key");
  EXPECT_EQ(fault->code, Code::kUnavailable);
  EXPECT_TRUE(until([&] { return watch_->next() == Handshake::kCrypto; }));
  EXPECT_TRUE(asked_.empty());
}

TEST_F(CurveSockets, WithoutCurveNobodyIsHeardAndTheReasonIsToldEveryTime) {
  allowed_.insert(client_.public_key);
  for (int i = 0; i < 20; ++i) {  // which side hangs up first is a race
    const std::optional<Error> fault = fault_of(SocketOptions{}, endpoint());
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->name, "key_required");
    EXPECT_EQ(fault->code, Code::kRefused);
  }
  EXPECT_TRUE(heard_nothing());
}

TEST_F(CurveSockets, ACurveClientSaysNothingToAPlainServer) {
  RouterSocket plain(server_context_);
  ASSERT_TRUE(plain.bind("tcp://127.0.0.1:0").ok());
  for (int i = 0; i < 20; ++i) {
    const std::optional<Error> fault = fault_of(client_options(client_, server_.public_key), plain.last_endpoint());
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->name, "not_curve");
    EXPECT_EQ(fault->code, Code::kUnavailable);
  }
  Frames frames;
  EXPECT_FALSE(plain.receive(frames));
}

TEST_F(CurveSockets, AServerWithKeysMayListenWhereOthersCanReachIt) {
  SocketOptions options;
  options.curve_server = CurveServer{server_.secret_key, "door"};
  RouterSocket open(server_context_, options);
  EXPECT_TRUE(open.bind("tcp://0.0.0.0:0").ok());
}

TEST_F(CurveSockets, AContextHasOneHandler) {
  ZapHandler second(server_context_, [](const ZapQuestion&) { return true; });
  EXPECT_FALSE(second.open().ok());
}

TEST_F(CurveSockets, TheProbeTellsWhoSpeaksWhatAndIsNotFooledBySilence) {
  RouterSocket plain(server_context_);
  ASSERT_TRUE(plain.bind("tcp://127.0.0.1:0").ok());
  EXPECT_EQ(probe_mechanism(endpoint(), 2s), "CURVE");
  EXPECT_EQ(probe_mechanism(plain.last_endpoint(), 2s), "NULL");
  EXPECT_EQ(probe_mechanism("tcp://127.0.0.1:9", 2s), "");
  EXPECT_EQ(probe_mechanism("inproc://x", 2s), "");
  EXPECT_EQ(probe_mechanism("ipc:///nowhere/at/all", 2s), "");
}

TEST(ConnectionFaults, HangUpsAfterASuccessAreACoordinatorThatIsAway) {
  ConnectionFaults faults("tcp://127.0.0.1:9", true);
  faults.take(Handshake::kDone);
  for (int i = 0; i < 100; ++i) faults.take(Handshake::kBrokenOff);
  EXPECT_FALSE(faults.fault());
  faults.take(Handshake::kRefused);
  EXPECT_EQ(faults.fault()->name, "key_refused");
  faults.start_anew();
  EXPECT_FALSE(faults.fault());
}

TEST(ConnectionFaults, HangUpsOfWhatAnswersNoProbeLeaveHope) {
  ConnectionFaults faults("tcp://127.0.0.1:9", true);
  for (int i = 0; i < 100; ++i) faults.take(Handshake::kBrokenOff);
  EXPECT_FALSE(faults.fault()) << "a proxy whose coordinator is away";
}

TEST(CurveClientOptions, AreBothGivenOrNone) {
  EXPECT_FALSE(read_curve_client("", "").value().has_value());
  EXPECT_EQ(read_curve_client("k", "").error().code, Code::kInvalid);
  EXPECT_EQ(read_curve_client("", "k").error().code, Code::kInvalid);
  EXPECT_NE(read_curve_client("/nowhere/k", "k").error().what.find("--curve-key: "), std::string::npos);
}

}  // namespace
}  // namespace millrace
