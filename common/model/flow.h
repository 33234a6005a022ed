// Flow: what a node says about whether it runs at all: conditions, branches, joins, failures upstream, fallbacks; what
// it waits for; what happens when it fails. Decided in the core (coordinator/core/flow.cc, waiting.cc, cleanup.cc);
// docs/workflow.md has the rules with examples.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/time.h"
#include "common/base/value.h"

namespace millrace {

constexpr std::size_t kBranchCasesMax = 256;
constexpr std::uint32_t kJoinMax = 10'000;
constexpr std::size_t kRolesMax = 64;        // of an approval
constexpr std::size_t kHandlersMax = 1'000;  // nodes that one list of handlers names
constexpr std::size_t kSignalsSeenMax = 64;  // of a run: signals that would be recognised if they came again
constexpr std::uint32_t kChunkMax = 10'000;  // items of one attempt
constexpr std::uint32_t kParallelMax = 100'000;

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

enum class WaitKind : std::uint8_t { kTimer, kSignal, kApproval, kChild };

// What the end of its time decides for an approval that nobody decided.
enum class ApprovalDefault : std::uint8_t { kNone, kApprove, kReject };

// A node that waits. Times are written as a duration from when it begins to wait ("10s", or a number of seconds) or as
// a moment (RFC 3339, or seconds since 1970); expressions give either.
struct WaitSpec {
  WaitKind kind = WaitKind::kTimer;
  std::optional<Value> limit;      // timer: how long; signal, approval: at most so long; nothing: for ever
  bool until = false;              // of a timer: `limit` is a moment
  std::string signal;              // its name
  std::optional<Value> otherwise;  // signal: the output when its time is over; without it the node fails
  ApprovalDefault decides = ApprovalDefault::kNone;
  std::vector<std::string> roles;  // who may decide: in one of these; none: anybody
  std::optional<Value> message;    // what is asked; with expressions
  std::string workflow;            // of a child run: the registered workflow that it runs
  std::uint32_t version = 0;       // zero: the current one when it begins
  std::optional<Value> with;       // its inputs: an object, with expressions
  bool operator==(const WaitSpec&) const = default;
};

enum class ForeachKind : std::uint8_t {
  kItems,  // of a list, an object ({key, value} each) or a text (its lines)
  kRange,  // {from, to, step}: whole numbers from `from` up to but without `to`
};

enum class OnItemError : std::uint8_t {
  kFail,      // the node fails
  kContinue,  // null stands in the item's place
  kDrop,      // the item is left out of the output
};

// A mapped node: its executor runs once for each item; its output is the list of their outputs, in the items' order.
struct ForeachSpec {
  ForeachKind kind = ForeachKind::kItems;
  Value over;                      // an expression or a literal; of a range an object
  std::uint32_t chunk = 0;         // items of one attempt; zero: found out while it runs
  std::uint32_t parallel_max = 0;  // attempts at once; zero: as many as workers take
  OnItemError on_error = OnItemError::kFail;
  std::optional<Value> collect;  // rendered on the worker, takes the place of an item's output; false: nothing is kept
  bool operator==(const ForeachSpec&) const = default;
};

// The node that a loop ends in: its output is that of the last of its rounds, the nodes that it waits for, that ran.
struct LoopSpec {
  std::uint32_t rounds = 0;
  bool fails = true;  // if there would be another round after the last; else that is its end
  bool operator==(const LoopSpec&) const = default;
};

// The output of a node is kept under a key, cluster-wide, and taken by tasks of the same key instead of computing it.
struct CacheSpec {
  std::optional<Value> key;  // with expressions; nothing: all that the node sees
  Duration ttl{};            // how old a value may be that it takes
  bool operator==(const CacheSpec&) const = default;
};

struct FlowSpec {
  std::optional<Value> when;         // one expression, or a boolean; false: skipped
  std::optional<BranchSpec> branch;  // then the node has neither an executor nor a value
  std::uint32_t join = 0;            // so many upstream nodes that succeeded are enough; zero: all that live
  OnUpstreamFailure on_upstream_failure = OnUpstreamFailure::kSkip;
  std::optional<Value> fallback;  // its output if it finally fails; the run is degraded then
  std::string stand_in = {};      // the node that runs in its place then, and gives its output; empty: none
  bool fallback_cached = false;   // then it takes what `cache` has, however old
  std::optional<CacheSpec> cache = {};
  std::optional<WaitSpec> wait;         // then the node has neither an executor nor a value
  std::vector<std::string> on_failure;  // nodes that run if it finally fails
  std::string compensate;               // the node that undoes it when the run fails or is cancelled; empty: none
  std::optional<ForeachSpec> foreach;   // the node is mapped
  std::string gate = {};                // the node that its sub-graph begins with: it runs only if that did
  std::optional<LoopSpec> loop = {};    // then its value is nothing of its own
  std::uint32_t round = 0;              // of a loop's round that ends in this node, from 1; zero: none
  bool sets = false;                    // the members of its value are variables of the run
  bool operator==(const FlowSpec&) const = default;
};

}  // namespace millrace
