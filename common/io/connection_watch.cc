#include "common/io/connection_watch.h"

#include <atomic>
#include <cstring>
#include <zmq.hpp>

#include "common/io/zmtp_probe.h"

namespace millrace {
namespace {

constexpr int kEvents = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                        ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;

constexpr int kBrokenOffMax = 3;  // in a row, before it is looked into

std::string fresh_endpoint() {
  static std::atomic<std::uint64_t> made = 0;
  return "inproc://millrace-watch-" + std::to_string(made.fetch_add(1));
}

SocketOptions options() {
  SocketOptions options;
  options.receive_hwm = ConnectionWatch::kQueueMax;  // libzmq's own thread waits where this queue is full
  return options;
}

std::optional<Handshake> meaning_of(std::uint16_t event, std::uint32_t value) {
  if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) return Handshake::kDone;
  if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) return Handshake::kRefused;
  if (event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL) return Handshake::kBrokenOff;
  if (event != ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL) return std::nullopt;
  return value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH ? Handshake::kMechanism : Handshake::kCrypto;
}

}  // namespace

ConnectionWatch::ConnectionWatch(ZmqContext& context, const ZmqSocket& watched)
    : ZmqSocket(context, ZMQ_PAIR, options()), watched_(watched.handle()) {
  const std::string endpoint = fresh_endpoint();
  if (zmq_socket_monitor(watched_, endpoint.c_str(), kEvents) == 0) (void)connect(endpoint);
}

ConnectionWatch::~ConnectionWatch() { (void)zmq_socket_monitor(watched_, nullptr, 0); }

std::optional<Handshake> ConnectionWatch::next() {
  while (receive(frames_)) {
    std::uint16_t event = 0;
    std::uint32_t value = 0;
    if (frames_[0].size() != sizeof event + sizeof value) continue;
    std::memcpy(&event, frames_[0].data(), sizeof event);
    std::memcpy(&value, frames_[0].data() + sizeof event, sizeof value);
    if (const auto meaning = meaning_of(event, value)) return meaning;
  }
  return std::nullopt;
}

void ConnectionFaults::start_anew() {
  last_.reset();
  broken_off_ = 0;
}

void ConnectionFaults::take(Handshake handshake) {
  ever_done_ = ever_done_ || handshake == Handshake::kDone;
  if (handshake != Handshake::kBrokenOff) {
    broken_off_ = 0;
    last_ = handshake;
  } else if (!ever_done_ && ++broken_off_ == kBrokenOffMax) {
    look_into_it();
  }
}

void ConnectionFaults::look_into_it() {
  broken_off_ = 0;
  const std::string theirs = probe_mechanism(endpoint_, kProbeMax);
  if (theirs == (curve_ ? "CURVE" : "NULL")) last_ = curve_ ? std::optional(Handshake::kCrypto) : std::nullopt;
  else if (!theirs.empty()) last_ = Handshake::kMechanism;
}

std::optional<Error> ConnectionFaults::fault() const {
  if (!last_) return std::nullopt;
  const std::string who = "the coordinator at " + endpoint_;
  switch (*last_) {
    case Handshake::kDone:
    case Handshake::kBrokenOff: return std::nullopt;
    case Handshake::kRefused:
      return Error{Code::kRefused,
                   who + " did not accept our key (--curve-key): it is not authorized there, or no longer",
                   {},
                   "key_refused"};
    case Handshake::kMechanism:
      if (!curve_) {
        return Error{Code::kRefused, who + " requires a key: --curve-key and --curve-server-key", {}, "key_required"};
      }
      return Error{Code::kUnavailable,
                   who + " does not use keys, and we were told to (--curve-key): nothing was said to it",
                   {},
                   "not_curve"};
    case Handshake::kCrypto:
      return Error{Code::kUnavailable,
                   who + " breaks off every handshake: --curve-server-key is probably not its key",
                   {},
                   "wrong_server_key"};
  }
  return std::nullopt;
}

}  // namespace millrace
