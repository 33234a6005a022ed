// ZeroMQ sockets: thin owners over libzmq. Only this room sees zmq.hpp.
//
// Promises: nothing blocks but Poller::wait. A full or missing peer is an answer (SendResult), not a wait and not a
// loss. Nothing throws. LINGER is 0 by default: closing never waits. Binding to an address that other machines can
// reach is refused without CURVE, unless allowed in so many words, because peers are not authenticated. Threads: a
// context may be shared; a socket belongs to the thread that uses it. A context outlives its sockets. Fails: Results
// name the endpoint and libzmq's reason.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/time.h"
#include "common/io/curve.h"

namespace millrace {

class ZmqContext {
 public:
  explicit ZmqContext(int io_threads = 1);
  ~ZmqContext();  // waits for its sockets to be closed
  ZmqContext(const ZmqContext&) = delete;
  ZmqContext& operator=(const ZmqContext&) = delete;
  void* handle() const { return handle_; }

 private:
  void* handle_;
};

// Of a socket that binds: peers must have a key that the context's ZapHandler takes. Without a handler libzmq takes
// any.
struct CurveServer {
  SecretKey secret_key;
  std::string domain;  // which door this is: the handler is told
};
// Of a socket that connects: it speaks to nobody but the holder of `server_key`.
struct CurveClient {
  CurveKeys keys;
  std::string server_key;
};

// From --curve-key and --curve-server-key: both or none. Errors: kInvalid, naming the flag.
Result<std::optional<CurveClient>> read_curve_client(const std::string& key_file, const std::string& server_key);

struct SocketOptions {
  int send_hwm = 1000;                                // messages queued a peer before send() says kFull
  int receive_hwm = 1000;                             // messages queued before the sender is held back
  std::int64_t message_bytes_max = 64 * 1024 * 1024;  // of one part; a larger one costs its sender the connection
  Duration linger = Duration::zero();                 // how long closing waits for what is unsent
  Duration reconnect_first = 100ms;                   // connecting sockets: first pause, doubling up to `reconnect_max`
  Duration reconnect_max = 5s;
  Duration handshake_max = 10s;  // a peer that has not said hello by then is dropped
  bool allow_remote = false;     // bind to addresses that other machines can reach though there is no `curve_server`
  std::optional<CurveServer> curve_server;  // of tcp:// and ipc://; inproc:// needs none
  std::optional<CurveClient> curve_client;
};

enum class SendResult : std::uint8_t {
  kSent,  // accepted; not delivered
  kFull,  // the peer's queue is full: try later; nothing was taken
  kGone,  // no such peer (or no connection to send on); nothing was taken
};

// One received multipart message. Parts are read in place; views live as long as it does and is not received into.
class Frames {
 public:
  static constexpr std::size_t kPartsMax = 8;  // of a message; what lies beyond is dropped and counted

  Frames() = default;
  ~Frames() { clear(); }
  Frames(Frames&& other) noexcept;
  Frames& operator=(Frames&& other) noexcept;
  Frames(const Frames&) = delete;
  Frames& operator=(const Frames&) = delete;

  std::size_t size() const { return size_; }
  std::size_t parts_dropped() const { return parts_dropped_; }
  std::string_view operator[](std::size_t part) const { return views_[part]; }
  std::span<const std::string_view> views() const { return {views_.data(), size_}; }
  std::span<const std::string_view> views_from(std::size_t first) const {
    return views().subspan(first < size_ ? first : size_);
  }
  // The public key of who sent it, as its handshake proved it; empty without CURVE. A loan like the parts.
  std::string_view user_id() const;
  void clear();

 private:
  friend class ZmqSocket;
  struct alignas(8) Part {  // storage of one zmq_msg_t
    std::byte raw[64];
  };
  std::array<Part, kPartsMax> parts_;
  std::array<std::string_view, kPartsMax> views_;
  std::size_t size_ = 0;
  std::size_t parts_dropped_ = 0;
};

class ZmqSocket {
 public:
  ~ZmqSocket();
  ZmqSocket(ZmqSocket&& other) noexcept : handle_(other.handle_), allow_remote_(other.allow_remote_) {
    other.handle_ = nullptr;
  }
  ZmqSocket& operator=(ZmqSocket&&) = delete;
  ZmqSocket(const ZmqSocket&) = delete;
  ZmqSocket& operator=(const ZmqSocket&) = delete;

