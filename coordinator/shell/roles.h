// Roles: what a peer's role allows it, in one place.
#pragma once

#include "common/io/curve.h"
#include "common/wire/frame.h"

namespace millrace {

// The sockets of a coordinator; the word is the domain that its ZAP handler is told.
enum class Door : std::uint8_t { kMain, kEvents };
const char* to_string(Door door);

bool may_enter(Role role, Door door);      // may connect there at all
bool may_send(Role role, FrameKind kind);  // to a coordinator
const char* who_may_send(FrameKind kind);  // for messages: "a worker's"; "nobody's"

}  // namespace millrace
