// The keys of the workflow format: one table for the parser, and for the test that holds the JSON Schema to it.
#pragma once

#include <array>
#include <string_view>

namespace millrace::keys {

inline constexpr std::array<std::string_view, 13> kWorkflow = {
    "name",    "description", "executors",  "inputs",  "nodes",    "outputs", "fail_fast",
    "timeout", "priority",    "on_failure", "finally", "triggers", "deadline"};
inline constexpr std::array<std::string_view, 9> kTrigger = {"schedule", "run_end", "webhook",  "stream", "keyspace",
                                                             "filter",   "inputs",  "debounce", "batch"};
inline constexpr std::array<std::string_view, 3> kKeyspace = {"redis", "pattern", "events"};
inline constexpr std::array<std::string_view, 3> kStream = {"redis", "key", "start"};
inline constexpr std::array<std::string_view, 2> kStreamStart = {"new", "begin"};
inline constexpr std::array<std::string_view, 5> kWebhook = {"secret", "auth", "signature", "delivery", "headers"};
inline constexpr std::array<std::string_view, 2> kHookAuth = {"signature", "bearer"};
inline constexpr std::array<std::string_view, 2> kDebounce = {"pause", "longest"};
inline constexpr std::array<std::string_view, 2> kBatch = {"max", "window"};
inline constexpr std::array<std::string_view, 2> kRunEnd = {"workflow", "statuses"};
inline constexpr std::array<std::string_view, 4> kEndStatuses = {"succeeded", "degraded", "failed", "cancelled"};
inline constexpr std::array<std::string_view, 6> kSchedule = {"cron",    "timezone", "jitter",
                                                              "overlap", "catch_up", "catch_up_limit"};
inline constexpr std::array<std::string_view, 4> kOverlap = {"skip", "queue", "allow", "cancel"};
inline constexpr std::array<std::string_view, 3> kCatchUp = {"none", "one", "all"};
inline constexpr std::array<std::string_view, 4> kInput = {"type", "required", "default", "description"};
inline constexpr std::array<std::string_view, 9> kInputTypes = {"any",    "string", "integer", "number", "boolean",
                                                                "object", "array",  "file",    "secret"};
// What a node is: one of these keys.
inline constexpr std::array<std::string_view, 8> kKinds = {"executor", "value",    "branch", "wait",
                                                           "signal",   "approval", "nodes",  "set"};
// Of a node with an executor, besides the executor's own fields (common/model/executor_fields.h).
inline constexpr std::array<std::string_view, 24> kNode = {
    "executor", "depends_on",    "description", "retry",    "on_loss",
    "timeout",  "priority",      "queue",       "requires", "resources",
    "affinity", "anti_affinity", "when",        "join",     "on_upstream_failure",
    "fallback", "on_failure",    "compensate",  "foreach",  "max_parallel",
    "chunk",    "on_item_error", "collect",     "cache"};
inline constexpr std::array<std::string_view, 6> kValueNode = {"value", "depends_on", "description",
                                                               "when",  "join",       "on_upstream_failure"};
inline constexpr std::array<std::string_view, 6> kSetNode = {"set",  "depends_on", "description",
                                                             "when", "join",       "on_upstream_failure"};
inline constexpr std::array<std::string_view, 6> kBranchNode = {"branch", "depends_on", "description",
                                                                "when",   "join",       "on_upstream_failure"};
// Of a node that waits: its kind, and these; a signal also has the last two.
inline constexpr std::array<std::string_view, 7> kWaitNode = {"wait", "depends_on",          "description", "when",
                                                              "join", "on_upstream_failure", "fallback"};
inline constexpr std::array<std::string_view, 9> kSignalNode = {
    "signal", "depends_on", "description", "when", "join", "on_upstream_failure", "fallback", "timeout", "default"};
inline constexpr std::array<std::string_view, 7> kApprovalNode = {
    "approval", "depends_on", "description", "when", "join", "on_upstream_failure", "fallback"};
// The executor of the core's own: a node of it starts a run of a registered workflow.
inline constexpr std::string_view kChildExecutor = "workflow";
inline constexpr std::array<std::string_view, 15> kChildNode = {
    "retry",      "executor",    "workflow",     "with",          "timeout",
    "depends_on", "description", "when",         "join",          "on_upstream_failure",
    "fallback",   "foreach",     "max_parallel", "on_item_error", "collect"};
// Of a node that is a sub-graph, or a loop over one.
inline constexpr std::array<std::string_view, 9> kGroupNode = {
    "nodes", "outputs", "loop", "depends_on", "description", "when", "join", "on_upstream_failure", "on_failure"};
inline constexpr std::array<std::string_view, 3> kLoop = {"until", "max_rounds", "on_max_rounds"};
inline constexpr std::array<std::string_view, 2> kOnMaxRounds = {"fail", "end"};
inline constexpr std::array<std::string_view, 2> kRoundRoots = {"round", "previous"};
inline constexpr std::array<std::string_view, 2> kWait = {"for", "until"};
inline constexpr std::array<std::string_view, 3> kSignal = {"name", "timeout", "default"};
inline constexpr std::array<std::string_view, 4> kApproval = {"roles", "deadline", "default", "message"};
inline constexpr std::array<std::string_view, 2> kApprovalDefault = {"approve", "reject"};
inline constexpr std::array<std::string_view, 3> kBranch = {"cases", "default", "choose"};
inline constexpr std::array<std::string_view, 2> kBranchCase = {"when", "to"};
inline constexpr std::array<std::string_view, 2> kChoose = {"all", "first"};
inline constexpr std::array<std::string_view, 2> kOnUpstreamFailure = {"skip", "run"};
inline constexpr std::array<std::string_view, 3> kFallback = {"value", "node", "cached"};
inline constexpr std::array<std::string_view, 2> kCache = {"key", "ttl"};
inline constexpr std::array<std::string_view, 3> kRange = {"from", "to", "step"};
inline constexpr std::array<std::string_view, 3> kOnItemError = {"fail", "continue", "drop"};
inline constexpr std::array<std::string_view, 5> kRetry = {"max_attempts", "max_losses", "backoff", "on_loss", "on"};
inline constexpr std::array<std::string_view, 2> kTimeout = {"attempt", "node"};
inline constexpr std::array<std::string_view, 4> kBackoff = {"initial", "factor", "max", "jitter"};
inline constexpr std::array<std::string_view, 1> kAffinity = {"sticky"};
inline constexpr std::array<std::string_view, 1> kLabelRule = {"not"};
inline constexpr std::array<std::string_view, 2> kOnLoss = {"retry", "fail"};

// Names that an expression may start with.
inline constexpr std::array<std::string_view, 3> kRoots = {"nodes", "inputs", "run"};
// What the fields of a mapped node see besides, and what its `collect` sees.
inline constexpr std::array<std::string_view, 2> kItemRoots = {"item", "index"};
inline constexpr std::array<std::string_view, 3> kCollectRoots = {"output", "item", "index"};
// What the inputs of a trigger see, and nothing else.
inline constexpr std::array<std::string_view, 1> kTriggerRoots = {"event"};
// `secrets` besides, in the fields of executors. Reserved: nothing holds it.
inline constexpr std::array<std::string_view, 1> kReservedRoots = {"env"};
// What `run` holds: on a worker all of these, in the core all but the last.
inline constexpr std::array<std::string_view, 4> kRunMembers = {"id", "workflow", "trace_id", "attempt"};

}  // namespace millrace::keys
