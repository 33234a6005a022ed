#include "coordinator/shell/loop.h"

#include <algorithm>

#include "coordinator/shell/loop_state.h"
#include "coordinator/shell/run_codec.h"

namespace millrace {
namespace {

constexpr Duration kAskAgainAfter = 20ms;  // what the store could not answer

}  // namespace

Loop::State::State(LoopOptions o, Clock& c, Store& s, Gateway& g, Bus& b)
    : options(std::move(o)),
      clock(c),
      store(s),
      gateway(g),
      bus(b),
      membership(
          {options.name, options.nonce, 0, options.endpoint, options.events_endpoint, options.version, c.now(), false}),
      forwards_made((options.nonce & 0x7FFFFF) << 24U),
      began(c.now()),
      house(options.retention, options.partitions) {
  if (options.wall) wall_ahead = options.wall() - clock.now();
  assert(options.partitions > 0 && options.partitions <= kPartitionsMax);
  placement.judge(
      {options.fixed_fleet ? began : began + kFleetJoinsWithin, options.unplaceable_after, options.fixed_fleet});
  placement.order_by(options.placement_salt);
  store_wavered = began;
  shares.resize(options.partitions);
  for (std::uint16_t i = 0; i < options.partitions; ++i) {
    shares[i].id = PartitionId{i};
    shares[i].epoch_highest = options.epoch_above;
  }
}

Share* Loop::State::share_of(RunId run) {
  PartitionId partition = partition_of(run);
  return partition.value < shares.size() ? &shares[partition.value] : nullptr;
}

PartitionId Loop::State::partition_for(const std::string& tenant, const std::string& key) const {
  return millrace::home_of(tenant, key, static_cast<std::uint16_t>(shares.size()));
}

bool Loop::State::all_serving() const {
  return std::ranges::all_of(shares, [](const Share& share) { return share.serving() || share.served_elsewhere(); });
}

void Loop::State::ask(const StoreRead& read, Continuation then) {
  asked.emplace(++tags, std::move(then));
  store.read(tags, read);
}

void Loop::State::ask_again(Time now, std::function<void()> ask) {
  asks_due.push_back(std::move(ask));
  asks_at = std::min(asks_at, now + kAskAgainAfter);
}

void Loop::State::ask_due(Time now) {
  if (now < asks_at) return;
  asks_at = kNever;
  if (!store.ready()) {
    if (!asks_due.empty()) asks_at = now + kAskAgainAfter;
    return;
  }
  for (const auto& ask : std::exchange(asks_due, {})) ask();
}

Loop::Loop(LoopOptions options, Clock& clock, Store& store, Gateway& gateway, Bus& bus)
    : state_(std::make_unique<State>(std::move(options), clock, store, gateway, bus)) {}
Loop::~Loop() = default;

bool Loop::turn() { return state_->turn(); }
Time Loop::next_wake() const { return state_->next_wake(); }
bool Loop::takes_input() const { return state_->takes_input(); }
std::uint64_t Loop::busy_tasks() const {
  std::uint64_t sum = 0;
  for (const Share& share : state_->shares) {
    if (share.core == nullptr) continue;
    const Tally& tally = share.core->tally();
    sum += tally.of(TaskState::kReady) + tally.of(TaskState::kDispatched) + tally.of(TaskState::kRunning);
  }
  return sum;
}
bool Loop::serving() const { return state_->all_serving(); }
void Loop::stop() { state_->stopping = true; }
void Loop::post(PartitionId from, PartitionId to, LetterBody body) {
  state_->post(state_->clock.now(), from, to, std::move(body));
}
LoopSnapshot Loop::snapshot() const { return state_->snapshot(); }
void Loop::drain() {
  state_->membership.drain();
  state_->plan_dirty = true;
}
bool Loop::stopped() const { return state_->released; }
const Partition* Loop::partition(PartitionId partition) const { return state_->share(partition).core.get(); }

}  // namespace millrace
