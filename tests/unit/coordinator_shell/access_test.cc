// Access and ZmqGateway with keys: who may say what, over real sockets; what follows when the list changes.
#include "coordinator/shell/access.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "coordinator/shell/anchored_clock.h"
#include "coordinator/shell/gateway.h"
#include "coordinator/shell/zmq_bus.h"

namespace millrace {
namespace {

class ToldClock : public Clock {
 public:
  Time now() const override { return now_; }
  void pass(Duration duration) { now_ += duration; }

 private:
  Time now_{std::chrono::hours(1)};
};

TEST(Roles, WhatEachMaySendIsThisTableAndNothingElse) {
  for (const Role role : kRoles) {
    EXPECT_EQ(may_send(role, FrameKind::kWorker), role == Role::kWorker) << to_string(role);
    EXPECT_EQ(may_send(role, FrameKind::kRequest), role != Role::kWorker) << to_string(role);
    EXPECT_EQ(may_send(role, FrameKind::kPeer), role == Role::kCoordinator) << to_string(role);
    EXPECT_TRUE(may_enter(role, Door::kMain));
    EXPECT_EQ(may_enter(role, Door::kEvents), role != Role::kWorker) << to_string(role);
    for (const FrameKind kind : {FrameKind::kCoordinator, FrameKind::kReply, FrameKind::kEvents}) {
      EXPECT_FALSE(may_send(role, kind)) << to_string(role) << " " << to_string(kind);
    }
  }
}

class AccessTest : public ::testing::Test {
 protected:
  AccessTest() {
    directory_ = ::testing::TempDir() + "/millrace-access-XXXXXX";
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
    EXPECT_TRUE(write_private_file(directory_ + "/c.key", key_file_text(coordinator_), false).ok());
    for (const KeyFile* key : {&worker_, &other_, &alice_}) allow(*key);
    Result<std::unique_ptr<Access>> opened =
        Access::open(server_context_, clock_, directory_ + "/c.key", directory_ + "/list");
    EXPECT_TRUE(opened.ok()) << opened.error().what;
    access_ = std::move(opened).value();
    gateway_.emplace(server_context_, clock_, DoorOptions{access_.get(), false});
    EXPECT_TRUE(gateway_->listen("tcp://127.0.0.1:0").ok());
    bus_.emplace(server_context_, DoorOptions{access_.get(), false});
    EXPECT_TRUE(bus_->listen("tcp://127.0.0.1:0").ok());
  }
  ~AccessTest() override {
    bus_.reset();
    gateway_.reset();
    [[maybe_unused]] const int removed = std::system(("rm -rf " + directory_).c_str());
  }

  static KeyFile key(const std::string& name, Role role) {
    CurveKeys keys = new_curve_keys();
    return {{name, role, keys.public_key}, keys.secret_key};
  }
  void allow(const KeyFile& key, std::vector<std::string> ids = {}, bool rotate = false) {
    const Status changed = change_allow_list(directory_ + "/list", true, [&](AllowList& list) {
      return list.add({key.key, ids}, rotate);
    });
    EXPECT_TRUE(changed.ok()) << changed.error().what;
  }
  void revoke(const KeyFile& key) {
    EXPECT_TRUE(change_allow_list(directory_ + "/list", false, [&](AllowList& list) -> Status {
                  EXPECT_EQ(list.remove(key.key.public_key).size(), 1U);
                  return Done{};
                }).ok());
  }
  SocketOptions as(const KeyFile& key) const {
    SocketOptions options;
    options.curve_client = CurveClient{{key.key.public_key, key.secret}, coordinator_.key.public_key};
    return options;
  }
  std::unique_ptr<DealerSocket> connect(const KeyFile& key, std::string_view routing_id = {}) {
    auto dealer = std::make_unique<DealerSocket>(client_context_, as(key), routing_id);
    EXPECT_TRUE(dealer->connect(gateway_->endpoints()[0]).ok());
    return dealer;
  }
  void say(DealerSocket& dealer, const WorkerMessage& message) {
    EXPECT_EQ(dealer.send(envelope(FrameKind::kWorker), encode(message)), SendResult::kSent);
  }
  void ask(DealerSocket& dealer, std::uint64_t number = 1) {
    EXPECT_EQ(dealer.send(envelope(FrameKind::kRequest), encode_request(number, PingRequest{})), SendResult::kSent);
  }
  static WorkerMessage hello(const std::string& name) {
    WorkerHello hello;
    hello.name = name;
    hello.incarnation = 1;
    return hello;
  }
  template <class So>
  bool until(So so, int tries = 2000) {
    for (int i = 0; i < tries; ++i) {
      access_->pass();
      gateway_->poll(heard_, 100);
      bus_->hear_subscriptions();
      if (so()) return true;
      usleep(2000);
    }
    return false;
  }
  bool hears() {
    return until([&] { return !std::exchange(heard_, {}).empty(); });
  }
  // Why the gateway refused a worker's message.
  std::string refusal(DealerSocket& dealer) {
    Frames frames;
    EXPECT_TRUE(until([&] { return dealer.receive(frames); }));
    Result<std::string_view> body = open_frame(frames.views(), FrameKind::kCoordinator);
    if (!body.ok()) return body.error().what;
    SpecCache none;
    Result<CoordinatorMessage> message = decode_coordinator_message(*body, none);
    const auto* refused = message.ok() ? std::get_if<WorkerRefused>(&*message) : nullptr;
    return refused == nullptr ? "it was not refused" : refused->name;
  }
  std::string refusal_of_request(DealerSocket& dealer) {
    Frames frames;
    EXPECT_TRUE(until([&] { return dealer.receive(frames); }));
    Result<std::string_view> body = open_frame(frames.views(), FrameKind::kReply);
    if (!body.ok()) return body.error().what;
    auto reply = decode_reply(*body);
    const auto* error = reply.ok() ? std::get_if<ErrorReply>(&reply->second) : nullptr;
    return error == nullptr || reply->first != 0 ? "it was not refused" : error->error.name;
  }

