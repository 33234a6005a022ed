// ConnectionWatch: what becomes of the handshakes of a socket's connections, which libzmq tells nobody unless asked: a
// wrong key shows nowhere else.
//
// Promises: bounded; what nobody takes is dropped beyond kQueueMax. Threads: that of the watched socket, which must
// outlive it. Fails: never; a watch that cannot be set up says nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/io/zmq_socket.h"

namespace millrace {

enum class Handshake : std::uint8_t {
  kDone,       // the peers know each other
  kRefused,    // the other side does not let our key in; at a server: a peer's key was refused
  kMechanism,  // one side has CURVE and the other has not
  kCrypto,     // at a server: the peer knows another key as ours, or sends rubbish
  kBrokenOff,  // the other side hung up in the middle, without a word
};

class ConnectionWatch : public ZmqSocket {
 public:
  static constexpr int kQueueMax = 10'000;

  ConnectionWatch(ZmqContext& context, const ZmqSocket& watched);
  ~ConnectionWatch();
  ConnectionWatch(ConnectionWatch&&) = delete;

  std::optional<Handshake> next();  // non-blocking

 private:
  void* watched_;
  Frames frames_;
};

// What stands between us and one endpoint, from the handshakes of one connecting socket.
//
// Handshakes that are broken off may mean many things: a few in a row are looked into by asking the endpoint itself,
// which may take kProbeMax. Where one ever succeeded they are left alone: a coordinator that is away, and what stands
// between, may break them off too.
class ConnectionFaults {
 public:
  static constexpr Duration kProbeMax = 500ms;

  ConnectionFaults(std::string endpoint, bool curve) : endpoint_(std::move(endpoint)), curve_(curve) {}

  void take(Handshake handshake);
  void start_anew();  // with another socket
  // Why no connection will stand until somebody changes something; nothing while there is hope. kRefused, "key_refused"
  // or "key_required"; kUnavailable, "wrong_server_key" or "not_curve".
  std::optional<Error> fault() const;

 private:
  void look_into_it();

  std::string endpoint_;
  bool curve_;
  bool ever_done_ = false;
  std::optional<Handshake> last_;
  int broken_off_ = 0;  // in a row
};

}  // namespace millrace
