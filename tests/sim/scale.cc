#include "tests/sim/scale.h"

#include <cstdio>
#include <ctime>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "common/base/histogram.h"
#include "common/wire/codec.h"
#include "coordinator/shell/loop.h"
#include "coordinator/shell/memory_cluster.h"
#include "coordinator/shell/meter.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"
#include "worker/core/agent.h"

namespace millrace::sim {
namespace {

constexpr Duration kOnWire = 200us;  // one way
constexpr Duration kStoreTakes = 1ms;
constexpr Duration kSlice = 10ms;  // beats of that share of the fleet go out together
constexpr Duration kSettle = 20s;  // until the partitions are where they belong
constexpr Duration kSayEvery = 10s;

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::size_t resident_mebibytes() {
  std::size_t pages = 0;
  if (FILE* file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%*u %zu", &pages) != 1) pages = 0;
    std::fclose(file);
  }
  return pages * 4096 / (1024 * 1024);
}

// The bound of the bucket in which that share of all lies.
double milliseconds(const LatencyHistogram& all, double share) {
  const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(all.count()));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < LatencyHistogram::kBounds; ++i) {
    seen += all.in_bucket(i);
    if (seen > wanted) return static_cast<double>(to_us(Time{} + LatencyHistogram::bound(i))) / 1e3;
  }
  return 0;
}

struct Counts {
  std::uint64_t submitted = 0, acknowledged = 0, refused = 0, ended = 0, forwarded = 0;
  std::uint64_t to_workers = 0, news = 0, from_workers = 0, beats = 0, commits = 0, tasks = 0;
  LatencyHistogram end_to_end;
};

// Ownership, members and the numbers of commits, without what they carry: runs that have ended are remembered nowhere.
class ScaleStore : public Store {
 public:
  ScaleStore(Schedule& schedule, MemoryCluster& cluster, Counts& counts, std::function<void()> wake)
      : schedule_(schedule), cluster_(cluster), counts_(counts), wake_(std::move(wake)) {}
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
    answer([this, outcome = cluster_.apply(numbers)] { replies_.commits.push_back(outcome); });
  }
  void read(std::uint64_t tag, const StoreRead& read) override {
    answer([this, tag, found = cluster_.read(read)] { replies_.reads.push_back({tag, found}); });
  }
  void poll(StoreReplies& out) override {
    std::ranges::move(replies_.commits, std::back_inserter(out.commits));
    std::ranges::move(replies_.reads, std::back_inserter(out.reads));
    replies_ = {};
  }

 private:
  void answer(std::function<void()> then) {
    schedule_.after(kStoreTakes, [this, then = std::move(then)] {
      then();
      wake_();
    });
  }
  Schedule& schedule_;
  MemoryCluster& cluster_;
  Counts& counts_;
  std::function<void()> wake_;
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
  void wake();
  Loop& loop() { return *loop_; }

  void poll(std::vector<Incoming>& out, std::size_t at_most) override {
    for (; at_most > 0 && !waiting.empty(); --at_most) {
      out.push_back(std::move(waiting.front()));
      waiting.pop_front();
    }
  }
  bool send(PeerId peer, const CoordinatorMessage& message) override;
  void reply(RequestId request, const OperatorReply& reply) override;
  bool forward(const std::string& endpoint, std::uint64_t number, std::uint8_t hops,
               const OperatorRequest& request) override;
  void publish(std::span<const Event> events) override;
  bool heard() const override { return false; }
  std::deque<Incoming> waiting;

 private:
  void run();
  void wake_at(Time when);
  ScaleWorld& world_;
  int number_;
  Time wake_at_ = kNever;
  std::unique_ptr<ScaleStore> store_;
  std::unique_ptr<Loop> loop_;
};

class Hand {  // a worker: the real agent, tasks that only take time
 public:
  Hand(ScaleWorld& world, int number);
  void start();
  void take(AgentInput input);
  WorkerBeat beat() const { return {incarnation_, agent_.running()}; }
  PeerId peer(bool beats) const { return PeerId{(static_cast<std::uint64_t>(number_) << 1) | (beats ? 1U : 0U)}; }

