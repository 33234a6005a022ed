#include "tests/sim/coordinator.h"

#include "coordinator/shell/meter.h"
#include "tests/sim/timekeeper.h"

namespace millrace::sim {
namespace {

constexpr std::size_t kWaitingMax = 20'000;
constexpr int kTurnsAtOnce = 10'000;
constexpr Duration kUnplaceableAfter = 3s;
constexpr std::size_t kListMin = 24;  // bytes

// A request that another coordinator forwarded has the number that this one gave it, and says who asks.
constexpr std::uint64_t kFromPeer = 1ULL << 63;
constexpr int kNumberBits = 48;

RequestId peer_request(int from, std::uint64_t number) {
  return RequestId{kFromPeer | static_cast<std::uint64_t>(from) << kNumberBits | number};
}

TestPlant plant_of(Plant plant) {
  switch (plant) {
    case Plant::kOpenEarly: return TestPlant::kOpenEarly;
    case Plant::kForgetLost: return TestPlant::kForgetLost;
    case Plant::kForgetReclaimed: return TestPlant::kForgetReclaimed;
    case Plant::kNoPatience: return TestPlant::kNoPatience;
    case Plant::kTakeTwice: return TestPlant::kTakeTwice;
    case Plant::kForgetFirings: return TestPlant::kForgetFirings;
    case Plant::kComputeTwice: return TestPlant::kComputeTwice;
    case Plant::kStartPaused: return TestPlant::kStartPaused;
    case Plant::kNone:
    case Plant::kForgetSuffix:
    case Plant::kNoFencing: break;
  }
  return TestPlant::kNone;
}

}  // namespace

CoordinatorProcess::CoordinatorProcess(Context& context, int number, std::uint16_t partitions, Outside outside)
    : context_(context),
      number_(number),
      partitions_(partitions),
      outside_(std::move(outside)),
      name_("c" + std::to_string(number)),
      clock_(context.schedule) {}

void CoordinatorProcess::start() {
  if (running()) return;
  ++life_;
  context_.note(name_ + " starts");
  if (context_.settings.crash && !context_.healed) {  // as hosts come up whose clocks are wrong
    const int minutes = context_.random.chance(200) ? context_.random.between(-120, 120) : 0;
    clock_.ahead = std::chrono::minutes(minutes);
    if (minutes != 0) context_.note(name_ + "'s clock is ahead by " + std::to_string(minutes) + " minutes");
  }
  LoopOptions options;
  options.name = name_;
  options.placement_salt = hash64(name_);
  options.partitions = partitions_;
  options.endpoint = name_;
  options.nonce = context_.random.next();
  options.plant = plant_of(context_.settings.plant);
  options.unplaceable_after = kUnplaceableAfter;
  options.retention.count = context_.kept;
  if (context_.kept > 0) options.value_grace = 1s;
  if (context_.lists) options.list_min = kListMin;
  options.audit = context_.settings.plant == Plant::kNone;  // it would put right what is planted
  if (context_.triggers) {
    options.zones = [](const std::string&) { return std::make_shared<const ZoneRules>(); };
    const Duration off = std::chrono::seconds(hash64(name_, life_) % 240) - 120s;  // by chance
    streams_ = std::make_unique<SimStreams>(context_.entries);
    options.streams = streams_.get();
    options.hook_secret = [](const std::string&) { return std::string(Timekeeper::kSecret); };
    options.wall = [this, off] { return context_.wall() + off; };
  }
  options.note = [this](LoopNote, const std::string& text) { context_.note(name_ + ": " + text); };
  door_ = std::make_unique<Door>(*this);
  store_ = std::make_unique<SimStore>(context_, name_, [this] { wake(); });
  loop_ = std::make_unique<Loop>(std::move(options), clock_, *store_, *door_, *door_);
  paused_until_ = Time{};
  wake_at_ = kNever;
  wake();
}

void CoordinatorProcess::crash() {
  if (!running()) return;
  ++life_;
  context_.note(name_ + (loop_->stopped() ? " has stopped" : " crashes"));
  then_ = nullptr;
  loop_.reset();
  runs_counted_ = 0;
  store_.reset();
  door_.reset();
}

void CoordinatorProcess::stop(std::function<void()> then) {
  if (!running()) return;
  context_.note(name_ + " is told to stop");
  then_ = std::move(then);
  loop_->stop();
  wake();
}

void CoordinatorProcess::drain() {
  if (!running()) return;
  context_.note(name_ + " drains");
  loop_->drain();
  wake();
}

void CoordinatorProcess::pause(Duration length) {
  if (!running()) return;
  context_.note(name_ + " stands still for " + std::to_string(length.count() / 1000) + " ms");
  paused_until_ = context_.now() + length;
}

void CoordinatorProcess::write_letter(Random& random, const std::string& key) {
  if (!running() || then_ || context_.now() < paused_until_) return;
  const PartitionId from{static_cast<std::uint16_t>(random.below(partitions_))};
  const PartitionId to{static_cast<std::uint16_t>(random.below(partitions_))};
  const Partition* partition = loop_->partition(from);
  if (partition == nullptr || partition->runs().empty()) return;
  RunWanted wanted;
  wanted.key = key;
  wanted.definition = partition->runs().begin()->second->info->definition;
  wanted.home = from;
  wanted.inputs = Payload::inline_json("{}");
  context_.note(name_ + ": partition " + std::to_string(from.value) + " writes to partition " +
                std::to_string(to.value) + ": " + key);
  loop_->post(from, to, std::move(wanted));
  wake();
}

void CoordinatorProcess::receive(Incoming incoming) {
  if (!running()) return;
  if (door_->waiting.size() >= kWaitingMax) context_.checker.fail("I8: " + name_ + ": its queue of messages grows");
  door_->waiting.push_back(std::move(incoming));
  wake();
}

// At any time, and for no reason: what has not started comes back, what has goes on.
void CoordinatorProcess::ask_some_back(PeerId peer, const AssignBatch& batch) {
  if (!context_.random.chance(60)) return;
  Reclaim reclaim;
  for (const Assignment& assignment : batch.assignments) {
    if (context_.random.chance(500)) reclaim.attempts.push_back(assignment.attempt());
  }
  context_.schedule.after(context_.random.between(0us, 80ms), [this, life = life_, peer, reclaim = std::move(reclaim)] {
    if (life == life_) (void)outside_.to_worker(number_, peer, reclaim);
  });
}

void CoordinatorProcess::wake() { wake_at(context_.now()); }

void CoordinatorProcess::wake_at(Time when) {
  when = std::max(when, paused_until_);
  if (when >= wake_at_) return;
  wake_at_ = when;
  context_.schedule.at(when, [this, life = life_, when] {
    if (life != life_ || wake_at_ != when) return;
    wake_at_ = kNever;
    if (context_.now() < paused_until_) wake_at(paused_until_);
    else run();
  });
}

void CoordinatorProcess::run() {
  const std::uint64_t life = life_;
  int turns = 0;
  while (loop_->turn()) {
    if (life != life_) return;
    if (++turns == kTurnsAtOnce) return context_.checker.fail("I8: " + name_ + ": the loop never rests");
  }
  if (loop_->stopped()) {
    auto then = std::exchange(then_, nullptr);
    crash();
    if (then) then();
    return;
  }
  if (context_.settings.plant == Plant::kNone) audit();
  const Time next = loop_->next_wake();
  if (next != kNever) wake_at(std::max(next - clock_.ahead, context_.now() + 200us));
}

void CoordinatorProcess::audit() {
  for (std::uint16_t i = 0; i < partitions_; ++i) {
    const Partition* partition = loop_->partition(PartitionId{i});
    if (partition == nullptr) continue;
    if (std::string broken = check_invariants(*partition); !broken.empty())
      context_.checker.fail("core: " + name_ + ": partition " + std::to_string(i) + ": " + broken);
  }
  const LoopSnapshot counted = loop_->snapshot();
  if (std::string broken = check_sums(counted); !broken.empty()) context_.checker.fail("I10: " + name_ + ": " + broken);
  for (std::size_t kind = 0; kind < counted.house.audit_found.size(); ++kind) {
    // Faults may keep a partition from everybody for long; that it has an owner in the end is I6.
    if (kind == static_cast<std::size_t>(AuditKind::kPartition)) continue;
    if (counted.house.audit_found[kind] > 0)
      context_.checker.fail("core: " + name_ + ": its audit found something in nobody's hands");
  }
  const std::uint64_t runs = counted.tally.accepted + counted.tally.restored;
  if (runs < std::exchange(runs_counted_, runs)) context_.checker.fail("I10: " + name_ + ": a count of runs fell");
}

void CoordinatorProcess::Door::poll(std::vector<Incoming>& out, std::size_t at_most) {
  for (; at_most > 0 && !waiting.empty(); --at_most) {
    out.push_back(std::move(waiting.front()));
    waiting.pop_front();
  }
}

bool CoordinatorProcess::Door::send(PeerId peer, const CoordinatorMessage& message) {
  Checker& checker = process_.context_.checker;
  if (auto* batch = std::get_if<AssignBatch>(&message)) {
    for (const Assignment& assignment : batch->assignments) checker.assigned(assignment);
    process_.ask_some_back(peer, *batch);
  } else if (auto* answers = std::get_if<AnswerBatch>(&message)) {
    for (const ReportAnswer& answer : answers->answers) checker.answered(answer);
  }
  return process_.outside_.to_worker(process_.number_, peer, message);
}

void CoordinatorProcess::Door::reply(RequestId request, const OperatorReply& reply) {
  if ((request.value & kFromPeer) != 0) {
    const std::uint64_t rest = request.value & ~kFromPeer;
    const int from = static_cast<int>(rest >> kNumberBits);
    return process_.outside_.answer_coordinator(process_.number_, from,
                                                FromPeer{rest & ((1ULL << kNumberBits) - 1), reply});
  }
  process_.outside_.to_client(process_.number_, request, reply);
}

bool CoordinatorProcess::Door::forward(const std::string& endpoint, std::uint64_t number, std::uint8_t hops,
                                       const OperatorRequest& request) {
  process_.outside_.to_coordinator(process_.number_, endpoint,
                                   FromClient{peer_request(process_.number_, number), request, hops});
  return true;
}

void CoordinatorProcess::Door::publish(std::span<const Event> events) { process_.context_.checker.published(events); }

}  // namespace millrace::sim