  // "tcp://HOST:PORT" ("tcp://127.0.0.1:0" takes a free port), "ipc://PATH", "inproc://NAME". Several are allowed.
  Status bind(const std::string& endpoint);
  // Returns before the connection stands, and keeps trying for ever.
  Status connect(const std::string& endpoint);
  Status disconnect(const std::string& endpoint);
  // Of the latest bind, as a peer can connect to it: with the port that was taken.
  std::string last_endpoint() const;

  // Takes the next message if there is one. Non-blocking.
  bool receive(Frames& frames);

  void* handle() const { return handle_; }

 protected:
  ZmqSocket(ZmqContext& context, int type, const SocketOptions& options);
  // First part decides: once it is accepted, so are the others. Large owned bodies are handed over without a copy.
  SendResult send_parts(std::span<const std::string_view> parts, std::string* owned_last);

 private:
  void* handle_;
  bool allow_remote_;
};

// Talks to many peers, each named by the routing id that stands as first part of what it receives. MANDATORY: an
// unknown peer is kGone. No HANDOVER: a second peer with the same id is ignored.
class RouterSocket : public ZmqSocket {
 public:
  RouterSocket(ZmqContext& context, const SocketOptions& options = {});
  // `body` is moved from only when kSent.
  SendResult send(std::string_view peer, std::string_view envelope, std::string&& body);
};

// A routing id that nobody else can guess, and so nobody can take: 128 random bits.
std::string random_routing_id();

// Talks to the peers it connected to; with one, a private line. kGone: not connected and nothing may be queued.
class DealerSocket : public ZmqSocket {
 public:
  // `routing_id`: empty lets the other side make one for each connection; one of ours is kept over reconnects, and then
  // ignored by a ROUTER that takes the old connection for alive: open a new socket after a silence.
  DealerSocket(ZmqContext& context, const SocketOptions& options = {}, std::string_view routing_id = {});
  SendResult send(std::string_view envelope, std::string&& body);
};

struct Subscription {
  bool subscribed = false;  // false: it ended
  std::string topic;        // prefix
};

// Publishes; a subscriber that is too slow loses messages silently (DESIGN: the bus is a hint, the stream the truth).
class PubSocket : public ZmqSocket {
 public:
  PubSocket(ZmqContext& context, const SocketOptions& options = {});
  SendResult send(std::string_view topic, std::string_view envelope, std::string&& body);
  // The next change among subscribers, first of a topic and last of it only. Non-blocking.
  std::optional<Subscription> next_subscription();
};

class SubSocket : public ZmqSocket {
 public:
  SubSocket(ZmqContext& context, const SocketOptions& options = {});
  Status subscribe(std::string_view topic);
  Status unsubscribe(std::string_view topic);
};

// Waits for any of several sockets and file descriptors.
//
// Promises: level-triggered for both kinds: what is ready and was not read is reported again. Timeouts are kept to the
// microsecond, as far as the kernel does. A signal ends the wait early with nothing ready.
class Poller {
 public:
  using Slot = std::size_t;
  Slot add(const ZmqSocket& socket);  // for reading
  Slot add_fd(int fd, bool want_read, bool want_write = false);
  void set_fd(Slot slot, int fd, bool want_read, bool want_write);  // fd -1: watch nothing
  void remove(Slot slot);                                           // its number may be given out again
  void listen_to(Slot slot, bool wanted);                           // a socket: whether its messages end a wait

  // How many are ready. Zero timeout: looks and returns. Negative: waits for ever.
  int wait(Duration timeout);
  bool readable(Slot slot) const;  // by the latest wait
  bool writable(Slot slot) const;  // descriptors only
  bool failed(Slot slot) const;    // descriptors only: error or hang-up

 private:
  struct Item {
    void* socket = nullptr;
    int fd = -1;
    short wanted = 0;
    short got = 0;
    bool used = false;
    bool heard = true;  // sockets only
  };
  bool look_at_sockets();
  bool look_at_descriptors(Duration left);
  std::vector<Item> items_;
};

// Whether an endpoint is well formed, and whether binding to it is allowed (kRefused, "remote_bind").
Status check_bind_endpoint(std::string_view endpoint, bool allow_remote);
Status check_connect_endpoint(std::string_view endpoint);
// Only this machine can reach it: loopback, ipc, inproc.
bool is_local_endpoint(std::string_view endpoint);

}  // namespace millrace
