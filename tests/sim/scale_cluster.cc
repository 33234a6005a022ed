#include "tests/sim/scale_cluster.h"

namespace millrace::sim {

// ---------------------------------------------------------------- coordinators

Node::Node(ScaleWorld& world, int number) : world_(world), number_(number) {}

void Node::start() {
  LoopOptions options;
  options.name = "c" + std::to_string(number_);
  options.placement_salt = hash64(options.name);
  options.endpoint = options.name;
  options.partitions = static_cast<std::uint16_t>(world_.settings.partitions);
  options.nonce = world_.random.next();
  store_ = std::make_unique<ScaleStore>(*this, world_.store_back, world_.cluster, world_.counts);
  loop_ = std::make_unique<Loop>(std::move(options), world_.clock, *store_, *this, *this);
  wake();
}

void Node::wake() {
  if (!std::exchange(woken_, true)) world_.woken.add(this);
}

void Node::woken() {
  woken_ = false;
  while (loop_->turn()) {}
  const Time next = loop_->next_wake();
  const Time when = next == kNever ? kNever : std::max(next, world_.clock.now() + 200us);
  if (alarm_.set(when)) world_.alarms.add(when, this);
}

void Node::ring() {
  switch (alarm_.comes(world_.clock.now())) {
    case Alarm::Ring::kNow: return wake();
    case Alarm::Ring::kStale: return;
    case Alarm::Ring::kEarly: break;
  }
  if (alarm_.set(alarm_.wanted())) world_.alarms.add(alarm_.wanted(), this);
}

void Node::count(const CoordinatorMessage& message, std::size_t times) {
  world_.counts.to_workers += times;
  if (std::holds_alternative<ClusterNews>(message)) world_.counts.news += times;
}

Hand* Node::hand(PeerId peer) const { return world_.hands[static_cast<std::size_t>(peer.value >> 1)].get(); }

bool Node::send(PeerId peer, const CoordinatorMessage& message) {
  count(message, 1);
  world_.wire.add(ToHands{LinkId{static_cast<std::uint32_t>(number_)}, message, {}, hand(peer)});
  return true;
}

void Node::announce(std::span<const PeerId> peers, const CoordinatorMessage& message) {
  count(message, peers.size());
  ToHands all{LinkId{static_cast<std::uint32_t>(number_)}, message};
  for (const PeerId peer : peers) all.hands.push_back(hand(peer));
  world_.wire.add(std::move(all));
}

void Node::reply(RequestId request, const OperatorReply& reply) {
  constexpr std::uint64_t kFromPeer = 1ULL << 63;
  if ((request.value & kFromPeer) != 0) {
    Node* asked_by = world_.nodes[(request.value >> 48) & 0x7FFF].get();
    world_.wire.add(ToNode{asked_by, FromPeer{request.value & 0xFFFF'FFFF'FFFF, reply}});
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
  world_.wire.add(ToNode{to, FromClient{id, request, hops}});
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

namespace {

AgentOptions options_of(int number, std::uint64_t incarnation, int slots) {
  AgentOptions options;
  options.hello.incarnation = incarnation;
  options.hello.name = "w" + std::to_string(number);
  options.hello.slots = static_cast<std::uint32_t>(slots);
  options.hello.executors = {"noop"};
  options.prefetch_max = 16;
  return options;
}

}  // namespace

Hand::Hand(ScaleWorld& world, int number)
    : world_(world),
      number_(number),
      incarnation_(world.random.next()),
      agent_(options_of(number, incarnation_, world.settings.slots)) {}

void Hand::start() {
  for (std::uint32_t link = 0; link < world_.nodes.size(); ++link) take(LinkUp{LinkId{link}});
}

void Hand::take(AgentInput input) {
  const Time now = world_.clock.now();
  agent_.step(now, std::move(input), out_);
  agent_.flush(now, out_);
  perform(out_);
  const Time next = agent_.next_deadline();
  const Time when = next == kNever ? kNever : std::max(next, now + 1ms);
  if (alarm_.set(when)) world_.alarms.add(when, this);
}

void Hand::ring() {
  switch (alarm_.comes(world_.clock.now())) {
    case Alarm::Ring::kNow: return take(AgentTick{});
    case Alarm::Ring::kStale: return;
    case Alarm::Ring::kEarly: break;
  }
  if (alarm_.set(alarm_.wanted())) world_.alarms.add(alarm_.wanted(), this);
}

void Hand::perform(AgentEffects& out) {
  for (const StartTask& start : out.starts) world_.tasks.add({this, start.assignment.attempt()});
  world_.counts.from_workers += out.messages.size();
  for (millrace::ToCoordinator& said : out.messages)
    world_.wire.add(ToNode{world_.nodes[said.link.value].get(), FromWorker{peer(false), std::move(said.message)}});
  out.starts.clear();
  out.kills.clear();
  out.messages.clear();
}

}  // namespace millrace::sim
