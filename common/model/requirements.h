// What a node asks of the worker that runs it, and what a worker has to give.
//
// Amounts are whole numbers: of `cpu` in thousandths of a core, of `memory` in bytes, of every other resource in
// tokens. Promises: plain values; lacking() and fits() are total and never throw. Threads: pure, any.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/model/executor_fields.h"

namespace millrace {

constexpr std::string_view kDefaultQueue = "default";
constexpr std::string_view queue_or_default(std::string_view queue) { return queue.empty() ? kDefaultQueue : queue; }
constexpr std::string_view kAnyQueue = "*";  // of a worker: it serves all of them
constexpr std::size_t kLabelMax = 256;       // bytes of a label's name or value
constexpr std::size_t kLabelRulesMax = 64;
constexpr std::size_t kLabelValuesMax = 256;  // of one rule
constexpr std::size_t kResourcesMax = 64;
constexpr std::size_t kHintsMax = 64;
constexpr std::uint64_t kAmountMax = std::uint64_t{1} << 53;

// One entry of `requires`: the label's value is (or, negated, is not) one of `values`.
struct LabelRule {
  std::string label;
  bool negated = false;             // a worker without the label passes then
  std::vector<std::string> values;  // ascending; none: any value ("*")
  auto operator<=>(const LabelRule&) const = default;
};

struct Resource {
  std::string name;
  std::uint64_t amount = 0;
  auto operator<=>(const Resource&) const = default;
};
using Resources = std::vector<Resource>;  // by name, ascending, no repeats

// A wish about where a task runs in relation to others: those of a node of its run, or all that share a key.
struct PlaceHint {
  bool node = false;
  std::string text;  // the node's id; or the key, in which inputs and upstream outputs may stand
  auto operator<=>(const PlaceHint&) const = default;
};

// Tasks that are alike in this may run on the same workers.
struct Requirements {
  std::string executor;
  std::string queue;  // empty: default
  SlotClass slot_class = SlotClass::kCpu;
  std::vector<LabelRule> labels;
  Resources resources;
  bool hinted = false;  // has wishes of its own, or others have wishes about it
  auto operator<=>(const Requirements&) const = default;
};

struct WorkerHello;

// What the worker lacks, whatever else runs there: "label gpu=a100 (has gpu=v100)", "memory 4GiB (has 2GiB)". Empty: it
// could run such a task.
std::vector<std::string> lacking(const Requirements& wanted, const WorkerHello& worker);
bool able(const Requirements& wanted, const WorkerHello& worker);  // lacking() says nothing
// Whether labels alone are what keeps this worker from it.
bool lacks_only_labels(const Requirements& wanted, const WorkerHello& worker);

std::string describe(const LabelRule& rule);          // "gpu=a100", "zone in (a, b)", "ssd=*", "not arch=arm64"
std::string describe(const Requirements& wanted);     // "executor python, gpu=a100, cpu 2, memory 4GiB"
std::string format_amount(const Resource& resource);  // "2", "0.5", "4GiB", "3"

// An amount as it is written: cores (`2`, `0.5`), a size with its unit (`4GiB`), tokens (`3`). Errors: kInvalid, with
// what is expected.
Result<std::uint64_t> parse_amount(std::string_view resource, std::string_view text);
std::string_view amount_expected(std::string_view resource);
bool is_resource_name(std::string_view name);  // as a node id

}  // namespace millrace
