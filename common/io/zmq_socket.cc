#include "common/io/zmq_socket.h"

#include <sys/random.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>
#include <zmq.hpp>

namespace millrace {
namespace {

static_assert(sizeof(zmq_msg_t) == 64, "Frames::Part must hold a zmq_msg_t");

constexpr std::size_t kHandOverFrom = 4096;  // smaller bodies are copied: cheaper than an allocation for the owner

zmq_msg_t* message(void* raw) { return static_cast<zmq_msg_t*>(raw); }

Error zmq_error(const std::string& attempted) {
  const int number = zmq_errno();
  const bool ours = number == EINVAL || number == ENODEV || number == EPROTONOSUPPORT || number == ENOCOMPATPROTO;
  return {ours ? Code::kInvalid : Code::kUnavailable, attempted + ": " + zmq_strerror(number), {}, {}};
}

int to_ms(Duration duration) {
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
}

void set(void* socket, int option, int value) { zmq_setsockopt(socket, option, &value, sizeof value); }

void set(void* socket, int option, const char* text) { zmq_setsockopt(socket, option, text, std::strlen(text)); }

// A key is given with its terminating zero.
void set_key(void* socket, int option, const char* z85) {
  [[maybe_unused]] const int taken = zmq_setsockopt(socket, option, z85, kCurveKeyChars + 1);
  assert(taken == 0 && "keys are checked where they are read");
}

void set_curve(void* socket, const SocketOptions& options) {
  if (const auto& server = options.curve_server) {
    set(socket, ZMQ_CURVE_SERVER, 1);
    set_key(socket, ZMQ_CURVE_SECRETKEY, server->secret_key.text());
    set(socket, ZMQ_ZAP_DOMAIN, server->domain.c_str());
  }
  if (const auto& client = options.curve_client) {
    set_key(socket, ZMQ_CURVE_SERVERKEY, client->server_key.c_str());
    set_key(socket, ZMQ_CURVE_PUBLICKEY, client->keys.public_key.c_str());
    set_key(socket, ZMQ_CURVE_SECRETKEY, client->keys.secret_key.text());
  }
}

// Sends one part; EINTR cannot happen with DONTWAIT but costs nothing to handle.
int send_message(void* socket, zmq_msg_t* part, int flags) {
  int sent = 0;
  do sent = zmq_msg_send(part, socket, flags | ZMQ_DONTWAIT);
  while (sent < 0 && zmq_errno() == EINTR);
  return sent;
}

void fill(zmq_msg_t* part, std::string_view bytes) {
  zmq_msg_init_size(part, bytes.size());
  if (!bytes.empty()) std::memcpy(zmq_msg_data(part), bytes.data(), bytes.size());
}

void hand_over(zmq_msg_t* part, std::string& body) {
  auto* owner = new std::string(std::move(body));
  zmq_msg_init_data(
      part, owner->data(), owner->size(), [](void*, void* hint) { delete static_cast<std::string*>(hint); }, owner);
}

}  // namespace

// ---------------------------------------------------------------- context

ZmqContext::ZmqContext(int io_threads) : handle_(zmq_ctx_new()) {
  assert(handle_ != nullptr);
  zmq_ctx_set(handle_, ZMQ_IO_THREADS, io_threads);
}

ZmqContext::~ZmqContext() {
  while (zmq_ctx_term(handle_) != 0 && zmq_errno() == EINTR) {}
}

// ---------------------------------------------------------------- frames

Frames::Frames(Frames&& other) noexcept { *this = std::move(other); }

Frames& Frames::operator=(Frames&& other) noexcept {
  if (this == &other) return *this;
  clear();
  for (std::size_t i = 0; i < other.size_; ++i) {
    zmq_msg_t* mine = message(parts_[i].raw);
    zmq_msg_init(mine);
    zmq_msg_move(mine, message(other.parts_[i].raw));
    views_[i] = {static_cast<const char*>(zmq_msg_data(mine)), zmq_msg_size(mine)};
  }
  size_ = other.size_;
  parts_dropped_ = other.parts_dropped_;
  other.clear();
  return *this;
}

std::string_view Frames::user_id() const {
  if (size_ == 0) return {};
  auto* part = const_cast<Part*>(&parts_[size_ - 1]);  // libzmq only looks at it
  const char* id = zmq_msg_gets(message(part->raw), "User-Id");
  return id == nullptr ? std::string_view() : std::string_view(id);
}

void Frames::clear() {
  for (std::size_t i = 0; i < size_; ++i) zmq_msg_close(message(parts_[i].raw));
  size_ = 0;
  parts_dropped_ = 0;
}

// ---------------------------------------------------------------- sockets

ZmqSocket::ZmqSocket(ZmqContext& context, int type, const SocketOptions& options)
    : handle_(zmq_socket(context.handle(), type)),
      allow_remote_(options.allow_remote || options.curve_server.has_value()) {
  assert(handle_ != nullptr);
  set(handle_, ZMQ_SNDHWM, options.send_hwm);
  set(handle_, ZMQ_RCVHWM, options.receive_hwm);
  set(handle_, ZMQ_LINGER, to_ms(options.linger));
  set(handle_, ZMQ_RECONNECT_IVL, to_ms(options.reconnect_first));
  set(handle_, ZMQ_RECONNECT_IVL_MAX, to_ms(options.reconnect_max));
  set(handle_, ZMQ_HANDSHAKE_IVL, to_ms(options.handshake_max));
  set(handle_, ZMQ_TCP_KEEPALIVE, 1);
  set(handle_, ZMQ_TCP_KEEPALIVE_IDLE, 30);
  set(handle_, ZMQ_TCP_KEEPALIVE_INTVL, 10);
  set(handle_, ZMQ_TCP_KEEPALIVE_CNT, 3);
  zmq_setsockopt(handle_, ZMQ_MAXMSGSIZE, &options.message_bytes_max, sizeof options.message_bytes_max);
  set_curve(handle_, options);
}

ZmqSocket::~ZmqSocket() {
  if (handle_ != nullptr) zmq_close(handle_);
}

Status ZmqSocket::bind(const std::string& endpoint) {
  if (Status allowed = check_bind_endpoint(endpoint, allow_remote_); !allowed.ok()) return allowed;
  set(handle_, ZMQ_IPV6, endpoint.find('[') != std::string::npos ? 1 : 0);
  // Binding takes addresses, not names.
  std::string address = endpoint;
  if (constexpr std::string_view kName = "tcp://localhost:"; address.starts_with(kName)) {
    address.replace(0, kName.size(), "tcp://127.0.0.1:");
  }
  if (zmq_bind(handle_, address.c_str()) != 0) return zmq_error("bind to " + endpoint);
  return Done{};
}

Status ZmqSocket::connect(const std::string& endpoint) {
  if (Status valid = check_connect_endpoint(endpoint); !valid.ok()) return valid;
  set(handle_, ZMQ_IPV6, endpoint.find('[') != std::string::npos ? 1 : 0);
  if (zmq_connect(handle_, endpoint.c_str()) != 0) return zmq_error("connect to " + endpoint);
  return Done{};
}

Status ZmqSocket::disconnect(const std::string& endpoint) {
  if (zmq_disconnect(handle_, endpoint.c_str()) != 0) return zmq_error("disconnect from " + endpoint);
  return Done{};
}

std::string ZmqSocket::last_endpoint() const {
  char text[1024];
  std::size_t size = sizeof text;
  if (zmq_getsockopt(handle_, ZMQ_LAST_ENDPOINT, text, &size) != 0 || size == 0) return {};
  return {text, size - 1};  // it counts its terminating zero
}

bool ZmqSocket::receive(Frames& frames) {
  frames.clear();
  for (bool more = true; more;) {
    alignas(8) std::byte spare[64];
    const bool keep = frames.size_ < Frames::kPartsMax;
    zmq_msg_t* part = message(keep ? frames.parts_[frames.size_].raw : spare);
    zmq_msg_init(part);
    int got = 0;
    do got = zmq_msg_recv(part, handle_, ZMQ_DONTWAIT);
    while (got < 0 && zmq_errno() == EINTR);
    if (got < 0) {  // only before a first part: libzmq hands over whole messages
      zmq_msg_close(part);
      return false;
    }
    more = zmq_msg_more(part) != 0;
    if (keep) {
      frames.views_[frames.size_++] = {static_cast<const char*>(zmq_msg_data(part)), zmq_msg_size(part)};
    } else {
      ++frames.parts_dropped_;
      zmq_msg_close(part);
    }
  }
  return true;
}

SendResult ZmqSocket::send_parts(std::span<const std::string_view> parts, std::string* owned_last) {
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const bool last = i + 1 == parts.size();
    zmq_msg_t part;
    // Only the last part is handed over, so it is never looked at again. NOLINTNEXTLINE(clang-analyzer-cplusplus.Move)
    if (last && i > 0 && owned_last != nullptr && owned_last->size() >= kHandOverFrom) {
      hand_over(&part, *owned_last);
    } else {
      fill(&part, parts[i]);
    }
    if (send_message(handle_, &part, last ? 0 : ZMQ_SNDMORE) >= 0) continue;
    const int number = zmq_errno();
    zmq_msg_close(&part);
    // A refusal of the first part refuses the message. Later ones are only refused where the peer went away in between.
    return number == EAGAIN && i == 0 ? SendResult::kFull : SendResult::kGone;
  }
  if (owned_last != nullptr) owned_last->clear();
  return SendResult::kSent;
}

