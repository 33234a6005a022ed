// Client: a coordinator's operator port, as the CLI uses it; the same over tcp:// and, embedded, over inproc://.
//
// Promises: what is asked is asked again after a silence, on a fresh connection and at the next coordinator if there
// are several, until it is answered or forgotten; the death of a coordinator goes unnoticed but for the wait.
// Coordinators say who the others are: one address leads to all. Events come from all of them: whoever owns the run
// publishes. Requests are idempotent (a submission carries a key), so asking twice is harmless; the first answer
// counts. Bus events are a hint: they may be missing, doubled or out of order (EventFeed puts that right). Threads:
// one; it does its work inside pump(). Owns its sockets; the context outlives it. Fails: call() says kUnavailable when
// nothing at all was heard within its time, kTimeout when only the answer is late, or what the coordinator answered.
// Keys that stand between us and every endpoint end the waiting at once, with what ConnectionFaults says; so does a
// refusal of our key, for all that is asked.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cli/views.h"
#include "common/io/connection_watch.h"
#include "common/io/zmq_socket.h"
#include "common/model/operator_messages.h"

namespace millrace {

struct ClientOptions {
  std::vector<std::string> endpoints;  // tried in turn, and after them those that they name
  Duration patience = 2s;              // silence after which everything pending is asked again
  int wake_fd = -1;                    // readable: pump() returns; -1: none
  std::optional<CurveClient> curve = {};
};

class Client {
 public:
  using Number = std::uint64_t;  // of a request
  using Clock = std::chrono::steady_clock;

  Client(ZmqContext& context, ClientOptions options);
  ~Client();

  // Connects and pings. Errors: kInvalid for an endpoint that is none; kUnavailable with a text that helps.
  Result<PingReply> connect(Duration timeout = 5s);

  Number ask(OperatorRequest request);
  void forget(Number number);
  std::optional<OperatorReply> take(Number number);  // its answer, once, if there is one
  std::vector<Event> take_events();                  // of subscribed runs, since the last call

  // Sends, receives, asks again; returns when something came, the wake descriptor is readable, or the time is over.
  void pump(Duration timeout);

  // Asks and waits. An ErrorReply becomes its Error.
  Result<OperatorReply> call(const OperatorRequest& request, Duration timeout);
  template <class Reply>
  Result<Reply> call_for(const OperatorRequest& request, Duration timeout);

  // Live events of a run from now on. Without an event endpoint nothing comes.
  void subscribe(RunId run);

  // Fetches what is missing of a value, part after part; `keep` is told where each belongs, and that nothing counts any
  // more by an empty one at 0. Each part has `timeout`. Errors: kNotFound when it is gone; `damaged`; what `keep` says.
  using KeepPart = std::function<Status(std::uint64_t from, std::string_view bytes)>;
  Status fetch(const Hash128& hash, PartsIn& parts, Duration timeout, const KeepPart& keep);

  // What is stored under a reference: JSON, or what it is put together from. Errors: kNotFound when it is gone.
  Result<std::string> stored(const Payload& payload, Duration timeout);
  // Reads a value, fetching it where it is a reference. Errors: as stored(); kRefused, "too_large": a list that cannot
  // be had as one value.
  Result<Value> read(const Payload& payload, Duration timeout);
  ReadPayload reader(Duration timeout);

  bool silent() const { return silences_ > 0; }  // nothing has been heard for a while though something is asked
  const std::string& endpoint() const { return options_.endpoints[endpoint_]; }

 private:
  struct Pending {
    OperatorRequest request;
    bool sent = false;
  };

  void open();  // a fresh connection to the current endpoint
  void send_pending();
  void receive_replies();
  void receive_events();
  void keep(Number number, OperatorReply reply);
  void learn(const PingReply& ping);
  void follow_buses(const PingReply& ping);
  void ask_for_members(Clock::time_point now);
  void check_silence(Clock::time_point now);
  void look_at_handshakes();
  void next_endpoint();
  void answer_all(const Error& error);
  SocketOptions socket_options() const;
  Duration patience() const;

  ZmqContext& context_;
  ClientOptions options_;
  std::size_t endpoint_ = 0;
  std::unique_ptr<DealerSocket> dealer_;
  std::unique_ptr<ConnectionWatch> watch_;      // of dealer_: it ends first
  std::vector<ConnectionFaults> faults_;        // by endpoint, as is the next
  std::vector<std::optional<Error>> no_entry_;  // until a handshake succeeds there
  std::unique_ptr<SubSocket> bus_;
  std::vector<std::string> given_;          // endpoints, before any were learned
  std::vector<std::string> bus_endpoints_;  // that bus_ is connected to
  Clock::time_point members_asked_ = Clock::now();
  std::vector<std::string> topics_;
  std::map<Number, Pending> pending_;
  std::map<Number, OperatorReply> answered_;
  std::vector<Event> events_;
  Number last_number_ = 0;
  Number ping_ = 0;  // our own, after a change of connection
  std::size_t pending_bytes_ = 0;
  Clock::time_point heard_;  // last sign of life, or when we began to listen for one
  std::uint64_t messages_ = 0;
  std::uint32_t silences_ = 0;  // in a row
};

// Whether asking again may be answered otherwise, with nobody's help.
bool may_pass(const Error& error);
// "tcp://a:5711,tcp://b:5711" as its parts; errors name the part that is no endpoint.
Result<std::vector<std::string>> parse_endpoints(std::string_view text);
// Where to find the bus: "*" and "0.0.0.0" stand for the host that the client used.
std::string resolve_bus_endpoint(std::string_view announced, std::string_view endpoint);

template <class Reply>
Result<Reply> Client::call_for(const OperatorRequest& request, Duration timeout) {
  Result<OperatorReply> reply = call(request, timeout);
  if (!reply.ok()) return std::move(reply).error();
  if (Reply* wanted = std::get_if<Reply>(&*reply)) return std::move(*wanted);
  return Error{Code::kInternal, "the coordinator gave an answer of another kind", {}, "protocol"};
}

}  // namespace millrace
