#include "cli/event_feed.h"

#include <algorithm>
#include <utility>

namespace millrace {

void EventFeed::offer(const Event& event, std::vector<Event>& out) {
  if (!is_durable(event.type)) {
    out.push_back(event);
    return;
  }
  seen_ = std::max(seen_, event.seq);
  if (event.seq != last_ + 1) return;  // seen before, or beyond a gap
  last_ = event.seq;
  if (is_run_end(event.type)) ended_ = true;
  out.push_back(event);
}

void EventFeed::from_bus(std::span<const Event> events, std::vector<Event>& out) {
  for (const Event& event : events) {
    if (event.type == EventType::kOwnerChanged) {
      if (event.reason == Reason::kLost && event.seq < last_) {  // what came after is not so any more
        last_ = event.seq;
        ended_ = false;
      }
      seen_ = std::max(seen_, last_ + 1);  // it may have lost what we missed
    }
    offer(event, out);
  }
}

void EventFeed::from_stream(const EventsReply& reply, std::vector<Event>& out) {
  for (const Event& event : reply.events) {
    // What the stream leaves out does not exist any more: a hole in it is not waited for.
    if (event.seq > last_ + 1) last_ = event.seq - 1;
    offer(event, out);
  }
  if (reply.events.empty()) {
    seen_ = last_;  // nothing follows after all (an owner change); or not yet, then the next read finds it
    if (reply.ended) ended_ = true;
  }
}

RunEvents::RunEvents(Client& client, RunId run, std::uint64_t since)
    : client_(client), run_(run), feed_(since), next_read_(Client::Clock::now()) {
  client_.subscribe(run);
}

Duration RunEvents::until_next_read() const {
  if (asked_ != 0) return kReread;
  return std::max(std::chrono::duration_cast<Duration>(next_read_ - Client::Clock::now()), Duration::zero());
}

Result<std::vector<Event>> RunEvents::step() {
  std::vector<Event> out;
  std::vector<Event> arrived = client_.take_events();
  std::erase_if(arrived, [this](const Event& event) { return event.run != run_; });
  feed_.from_bus(arrived, out);
  if (failed_) {
    if (!out.empty() || Client::Clock::now() < failed_at_ + kLastWord) return out;
    return *failed_;
  }
  bool more = false;
  if (std::optional<OperatorReply> reply = asked_ == 0 ? std::nullopt : client_.take(asked_)) {
    asked_ = 0;
    next_read_ = Client::Clock::now() + kReread;
    if (const auto* page = std::get_if<EventsReply>(&*reply)) {
      feed_.from_stream(*page, out);
      more = page->events.size() >= kPage;
    } else if (auto* error = std::get_if<ErrorReply>(&*reply); error != nullptr && !may_pass(error->error)) {
      failed_ = std::move(error->error);
      failed_at_ = Client::Clock::now();
      return out;
    }
  }
  bool due = more || feed_.gap() || Client::Clock::now() >= next_read_;
  if (asked_ == 0 && due && !feed_.ended())
    asked_ = client_.ask(ReadEvents{{to_string(run_), ""}, feed_.last(), kPage});
  return out;
}

}  // namespace millrace