 private:
  void perform(AgentEffects& out);
  void tick();
  ScaleWorld& world_;
  int number_;
  std::uint64_t incarnation_;
  Time tick_at_ = kNever;
  Agent agent_;
  AgentEffects out_;
};

class ScaleWorld {
 public:
  explicit ScaleWorld(const ScaleSettings& s) : settings(s), random(s.seed) {
    for (int i = 0; i < s.coordinators; ++i) nodes.push_back(std::make_unique<Node>(*this, i));
    for (int i = 0; i < s.workers; ++i) hands.push_back(std::make_unique<Hand>(*this, i));
    make_definition();
  }

  std::string play();

  const ScaleSettings settings;
  Schedule schedule;
  Random random;
  MemoryCluster cluster;
  Counts counts;
  std::vector<std::unique_ptr<Node>> nodes;
  std::vector<std::unique_ptr<Hand>> hands;
  std::unordered_map<std::uint64_t, Time> live;  // acknowledged or about to be, by run id: when accepted

 private:
  void make_definition();
  void submit();
  void beat(int slice);
  void say(const char* when);
  Hash128 hash_;
  std::shared_ptr<const std::string> bytes_;
  double cpu_begun_ = 0;
  std::uint64_t submits_ = 0;
};

// ---------------------------------------------------------------- coordinators

Node::Node(ScaleWorld& world, int number) : world_(world), number_(number) {}

void Node::start() {
  LoopOptions options;
  options.name = "c" + std::to_string(number_);
  options.placement_salt = hash64(options.name);
  options.endpoint = options.name;
  options.partitions = static_cast<std::uint16_t>(world_.settings.partitions);
  options.nonce = world_.random.next();
  store_ = std::make_unique<ScaleStore>(world_.schedule, world_.cluster, world_.counts, [this] { wake(); });
  loop_ = std::make_unique<Loop>(std::move(options), world_.schedule, *store_, *this, *this);
  wake();
}

void Node::wake() { wake_at(world_.schedule.now()); }

void Node::wake_at(Time when) {
  if (when >= wake_at_) return;
  wake_at_ = when;
  world_.schedule.at(when, [this, when] {
    if (wake_at_ != when) return;
    wake_at_ = kNever;
    run();
  });
}

void Node::run() {
  while (loop_->turn()) {}
  if (const Time next = loop_->next_wake(); next != kNever) wake_at(std::max(next, world_.schedule.now() + 200us));
}

bool Node::send(PeerId peer, const CoordinatorMessage& message) {
  ++world_.counts.to_workers;
  if (std::holds_alternative<ClusterNews>(message)) ++world_.counts.news;
  Hand* hand = world_.hands[static_cast<std::size_t>(peer.value >> 1)].get();
  const LinkId link{static_cast<std::uint32_t>(number_)};
  world_.schedule.after(kOnWire, [hand, link, message] { hand->take(CoordinatorSaid{link, message}); });
  return true;
}

void Node::reply(RequestId request, const OperatorReply& reply) {
  constexpr std::uint64_t kFromPeer = 1ULL << 63;
  if ((request.value & kFromPeer) != 0) {
    Node* asked_by = world_.nodes[(request.value >> 48) & 0x7FFF].get();
    world_.schedule.after(kOnWire, [asked_by, number = request.value & 0xFFFF'FFFF'FFFF, reply] {
      asked_by->receive(FromPeer{number, reply});
    });
    return;
  }
  if (std::holds_alternative<SubmitReply>(reply)) ++world_.counts.acknowledged;
  else ++world_.counts.refused;
}

bool Node::forward(const std::string& endpoint, std::uint64_t number, std::uint8_t hops,
                   const OperatorRequest& request) {
  ++world_.counts.forwarded;
  Node* to = world_.nodes[static_cast<std::size_t>(std::stoi(endpoint.substr(1)))].get();
  const RequestId id{1ULL << 63 | static_cast<std::uint64_t>(number_) << 48 | number};
  world_.schedule.after(kOnWire, [to, id, request, hops] { to->receive(FromClient{id, request, hops}); });
  return true;
}

