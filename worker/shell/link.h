// Link: the line to one coordinator: a DEALER socket that speaks the worker protocol.
//
// Promises: send() never blocks and keeps the order; what the socket does not take is kept, up to kOutboxMax bytes.
// Beyond that messages are dropped, and receive() then says SayHello, as it does when a batch named a node spec that
// was never sent: after a Hello both sides agree again. A line that does not answer Hello for kReopenAfter is opened
// anew (`reopened`): an old connection that only looks alive must not hold it. A line that cannot stand because of keys
// says so by fault(), and is tried again in the same way.
// Threads: one. Fails: connect() for an endpoint that is not well formed; a coordinator that is away is waited for.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/io/connection_watch.h"
#include "common/io/zmq_socket.h"
#include "common/model/worker_messages.h"
#include "common/wire/codec.h"

namespace millrace {

constexpr std::size_t kOutboxMax = 16 * 1024 * 1024;  // a single larger message is kept when nothing else waits
constexpr std::size_t kOutboxLogsMax = 1024 * 1024;   // logs give way earlier
constexpr Duration kReopenAfter = 10s;  // doubled while nothing is heard: what is large takes long over a narrow line
constexpr Duration kReopenAfterMax = 160s;
constexpr Duration kTellFaultEvery = 60s;

class CoordinatorLink {
 public:
  static Result<std::unique_ptr<CoordinatorLink>> connect(ZmqContext& context, std::string endpoint,
                                                          std::optional<CurveClient> curve = {});

  void send(Time now, const WorkerMessage& message);
  // Appends at most `at_most` messages and returns how many.
  std::size_t receive(std::vector<CoordinatorMessage>& out, std::size_t at_most);
  // Sends what is left over; opens the line anew when it must be. True: it was opened anew, say Hello.
  bool pass(Time now);
  const std::optional<Error>& fault() const { return fault_; }  // as of the latest pass()
  // Its news may be faults only: readable without a message.
  const ZmqSocket& watch() const { return *watch_; }
  bool congested() const { return !outbox_.empty(); }
  const ZmqSocket& socket() const { return *socket_; }
  const std::string& endpoint() const { return endpoint_; }

 private:
  CoordinatorLink(ZmqContext& context, std::string endpoint, std::optional<CurveClient> curve)
      : context_(context),
        endpoint_(std::move(endpoint)),
        curve_(std::move(curve)),
        faults_(endpoint_, curve_.has_value()) {}
  Status open();
  bool push(std::string& body);
  void look_at_handshakes(Time now);
  void take_in(const Frames& frames, std::vector<CoordinatorMessage>& out);

  ZmqContext& context_;
  std::string endpoint_;
  std::optional<CurveClient> curve_;
  std::optional<DealerSocket> socket_;
  std::unique_ptr<ConnectionWatch> watch_;  // after the socket: it ends first
  ConnectionFaults faults_;
  std::optional<Error> fault_;
  Time fault_since_ = kNever;
  Time fault_told_ = kNever;
  SpecCache specs_;
  std::deque<std::string> outbox_;
  std::size_t outbox_bytes_ = 0;
  bool out_of_step_ = false;
  Time hello_unanswered_since_ = kNever;
  Duration reopen_after_ = kReopenAfter;
  std::size_t bad_frames_ = 0;
  Frames frames_;
};

}  // namespace millrace
