// RawClient: a client of the operator port that adds as little as it can to what is measured: one socket, no retries.
//
// Threads: one. Fails: a reply that does not come in time is kTimeout; a refused request its Error.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "common/io/zmq_socket.h"
#include "common/model/operator_messages.h"

namespace millrace::bench {

class RawClient {
 public:
  explicit RawClient(const std::string& endpoint, const std::optional<CurveClient>& keys = {});

  std::uint64_t ask(const OperatorRequest& request);  // returns its number
  // The next reply, whichever it answers. A timeout of zero only looks.
  Result<std::pair<std::uint64_t, OperatorReply>> next(Duration timeout);
  void wait(Duration at_most) { poller_.wait(at_most); }  // until a reply may be there
  Result<OperatorReply> call(const OperatorRequest& request, Duration timeout);

  // Waits until the coordinator serves and `workers` have joined.
  Status wait_ready(std::uint32_t workers, Duration timeout);
  // What submission() submits from now on. Its bytes go with the first one only.
  void use(std::string definition_bytes);
  // A run of its own: `wait` is answered at its end (RunReply), otherwise when it is durable (SubmitReply).
  SubmitRun submission(bool wait);

 private:
  ZmqContext context_;
  DealerSocket socket_;
  Poller poller_;
  Frames frames_;
  std::uint64_t numbers_ = 0;
  std::uint64_t keys_ = 0;
  std::string session_;
  Hash128 definition_;
  std::shared_ptr<const std::string> unsent_definition_;
};

}  // namespace millrace::bench
