// Meter: what the loop counts and times. Owned by the loop's thread; plain numbers, no lock, no atomic, no allocation
// on the way of a task. Others get a copy, made on request (Loop::snapshot()).
//
// Promises: a stage is timed where something was done; idle wake-ups leave no trace. Bounded: names of refusals beyond
// kRefusalsMax are counted as "other", submissions beyond kOpenSubmits in flight are not timed.
// Units: microseconds, by the loop's clock (all zero under a simulated one).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/histogram.h"
#include "common/model/event.h"
#include "coordinator/core/effect.h"
#include "coordinator/core/tally.h"
#include "coordinator/shell/housekeeping.h"
#include "coordinator/shell/ports.h"

namespace millrace {

enum class Stage : std::uint8_t {
  kTurn,             // one turn in which something was done
  kDecode,           // of it: messages out of the gateway, parsed
  kTakeIn,           // of it: messages stepped through the core (decode included)
  kPlace,            // of it: timers, lost workers, ready tasks matched with slots
  kClose,            // of it: effects gathered, the commit packed and handed to the store
  kRelease,          // of it: sends and events of a durable turn
  kCommit,           // handed to the store until its answer: the round trip
  kSubmitToAck,      // a submission stepped until its acknowledgement left, its commits included
  kReadyToDispatch,  // of tasks that have ended: the latest attempt's wait for a slot
  kDispatchToEnd,    // of the latest attempt, dispatch until its result is recorded
  kTaskRun,          // of the latest attempt, by the worker's clock
  kRun,              // of runs that have ended: first dispatch to end
  kTriggerLag,       // of firings that have started a run: from their moment, or their first event
};
constexpr std::size_t kStages = static_cast<std::size_t>(Stage::kTriggerLag) + 1;
std::string_view to_string(Stage stage);  // "turn", "submit_to_ack" ...

struct MeterCounts {
  std::array<LatencyHistogram, kStages> stages;
  std::array<std::uint64_t, kEventTypes> events{};                                            // that left
  std::array<std::uint64_t, static_cast<std::size_t>(CommitResult::kUnknown) + 1> commits{};  // of partitions
  std::array<std::uint64_t, static_cast<std::size_t>(Answer::kRefused) + 1> answers{};        // to reports
  std::map<std::string, std::uint64_t, std::less<>> refusals;  // of requests and workers, by name or code
  FiringCounts firings;                                        // of triggers; without the lags, which are a stage
  CacheCounts cached;                                          // tasks that asked for a value of their key
  std::uint64_t commit_calls = 0;
  std::uint64_t records = 0;  // of tasks, in commits
  std::uint64_t messages = 0;
  std::uint64_t workers_lost = 0;
  std::uint64_t repairs = 0;           // of partitions whose store was behind
  std::uint64_t commits_repaired = 0;  // that were applied again
  std::uint64_t losses = 0;            // that could not be repaired
  std::uint64_t commits_lost = 0;
  std::uint64_t runs_touched = 0;       // by losses
  std::uint64_t letters_again = 0;      // that their receiver had lost
  std::uint64_t letter_losses = 0;      // times that some could not be sent again
  std::uint64_t values_put_back = 0;    // that the store had lost
  std::uint64_t values_lost = 0;        // that could not be put back
  std::uint64_t runs_written_anew = 0;  // whose stored records were damaged
  std::uint64_t asked_back = 0;         // attempts that waited at a worker
  Tally gone;                           // of partitions that are not held any more
  std::uint64_t runs_handed_over = 0;   // live ones among them
};

class Meter {
 public:
  static constexpr std::size_t kRefusalsMax = 64;
  static constexpr std::size_t kOpenSubmits = 4'096;

  void took(Stage stage, Duration duration) { counts_.stages[static_cast<std::size_t>(stage)].add(duration); }

  // What a turn's machines have asked for, before it is committed.
  void closed(const Effects& effects) {
    for (const RunWrite& write : effects.writes) {
      counts_.records += write.tasks.size();
      for (const auto& [task, record] : write.tasks) {
        if (record.dispatched == Time{} || record.ended < record.dispatched) continue;  // not an attempt that ended
        took(Stage::kReadyToDispatch, record.dispatched - record.ready);
        took(Stage::kDispatchToEnd, record.ended - record.dispatched);
        took(Stage::kTaskRun, record.ran);
      }
      if (is_terminal(write.record.state) && write.record.started != Time{})
        took(Stage::kRun, write.record.ended - write.record.started);
    }
    fired(effects.firings);
    counts_.cached.add(effects.cached);
  }
  void fired(const FiringCounts& counts) {
    for (const Duration lag : counts.lags) took(Stage::kTriggerLag, lag);
    counts_.firings.started += counts.started;
    counts_.firings.skipped += counts.skipped;
    counts_.firings.filtered += counts.filtered;
    counts_.firings.duplicates += counts.duplicates;
    counts_.firings.failed += counts.failed;
  }
  void handed_over() { ++counts_.commit_calls; }
  void answered(CommitResult result) { ++counts_.commits[static_cast<std::size_t>(result)]; }
  void heard(std::size_t messages) { counts_.messages += messages; }
  void lost_worker() { ++counts_.workers_lost; }
  void repaired(std::uint64_t commits) { ++counts_.repairs, counts_.commits_repaired += commits; }
  void lost_commits(std::uint64_t commits) { ++counts_.losses, counts_.commits_lost += commits; }
  void lost_runs(std::uint64_t runs) { counts_.runs_touched += runs; }
  void letters_again(std::uint64_t letters) { counts_.letters_again += letters; }
  void lost_letters() { ++counts_.letter_losses; }
  void put_back_value() { ++counts_.values_put_back; }
  void lost_value() { ++counts_.values_lost; }
  void wrote_anew() { ++counts_.runs_written_anew; }
  void asked_back() { ++counts_.asked_back; }

