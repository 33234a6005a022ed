#include "tests/sim/coordinator.h"

#include "coordinator/shell/meter.h"

namespace millrace::sim {
namespace {

constexpr std::size_t kWaitingMax = 20'000;
constexpr int kTurnsAtOnce = 10'000;

TestPlant plant_of(Plant plant) {
  switch (plant) {
    case Plant::kOpenEarly: return TestPlant::kOpenEarly;
    case Plant::kForgetLost: return TestPlant::kForgetLost;
    case Plant::kNone:
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
      name_("c" + std::to_string(number)) {}

void CoordinatorProcess::start() {
  if (running()) return;
  ++life_;
  context_.note(name_ + " starts");
  LoopOptions options;
  options.name = name_;
  options.partitions = partitions_;
  options.nonce = context_.random.next();
  options.plant = plant_of(context_.settings.plant);
  options.note = [this](LoopNote, const std::string& text) { context_.note(name_ + ": " + text); };
  door_ = std::make_unique<Door>(*this);
  store_ = std::make_unique<SimStore>(context_, name_, [this] { wake(); });
  loop_ = std::make_unique<Loop>(std::move(options), context_.schedule, *store_, *door_, *door_);
  paused_until_ = Time{};
  wake_at_ = kNever;
  wake();
}

void CoordinatorProcess::crash() {
  if (!running()) return;
  ++life_;
  context_.note(name_ + " crashes");
  loop_.reset();
  runs_counted_ = 0;
  store_.reset();
  door_.reset();
}

void CoordinatorProcess::pause(Duration length) {
  if (!running()) return;
  context_.note(name_ + " stands still for " + std::to_string(length.count() / 1000) + " ms");
  paused_until_ = context_.now() + length;
}

void CoordinatorProcess::receive(Incoming incoming) {
  if (!running()) return;
  if (door_->waiting.size() >= kWaitingMax) context_.checker.fail("I8: " + name_ + ": its queue of messages grows");
  door_->waiting.push_back(std::move(incoming));
  wake();
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
  if (context_.settings.plant == Plant::kNone) audit();
  const Time next = loop_->next_wake();
  if (next != kNever) wake_at(std::max(next, context_.now() + 200us));
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
  } else if (auto* answers = std::get_if<AnswerBatch>(&message)) {
    for (const ReportAnswer& answer : answers->answers) checker.answered(answer);
  }
  return process_.outside_.to_worker(process_.number_, peer, message);
}

void CoordinatorProcess::Door::reply(RequestId request, const OperatorReply& reply) {
  process_.outside_.to_client(process_.number_, request, reply);
}

void CoordinatorProcess::Door::publish(std::span<const Event> events) { process_.context_.checker.published(events); }

}  // namespace millrace::sim
