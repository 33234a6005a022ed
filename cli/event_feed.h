// EventFeed: puts the events of one run in order, from a bus that may lose them and a stream that has them all.
//
// Promises: durable events come out once each, by seq, without a hole; ephemeral ones come out as they arrive.
// Pure: it says what is missing, RunEvents asks for it. Threads: none of its own.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cli/client.h"
#include "common/model/operator_messages.h"

namespace millrace {

class EventFeed {
 public:
  explicit EventFeed(std::uint64_t since = 0) : last_(since) {}

  void from_bus(std::span<const Event> events, std::vector<Event>& out);
  void from_stream(const EventsReply& reply, std::vector<Event>& out);

  std::uint64_t last() const { return last_; }  // seq of the latest durable event that came out
  bool gap() const { return seen_ > last_; }    // the stream must be read from last()
  bool ended() const { return ended_; }         // the run's last event came out

 private:
  void offer(const Event& event, std::vector<Event>& out);

  std::uint64_t last_;
  std::uint64_t seen_ = 0;  // the highest seq the bus spoke of
  bool ended_ = false;
};

// The events of one run over a client: live from the bus, holes filled from the stream, which is also read every
// `kReread` in case the bus is silent. Fails: as the coordinator answers; what passes by itself is tried again.
class RunEvents {
 public:
  static constexpr Duration kReread = 2s;
  static constexpr std::uint32_t kPage = 1000;
  static constexpr Duration kLastWord = 200ms;  // that the bus has, when the stream ends in an error

  RunEvents(Client& client, RunId run, std::uint64_t since);
  ~RunEvents() { client_.forget(asked_); }
  RunEvents(const RunEvents&) = delete;
  RunEvents& operator=(const RunEvents&) = delete;

  // After a pump(): what came, in order. Asks for what is missing.
  Result<std::vector<Event>> step();
  bool ended() const { return feed_.ended(); }
  Duration until_next_read() const;  // how long pump() may wait

 private:
  Client& client_;
  RunId run_;
  EventFeed feed_;
  Client::Number asked_ = 0;  // 0: nothing asked
  std::optional<Error> failed_;
  Client::Clock::time_point failed_at_;
  Client::Clock::time_point next_read_;
};

}  // namespace millrace
