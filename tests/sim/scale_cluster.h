// The parts of a large simulated cluster (scale.h): real loops and agents, a store that keeps only numbers, and what is
// on its way between them. Threads: one.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "coordinator/shell/loop.h"
#include "coordinator/shell/memory_cluster.h"
#include "coordinator/shell/meter.h"
#include "tests/sim/random.h"
#include "tests/sim/scale.h"
#include "tests/sim/timeline.h"
#include "worker/core/agent.h"

namespace millrace::sim {

constexpr Duration kOnWire = 200us;  // one way
constexpr Duration kStoreTakes = 1ms;

// How long runs took, to the millisecond; a minute and more are one.
class Durations {
 public:
  void add(Duration duration) {
    ++counts_[static_cast<std::size_t>(std::clamp<Duration::rep>(duration / 1ms, 0, kMost))];
    ++all_;
  }
  // Within which so many thousandths of all lie.
  std::size_t milliseconds(std::uint64_t thousandths) const {
    std::uint64_t left = all_ * thousandths / 1'000;
    std::size_t at = 0;
    for (; at < kMost && left >= counts_[at]; ++at) left -= counts_[at];
    return at + 1;
  }

 private:
  static constexpr std::size_t kMost = 60'000;
  std::vector<std::uint64_t> counts_ = std::vector<std::uint64_t>(kMost + 1);
  std::uint64_t all_ = 0;
};

struct Counts {
  std::uint64_t submitted = 0, acknowledged = 0, refused = 0, ended = 0, forwarded = 0;
  std::uint64_t to_workers = 0, news = 0, from_workers = 0, beats = 0, commits = 0, reads = 0, tasks = 0;
  Durations end_to_end;
};

class Node;
class Hand;

// What is on its way over the network.
struct ToHands {
  LinkId from;
  CoordinatorMessage message;
  std::vector<Hand*> hands = {};  // more than one: `message` is for each
  Hand* hand = nullptr;
};
struct ToNode {
  Node* node;
  Incoming message;
};
using OnWire = std::variant<ToHands, ToNode>;

// A commit, with the results that the cluster has given it, or a read: on the way back from the store.
struct FromStore {
  Node* node;
  std::variant<CommitOutcome, ReadOutcome> answer;
};

struct TaskDone {
  Hand* hand;
  AttemptId attempt;
};

// Ownership, members and the numbers of commits, without what they carry: runs that have ended are remembered nowhere.
class ScaleStore : public Store {
 public:
  ScaleStore(Node& node, Lane<FromStore>& back, MemoryCluster& cluster, Counts& counts)
      : node_(node), back_(back), cluster_(cluster), counts_(counts) {}
  bool ready() const override { return true; }
  void commit(const TurnCommit& commit) override {
    ++counts_.commits;
    TurnCommit numbers;
    numbers.turn = commit.turn;
    numbers.now = commit.now;
    numbers.fleet = commit.fleet;
    for (const PartitionCommit& part : commit.partitions) {
      PartitionCommit bare;
      bare.partition = part.partition;
      bare.epoch = part.epoch;
      bare.number = part.number;
      bare.beat = part.beat;
      numbers.partitions.push_back(std::move(bare));
    }
    back_.add({&node_, cluster_.apply(numbers)});
  }
  void read(std::uint64_t tag, const StoreRead& read) override {
    ++counts_.reads;
    back_.add({&node_, ReadOutcome{tag, cluster_.read(read)}});
  }
  void poll(StoreReplies& out) override {
    std::ranges::move(replies_.commits, std::back_inserter(out.commits));
    std::ranges::move(replies_.reads, std::back_inserter(out.reads));
    replies_.commits.clear();
    replies_.reads.clear();
  }
  void came(std::variant<CommitOutcome, ReadOutcome>&& answer) {
    if (auto* commit = std::get_if<CommitOutcome>(&answer)) replies_.commits.push_back(std::move(*commit));
    else replies_.reads.push_back(std::move(std::get<ReadOutcome>(answer)));
  }

