#include "coordinator/shell/zmq_bus.h"

#include "common/wire/codec.h"
#include "common/wire/frame.h"

namespace millrace {

void ZmqBus::hear_subscriptions() {
  while (auto change = socket_.next_subscription()) {
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
      (void)socket_.send(topic, envelope(FrameKind::kEvents), encode_events(events.first(count)));
    }
    events = events.subspan(count);
  }
}

}  // namespace millrace
