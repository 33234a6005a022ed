#include "coordinator/shell/roles.h"

namespace millrace {
namespace {

// A set of roles.
constexpr unsigned bit(Role role) { return 1U << static_cast<unsigned>(role); }
constexpr unsigned kNobody = 0;
constexpr unsigned kWorkers = bit(Role::kWorker);
constexpr unsigned kCoordinators = bit(Role::kCoordinator);
constexpr unsigned kOperators = bit(Role::kOperator) | bit(Role::kCoordinator);  // coordinators forward requests

// Which roles may send a frame of each kind to a coordinator: the table.
constexpr unsigned senders(FrameKind kind) {
  switch (kind) {
    case FrameKind::kWorker: return kWorkers;
    case FrameKind::kRequest: return kOperators;
    case FrameKind::kPeer: return kCoordinators;
    case FrameKind::kCoordinator:  // these three are what a coordinator says
    case FrameKind::kReply:
    case FrameKind::kEvents: return kNobody;
  }
  return kNobody;
}

constexpr unsigned visitors(Door door) {
  switch (door) {
    case Door::kMain: return kWorkers | kOperators;
    case Door::kEvents: return kOperators;
  }
  return kNobody;
}

}  // namespace

const char* to_string(Door door) {
  switch (door) {
    case Door::kMain: return "main";
    case Door::kEvents: return "events";
  }
  return "?";
}

bool may_enter(Role role, Door door) { return (visitors(door) & bit(role)) != 0; }
bool may_send(Role role, FrameKind kind) { return (senders(kind) & bit(role)) != 0; }

const char* who_may_send(FrameKind kind) {
  const unsigned roles = senders(kind);
  return roles == kWorkers        ? "a worker's"
         : roles == kOperators    ? "an operator's"
         : roles == kCoordinators ? "a coordinator's"
                                  : "nobody's";
}

}  // namespace millrace