void Node::publish(std::span<const Event> events) {
  for (const Event& event : events) {
    if (event.type == EventType::kRunAccepted) world_.live.emplace(event.run.value, event.time);
    world_.counts.tasks += event.type == EventType::kTaskSucceeded;
    if (!is_run_end(event.type)) continue;
    auto at = world_.live.find(event.run.value);
    if (at == world_.live.end()) continue;
    world_.counts.end_to_end.add(event.time - at->second);
    world_.counts.ended += event.type == EventType::kRunSucceeded;
    world_.live.erase(at);
  }
}

// ---------------------------------------------------------------- workers

AgentOptions options_of(int number, std::uint64_t incarnation, int slots) {
  AgentOptions options;
  options.hello.incarnation = incarnation;
  options.hello.name = "w" + std::to_string(number);
  options.hello.slots = static_cast<std::uint32_t>(slots);
  options.hello.executors = {"noop"};
  options.prefetch_max = 16;
  return options;
}

Hand::Hand(ScaleWorld& world, int number)
    : world_(world),
      number_(number),
      incarnation_(world.random.next()),
      agent_(options_of(number, incarnation_, world.settings.slots)) {}

void Hand::start() {
  for (std::uint32_t link = 0; link < world_.nodes.size(); ++link) take(LinkUp{LinkId{link}});
}

void Hand::take(AgentInput input) {
  agent_.step(world_.schedule.now(), std::move(input), out_);
  agent_.flush(world_.schedule.now(), out_);
  perform(out_);
  tick();
}

void Hand::tick() {
  const Time next = agent_.next_deadline();
  if (next == kNever || next >= tick_at_) return;
  tick_at_ = std::max(next, world_.schedule.now() + 1ms);
  world_.schedule.at(tick_at_, [this, when = tick_at_] {
    if (tick_at_ != when) return;
    tick_at_ = kNever;
    take(AgentTick{});
  });
}

void Hand::perform(AgentEffects& out) {
  for (StartTask& start : out.starts) {
    const Duration takes = std::chrono::milliseconds(world_.settings.task_ms);
    world_.schedule.after(takes, [this, attempt = start.assignment.attempt(), takes] {
      Outcome outcome;
      outcome.success = true;
      outcome.ran = takes;
      take(TaskEnded{attempt, std::move(outcome)});
    });
  }
  out.starts.clear();
  out.kills.clear();
  std::vector<millrace::ToCoordinator> messages = std::exchange(out.messages, {});
  for (millrace::ToCoordinator& said : messages) {
    ++world_.counts.from_workers;
    Node* to = world_.nodes[said.link.value].get();
    world_.schedule.after(kOnWire, [to, peer = peer(false), message = std::move(said.message)] {
      to->receive(FromWorker{peer, message});
    });
  }
}

// ---------------------------------------------------------------- the world

void ScaleWorld::make_definition() {
  WorkflowSpec spec;
  spec.name = "chain";
  for (int i = 0; i < settings.tasks; ++i) {
    spec.ids.push_back("n" + std::to_string(i));
    NodeSpec node;
    node.executor = "noop";
    node.fields = Value::Object{};
    spec.specs.push_back(std::move(node));
    spec.upstream.offsets.push_back(static_cast<std::uint32_t>(spec.upstream.targets.size()));
    if (i > 0) spec.upstream.targets.push_back(static_cast<std::uint32_t>(i - 1));
  }
  spec.upstream.offsets.push_back(static_cast<std::uint32_t>(spec.upstream.targets.size()));
  bytes_ = std::make_shared<const std::string>(encode_definition(spec));
  hash_ = hash128(*bytes_);
}

void ScaleWorld::submit() {
  SubmitRun run;
  run.key = "k" + std::to_string(++submits_);
  run.definition = hash_;
  run.definition_bytes = bytes_;
  run.inputs = Payload::inline_json("{}");
  ++counts.submitted;
  Node* to = nodes[random.below(nodes.size())].get();
  to->receive(FromClient{RequestId{submits_}, std::move(run)});
}

