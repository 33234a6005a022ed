// ZmqBus: live events over XPUB. A message is: the run's printed id as topic, an envelope, the events.
//
// Promises: a hint, not the truth: a slow subscriber loses messages and repairs from the store. Nothing is encoded for
// runs that nobody subscribed to. Threads: one. Fails: never.
#pragma once

#include <map>
#include <string>

#include "common/io/zmq_socket.h"
#include "coordinator/shell/ports.h"

namespace millrace {

class ZmqBus : public Bus {
 public:
  explicit ZmqBus(ZmqContext& context) : socket_(context) {}
  Status listen(const std::string& endpoint) { return socket_.bind(endpoint); }
  std::string endpoint() const { return socket_.last_endpoint(); }
  const ZmqSocket& socket() const { return socket_; }

  void hear_subscriptions();
  void publish(std::span<const Event> events) override;
  bool heard() const override { return !topics_.empty(); }

 private:
  bool wanted(const std::string& topic) const;

  PubSocket socket_;
  std::map<std::string, std::uint32_t> topics_;  // prefix -> subscribers
};

}  // namespace millrace
