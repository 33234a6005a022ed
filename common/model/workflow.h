// WorkflowSpec: what was written, after parsing and before planning. Plain values; this is what travels and is hashed.
//
// Two forms share it. From YAML every node has its own NodeSpec and id. In the packed form (large generated graphs)
// many nodes share a NodeSpec: `spec_of` maps node to spec, `ids` is empty and node i is called "n<i>".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/adjacency.h"
#include "common/base/time.h"
#include "common/base/value.h"
#include "common/model/flow.h"
#include "common/model/requirements.h"
#include "common/model/trigger.h"

namespace millrace {

constexpr std::uint32_t kYamlNodesMax = 10'000;
constexpr std::size_t kYamlBytesMax = 8 * 1024 * 1024;
constexpr std::uint32_t kTasksMax = 2'000'000;
constexpr std::size_t kNodeIdMax = 64;
constexpr std::size_t kVariablesMax = 256;  // of a run
constexpr std::size_t kNodePathMax = 192;   // with the ids of the sub-graphs around it
constexpr std::size_t kItemNameMax = 12;    // "[4294967295]" behind the id of a mapped node
constexpr std::uint32_t kRoundsMax = 10'000;
constexpr std::size_t kSecretNameMax = 64;
constexpr std::size_t kRetryOnMax = 64;  // entries of `retry.on`

enum class InputType : std::uint8_t { kAny, kString, kInteger, kNumber, kBoolean, kObject, kArray, kFile, kSecret };

struct InputSpec {
  std::string name;
  InputType type = InputType::kAny;
  bool required = false;
  std::optional<Value> default_value;
  std::string description;
  bool operator==(const InputSpec&) const = default;
};

struct BackoffPolicy {
  Duration initial = 100ms;
  double factor = 2;
  Duration max = 10s;
  double jitter = 0.1;  // up to this part of it is added
  bool operator==(const BackoffPolicy&) const = default;
};

struct RetryPolicy {
  std::uint32_t attempts_max = 1;  // tries that ended in failure or timeout
  std::uint32_t losses_max = 3;    // tries whose worker or owner went away
  BackoffPolicy backoff;
  std::vector<std::string> on = {};  // reasons, or texts of the message with '*' for any: only these; none: the usual
  bool operator==(const RetryPolicy&) const = default;
};

enum class OnLoss : std::uint8_t { kRetry, kFail };

struct NodeSpec {
  std::string executor;        // empty: a value or a branch node
  std::optional<Value> value;  // value node: JSON with expressions, evaluated in the core
  Value fields;                // object: the executor's own fields as written (see executor_fields.h)
  RetryPolicy retry;
  OnLoss on_loss = OnLoss::kRetry;
  Duration timeout = Duration::zero();  // of one attempt; zero: none
  Duration limit = Duration::zero();    // of all attempts and the time between them, since it became ready; zero: none
  std::int32_t priority = 0;            // higher first
  std::string queue;                    // empty: default
  std::vector<LabelRule> labels = {};   // `requires`
  Resources resources = {};
  std::vector<PlaceHint> sticky = {};  // at most one
  std::vector<PlaceHint> apart = {};   // `anti_affinity`
  FlowSpec flow = {};
  bool is_control() const {  // decided in the core
    return value.has_value() || flow.branch.has_value() || flow.wait.has_value();
  }
  bool operator==(const NodeSpec&) const = default;
};

struct WorkflowSpec {
  std::string name;
  std::string description;
  std::vector<InputSpec> inputs;  // in the order written
  std::vector<NodeSpec> specs;
  std::vector<std::string> ids;        // of nodes, in the order written; empty: packed form
  std::vector<std::uint32_t> spec_of;  // node -> index into specs; empty: node i has specs[i]
  Adjacency upstream;                  // all edges, those from references included; each row ascending, no repeats
  std::vector<std::pair<std::string, Value>> outputs;  // name -> JSON with expressions
  bool outputs_declared = false;                       // false: the outputs are those of all sink nodes by id
  bool fail_fast = true;
  Duration timeout = Duration::zero();  // of the run; zero: none
  Deadline deadline = {};               // of its runs, unless a submission names another
  std::int32_t priority = 0;
  std::vector<std::string> on_failure = {};   // nodes that run when it has failed
  std::vector<std::string> finally_run = {};  // nodes that run when everything else has ended, whatever happened
  std::vector<TriggerSpec> triggers = {};     // what starts runs of it by itself, in the order written

  std::uint32_t node_count() const { return static_cast<std::uint32_t>(upstream.vertices()); }
  const NodeSpec& spec(std::uint32_t node) const { return specs[spec_of.empty() ? node : spec_of[node]]; }
  std::uint32_t spec_index(std::uint32_t node) const { return spec_of.empty() ? node : spec_of[node]; }
  std::string id(std::uint32_t node) const { return ids.empty() ? "n" + std::to_string(node) : ids[node]; }
  bool operator==(const WorkflowSpec&) const = default;
};

const char* to_string(InputType type);
std::optional<InputType> parse_input_type(std::string_view word);

// Node ids: [A-Za-z0-9_][A-Za-z0-9_.-]{0,63} and none of the reserved names.
bool is_node_id(std::string_view id);
// One, or several joined by '/': of a node of a sub-graph, behind that of the sub-graph. At most kNodePathMax.
bool is_node_path(std::string_view path);
bool is_reserved(std::string_view id);
// Names of secrets: [A-Za-z_][A-Za-z0-9_]{0,63}.
bool is_secret_name(std::string_view name);

// Fills in defaults and checks types against the declarations: every problem at once. `given` is an object.
// Absent without a default is null. Errors: kInvalid with one Problem an input.
Result<Value> bind_inputs(const std::vector<InputSpec>& declared, const Value& given);

}  // namespace millrace
