#include "coordinator/shell/gateway.h"

#include <algorithm>
#include <cassert>

#include "common/io/log.h"
#include "common/wire/frame.h"

namespace millrace {
namespace {

SocketOptions router_options(const DoorOptions& door) {
  SocketOptions options;
  options.allow_remote = door.insecure_listen;
  if (door.access != nullptr) options.curve_server = door.access->server(Door::kMain);
  options.send_hwm = 10'000;
  options.receive_hwm = 10'000;
  options.message_bytes_max = static_cast<std::int64_t>(kFrameMax);
  return options;
}

}  // namespace

ZmqGateway::ZmqGateway(ZmqContext& context, const Clock& clock, const DoorOptions& door)
    : clock_(clock),
      access_(door.access),
      socket_(context, router_options(door)),
      lines_(context, door.access != nullptr ? std::optional(door.access->client()) : std::nullopt) {
  if (access_ != nullptr) watch_ = std::make_unique<ConnectionWatch>(context, socket_);
}

Status ZmqGateway::listen(const std::string& endpoint) {
  Status bound = socket_.bind(endpoint);
  if (bound.ok()) endpoints_.push_back(socket_.last_endpoint());
  return bound;
}

void ZmqGateway::poll(std::vector<Incoming>& out, std::size_t at_most) {
  if (access_ != nullptr) access_->hear(*watch_, Door::kMain);
  FromBeats beats;
  for (std::size_t i = 0; i < at_most && socket_.receive(frames_); ++i) take(out, beats);
  if (!beats.beats.empty()) out.push_back(std::move(beats));
  lines_.poll(out, at_most);
}

void ZmqGateway::take(std::vector<Incoming>& out, FromBeats& beats) {
  if (frames_.size() != 3)
    return refuse(
        frames_[0],
        {Code::kInvalid, "a message has " + std::to_string(frames_.size()) + " parts, not 3", {}, "frame_parts"},
        false);
  std::string_view routing_id = frames_[0];
  std::string_view body = frames_[2];
  Result<FrameKind> kind = check_envelope(frames_[1], body.size());
  if (!kind.ok()) return refuse(routing_id, kind.error(), true);
  if (!admit(routing_id, *kind)) return;
  if (*kind == FrameKind::kWorker) return take_worker(routing_id, body, out, beats);
  if (*kind == FrameKind::kRequest || *kind == FrameKind::kPeer) return take_request(routing_id, *kind, body, out);
  refuse(routing_id,
         {Code::kInvalid,
          std::string("a frame of kind ") + to_string(*kind) + " is not for a coordinator",
          {},
          "frame_kind"},
         false);
}

void ZmqGateway::take_worker(std::string_view routing_id, std::string_view body, std::vector<Incoming>& out,
                             FromBeats& beats) {
  Result<WorkerMessage> message = decode_worker_message(body);
  if (!message.ok()) return refuse(routing_id, message.error(), false);
  PeerId peer = peer_of(routing_id);
  if (const auto* beat = std::get_if<WorkerBeat>(&*message)) return beats.beats.push_back({peer, *beat});
  if (const auto* hello = std::get_if<WorkerHello>(&*message)) {
    peers_.at(peer).specs.clear();
    if (access_ != nullptr) {
      Status claimed = access_->claim_id(frames_.user_id(), hello->name);
      if (!claimed.ok()) return dismiss(routing_id, FrameKind::kWorker, claimed.error());
    }
  }
  out.push_back(FromWorker{peer, std::move(message).value()});
}

// Of a client, or of a coordinator that forwards it.
void ZmqGateway::take_request(std::string_view routing_id, FrameKind kind, std::string_view body,
                              std::vector<Incoming>& out) {
  std::uint32_t hops = 0;
  auto request = decode_request(body, &hops);
  if (!request.ok()) return refuse(routing_id, request.error(), true);
  if (access_ != nullptr && kind == FrameKind::kRequest) {  // whoever shows a key is who its list says
    const std::string owner = access_->owner_of(frames_.user_id());
    if (auto* signal = std::get_if<SignalRun>(&request->second)) signal->caller = owner;
    if (auto* decision = std::get_if<DecideApproval>(&request->second)) decision->caller = owner;
    if (auto* workflow = std::get_if<WorkflowRequest>(&request->second)) workflow->caller = owner;
    if (auto* pause = std::get_if<PauseScope>(&request->second)) pause->caller = owner;
  }
  RequestId id{++requests_made_};
  requests_.emplace(id, OpenRequest{std::string(routing_id), std::string(frames_.user_id()), request->first});
  if (requests_.size() > kRequestsMax) requests_.erase(requests_.begin());
  hops = kind == FrameKind::kPeer ? std::clamp(hops, 1U, 255U) : 0;
  out.push_back(FromClient{id, std::move(request->second), static_cast<std::uint8_t>(hops)});
}

// Whether the key of this connection may say such a thing; if not, it is told.
bool ZmqGateway::admit(std::string_view routing_id, FrameKind kind) {
  if (access_ == nullptr) return true;
  Status may = access_->may_say(frames_.user_id(), kind);
  if (!may.ok()) dismiss(routing_id, kind, may.error());
  return may.ok();
}

// The answer to what a key may not say, in the words that its sender understands.
void ZmqGateway::dismiss(std::string_view routing_id, FrameKind kind, const Error& why) {
  if (kind == FrameKind::kWorker) {
    SentSpecs none;
    (void)socket_.send(routing_id, envelope(FrameKind::kCoordinator),
                       encode(CoordinatorMessage(WorkerRefused{why.name, why.what}), none));
  } else if (kind == FrameKind::kRequest || kind == FrameKind::kPeer) {
    (void)socket_.send(routing_id, envelope(FrameKind::kReply), encode_reply(0, ErrorReply{why}));
  }
}

PeerId ZmqGateway::peer_of(std::string_view routing_id) {
  Time now = clock_.now();
  const std::string_view user = frames_.user_id();
  auto known = peer_ids_.find(std::string(routing_id));
  if (known != peer_ids_.end()) {
    Peer& peer = peers_.at(known->second);
    peer.heard = now;
    if (peer.user == user) return known->second;
    peers_.erase(known->second);  // its connection has ended, and somebody else took the routing id
    peer_ids_.erase(known);
  }
  PeerId peer{++peers_made_};
  peer_ids_.emplace(routing_id, peer);
  peers_.emplace(peer, Peer{std::string(routing_id), std::string(user), {}, now});
  if (peers_.size() > kPeersMax) forget_peers();
  return peer;
}

// Those that have been silent for longest are forgotten; if they speak again they are new.
void ZmqGateway::forget_peers() {
  auto oldest = peers_.begin();
  for (auto it = peers_.begin(); it != peers_.end(); ++it) {
    if (it->second.heard < oldest->second.heard) oldest = it;
  }
  peer_ids_.erase(oldest->second.routing_id);
  peers_.erase(oldest);
}

void ZmqGateway::refuse(std::string_view routing_id, const Error& why, bool is_request) {
  ++refused_;
  if (is_request) (void)socket_.send(routing_id, envelope(FrameKind::kReply), encode_reply(0, ErrorReply{why}));
  Time now = clock_.now();
  if (now - refusal_logged_ < 1s) return;
  refusal_logged_ = now;
  log_warn("frame refused", {{"reason", why.what}, {"refused_total", refused_}});
}

bool ZmqGateway::send(PeerId id, const CoordinatorMessage& message) {
  auto it = peers_.find(id);
  if (it == peers_.end() || !is_in(it->second.user)) return false;
  return hand_over(it->second, encode(message, it->second.specs));
}

void ZmqGateway::announce(std::span<const PeerId> peers, const CoordinatorMessage& message) {
  assert(!std::holds_alternative<AssignBatch>(message));  // its bytes depend on what the peer has been sent
  SentSpecs none;
  const std::string body = encode(message, none);
  for (const PeerId id : peers) {
    auto it = peers_.find(id);
    if (it != peers_.end() && is_in(it->second.user)) (void)hand_over(it->second, body);
  }
}

bool ZmqGateway::hand_over(Peer& peer, std::string body) {
  if (!check_body(FrameKind::kCoordinator, body.size()).ok()) return false;
  SendResult sent = socket_.send(peer.routing_id, envelope(FrameKind::kCoordinator), std::move(body));
  if (sent != SendResult::kSent) peer.specs.clear();
  return sent == SendResult::kSent;
}

void ZmqGateway::reply(RequestId request, const OperatorReply& reply) {
  auto it = requests_.find(request);
  if (it == requests_.end()) return;
  OpenRequest open = std::move(it->second);
  requests_.erase(it);
  if (!is_in(open.user)) return;
  std::string body = encode_reply(open.number, reply);
  if (Status fits = check_body(FrameKind::kReply, body.size()); !fits.ok())
    body = encode_reply(open.number, ErrorReply{fits.error()});
  (void)socket_.send(open.routing_id, envelope(FrameKind::kReply),
                     std::move(body));  // a client that is gone asks again or not
}

}  // namespace millrace
