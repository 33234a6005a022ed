// What the exit codes of `millrace` mean. They are a contract: scripts rely on them (docs/cli.md).
#pragma once

#include "common/base/result.h"
#include "common/model/task_state.h"

namespace millrace {

enum ExitCode : int {
  kExitOk = 0,
  kExitRunFailed = 1,  // also: a fault of our own
  kExitUsage = 2,      // wrong flags, an invalid workflow, inputs that do not fit, an ambiguous prefix
  kExitNotFound = 3,
  kExitTimeout = 4,
  kExitUnreachable = 5,
  kExitRefused = 6,
  kExitConflict = 7,
  kExitCancelled = 8,
  kExitInterrupted = 130,
};

constexpr int exit_code(Code code) {
  switch (code) {
    case Code::kInvalid: return kExitUsage;
    case Code::kNotFound: return kExitNotFound;
    case Code::kTimeout: return kExitTimeout;
    case Code::kUnavailable: return kExitUnreachable;
    case Code::kRefused: return kExitRefused;
    case Code::kConflict: return kExitConflict;
    case Code::kCancelled: return kExitCancelled;
    case Code::kFailed:
    case Code::kInternal: return kExitRunFailed;
  }
  return kExitRunFailed;
}

// Of a command that waited for a run. A live run has no verdict yet: 0.
constexpr int exit_code(RunState state) {
  switch (state) {
    case RunState::kFailed: return kExitRunFailed;
    case RunState::kCancelled: return kExitCancelled;
    case RunState::kAccepted:
    case RunState::kRunning:
    case RunState::kPaused:
    case RunState::kFailing:
    case RunState::kCancelling:
    case RunState::kSucceeded:
    case RunState::kDegraded: return kExitOk;
  }
  return kExitRunFailed;
}

}  // namespace millrace
