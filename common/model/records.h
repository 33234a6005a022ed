// What is kept of a run: the durable truth about it and its tasks, as the core holds it and the store writes it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/base/time.h"
#include "common/model/outcome.h"
#include "common/model/payload.h"
#include "common/model/task_state.h"

namespace millrace {

using Labels = std::map<std::string, std::string>;
using SharedName = std::shared_ptr<const std::string>;  // interned: equal names are the same pointer within a process

// A task that has asked the home of its key for the value, and has not ended: it waits for that (with the reason
// `cache`), or computes it.
struct CacheClaim {
  Hash128 key;
  bool has_old = false;  // there is a value that is too old to take, but better than none
  Payload old;
  bool operator==(const CacheClaim&) const = default;
};

// One task. Written when it changes durably; a task without a record is pending (readiness is derived from its
// upstream). `state` is never dispatched or running: those live beside the record, in memory.
struct TaskRecord {
  TaskState state = TaskState::kPending;
  Reason reason = Reason::kNone;
  Reason cause = Reason::kNone;  // with the reason kFallback: why it failed, if another node stands in for it
  std::uint16_t failures = 0;    // tries that ended in failure or timeout
  std::uint16_t losses = 0;      // tries whose worker or owner went away
  std::uint32_t tries = 0;       // the number of the latest attempt that the record knows of
  std::uint32_t epoch = 0;       // of the attempt that gave the result
  std::uint32_t version = 0;     // grows by one at each durable change
  Time ready{};                  // of the latest attempt, in coordinator time
  Time dispatched{};
  Time ended{};
  Time due{};         // kRetrying: when it becomes ready again; kWaiting: when its wait is over; zero: never
  Duration queued{};  // ready to start, summed over attempts
  Duration ran{};     // of the latest attempt, by the worker's clock
  // Of items of a mapped node (their index is Plan::base() + the first of them): how many the record is of. Of the
  // mapped node itself: all of them, and how many failed. `output` of items is the array of their outputs.
  std::uint32_t items = 0;
  std::uint32_t items_failed = 0;
  SharedName worker;  // of the latest attempt; null: none
  Payload output;
  std::shared_ptr<const ErrorInfo> error;
  Artifacts artifacts = {};  // of the latest attempt that ended
  std::shared_ptr<const CacheClaim> claim;
};
bool operator==(const TaskRecord& a, const TaskRecord& b);  // by content

// A checksum of the record's content. A run's header keeps the sum (modulo 2^64) over its live records' checksums, each
// taken with the task's index, so that a missing or stale record shows. Records of version 0 count as 0.
std::uint64_t checksum(TaskIndex task, const TaskRecord& record);

// Of a run that a node of another run has started.
struct RunParent {
  RunId run;  // zero: nobody's child
  TaskIndex task;
  std::string node;         // its id
  std::uint32_t depth = 0;  // 1: of a run that is nobody's child
  std::uint32_t room = 0;   // how many descendants it may have
  bool operator==(const RunParent&) const = default;
};
constexpr std::uint32_t kChildDepthMax = 16;
constexpr std::uint32_t kDescendantsMax = 100'000;  // of a run that is nobody's child

// What is fixed when a run is accepted.
struct RunInfo {
  RunId run;
  std::string tenant = "default";
  std::string workflow;  // name
  Hash128 definition;    // content hash of the definition's bytes
  Labels labels;
  std::string key;  // idempotency key
  Hash128 request;  // hash of the request, to tell a repeat from a conflict
  TraceId trace_id;
  std::string caller;  // who submitted, for @latest
  std::int32_t priority = 0;
  RunId retry_of;                      // zero: none
  std::uint32_t workflow_version = 0;  // of the registered workflow that it is a run of; zero: of none
  RunParent parent;
  Payload inputs;
  Time accepted{};
  Time deadline{};  // until when it must have ended; zero: none
  bool operator==(const RunInfo&) const = default;
};

// The trace id of a run whose caller brought none: its first half follows from the run's id, its second half also from
// the nonce of who accepted it, since other clusters number their runs like we do.
TraceId trace_of(RunId run, std::uint64_t nonce);
std::uint64_t trace_half(RunId run);

constexpr std::size_t kRunWhyMax = 1024;  // bytes of RunRecord::why

struct RunError {
  std::string code;  // a Reason's word
  std::string message;
  std::string node;  // empty: of the run itself
  std::uint32_t attempt = 0;
  std::string traceback;
  bool operator==(const RunError&) const = default;
};

// What changes while a run lives.
struct RunRecord {
  RunState state = RunState::kAccepted;
  Reason reason = Reason::kNone;
  std::uint32_t version = 0;
  std::uint64_t seq = 0;           // of its latest durable event
  std::uint64_t records_sum = 0;   // see checksum(); modulo 2^64
  std::uint32_t records_live = 0;  // tasks with version > 0
  Time started{};                  // first dispatch
  Time ended{};
  Payload outputs;
  std::shared_ptr<const RunError> error;
  std::vector<std::uint64_t> signals = {};  // keys of those that it was sent, the latest last, at most kSignalsSeenMax
  std::string why = {};                     // what was said when it was last acted on (cancelled, paused, retried ...)
};
bool operator==(const RunRecord& a, const RunRecord& b);

}  // namespace millrace
