// Outcome: how one attempt ended, as an executor says it and a coordinator records it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/time.h"
#include "common/model/payload.h"
#include "common/model/task_state.h"

namespace millrace {

constexpr std::size_t kErrorMessageMax = 4 * 1024;
constexpr std::size_t kErrorTracebackMax = 16 * 1024;

constexpr std::size_t kLostAttemptsKept = 16;  // of a task; the latest

// An attempt whose worker, or whose owner, went away: what is left of it as evidence.
struct LostAttempt {
  std::uint32_t attempt = 0;
  std::string worker;
  Time dispatched{};
  Time lost{};
  std::string how;  // "worker 'w1' went silent"
  bool operator==(const LostAttempt&) const = default;
};

// Why an attempt failed, for people. Bounded by whoever creates it (see clip()).
struct ErrorInfo {
  std::string message;                   // one line: "ZeroDivisionError: division by zero"
  std::string traceback;                 // many lines, in the user's own line numbers; may be empty
  std::vector<LostAttempt> losses = {};  // of a task's attempts so far, the first first
  bool operator==(const ErrorInfo&) const = default;
};

// Cuts at a limit without splitting a UTF-8 sequence and marks the cut.
std::string clip(std::string text, std::size_t bytes_max);

// How the items of one attempt ended. They run one after the other, in their order; those that did not start are dealt
// out again.
struct ItemFailure {
  std::uint32_t offset = 0;  // within the attempt
  Reason reason = Reason::kError;
  ErrorInfo error;
  bool operator==(const ItemFailure&) const = default;
};
struct ItemsOutcome {
  std::uint32_t count = 0;            // the attempt had
  std::uint32_t done = 0;             // ended, from the first; Outcome::output is the array of their outputs
  std::vector<ItemFailure> failures;  // among them, by offset; null stands in their place
  bool operator==(const ItemsOutcome&) const = default;
};

// A file that a task hands over: kept by its content hash as large values are, as long as the run is.
struct Artifact {
  std::string name;  // of the task's: artifact_name_problem() finds nothing
  std::string type;  // of its content: "text/plain"; empty: not said
  Hash128 hash;
  std::uint64_t size = 0;
  bool operator==(const Artifact&) const = default;
};
using Artifacts = std::shared_ptr<const std::vector<Artifact>>;  // by name; null: none

constexpr std::size_t kArtifactsMax = 64;            // of one attempt
constexpr std::uint64_t kArtifactMax = kValueMax;    // bytes of one
constexpr std::uint64_t kArtifactsRunMax = 1 << 30;  // bytes of all that a run's tasks hold
constexpr std::size_t kArtifactNameMax = 200;        // bytes
constexpr std::size_t kArtifactTypeMax = 100;

// A name is one name of a file, without a path: what is wrong with it, or "".
std::string artifact_name_problem(std::string_view name);
std::string artifact_type_problem(std::string_view type);
std::uint64_t bytes_of(const Artifacts& artifacts);
bool same_artifacts(const Artifacts& a, const Artifacts& b);

struct Outcome {
  bool success = false;
  Reason reason = Reason::kNone;                   // kNone on success
  ErrorInfo error;                                 // empty on success
  Payload output;                                  // also kept on failure where there is one (shell)
  Duration waited{};                               // in the worker, from assignment to start
  Duration ran{};                                  // from start to end, by the worker's clock
  std::shared_ptr<const ItemsOutcome> items = {};  // of attempts that have items; null: of any other, or none started
  Artifacts artifacts = {};                        // also of one that failed
  bool operator==(const Outcome& other) const;
};

}  // namespace millrace
