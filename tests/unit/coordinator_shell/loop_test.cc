// Loop over a store that is taken away and set back: what was acknowledged and lies beside the commits.
#include "coordinator/shell/loop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <span>

#include "common/model/value_parts.h"
#include "coordinator/shell/memory_cluster.h"
#include "coordinator/shell/meter.h"

namespace millrace {
namespace {

constexpr Time kStart{std::chrono::hours(1)};
constexpr PeerId kPeer{7};

struct TestClock : Clock {
  Time now() const override { return at; }
  Time at = kStart;
};

// Answers in order, no more reads than it is allowed to.
struct TestStore : Store {
  bool ready() const override { return up; }
  void commit(const TurnCommit& commit) override { waiting.commits.push_back(cluster.apply(commit)); }
  void read(std::uint64_t tag, const StoreRead& read) override { asked.emplace_back(tag, read); }
  void poll(StoreReplies& out) override {
    for (; answers > 0 && !asked.empty(); asked.pop_front(), --answers)
      waiting.reads.push_back({asked.front().first, cluster.read(asked.front().second)});
    std::ranges::move(waiting.commits, std::back_inserter(out.commits));
    std::ranges::move(waiting.reads, std::back_inserter(out.reads));
    waiting = {};
  }
  MemoryCluster cluster;
  bool up = true;
  std::size_t answers = SIZE_MAX;
  std::deque<std::pair<std::uint64_t, StoreRead>> asked;
  StoreReplies waiting;
};

struct TestGateway : Gateway {
  void poll(std::vector<Incoming>& out, std::size_t) override {
    std::ranges::move(std::exchange(in, {}), std::back_inserter(out));
  }
  bool send(PeerId, const CoordinatorMessage& message) override {
    sent.push_back(message);
    return true;
  }
  void reply(RequestId, const OperatorReply& reply) override { replies.push_back(reply); }
  std::vector<Incoming> in;
  std::vector<CoordinatorMessage> sent;
  std::vector<OperatorReply> replies;
};

struct TestBus : Bus {
  void publish(std::span<const Event>) override {}
};

class LoopTest : public ::testing::Test {
 protected:
  LoopTest() {
    LoopOptions options;
    options.name = "c1";
    options.endpoint = "c1";
    options.partitions = 2;
    options.note = [this](LoopNote kind, const std::string& text) { notes.emplace_back(kind, text); };
    loop = std::make_unique<Loop>(std::move(options), clock, store, gateway, bus);
    for (int i = 0; i < 100 && !loop->serving(); ++i) pass(100ms);
    EXPECT_TRUE(loop->serving());
    WorkerHello hello;
    hello.name = "w1";
    hello.incarnation = 1;
    hello.slots = 1;
    from_worker(std::move(hello));
  }
  void pass(Duration length) {
    clock.at += length;
    while (loop->turn()) {}
  }
  void from_worker(WorkerMessage message) {
    gateway.in.emplace_back(FromWorker{kPeer, std::move(message)});
    pass(1ms);
  }
  // In parts of `at_once` bytes.
  void keep(const std::string& value, std::size_t at_once, std::size_t from = 0) {
    for (; from < value.size(); from += at_once) {
      const std::string part = value.substr(from, at_once);
      from_worker(PutPart{hash128(value), value.size(), kRun, from, part_check(hash128(value), from, part), part});
    }
  }
  // The store comes back as it was then.
  void fall_back(MemoryCluster before) {
    store.up = false;
    pass(10ms);
    store.cluster = std::move(before);
    store.up = true;
    for (int i = 0; i < 20; ++i) pass(10ms);
  }
  bool has(const std::string& value) {
    return std::get<ValueAnswer>(store.cluster.read(LoadValue{hash128(value)})).json == value;
  }
  bool noted(LoopNote kind, std::string_view text) const {
    return std::ranges::any_of(
        notes, [&](const auto& note) { return note.first == kind && note.second.find(text) != std::string::npos; });
  }
  std::size_t replies_with_values() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        gateway.sent, [](const CoordinatorMessage& sent) { return std::holds_alternative<ValueReply>(sent); }));
  }

  static constexpr RunId kRun{0};
  TestClock clock;
  TestStore store;
  TestGateway gateway;
  TestBus bus;
  std::vector<std::pair<LoopNote, std::string>> notes;
  std::unique_ptr<Loop> loop;
};

