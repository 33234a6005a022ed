#include "coordinator/shell/gateway.h"

#include "common/io/log.h"
#include "common/wire/frame.h"

namespace millrace {
namespace {

SocketOptions router_options() {
  SocketOptions options;
  options.send_hwm = 10'000;
  options.receive_hwm = 10'000;
  options.message_bytes_max = static_cast<std::int64_t>(kFrameMax);
  return options;
}

}  // namespace

ZmqGateway::ZmqGateway(ZmqContext& context, const Clock& clock) : clock_(clock), socket_(context, router_options()) {}

Status ZmqGateway::listen(const std::string& endpoint) {
  Status bound = socket_.bind(endpoint);
  if (bound.ok()) endpoints_.push_back(socket_.last_endpoint());
  return bound;
}

void ZmqGateway::poll(std::vector<Incoming>& out, std::size_t at_most) {
  for (std::size_t i = 0; i < at_most && socket_.receive(frames_); ++i) take(out);
}

void ZmqGateway::take(std::vector<Incoming>& out) {
  if (frames_.size() != 3)
    return refuse(
        frames_[0],
        {Code::kInvalid, "a message has " + std::to_string(frames_.size()) + " parts, not 3", {}, "frame_parts"},
        false);
  std::string_view routing_id = frames_[0];
  std::string_view body = frames_[2];
  Result<FrameKind> kind = check_envelope(frames_[1], body.size());
  if (!kind.ok()) return refuse(routing_id, kind.error(), true);
  if (*kind == FrameKind::kWorker) {
    Result<WorkerMessage> message = decode_worker_message(body);
    if (!message.ok()) return refuse(routing_id, message.error(), false);
    PeerId peer = peer_of(routing_id);
    if (std::holds_alternative<WorkerHello>(*message)) peers_.at(peer).specs.clear();
    out.push_back(FromWorker{peer, std::move(message).value()});
  } else if (*kind == FrameKind::kRequest) {
    auto request = decode_request(body);
    if (!request.ok()) return refuse(routing_id, request.error(), true);
    RequestId id{++requests_made_};
    requests_.emplace(id, OpenRequest{std::string(routing_id), request->first});
    if (requests_.size() > kRequestsMax) requests_.erase(requests_.begin());
    out.push_back(FromClient{id, std::move(request->second)});
  } else {
    refuse(routing_id,
           {Code::kInvalid,
            std::string("a frame of kind ") + to_string(*kind) + " is not for a coordinator",
            {},
            "frame_kind"},
           false);
  }
}

PeerId ZmqGateway::peer_of(std::string_view routing_id) {
  Time now = clock_.now();
  auto known = peer_ids_.find(std::string(routing_id));
  if (known != peer_ids_.end()) {
    peers_.at(known->second).heard = now;
    return known->second;
  }
  PeerId peer{++peers_made_};
  peer_ids_.emplace(routing_id, peer);
  peers_.emplace(peer, Peer{std::string(routing_id), {}, now});
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
  if (it == peers_.end()) return false;
  Peer& peer = it->second;
  std::string body = encode(message, peer.specs);
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
  std::string body = encode_reply(open.number, reply);
  if (Status fits = check_body(FrameKind::kReply, body.size()); !fits.ok())
    body = encode_reply(open.number, ErrorReply{fits.error()});
  (void)socket_.send(open.routing_id, envelope(FrameKind::kReply),
                     std::move(body));  // a client that is gone asks again or not
}

}  // namespace millrace