void ScaleWorld::beat(int slice) {
  const int slices = static_cast<int>(kBeatEvery / kSlice);
  for (std::size_t i = static_cast<std::size_t>(slice); i < hands.size(); i += static_cast<std::size_t>(slices)) {
    const FromWorker said{hands[i]->peer(true), hands[i]->beat()};
    for (auto& node : nodes) node->waiting.push_back(said);
    counts.beats += nodes.size();
  }
  for (auto& node : nodes) node->wake();
  schedule.after(kSlice, [this, next = (slice + 1) % slices] { beat(next); });
}

void ScaleWorld::say(const char* when) {
  std::printf(
      "%s: %llu submitted, %llu acknowledged, %llu ended, %llu refused; live %zu; %.1f s of CPU, %zu MiB; commits "
      "%llu, "
      "forwarded %llu, to workers %llu (news %llu), from workers %llu, beats %llu; half of the runs within %.0f ms, 99 "
      "%% within %.0f ms\n",
      when, static_cast<unsigned long long>(counts.submitted), static_cast<unsigned long long>(counts.acknowledged),
      static_cast<unsigned long long>(counts.ended), static_cast<unsigned long long>(counts.refused), live.size(),
      cpu_seconds() - cpu_begun_, resident_mebibytes(), static_cast<unsigned long long>(counts.commits),
      static_cast<unsigned long long>(counts.forwarded), static_cast<unsigned long long>(counts.to_workers),
      static_cast<unsigned long long>(counts.news), static_cast<unsigned long long>(counts.from_workers),
      static_cast<unsigned long long>(counts.beats), milliseconds(counts.end_to_end, 0.5),
      milliseconds(counts.end_to_end, 0.99));
  std::fflush(stdout);
}

std::string ScaleWorld::play() {
  cpu_begun_ = cpu_seconds();
  const Time begun = schedule.now();
  for (std::size_t i = 0; i < nodes.size(); ++i) schedule.after(i * 5ms, [this, i] { nodes[i]->start(); });
  for (std::size_t i = 0; i < hands.size(); ++i) {
    schedule.after(kSettle / 2 + i * (kSettle / 4) / static_cast<Duration::rep>(hands.size()),
                   [this, i] { hands[i]->start(); });
  }
  schedule.after(kSettle / 2, [this] { beat(0); });
  const Time first = begun + kSettle;
  const Time last = first + std::chrono::seconds(settings.seconds);
  const Duration every = Duration{60'000'000 / std::max(1, settings.runs_a_minute)};
  std::function<void()> again = [&] {
    if (schedule.now() >= last) return;
    submit();
    schedule.after(every, again);
  };
  schedule.at(first, again);
  Time said = first;
  bool settled = false;
  while (schedule.now() < last + 60s && schedule.step()) {
    if (!settled && schedule.now() >= first) {
      settled = true;
      say("settled");
      cpu_begun_ = cpu_seconds();
    }
    if (schedule.now() < said + kSayEvery) continue;
    said = schedule.now();
    say(("second " + std::to_string((said - first) / 1s)).c_str());
    if (schedule.now() >= last && live.empty() && counts.acknowledged == counts.submitted) break;
  }
  say("end");
  if (counts.acknowledged != counts.submitted) return "not every submission was acknowledged";
  if (counts.ended != counts.submitted) return "not every run has ended well";
  std::uint64_t accepted = 0;
  for (const auto& node : nodes) {
    const LoopSnapshot counted = node->loop().snapshot();
    if (std::string broken = check_sums(counted); !broken.empty()) return "I10: " + broken;
    accepted += counted.tally.accepted;
  }
  if (accepted != counts.submitted) return "I10: the coordinators count other runs than were submitted";
  return "";
}

}  // namespace

std::string play_scale(const ScaleSettings& settings) {
  auto world = std::make_unique<ScaleWorld>(settings);
  return world->play();
}

}  // namespace millrace::sim
