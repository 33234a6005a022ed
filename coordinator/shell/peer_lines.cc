#include "coordinator/shell/peer_lines.h"

#include "common/io/log.h"
#include "common/wire/codec.h"
#include "common/wire/frame.h"

namespace millrace {
namespace {

SocketOptions line_options(const std::optional<CurveClient>& curve) {
  SocketOptions options;
  options.send_hwm = 10'000;
  options.receive_hwm = 10'000;
  options.message_bytes_max = static_cast<std::int64_t>(kFrameMax);
  options.reconnect_first = 50ms;
  options.reconnect_max = 1s;
  options.curve_client = curve;
  return options;
}

}  // namespace

PeerLines::Line* PeerLines::line_to(const std::string& endpoint) {
  auto known = lines_.find(endpoint);
  if (known != lines_.end()) return &known->second;
  auto socket = std::make_unique<DealerSocket>(context_, line_options(curve_));
  if (Status connected = socket->connect(endpoint); !connected.ok()) {
    if ((refused_++ & 1023U) == 0)
      log_warn("a coordinator's address is no good", {{"endpoint", endpoint}, {"error", connected.error().what}});
    return nullptr;
  }
  if (lines_.size() >= kLinesMax) close_one();
  Line& line = lines_[endpoint];
  line.socket = std::move(socket);
  if (poller_ != nullptr) line.slot = poller_->add(*line.socket);
  return &line;
}

void PeerLines::close_one() {
  auto oldest = lines_.begin();
  for (auto it = lines_.begin(); it != lines_.end(); ++it) {
    if (it->second.used < oldest->second.used) oldest = it;
  }
  if (poller_ != nullptr) poller_->remove(oldest->second.slot);
  lines_.erase(oldest);
}

bool PeerLines::send(const std::string& endpoint, std::uint64_t number, std::uint8_t hops,
                     const OperatorRequest& request) {
  Line* line = line_to(endpoint);
  if (line == nullptr) return false;
  line->used = ++uses_;
  std::string body = encode_request(number, request, hops);
  if (!check_body(FrameKind::kPeer, body.size()).ok()) return false;
  return line->socket->send(envelope(FrameKind::kPeer), std::move(body)) == SendResult::kSent;
}

void PeerLines::poll(std::vector<Incoming>& out, std::size_t at_most) {
  for (auto& [endpoint, line] : lines_) {
    for (; at_most > 0 && line.socket->receive(frames_); --at_most) {
      Result<std::string_view> body = open_frame(frames_.views(), FrameKind::kReply);
      if (body.ok()) {
        if (auto reply = decode_reply(*body); reply.ok()) {
          out.push_back(FromPeer{reply->first, std::move(reply->second)});
          continue;
        }
      }
      if ((refused_++ & 1023U) == 0) log_warn("a coordinator's answer is not understood", {{"endpoint", endpoint}});
    }
  }
}

}  // namespace millrace
