// Pauses: what an operator lets start nothing more, all over the cluster: the runs of a workflow, or the tasks of a
// queue. Plain values.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/time.h"

namespace millrace {

enum class PauseKind : std::uint8_t { kWorkflow, kQueue };
constexpr PauseKind kPauseKindLast = PauseKind::kQueue;

struct PauseName {
  PauseKind kind = PauseKind::kWorkflow;
  std::string tenant;  // of a workflow; queues are everybody's: empty
  std::string name;
  auto operator<=>(const PauseName&) const = default;
};

struct Pause {
  PauseName what;
  Time since{};
  std::string caller;  // who did it; may be empty
  std::string why;     // likewise
  bool operator==(const Pause&) const = default;
};

constexpr std::size_t kPauseNameMax = 256;   // bytes of a name, a tenant, a caller
constexpr std::size_t kPauseWhyMax = 1'024;  // bytes
constexpr std::size_t kPausesMax = 1'000;    // whose home is one partition

std::string describe(const PauseName& what);  // "workflow 'insight'", "queue 'gpu'"
std::string describe(const Pause& pause);     // "queue 'gpu' is paused by alice: new drivers"

}  // namespace millrace
