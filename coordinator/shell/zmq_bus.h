// ZmqBus: live events over XPUB. A message is: the run's printed id as topic, an envelope, the events.
//
// Promises: a hint, not the truth: a slow subscriber loses messages and repairs from the store. Nothing is encoded for
// runs that nobody subscribed to. A connection cannot be taken from a subscriber: cut() ends all of them, and those
// that may connect again do so by themselves. Threads: one. Fails: listen(), as ZmqSocket::bind does.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "common/io/zmq_socket.h"
#include "coordinator/shell/gateway.h"
#include "coordinator/shell/ports.h"

namespace millrace {

class ZmqBus : public Bus {
 public:
  explicit ZmqBus(ZmqContext& context, const DoorOptions& door = {});
  Status listen(const std::string& endpoint);
  const std::string& endpoint() const { return endpoint_; }
  const ZmqSocket& socket() const { return *socket_; }  // another one after cut()
  // Ends all connections and leaves the endpoint; listen(endpoint()) goes back there, once its old socket is gone.
  void cut();

  void hear_subscriptions();
  void publish(std::span<const Event> events) override;
  bool heard() const override { return !topics_.empty(); }

 private:
  void open();
  bool wanted(const std::string& topic) const;

  ZmqContext& context_;
  DoorOptions door_;
  std::string endpoint_;
  std::optional<PubSocket> socket_;
  std::unique_ptr<ConnectionWatch> watch_;       // after the socket: it ends first
  std::map<std::string, std::uint32_t> topics_;  // prefix -> subscribers
};

}  // namespace millrace
