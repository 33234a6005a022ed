#include "common/io/zap.h"

#include <array>
#include <string>
#include <utility>
#include <zmq.hpp>

#include "common/io/curve.h"

namespace millrace {
namespace {

constexpr const char* kEndpoint = "inproc://zeromq.zap.01";
constexpr std::string_view kVersion = "1.0";
constexpr std::size_t kRawKeyBytes = 32;

// Version, request id, domain, address, routing id of our socket, mechanism, and what the mechanism brings.
constexpr std::size_t kParts = 7;

std::string z85(std::string_view raw) {
  std::array<char, kCurveKeyChars + 1> text{};
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(raw.data());
  return zmq_z85_encode(text.data(), bytes, raw.size()) == nullptr ? std::string() : std::string(text.data());
}

}  // namespace

ZapHandler::ZapHandler(ZmqContext& context, Decide decide)
    : ZmqSocket(context, ZMQ_REP, SocketOptions{}), decide_(std::move(decide)) {}

Status ZapHandler::open() { return bind(kEndpoint); }

void ZapHandler::answer(std::size_t at_most) {
  for (std::size_t i = 0; i < at_most && receive(frames_); ++i) answer_one(frames_);
}

void ZapHandler::answer_one(const Frames& frames) {
  std::string key;
  const bool understood =
      frames.size() == kParts && frames[0] == kVersion && frames[5] == "CURVE" && frames[6].size() == kRawKeyBytes;
  if (understood) key = z85(frames[6]);
  const bool accepted = understood && decide_({frames[2], frames[3], key});
  const std::string_view id = frames.size() > 1 ? frames[1] : std::string_view();
  const std::string_view parts[] = {kVersion, id, accepted ? "200" : "400", accepted ? "OK" : "refused", key, ""};
  (void)send_parts(parts, nullptr);
}

}  // namespace millrace
