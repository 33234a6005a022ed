// ZmqGateway: bad bytes stop here, and what is good still gets through.
#include "coordinator/shell/gateway.h"

#include <gtest/gtest.h>

#include "common/wire/frame.h"
#include "coordinator/shell/anchored_clock.h"

namespace millrace {
namespace {

class Gateways : public ::testing::Test {
 protected:
  Gateways() : gateway_(context_, clock_), dealer_(context_) {
    EXPECT_TRUE(gateway_.listen("inproc://gateway-test").ok());
    EXPECT_TRUE(dealer_.connect("inproc://gateway-test").ok());
  }
  void send(std::string_view head, std::string body) {
    ASSERT_EQ(dealer_.send(head, std::move(body)), SendResult::kSent);
  }
  std::vector<Incoming> heard() {
    std::vector<Incoming> out;
    gateway_.poll(out, 100);
    return out;
  }
  Result<std::pair<std::uint64_t, OperatorReply>> answered() {
    Frames frames;
    if (!dealer_.receive(frames)) return Error{Code::kTimeout, "nothing came", {}, ""};
    Result<std::string_view> body = open_frame(frames.views(), FrameKind::kReply);
    if (!body.ok()) return body.error();
    return decode_reply(*body);
  }

  ZmqContext context_;
  AnchoredClock clock_;
  ZmqGateway gateway_;
  DealerSocket dealer_;
};

TEST_F(Gateways, ARequestIsAnsweredUnderItsOwnNumber) {
  send(envelope(FrameKind::kRequest), encode_request(42, PingRequest{}));
  std::vector<Incoming> in = heard();
  ASSERT_EQ(in.size(), 1U);

  gateway_.reply(std::get<FromClient>(in[0]).request, PingReply{"c1", "1", "", 16, 0});

  auto reply = answered();
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->first, 42U);
  EXPECT_EQ(std::get<PingReply>(reply->second).coordinator, "c1");
}

TEST_F(Gateways, ARequestIsAnsweredOnce) {
  send(envelope(FrameKind::kRequest), encode_request(1, PingRequest{}));
  RequestId request = std::get<FromClient>(heard().at(0)).request;
  gateway_.reply(request, PingReply{});
  ASSERT_TRUE(answered().ok());

  gateway_.reply(request, PingReply{});

  EXPECT_FALSE(answered().ok());
}

TEST_F(Gateways, BadBytesAreRefusedWithANameAndHarmNobody) {
  send("MR\x63\x03", "another version");
  auto refused = answered();
  EXPECT_FALSE(refused.ok()) << "nothing was taken in yet";
  EXPECT_TRUE(heard().empty());
  refused = answered();
  ASSERT_TRUE(refused.ok());
  EXPECT_EQ(std::get<ErrorReply>(refused->second).error.name, "frame_version");

  send("junk", "junk");
  send(envelope(FrameKind::kRequest), std::string(1'000, '\xff'));
  send(envelope(FrameKind::kWorker), std::string(1'000, '\xff'));
  send(envelope(FrameKind::kEvents), "events are not for a coordinator");
  EXPECT_TRUE(heard().empty());
  EXPECT_EQ(gateway_.frames_refused(), 5U);

  send(envelope(FrameKind::kRequest), encode_request(7, ListWorkers{}));
  EXPECT_EQ(heard().size(), 1U);
}

TEST_F(Gateways, AWorkerIsAnsweredByItsPeerAndAnUnknownPeerIsNotTaken) {
  send(envelope(FrameKind::kWorker), encode(WorkerMessage{WorkerBeat{5, 0}}));
  std::vector<Incoming> in = heard();
  ASSERT_EQ(in.size(), 1U);

  const PeerId peer = std::get<FromBeats>(in[0]).beats.at(0).first;
  EXPECT_TRUE(gateway_.send(peer, SayHello{}));
  EXPECT_FALSE(gateway_.send(PeerId{999}, SayHello{}));

  Frames frames;
  ASSERT_TRUE(dealer_.receive(frames));
  SpecCache cache;
  Result<std::string_view> body = open_frame(frames.views(), FrameKind::kCoordinator);
  ASSERT_TRUE(body.ok());
  Result<CoordinatorMessage> message = decode_coordinator_message(*body, cache);
  ASSERT_TRUE(message.ok());
  EXPECT_TRUE(std::holds_alternative<SayHello>(*message));
}

TEST_F(Gateways, BeatsThatAreReadTogetherComeTogether) {
  for (std::uint64_t worker = 1; worker <= 3; ++worker) {
    send(envelope(FrameKind::kWorker), encode(WorkerMessage{WorkerBeat{worker, 2, 1}}));
    send(envelope(FrameKind::kWorker), encode(WorkerMessage{CreditUpdate{1, 0}}));
  }
  std::vector<Incoming> in = heard();
  ASSERT_EQ(in.size(), 4U);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(std::holds_alternative<FromWorker>(in[static_cast<std::size_t>(i)]));
  const auto& beats = std::get<FromBeats>(in[3]).beats;
  ASSERT_EQ(beats.size(), 3U);
  EXPECT_EQ(beats[0].second, (WorkerBeat{1, 2, 1}));
  EXPECT_EQ(beats[2].second, (WorkerBeat{3, 2, 1}));
}

TEST_F(Gateways, WhatIsAnnouncedReachesEveryPeerThatIsThere) {
  DealerSocket other(context_);
  ASSERT_TRUE(other.connect("inproc://gateway-test").ok());
  std::vector<PeerId> peers = {PeerId{999}};  // not there: passed over
  for (DealerSocket* socket : {&dealer_, &other}) {
    ASSERT_EQ(socket->send(envelope(FrameKind::kWorker), encode(WorkerMessage{WorkerBeat{5, 0}})), SendResult::kSent);
    peers.push_back(std::get<FromBeats>(heard().at(0)).beats.at(0).first);
  }
  ASSERT_NE(peers[1], peers[2]);

  gateway_.announce(peers, ClusterNews{{{"c1", "tcp://c1"}}, {}, 7});

  for (DealerSocket* socket : {&dealer_, &other}) {
    Frames frames;
    ASSERT_TRUE(socket->receive(frames));
    SpecCache cache;
    Result<std::string_view> body = open_frame(frames.views(), FrameKind::kCoordinator);
    ASSERT_TRUE(body.ok());
    Result<CoordinatorMessage> message = decode_coordinator_message(*body, cache);
    ASSERT_TRUE(message.ok());
    EXPECT_EQ(std::get<ClusterNews>(*message), (ClusterNews{{{"c1", "tcp://c1"}}, {}, 7}));
  }
}

}  // namespace
}  // namespace millrace
