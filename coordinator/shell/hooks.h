// Hooks: what comes to webhooks over HTTP, on its way to the loop and back; and the gateway that puts it among what
// comes from clients.
//
// POST /v1/hooks/WORKFLOW/TRIGGER, with ?tenant=NAME where that is not `default`. It is answered (docs/http-schemas/
// hook.json) when its firing is durable, with the run as soon as that has been accepted, which is waited for a little.
// Promises: bounded by HooksOptions; what is too much is refused by name and changes nothing.
// Threads: handle() is the HTTP server's; everything else the loop's. Fails: never; errors are answers.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/time.h"
#include "common/io/http_server.h"
#include "common/model/operator_messages.h"
#include "coordinator/shell/ports.h"
#include "coordinator/shell/token_bucket.h"

namespace millrace {

struct HooksOptions {
  std::uint32_t per_second = 500;                // deliveries, of all webhooks; as many at once
  std::uint32_t each = 200;                      // of them, of one webhook
  std::size_t open_max = 1'000;                  // that have no answer yet
  Duration run_wait = 1'200ms;                   // for the run to be accepted
  std::function<std::int64_t()> steady_us = {};  // a clock that never goes back; none: the machine's
};

class Hooks {
 public:
  static constexpr char kUnder[] = "/v1/hooks/";

  // `wake` makes the loop's thread call poll() soon.
  Hooks(HooksOptions options, std::function<void()> wake);

  void handle(const HttpRequest& request, HttpAnswer answer);

  void poll(Time now, std::vector<Incoming>& out, std::size_t at_most);
  bool reply(Time now, RequestId request, const OperatorReply& reply);  // false: the request is none of these
  Time next_wake() const { return lookups_.empty() ? kNever : lookups_.begin()->first; }

 private:
  struct Arrived {
    HookDelivery delivery;
    HttpAnswer answer;
  };
  struct Open {
    HttpAnswer answer;
    std::string tenant;
    Time gone{};        // the server has answered for us by then
    Time until{};       // the run is looked for
    HookReply fired{};  // what its home has said, once it has
    bool durable = false;
  };
  // Nothing: it may come in.
  std::optional<Error> too_many(const HookDelivery& delivery);
  TokenBucket& bucket_of(const HookDelivery& delivery, std::int64_t now_us);
  void drop_old(Time now);
  void look_up(Time at, std::uint64_t number);
  void found(Time now, std::uint64_t number, Open& open, const OperatorReply& reply);

  HooksOptions options_;
  std::function<void()> wake_;
  std::mutex mutex_;  // held for moments: between the server's thread and the loop's, over these two
  std::deque<Arrived> arrived_;
  std::size_t waiting_ = 0;  // for an answer

  static constexpr std::size_t kBucketsMax = 1'000;  // webhooks that are told apart; more share one
  TokenBucket all_;                                  // the server's thread's, and below
  TokenBucket others_;
  std::map<std::string, TokenBucket> each_;

  std::map<std::uint64_t, Open> open_;  // the loop's
  std::multimap<Time, std::uint64_t> lookups_;
  std::uint64_t made_ = 0;
};

// A gateway at which deliveries of webhooks come in beside all else. Both outlive it.
class HookGateway : public Gateway {
 public:
  HookGateway(Gateway& inner, Hooks& hooks, const Clock& clock) : inner_(inner), hooks_(hooks), clock_(clock) {}
  void poll(std::vector<Incoming>& out, std::size_t at_most) override {
    hooks_.poll(clock_.now(), out, at_most);
    inner_.poll(out, at_most);
  }
  bool send(PeerId peer, const CoordinatorMessage& message) override { return inner_.send(peer, message); }
  void announce(std::span<const PeerId> peers, const CoordinatorMessage& message) override {
    inner_.announce(peers, message);
  }
  void reply(RequestId request, const OperatorReply& reply) override {
    if (!hooks_.reply(clock_.now(), request, reply)) inner_.reply(request, reply);
  }
  bool forward(const std::string& endpoint, std::uint64_t number, std::uint8_t hops,
               const OperatorRequest& request) override {
    return inner_.forward(endpoint, number, hops, request);
  }

 private:
  Gateway& inner_;
  Hooks& hooks_;
  const Clock& clock_;
};

// The delivery that a request is, as far as its path and headers tell. Fails: kNotFound, kInvalid.
Result<HookDelivery> read_delivery(const HttpRequest& request);
HttpReply hook_answer(const HookReply& reply, const std::string& run);  // empty: not known
HttpReply hook_answer(const Error& error);

}  // namespace millrace
