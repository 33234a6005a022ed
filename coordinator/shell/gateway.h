// ZmqGateway: the Gateway of production: one ROUTER socket for workers, clients and other coordinators, told apart by
// the kind of their frames; and the lines to other coordinators.
//
// Promises: bad bytes stop here: they are counted, logged at most once a second and never reach the loop; a request
// that cannot be decoded is answered with an error where its frame is of our version. With an Access, what a key may
// not say, or no longer, stops here too and is answered so; a PeerId belongs to one key, nothing is sent to a key that
// was revoked. Peers and open requests are bounded: the oldest are forgotten. Threads: one. Fails: never; a message
// that is not taken is an answer.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/io/zmq_socket.h"
#include "common/wire/codec.h"
#include "coordinator/shell/access.h"
#include "coordinator/shell/peer_lines.h"
#include "coordinator/shell/ports.h"

namespace millrace {

struct DoorOptions {             // of a socket that peers connect to
  Access* access = nullptr;      // outlives it; none: peers are not authenticated
  bool insecure_listen = false;  // then also where other machines can reach it
};

class ZmqGateway : public Gateway {
 public:
  static constexpr std::size_t kPeersMax = 100'000;
  static constexpr std::size_t kRequestsMax = 1'000'000;

  ZmqGateway(ZmqContext& context, const Clock& clock, const DoorOptions& door = {});
  Status listen(const std::string& endpoint);
  const std::vector<std::string>& endpoints() const { return endpoints_; }  // with the ports that were taken
  const ZmqSocket& socket() const { return socket_; }

  void poll(std::vector<Incoming>& out, std::size_t at_most) override;
  bool send(PeerId peer, const CoordinatorMessage& message) override;
  void announce(std::span<const PeerId> peers, const CoordinatorMessage& message) override;
  void reply(RequestId request, const OperatorReply& reply) override;
  bool forward(const std::string& endpoint, std::uint64_t number, std::uint8_t hops,
               const OperatorRequest& request) override {
    return lines_.send(endpoint, number, hops, request);
  }
  PeerLines& lines() { return lines_; }

  std::uint64_t frames_refused() const { return refused_; }

 private:
  struct Peer {
    std::string routing_id;
    std::string user;  // its key; empty without CURVE
    SentSpecs specs;
    Time heard{};
  };
  struct OpenRequest {
    std::string routing_id;
    std::string user;
    std::uint64_t number = 0;  // the client's
  };
  void take(std::vector<Incoming>& out, FromBeats& beats);
  void take_worker(std::string_view routing_id, std::string_view body, std::vector<Incoming>& out, FromBeats& beats);
  void take_request(std::string_view routing_id, FrameKind kind, std::string_view body, std::vector<Incoming>& out);
  bool admit(std::string_view routing_id, FrameKind kind);
  void dismiss(std::string_view routing_id, FrameKind kind, const Error& why);
  bool is_in(const std::string& user) const { return access_ == nullptr || access_->is_in(user); }
  bool hand_over(Peer& peer, std::string body);
  PeerId peer_of(std::string_view routing_id);
  void refuse(std::string_view routing_id, const Error& why, bool is_request);
  void forget_peers();

  const Clock& clock_;
  Access* access_;
  RouterSocket socket_;
  std::unique_ptr<ConnectionWatch> watch_;
  PeerLines lines_;
  std::vector<std::string> endpoints_;
  Frames frames_;
  std::unordered_map<std::string, PeerId> peer_ids_;  // by routing id; lookups only
  std::map<PeerId, Peer> peers_;
  std::map<RequestId, OpenRequest> requests_;
  std::uint64_t peers_made_ = 0;
  std::uint64_t requests_made_ = 0;
  std::uint64_t refused_ = 0;
  Time refusal_logged_{};
};

}  // namespace millrace