  std::string directory_;
  KeyFile coordinator_ = key("c", Role::kCoordinator);
  KeyFile worker_ = key("w", Role::kWorker);
  KeyFile other_ = key("o", Role::kWorker);
  KeyFile alice_ = key("alice", Role::kOperator);
  ToldClock clock_;
  ZmqContext server_context_;
  ZmqContext client_context_;
  std::unique_ptr<Access> access_;
  std::optional<ZmqGateway> gateway_;
  std::optional<ZmqBus> bus_;
  std::vector<Incoming> heard_;
};

TEST_F(AccessTest, EachRoleIsHeardWithWhatItMaySayAndToldWhatItMayNot) {
  auto worker = connect(worker_);
  auto alice = connect(alice_);
  SocketOptions as_peer;
  as_peer.curve_client = access_->client();
  DealerSocket peer(client_context_, as_peer);
  ASSERT_TRUE(peer.connect(gateway_->endpoints()[0]).ok());
  say(*worker, hello("w1"));
  EXPECT_TRUE(hears());
  ask(*alice);
  EXPECT_TRUE(hears());
  ask(peer);
  EXPECT_TRUE(hears()) << "a coordinator forwards requests";

  ask(*worker);
  EXPECT_EQ(refusal_of_request(*worker), "role_refused");
  say(*alice, hello("w1"));
  EXPECT_EQ(refusal(*alice), "role_refused");
  EXPECT_TRUE(heard_.empty());
  EXPECT_EQ(access_->refused(), 2U);
  EXPECT_EQ(access_->refused_for()[static_cast<std::size_t>(RefusedPeer::kRole)], 2U) << "counted by reason";
}

TEST_F(AccessTest, ARevokedKeyIsNotHeardNotSpokenToAndDoesNotComeInAgain) {
  auto worker = connect(worker_);
  auto alice = connect(alice_);
  say(*worker, hello("w1"));
  ASSERT_TRUE(until([&] { return !heard_.empty(); }));
  const PeerId peer = std::get<FromWorker>(heard_[0]).peer;
  heard_.clear();
  ask(*alice);
  ASSERT_TRUE(until([&] { return !heard_.empty(); }));
  const RequestId request = std::get<FromClient>(heard_[0]).request;
  heard_.clear();
  EXPECT_TRUE(gateway_->send(peer, SayHello{}));
  Frames frames;
  ASSERT_TRUE(until([&] { return worker->receive(frames); }));

  revoke(worker_);
  revoke(alice_);
  clock_.pass(kListLookEvery);
  access_->pass();

  say(*worker, hello("w1"));
  EXPECT_EQ(refusal(*worker), "key_revoked");
  ask(*alice);
  EXPECT_EQ(refusal_of_request(*alice), "key_revoked");
  EXPECT_TRUE(heard_.empty());
  EXPECT_FALSE(gateway_->send(peer, SayHello{}));
  gateway_->reply(request, PingReply{});
  EXPECT_FALSE(until([&] { return alice->receive(frames); }, 100)) << "the answer of before is not for it any more";

  auto again = connect(worker_);
  ConnectionWatch watch(client_context_, *again);
  EXPECT_TRUE(until([&] { return watch.next() == Handshake::kRefused; }));
}

TEST_F(AccessTest, EventsAreForOperatorsAndARevokedOneHearsNoMore) {
  SubSocket sub(client_context_, as(alice_));
  SubSocket spy(client_context_, as(worker_));
  ConnectionWatch spy_watch(client_context_, spy);
  for (SubSocket* socket : {&sub, &spy}) {
    ASSERT_TRUE(socket->subscribe("").ok());
    ASSERT_TRUE(socket->connect(bus_->endpoint()).ok());
  }
  EXPECT_TRUE(until([&] { return spy_watch.next() == Handshake::kRefused; }));
  Event event;
  event.type = EventType::kRunAccepted;
  event.run = make_run_id(PartitionId{3}, 1, 1);
  Frames frames;
  auto heard = [&] {
    bus_->publish(std::span(&event, 1));
    return sub.receive(frames);
  };
  ASSERT_TRUE(until(heard));

  // Another operator's key changes nothing for this one but a moment's pause.
  const KeyFile bob = key("bob", Role::kOperator);
  allow(bob);
  access_->reload();
  EXPECT_EQ(access_->hearers_revoked(), 0U);
  revoke(bob);
  access_->reload();
  EXPECT_EQ(access_->hearers_revoked(), 1U);
  bus_->cut();
  ASSERT_TRUE(until([&] { return bus_->listen(std::string(bus_->endpoint())).ok(); })) << "the port comes free again";
  while (sub.receive(frames)) {}
  ASSERT_TRUE(until(heard)) << "it connects again by itself";

  revoke(alice_);
  access_->reload();
  bus_->cut();
  ASSERT_TRUE(until([&] { return bus_->listen(std::string(bus_->endpoint())).ok(); }));
  while (sub.receive(frames)) {}
  ConnectionWatch sub_watch(client_context_, sub);
  EXPECT_TRUE(until([&] { return sub_watch.next() == Handshake::kRefused; }));
  EXPECT_FALSE(heard());
  EXPECT_FALSE(spy.receive(frames));
}

TEST_F(AccessTest, AWorkerIdBelongsToTheKeyThatUsedItFirstUntilThatIsRevoked) {
  auto worker = connect(worker_);
  auto thief = connect(other_);
  say(*worker, hello("w1"));
  ASSERT_TRUE(hears());
  say(*thief, hello("w1"));
  EXPECT_EQ(refusal(*thief), "id_in_use");
  say(*thief, hello("w2"));
  EXPECT_TRUE(hears());
  worker.reset();  // gone, and its name with it? no
  say(*thief, hello("w1"));
  EXPECT_EQ(refusal(*thief), "id_in_use");

  revoke(worker_);
  access_->reload();
  say(*thief, hello("w1"));
  EXPECT_TRUE(hears());
}

TEST_F(AccessTest, ARotatedKeyOfTheSameOwnerKeepsItsIdsAndARestartNeedsNothing) {
  auto worker = connect(worker_);
  say(*worker, hello("w1"));
  ASSERT_TRUE(hears());
  auto restarted = connect(worker_);  // after kill -9: another connection, another routing id, the same key
  say(*restarted, hello("w1"));
  EXPECT_TRUE(hears());

  const KeyFile fresh = key("w", Role::kWorker);
  allow(fresh, {}, /*rotate=*/true);
  access_->reload();
  auto rotated = connect(fresh);
  say(*rotated, hello("w1"));
  EXPECT_TRUE(hears());
  revoke(worker_);
  access_->reload();
  say(*rotated, hello("w1"));
  EXPECT_TRUE(hears());
  say(*restarted, hello("w1"));
  EXPECT_EQ(refusal(*restarted), "key_revoked");
}

TEST_F(AccessTest, IdsOfTheListBindAKeyToItsOwn) {
  const KeyFile gpu = key("gpu", Role::kWorker);
  allow(gpu, {"gpu-*"});
  access_->reload();
  auto worker = connect(gpu);
  say(*worker, hello("cpu-1"));
  EXPECT_EQ(refusal(*worker), "id_not_allowed");
  say(*worker, hello("gpu-1"));
  EXPECT_TRUE(hears());
}

TEST_F(AccessTest, ARoutingIdThatAnotherKeyTookIsAnotherPeer) {
  auto worker = connect(worker_, "the-same");
  say(*worker, hello("w1"));
  ASSERT_TRUE(until([&] { return !heard_.empty(); }));
  const PeerId first = std::get<FromWorker>(std::exchange(heard_, {})[0]).peer;
  worker.reset();
  PeerId second = first;
  for (int i = 0; i < 50 && second == first; ++i) {  // until the old connection's end is known there
    auto thief = connect(other_, "the-same");
    say(*thief, hello("w2"));
    for (int j = 0; j < 50 && heard_.empty(); ++j) {
      access_->pass();
      gateway_->poll(heard_, 100);
      usleep(2000);
    }
    if (!heard_.empty()) second = std::get<FromWorker>(std::exchange(heard_, {})[0]).peer;
  }
  EXPECT_NE(second, first);
  EXPECT_FALSE(gateway_->send(first, SayHello{})) << "what is for the first must not reach the second";
}

TEST_F(AccessTest, AListThatCannotBeReadLeavesTheOneBeforeInForce) {
  ASSERT_TRUE(write_private_file(directory_ + "/list", "worker w1 rubbish\n", true).ok());
  clock_.pass(kListLookEvery);
  access_->pass();
  auto worker = connect(worker_);
  say(*worker, hello("w1"));
  EXPECT_TRUE(hears());
  ASSERT_EQ(unlink((directory_ + "/list").c_str()), 0);
  access_->reload();
  EXPECT_TRUE(access_->is_in(alice_.key.public_key));
}

TEST(AccessFiles, AreNamedWhereTheyAreWrong) {
  ZmqContext context;
  AnchoredClock clock;
  Result<std::unique_ptr<Access>> none = Access::open(context, clock, "/nowhere/c.key", "/nowhere/list");
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, Code::kInvalid);
  EXPECT_NE(none.error().what.find("--curve-key: read /nowhere/c.key"), std::string::npos) << none.error().what;
}

}  // namespace
}  // namespace millrace
