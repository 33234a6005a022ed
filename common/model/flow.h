// Flow: what a node says about whether it runs at all: conditions, branches, joins, failures upstream, fallbacks.
// Decided in the core (coordinator/core/flow.cc); docs/workflow.md has the rules with examples.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/value.h"

namespace millrace {

constexpr std::size_t kBranchCasesMax = 256;
constexpr std::uint32_t kJoinMax = 10'000;

// Upstream nodes that failed, or were skipped because one failed.
enum class OnUpstreamFailure : std::uint8_t {
  kSkip,  // the node is skipped, and what waits for it
  kRun,   // it runs, and sees null in their place; such a failure does not stop the run
};

struct BranchCase {
  Value when;                   // one expression, or a boolean
  std::vector<std::string> to;  // nodes that run if it holds
  bool operator==(const BranchCase&) const = default;
};

// A branch node: its cases are looked at in their order; nodes that no branch chooses are skipped.
struct BranchSpec {
  std::vector<BranchCase> cases;
  std::vector<std::string> otherwise;  // if no case holds
  bool first = false;                  // only the first case that holds counts; else all that hold
  bool operator==(const BranchSpec&) const = default;
};

struct FlowSpec {
  std::optional<Value> when;         // one expression, or a boolean; false: skipped
  std::optional<BranchSpec> branch;  // then the node has neither an executor nor a value
  std::uint32_t join = 0;            // so many upstream nodes that succeeded are enough; zero: all that live
  OnUpstreamFailure on_upstream_failure = OnUpstreamFailure::kSkip;
  std::optional<Value> fallback;  // its output if it finally fails; the run is degraded then
  bool operator==(const FlowSpec&) const = default;
};

}  // namespace millrace
