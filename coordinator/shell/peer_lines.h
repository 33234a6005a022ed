// PeerLines: the lines to other coordinators, over which requests are forwarded: a DEALER for each, to the address that
// the other one published. Answers come back on it.
//
// Promises: sending never blocks; a line is opened when it is first needed, and of more than kLinesMax the one unused
// for longest is closed (what was asked on it is asked again by who waits). Bad bytes stop here. Threads: one, the
// loop's. Fails: never; what is not taken is an answer.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/io/zmq_socket.h"
#include "coordinator/shell/ports.h"

namespace millrace {

class PeerLines {
 public:
  static constexpr std::size_t kLinesMax = 256;

  // `curve`: our key and the others', which is the same; none: nothing is encrypted.
  explicit PeerLines(ZmqContext& context, std::optional<CurveClient> curve = std::nullopt)
      : context_(context), curve_(std::move(curve)) {}

  bool send(const std::string& endpoint, std::uint64_t number, std::uint8_t hops, const OperatorRequest& request);
  void poll(std::vector<Incoming>& out, std::size_t at_most);
  void wake(Poller& poller) { poller_ = &poller; }  // is to be woken by answers; outlives this
  std::uint64_t frames_refused() const { return refused_; }

 private:
  struct Line {
    std::unique_ptr<DealerSocket> socket;
    Poller::Slot slot = 0;
    std::uint64_t used = 0;
  };
  Line* line_to(const std::string& endpoint);
  void close_one();

  ZmqContext& context_;
  std::optional<CurveClient> curve_;
  Poller* poller_ = nullptr;
  std::map<std::string, Line> lines_;  // by endpoint
  std::uint64_t uses_ = 0;
  std::uint64_t refused_ = 0;
  Frames frames_;
};

}  // namespace millrace