 private:
  Node& node_;
  Lane<FromStore>& back_;
  MemoryCluster& cluster_;
  Counts& counts_;
  StoreReplies replies_;
};

class ScaleWorld;

class Node : public Gateway, public Bus {  // a coordinator
 public:
  Node(ScaleWorld& world, int number);
  void start();
  void receive(Incoming incoming) {
    waiting.push_back(std::move(incoming));
    wake();
  }
  void answered(FromStore&& from) {
    store_->came(std::move(from.answer));
    wake();
  }
  void wake();  // when all of this moment has come
  void woken();
  void ring();  // its alarm
  Loop& loop() { return *loop_; }

  void poll(std::vector<Incoming>& out, std::size_t at_most) override {
    for (; at_most > 0 && !waiting.empty(); --at_most) {
      out.push_back(std::move(waiting.front()));
      waiting.pop_front();
    }
  }
  bool send(PeerId peer, const CoordinatorMessage& message) override;
  void announce(std::span<const PeerId> peers, const CoordinatorMessage& message) override;
  void reply(RequestId request, const OperatorReply& reply) override;
  bool forward(const std::string& endpoint, std::uint64_t number, std::uint8_t hops,
               const OperatorRequest& request) override;
  void publish(std::span<const Event> events) override;
  bool heard() const override { return false; }
  std::deque<Incoming> waiting;

 private:
  void count(const CoordinatorMessage& message, std::size_t times);
  Hand* hand(PeerId peer) const;
  ScaleWorld& world_;
  int number_;
  bool woken_ = false;
  Alarm alarm_;
  std::unique_ptr<ScaleStore> store_;
  std::unique_ptr<Loop> loop_;
};

class Hand {  // a worker: the real agent, tasks that only take time
 public:
  Hand(ScaleWorld& world, int number);
  void start();
  void take(AgentInput input);
  void ring();
  WorkerBeat beat() const { return {incarnation_, agent_.running(), agent_.queued()}; }
  PeerId peer(bool beats) const { return PeerId{(static_cast<std::uint64_t>(number_) << 1) | (beats ? 1U : 0U)}; }

 private:
  void perform(AgentEffects& out);
  ScaleWorld& world_;
  int number_;
  std::uint64_t incarnation_;
  Alarm alarm_;
  Agent agent_;
  AgentEffects out_;
};

class ScaleWorld {
 public:
  explicit ScaleWorld(const ScaleSettings& s)
      : settings(s), random(s.seed), tasks(clock, std::chrono::milliseconds(s.task_ms)) {
    for (int i = 0; i < s.coordinators; ++i) nodes.push_back(std::make_unique<Node>(*this, i));
    for (int i = 0; i < s.workers; ++i) hands.push_back(std::make_unique<Hand>(*this, i));
    make_definition();
  }

  std::string play();

  const ScaleSettings settings;
  TimelineClock clock;
  Random random;
  MemoryCluster cluster;
  Counts counts;
  std::vector<std::unique_ptr<Node>> nodes;
  std::vector<std::unique_ptr<Hand>> hands;
  std::unordered_map<std::uint64_t, Time> live;  // acknowledged or about to be, by run id: when accepted
  Lane<OnWire> wire{clock, kOnWire};
  Lane<FromStore> store_back{clock, kStoreTakes};
  Lane<TaskDone> tasks;
  Lane<Node*> woken{clock, Duration::zero()};
  Timers<std::variant<Node*, Hand*>> alarms{clock};

 private:
  void make_definition();
  bool step();
  void deliver(OnWire&& message);
  void start_next();
  void submit();
  void beat();
  void say(const char* when);
  std::string what_is_wrong() const;
  Hash128 hash_;
  std::shared_ptr<const std::string> bytes_;
  double cpu_begun_ = 0;
  std::uint64_t submits_ = 0;
  int slice_ = 0;
  std::size_t started_ = 0;  // nodes, then hands
  // What the world does by itself, each when the one before it is done.
  Moment start_at_, beat_at_, submit_at_;
  Time first_{}, last_{};  // of the submissions
};

}  // namespace millrace::sim