TEST_F(LoopTest, AValueThatCameInPartsIsPutBackWhereTheStoreHasLostIt) {
  const std::string value(2'500'000, 'v');
  const MemoryCluster before = store.cluster;
  keep(value, 1'000'000);
  ASSERT_TRUE(has(value));
  fall_back(before);
  EXPECT_TRUE(has(value));
  EXPECT_EQ(loop->snapshot().counts.values_put_back, 1U);
  EXPECT_TRUE(noted(LoopNote::kWarn, to_string(hash128(value))));
}

TEST_F(LoopTest, WhatOfAValueIsStillThereIsNotSentAgain) {
  const std::string value(2'500'000, 'v');
  keep(value.substr(0, 2'000'000) + std::string(500'000, 'w'), 1'000'000);  // another one
  const std::string part = value.substr(0, 1'000'000);
  from_worker(PutPart{hash128(value), value.size(), kRun, 0, part_check(hash128(value), 0, part), part});
  const MemoryCluster before = store.cluster;
  keep(value, 1'000'000, 1'000'000);
  ASSERT_TRUE(has(value));
  fall_back(before);
  EXPECT_TRUE(has(value));
  EXPECT_EQ(loop->snapshot().counts.values_put_back, 1U) << "the other one is there";
}

TEST_F(LoopTest, AValueWhosePartsWentAnotherWayIsReportedAsLost) {
  const std::string value(1'500'000, 'v');
  const MemoryCluster before = store.cluster;
  const std::string part = value.substr(0, 1'000'000);
  (void)store.cluster.read(StorePart{hash128(value), value.size(), kRun, 0, part, clock.at});  // by another coordinator
  keep(value, 1'000'000, 1'000'000);
  ASSERT_TRUE(has(value));
  fall_back(before);
  EXPECT_FALSE(has(value));
  EXPECT_EQ(loop->snapshot().counts.values_lost, 1U);
  EXPECT_TRUE(noted(LoopNote::kError, "the store has lost value " + to_string(hash128(value))));
}

TEST_F(LoopTest, AValueIsNotLookedForWhereTheStoreWasNeverAway) {
  const std::string value(70'000, 'v');
  keep(value, 70'000);
  store.cluster = MemoryCluster(store.cluster);
  pass(10ms);
  EXPECT_EQ(loop->snapshot().counts.values_put_back + loop->snapshot().counts.values_lost, 0U);
}

TEST_F(LoopTest, WholeValuesForOlderPeersCountInWhatIsHeldAtOnce) {
  const std::string value(40 << 20, 'v');
  keep(value, 1 << 20);
  ASSERT_TRUE(has(value));
  gateway.sent.clear();
  store.answers = 0;
  for (int i = 0; i < 3; ++i) from_worker(ValueRequest{hash128(value)});
  store.answers = 3;  // how large it is
  pass(1ms);
  EXPECT_EQ(store.asked.size(), 1U) << "one is read; there is no room for the others";
  store.answers = SIZE_MAX;
  pass(1ms);
  EXPECT_EQ(replies_with_values(), 1U);
  from_worker(ValueRequest{hash128(value)});
  pass(1ms);
  EXPECT_EQ(replies_with_values(), 2U) << "who asks again finds room";
}

TEST_F(LoopTest, AValueThatIsLargerThanWhatMayBeHeldPassesAlone) {
  const std::string value(70 << 20, 'v');
  keep(value, 1 << 20);
  gateway.sent.clear();
  from_worker(ValueRequest{hash128(value)});
  pass(1ms);
  EXPECT_EQ(replies_with_values(), 1U);
}

}  // namespace
}  // namespace millrace
