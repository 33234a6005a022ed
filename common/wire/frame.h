// Frame: the envelope around every body on a socket. A message is two parts: the envelope ('M' 'R' version kind), then
// the body (see codec.h). On the event bus a topic part stands before them.
//
// Promises: a peer of another version, a stranger and an oversized body are told apart by the Error's name:
// "frame_parts", "frame_magic", "frame_version", "frame_kind", "frame_too_large". Check sizes before sending as well:
// a socket drops the connection of a sender whose message is too large, and tells it nothing.
// Threads: any. Units: bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "common/base/result.h"
#include "common/model/payload.h"

namespace millrace {

constexpr std::uint8_t kProtocolVersion = 1;
constexpr std::size_t kEnvelopeBytes = 4;

// Append only: numbers travel. kPeer: a request that one coordinator forwards to another; the answer is a kReply.
enum class FrameKind : std::uint8_t { kWorker = 1, kCoordinator = 2, kRequest = 3, kReply = 4, kEvents = 5, kPeer = 6 };
const char* to_string(FrameKind kind);

constexpr std::size_t kFrameMax = kValueMax + 1024 * 1024;  // a value as large as one may be, and what is around it
constexpr std::size_t kRequestMax = 128 * 1024 * 1024;      // a definition of kTasksMax nodes, and inputs
constexpr std::size_t kEventsMax = 16 * 1024 * 1024;        // the events of one commit

constexpr std::size_t body_max(FrameKind kind) {
  switch (kind) {
    case FrameKind::kWorker:
    case FrameKind::kCoordinator:
    case FrameKind::kReply: return kFrameMax;
    case FrameKind::kRequest:
    case FrameKind::kPeer: return kRequestMax;
    case FrameKind::kEvents: return kEventsMax;
  }
  return 0;
}

// The four bytes to send before a body; they live for ever.
std::string_view envelope(FrameKind kind);

Result<FrameKind> check_envelope(std::string_view envelope, std::size_t body_bytes);

// The body of a received message of one kind; `parts` are without routing id and topic. A loan on the last part.
Result<std::string_view> open_frame(std::span<const std::string_view> parts, FrameKind expected);
// Whether a body may be sent: kRefused, "frame_too_large".
Status check_body(FrameKind kind, std::size_t body_bytes);

}  // namespace millrace