  void submitted(RequestId request, Time now) {
    if (submits_ == nullptr) submits_ = std::make_unique<Submits>();
    (*submits_)[request.value % kOpenSubmits] = {request, now};
  }
  // What leaves when a turn is durable.
  void leaves(const Effects& effects, Time now) {
    for (const Event& event : effects.events) ++counts_.events[static_cast<std::size_t>(event.type)];
    for (const SendAnswer& send : effects.answers) ++counts_.answers[static_cast<std::size_t>(send.answer.answer)];
    for (const SendReply& send : effects.replies) replied(send, now);
  }
  void refused(const Error& error);
  // A partition is not held any more: its counts stay, its live runs are somebody else's.
  void gave_up(const Tally& tally);

  const MeterCounts& counts() const { return counts_; }

 private:
  struct Submit {
    RequestId request;
    Time at{};
  };
  using Submits = std::array<Submit, kOpenSubmits>;
  void replied(const SendReply& send, Time now) {
    if (const auto* error = std::get_if<ErrorReply>(&send.reply)) return refused(error->error);
    if (!std::holds_alternative<SubmitReply>(send.reply) || submits_ == nullptr) return;
    Submit& submit = (*submits_)[send.request.value % kOpenSubmits];
    if (submit.request == send.request && submit.at != Time{}) took(Stage::kSubmitToAck, now - submit.at);
    submit = {};
  }

  MeterCounts counts_;
  std::unique_ptr<Submits> submits_;  // with the first submission
};

// The time between marks of one turn: each stage ends where the next begins. Nothing is kept of a turn that did
// nothing.
class Laps {
 public:
  Laps(const Clock& clock, Time begun) : clock_(clock), begun_(begun), last_(begun) {}
  void skip() { last_ = clock_.now(); }  // what has passed belongs to no stage, or to one that times itself
  void mark(Stage stage) {
    Time now = clock_.now();
    marks_[static_cast<std::size_t>(stage)] += now - last_;
    last_ = now;
  }
  void keep(Meter& meter) {
    skip();
    meter.took(Stage::kTurn, last_ - begun_);
    for (Stage stage : {Stage::kTakeIn, Stage::kPlace, Stage::kClose}) {
      meter.took(stage, marks_[static_cast<std::size_t>(stage)]);
    }
  }

 private:
  const Clock& clock_;
  Time begun_;
  Time last_;
  std::array<Duration, kStages> marks_{};
};

constexpr Duration kReadyWithin = 3s;  // a partition whose last renewal is older does not count as served

// The state of a loop at one moment between turns, with a copy of its counts.
struct LoopSnapshot {
  std::string name;
  Time now{};
  bool store_ready = false;
  StoreHealth store;
  bool stopping = false;
  std::uint32_t partitions = 0;          // of the cluster
  std::uint32_t partitions_serving = 0;  // here, renewed within kReadyWithin
  std::uint32_t partitions_awaited = 0;  // neither served here nor known to be another's
  struct Owned {
    PartitionId partition;
    std::uint32_t epoch = 0;
    bool serving = false;  // loaded
  };
  std::vector<Owned> owned;
  Tally tally;  // of all partitions held since the start
  std::uint64_t runs_live = 0;
  std::uint64_t tasks_live = 0;
  std::uint64_t runs_max = 0;
  std::uint64_t tasks_max = 0;
  std::uint64_t bytes_live = 0;
  std::uint64_t bytes_max = 0;
  HouseCounts house;
  std::uint32_t workers_ready = 0;
  std::uint32_t workers_draining = 0;
  std::uint32_t workers_silent = 0;
  std::uint64_t slots = 0;  // of workers that are ready
  std::uint64_t credit = 0;
  std::uint64_t attempts_out = 0;
  std::uint64_t unplaceable = 0;  // offers that no worker could take
  std::uint64_t offers = 0;       // ready tasks that wait for a slot
  std::uint64_t turns_in_flight = 0;
  std::uint64_t requests_held = 0;  // until a partition is served
  std::uint64_t store_reads_open = 0;
  std::uint64_t definitions = 0;  // in memory
  std::uint64_t triggers = 0;
  std::uint64_t paused_workflows = 0;  // whose home is here
  std::uint64_t paused_queues = 0;     // likewise
  std::uint64_t cache_entries = 0;     // values under keys whose home is here
  std::uint64_t cache_waiting = 0;     // tasks that have asked for one and compute it, or wait
  std::uint64_t events_waiting = 0;    // in debounces and batches of theirs
  MeterCounts counts;

  std::uint64_t tasks(TaskState state) const { return tally.of(state); }
  // What asks for workers: tasks that have nothing left to wait for, and attempts that are out.
  std::uint64_t ready() const { return tasks(TaskState::kReady); }
  std::uint64_t running() const { return tasks(TaskState::kDispatched) + tasks(TaskState::kRunning); }
  std::uint64_t demand() const { return ready() + running(); }
  bool is_ready() const { return store_ready && !stopping && (partitions_serving > 0 || partitions_awaited == 0); }
};

// Whether the runs that have come in have ended, were handed over or live (invariant I10); empty, or what is wrong.
std::string check_sums(const LoopSnapshot& loop);

}  // namespace millrace