RouterSocket::RouterSocket(ZmqContext& context, const SocketOptions& options)
    : ZmqSocket(context, ZMQ_ROUTER, options) {
  set(handle(), ZMQ_ROUTER_MANDATORY, 1);
}

SendResult RouterSocket::send(std::string_view peer, std::string_view envelope, std::string&& body) {
  const std::string_view parts[] = {peer, envelope, body};
  return send_parts(parts, &body);
}

std::string random_routing_id() {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::array<unsigned char, 16> bytes{};
  while (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {}
  std::string id;
  for (const unsigned char byte : bytes) id += {kDigits[byte >> 4], kDigits[byte & 15]};
  return id;
}

DealerSocket::DealerSocket(ZmqContext& context, const SocketOptions& options, std::string_view routing_id)
    : ZmqSocket(context, ZMQ_DEALER, options) {
  if (!routing_id.empty()) zmq_setsockopt(handle(), ZMQ_ROUTING_ID, routing_id.data(), routing_id.size());
}

SendResult DealerSocket::send(std::string_view envelope, std::string&& body) {
  const std::string_view parts[] = {envelope, body};
  return send_parts(parts, &body);
}

PubSocket::PubSocket(ZmqContext& context, const SocketOptions& options) : ZmqSocket(context, ZMQ_XPUB, options) {}

SendResult PubSocket::send(std::string_view topic, std::string_view envelope, std::string&& body) {
  const std::string_view parts[] = {topic, envelope, body};
  return send_parts(parts, &body);
}

std::optional<Subscription> PubSocket::next_subscription() {
  Frames frames;
  while (receive(frames)) {
    const std::string_view text = frames[0];
    if (text.empty() || (text[0] != '\0' && text[0] != '\1')) continue;  // a subscriber may send anything
    return Subscription{text[0] == '\1', std::string(text.substr(1))};
  }
  return std::nullopt;
}

SubSocket::SubSocket(ZmqContext& context, const SocketOptions& options) : ZmqSocket(context, ZMQ_SUB, options) {}

Status SubSocket::subscribe(std::string_view topic) {
  if (zmq_setsockopt(handle(), ZMQ_SUBSCRIBE, topic.data(), topic.size()) != 0) return zmq_error("subscribe");
  return Done{};
}

Status SubSocket::unsubscribe(std::string_view topic) {
  if (zmq_setsockopt(handle(), ZMQ_UNSUBSCRIBE, topic.data(), topic.size()) != 0) return zmq_error("unsubscribe");
  return Done{};
}

}  // namespace millrace
