// ZapHandler: answers libzmq's question "may this key connect?" (RFC 27) for every CURVE server socket of a context.
//
// Promises: what is not understood is refused. An accepted peer's messages carry its public key (Frames::user_id). It
// must stand before a CURVE socket of its context is bound: libzmq takes any key where nobody answers.
// Threads: one, that polls `socket()` for reading and calls answer(). Fails: open() where the context has a handler.
#pragma once

#include <functional>
#include <string_view>

#include "common/base/result.h"
#include "common/io/zmq_socket.h"

namespace millrace {

struct ZapQuestion {            // loans: they end with the call
  std::string_view domain;      // of the socket: CurveServer::domain
  std::string_view address;     // of the peer
  std::string_view public_key;  // Z85; empty: the peer brought none
};

class ZapHandler : public ZmqSocket {
 public:
  using Decide = std::function<bool(const ZapQuestion&)>;

  ZapHandler(ZmqContext& context, Decide decide);
  Status open();
  void answer(std::size_t at_most);  // of the questions that wait. Never blocks.

 private:
  void answer_one(const Frames& frames);

  Decide decide_;
  Frames frames_;
};

}  // namespace millrace
