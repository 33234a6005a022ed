#include "coordinator/shell/zmq_bus.h"

#include "common/wire/codec.h"
#include "common/wire/frame.h"

namespace millrace {

ZmqBus::ZmqBus(ZmqContext& context, const DoorOptions& door) : context_(context), door_(door) { open(); }

void ZmqBus::open() {
  SocketOptions options;
  options.allow_remote = door_.insecure_listen;
  if (door_.access != nullptr) options.curve_server = door_.access->server(Door::kEvents);
  watch_.reset();
  socket_.emplace(context_, options);
  if (door_.access != nullptr) watch_ = std::make_unique<ConnectionWatch>(context_, *socket_);
}

Status ZmqBus::listen(const std::string& endpoint) {
  Status bound = socket_->bind(endpoint);
  if (bound.ok()) endpoint_ = socket_->last_endpoint();
  return bound;
}

void ZmqBus::cut() {
  topics_.clear();
  open();
}

void ZmqBus::hear_subscriptions() {
  if (watch_ != nullptr) door_.access->hear(*watch_, Door::kEvents);
  while (auto change = socket_->next_subscription()) {
    if (change->subscribed) ++topics_[change->topic];
    else if (auto it = topics_.find(change->topic); it != topics_.end() && --it->second == 0) topics_.erase(it);
  }
}

// Whether some subscription is a prefix of the topic: prefixes sort before what they begin.
bool ZmqBus::wanted(const std::string& topic) const {
  for (std::size_t length = 0; length <= topic.size(); ++length) {
    if (topics_.contains(topic.substr(0, length))) return true;
  }
  return false;
}

void ZmqBus::publish(std::span<const Event> events) {
  hear_subscriptions();
  if (topics_.empty()) return;
  while (!events.empty()) {
    std::size_t count = 1;
    while (count < events.size() && events[count].run == events[0].run) ++count;
    if (std::string topic = to_string(events[0].run); wanted(topic)) {
      (void)socket_->send(topic, envelope(FrameKind::kEvents), encode_events(events.first(count)));
    }
    events = events.subspan(count);
  }
}

}  // namespace millrace
