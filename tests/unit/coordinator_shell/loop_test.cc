// Loop over a store that is taken away and set back: what was acknowledged and lies beside the commits. And what
// workers are told of a cluster.
#include "coordinator/shell/loop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <span>

#include "common/model/value_parts.h"
#include "common/wire/codec.h"
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
  bool send(PeerId peer, const CoordinatorMessage& message) override {
    sent.push_back(message);
    sent_to.push_back(peer);
    return true;
  }
  void reply(RequestId, const OperatorReply& reply) override { replies.push_back(reply); }
  std::vector<Incoming> in;
  std::vector<CoordinatorMessage> sent;
  std::vector<PeerId> sent_to;  // in step with these
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
    hello.executors = {"noop"};
    hello.slots = 4;
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

// A coordinator among others, with workers beside the first; all of them go on beating.
class LoopNews : public LoopTest {
 protected:
  LoopNews() {
    from_worker(CreditUpdate{4, 0});
    for (int i = 0; i < 4; ++i) second();
  }
  void join(std::uint64_t number) {
    WorkerHello hello;
    hello.name = "w" + std::to_string(number);
    hello.incarnation = number;
    hello.executors = {"noop"};
    hello.slots = 1;
    gateway.in.emplace_back(FromWorker{PeerId{200 + number}, std::move(hello)});
    pass(1ms);
    workers = number;
  }
  void second() {
    for (int half = 0; half < 2; ++half) {
      other.beat += 1;
      (void)store.cluster.read(MeetMembers{other});
      FromBeats all;
      for (std::uint64_t i = 1; i <= workers; ++i) all.beats.emplace_back(PeerId{100 + i}, WorkerBeat{i, 0, 0});
      gateway.in.emplace_back(std::move(all));
      pass(500ms);
    }
  }
  void submit(std::size_t tasks) {
    WorkflowSpec spec;
    spec.name = "wide";
    for (std::size_t i = 0; i < tasks; ++i) {
      spec.ids.push_back("n" + std::to_string(i));
      NodeSpec node;
      node.executor = "noop";
      node.fields = Value::Object{};
      spec.specs.push_back(std::move(node));
      spec.upstream.offsets.push_back(0);
    }
    spec.upstream.offsets.push_back(0);
    SubmitRun run;
    run.key = "k" + std::to_string(++requests);
    run.definition_bytes = std::make_shared<const std::string>(encode_definition(spec));
    run.definition = hash128(*run.definition_bytes);
    run.inputs = Payload::inline_json("{}");
    gateway.in.emplace_back(FromClient{RequestId{requests}, std::move(run)});
    pass(1ms);
  }
  // Ends all that was assigned since the last call; returns how many there were.
  std::size_t end_all() {
    AttemptReports reports;
    for (const CoordinatorMessage& sent : std::exchange(gateway.sent, {})) {
      const auto* batch = std::get_if<AssignBatch>(&sent);
      if (batch == nullptr) continue;
      for (const Assignment& one : batch->assignments) {
        AttemptReport report;
        report.attempt = one.attempt();
        report.outcome.success = true;
        reports.reports.push_back(std::move(report));
      }
    }
    const std::size_t ended = reports.reports.size();
    from_worker(std::move(reports));
    return ended;
  }
  // As the workers know it.
  std::uint32_t demand_told() const {
    for (std::size_t i = gateway.sent.size(); i-- > 0;) {
      if (const auto* news = std::get_if<ClusterNews>(&gateway.sent[i])) return news->demand;
    }
    ADD_FAILURE() << "no news";
    return 0;
  }
  MemberRecord other = [] {
    MemberRecord record;
    record.name = "c2";
    record.endpoint = "c2";
    record.nonce = 2;
    record.draining = true;  // it owns nothing, and is given nothing
    return record;
  }();
  std::uint64_t workers = 1;
  std::uint64_t requests = 0;
};

TEST_F(LoopNews, EveryWorkerHearsOfACoordinatorAmongOthersBeforeItFallsSilent) {
  for (std::uint64_t i = 2; i <= 16; ++i) {
    join(i);
    if (i != 9) gateway.in.emplace_back(FromWorker{PeerId{200 + i}, CreditUpdate{1, 0}});
    pass(1ms);
  }
  second();
  gateway.sent.clear();
  gateway.sent_to.clear();
  for (int i = 0; i < 8; ++i) second();
  std::map<PeerId, std::size_t> news;
  for (std::size_t i = 0; i < gateway.sent.size(); ++i) {
    if (std::holds_alternative<ClusterNews>(gateway.sent[i])) ++news[gateway.sent_to[i]];
    else EXPECT_EQ(gateway.sent_to[i], PeerId{209}) << "only the one whose credit did not come is asked for it";
  }
  EXPECT_EQ(news.size(), 15U);
  for (const auto& [peer, times] : news) EXPECT_EQ(times, 1U) << peer.value;
  EXPECT_EQ(gateway.sent.size(), 16U);
}

TEST_F(LoopNews, MoreToDoIsToldOnlyWhileTasksWaitForASlot) {
  submit(3);
  second();
  EXPECT_EQ(demand_told(), 0U) << "there is room for all of them";
  submit(5);
  second();
  EXPECT_EQ(demand_told(), 8U);
  EXPECT_EQ(end_all(), 4U);
  second();
  EXPECT_EQ(end_all(), 4U);
  second();
  EXPECT_EQ(demand_told(), 0U) << "what is over is told in any case";
}

TEST_F(LoopNews, ABeatOfAnUnknownWorkerAsksForItsHello) {
  gateway.sent.clear();
  gateway.in.emplace_back(FromBeats{{{PeerId{101}, WorkerBeat{1, 0, 0}}, {PeerId{177}, WorkerBeat{77, 0, 0}}}});
  pass(1ms);
  ASSERT_EQ(gateway.sent.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<SayHello>(gateway.sent[0]));
  EXPECT_EQ(gateway.sent_to.back(), PeerId{177});
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
