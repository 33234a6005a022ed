#include "common/wire/frame.h"

#include <string>

namespace millrace {
namespace {

constexpr char kMagic[] = {'M', 'R'};

constexpr char kEnvelopes[][kEnvelopeBytes] = {
    {kMagic[0], kMagic[1], kProtocolVersion, 1}, {kMagic[0], kMagic[1], kProtocolVersion, 2},
    {kMagic[0], kMagic[1], kProtocolVersion, 3}, {kMagic[0], kMagic[1], kProtocolVersion, 4},
    {kMagic[0], kMagic[1], kProtocolVersion, 5}, {kMagic[0], kMagic[1], kProtocolVersion, 6},
};

Error refuse(Code code, const char* name, std::string what) { return {code, "frame: " + what, {}, name}; }

}  // namespace

const char* to_string(FrameKind kind) {
  switch (kind) {
    case FrameKind::kWorker: return "worker message";
    case FrameKind::kCoordinator: return "coordinator message";
    case FrameKind::kRequest: return "request";
    case FrameKind::kReply: return "reply";
    case FrameKind::kEvents: return "events";
    case FrameKind::kPeer: return "forwarded request";
  }
  return "unknown";
}

std::string_view envelope(FrameKind kind) { return {kEnvelopes[static_cast<std::size_t>(kind) - 1], kEnvelopeBytes}; }

Status check_body(FrameKind kind, std::size_t body_bytes) {
  if (body_bytes <= body_max(kind)) return Done{};
  return refuse(Code::kRefused, "frame_too_large",
                std::string("a ") + to_string(kind) + " of " + std::to_string(body_bytes) + " bytes, at most " +
                    std::to_string(body_max(kind)) + " are allowed");
}

Result<FrameKind> check_envelope(std::string_view envelope, std::size_t body_bytes) {
  if (envelope.size() != kEnvelopeBytes || envelope[0] != kMagic[0] || envelope[1] != kMagic[1]) {
    return refuse(Code::kInvalid, "frame_magic", "not a Millrace message");
  }
  const auto version = static_cast<std::uint8_t>(envelope[2]);
  if (version != kProtocolVersion) {
    return refuse(Code::kRefused, "frame_version",
                  "the peer speaks protocol version " + std::to_string(version) + ", this side speaks version " +
                      std::to_string(kProtocolVersion));
  }
  const auto number = static_cast<std::uint8_t>(envelope[3]);
  if (number < static_cast<std::uint8_t>(FrameKind::kWorker) || number > static_cast<std::uint8_t>(FrameKind::kPeer)) {
    return refuse(Code::kInvalid, "frame_kind", "unknown kind " + std::to_string(number));
  }
  const auto kind = static_cast<FrameKind>(number);
  if (Status fits = check_body(kind, body_bytes); !fits.ok()) return fits.error();
  return kind;
}

Result<std::string_view> open_frame(std::span<const std::string_view> parts, FrameKind expected) {
  if (parts.size() != 2) {
    return refuse(Code::kInvalid, "frame_parts",
                  "2 parts expected, an envelope and a body, but there are " + std::to_string(parts.size()));
  }
  Result<FrameKind> kind = check_envelope(parts[0], parts[1].size());
  if (!kind.ok()) return kind.error();
  if (*kind != expected) {
    return refuse(Code::kInvalid, "frame_kind",
                  std::string("a ") + to_string(expected) + " expected, not a " + to_string(*kind));
  }
  return parts[1];
}

}  // namespace millrace
