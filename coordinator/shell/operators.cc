#include "coordinator/shell/operators.h"

#include <algorithm>
#include <string_view>

#include "common/base/value.h"

namespace millrace {
namespace {

constexpr RunState kEnds[] = {RunState::kSucceeded, RunState::kDegraded, RunState::kFailed, RunState::kCancelled};
constexpr TaskState kOpenStates[] = {TaskState::kPending,  TaskState::kReady,      TaskState::kWaiting,
                                     TaskState::kRetrying, TaskState::kDispatched, TaskState::kRunning};
constexpr std::string_view kCommitWords[] = {"applied", "already", "gap", "fenced", "unknown"};
constexpr std::string_view kSweptWords[] = {"event_entry", "key", "value"};
constexpr std::string_view kAnswerWords[] = {"recorded", "duplicate", "refused"};

Value count(std::uint64_t number) { return Value(static_cast<std::int64_t>(number)); }
double real(std::uint64_t number) { return static_cast<double>(number); }
MetricLabels label(std::string name, std::string_view value) { return {{std::move(name), std::string(value)}}; }

}  // namespace

std::uint64_t workers_suggested(std::uint64_t demand, std::uint64_t slots, std::uint64_t workers) {
  if (demand == 0) return 0;
  if (workers == 0 || slots == 0) return 1;
  return std::max<std::uint64_t>((demand * workers + slots - 1) / slots, 1);
}

std::string scale_json(const LoopSnapshot& loop) {
  Value::Object object;
  object.emplace_back("coordinator", Value(loop.name));
  object.emplace_back("partitions", count(loop.owned.size()));
  object.emplace_back("demand", count(loop.demand()));
  object.emplace_back("ready", count(loop.ready()));
  object.emplace_back("running", count(loop.running()));
  object.emplace_back("slots", count(loop.slots));
  object.emplace_back("workers", count(loop.workers_ready));
  object.emplace_back("suggested_workers", count(workers_suggested(loop.demand(), loop.slots, loop.workers_ready)));
  return Value(std::move(object)).dump();
}

OperatorState::Readiness CoordinatorState::readiness() const {
  const bool ready = loop_.is_ready();
  Value::Object partitions;
  partitions.emplace_back("serving", count(loop_.partitions_serving));
  partitions.emplace_back("awaited", count(loop_.partitions_awaited));
  partitions.emplace_back("all", count(loop_.partitions));
  Value::Object object;
  object.emplace_back("ready", Value(ready));
  object.emplace_back("store", Value(loop_.store_ready));
  object.emplace_back("stopping", Value(loop_.stopping));
  object.emplace_back("partitions", Value(std::move(partitions)));
  return {ready, Value(std::move(object)).dump()};
}

std::optional<HttpReply> CoordinatorState::page(const HttpRequest& request) const {
  if (request.path != kScale) return std::nullopt;
  return HttpReply{200, "application/json", scale_json(loop_) + "\n"};
}

void CoordinatorState::metrics(MetricsPage& page) const {
  run_metrics(page);
  trigger_metrics(page);
  task_metrics(page);
  store_metrics(page);
  fleet_metrics(page);
  house_metrics(page);
  for (std::size_t i = 0; i < kStages; ++i) {
    page.histogram("millrace_stage_seconds", "How long each stage takes; docs/operations.md tells what each is.",
                   loop_.counts.stages[i], label("stage", to_string(static_cast<Stage>(i))));
  }
}

void CoordinatorState::run_metrics(MetricsPage& page) const {
  static constexpr char kRuns[] = "millrace_runs_total";
  static constexpr char kHelp[] =
      "Runs by what became of them here: accepted + restored = succeeded + degraded + failed + cancelled + handed_over "
      "+ millrace_runs_live.";
  page.counter(kRuns, kHelp, real(loop_.tally.accepted), label("outcome", "accepted"));
  page.counter(kRuns, kHelp, real(loop_.tally.restored), label("outcome", "restored"));
  for (RunState end : kEnds) page.counter(kRuns, kHelp, real(loop_.tally.of(end)), label("outcome", to_string(end)));
  page.counter(kRuns, kHelp, real(loop_.counts.runs_handed_over), label("outcome", "handed_over"));
  page.gauge("millrace_runs_live", "Runs that have not ended, in partitions held here.", real(loop_.runs_live));
  page.gauge("millrace_runs_max", "Live runs beyond which submissions are refused.", real(loop_.runs_max));
  page.gauge("millrace_bytes_live", "Inputs and recorded outputs of live runs, in bytes.", real(loop_.bytes_live));
  page.gauge("millrace_bytes_max", "Bytes of live runs beyond which submissions are refused.", real(loop_.bytes_max));
  for (const auto& [reason, times] : loop_.counts.refusals) {
    page.counter("millrace_refusals_total", "Requests and workers refused, by reason.", real(times),
                 label("reason", reason));
  }
  page.counter("millrace_frames_refused_total", "Messages that could not be read.", real(frames_refused_));
  for (std::size_t i = 0; i < kRefusedPeers; ++i)
    page.counter("millrace_peers_refused_total", "Connections and messages refused for their key, by reason.",
                 real(peers_refused_[i]), label("reason", to_string(static_cast<RefusedPeer>(i))));
  page.gauge("millrace_requests_held", "Requests that wait until a partition is served.", real(loop_.requests_held));
}

void CoordinatorState::trigger_metrics(MetricsPage& page) const {
  static constexpr char kFirings[] = "millrace_trigger_firings_total";
  static constexpr char kHelp[] = "Firings of triggers and events that came to them, by what became of each.";
  const FiringCounts& firings = loop_.counts.firings;
  page.counter(kFirings, kHelp, real(firings.started), label("outcome", "started"));
  page.counter(kFirings, kHelp, real(firings.skipped), label("outcome", "skipped"));
  page.counter(kFirings, kHelp, real(firings.filtered), label("outcome", "filtered"));
  page.counter(kFirings, kHelp, real(firings.duplicates), label("outcome", "duplicate"));
  page.counter(kFirings, kHelp, real(firings.failed), label("outcome", "failed"));
  static constexpr char kCache[] = "millrace_cache_requests_total";
  static constexpr char kCacheHelp[] = "Tasks that asked for the value of their key, by what they were told at once.";
  const CacheCounts& cached = loop_.counts.cached;
  page.counter(kCache, kCacheHelp, real(cached.hits), label("outcome", "hit"));
  page.counter(kCache, kCacheHelp, real(cached.misses), label("outcome", "miss"));
  page.counter(kCache, kCacheHelp, real(cached.waits), label("outcome", "wait"));
  page.gauge("millrace_cache_entries", "Values that are kept under keys whose home is here.",
             real(loop_.cache_entries));
  page.gauge("millrace_cache_askers", "Tasks that have asked for such a value and compute it, or wait for it.",
             real(loop_.cache_waiting));
  page.gauge("millrace_triggers", "Triggers of applied workflows whose home is here.", real(loop_.triggers));
  page.gauge("millrace_trigger_events_waiting", "Events that wait in a debounce or a batch.",
             real(loop_.events_waiting));
}

void CoordinatorState::task_metrics(MetricsPage& page) const {
  page.gauge("millrace_queue_depth", "Ready tasks that wait for a slot.", real(loop_.ready()));
  page.gauge("millrace_tasks_ready", "Tasks with nothing left to wait for that no worker has.", real(loop_.ready()));
  page.gauge("millrace_tasks_running", "Tasks that a worker has: dispatched or running.", real(loop_.running()));
  page.gauge("millrace_demand", "What asks for slots: ready + running.", real(loop_.demand()));
  for (TaskState state : kOpenStates) {
    page.gauge("millrace_tasks", "Tasks of live runs by state; those that have ended are not among them.",
               real(loop_.tasks(state)), label("state", to_string(state)));
  }
  static constexpr char kPaused[] = "millrace_paused";
  static constexpr char kPausedHelp[] = "Workflows and queues that are paused and whose home is here, by kind.";
  page.gauge(kPaused, kPausedHelp, real(loop_.paused_workflows), label("kind", "workflow"));
  page.gauge(kPaused, kPausedHelp, real(loop_.paused_queues), label("kind", "queue"));
  page.gauge("millrace_tasks_live", "Tasks of live runs, ended ones among them.", real(loop_.tasks_live));
  page.gauge("millrace_tasks_max", "Tasks of live runs beyond which submissions are refused.", real(loop_.tasks_max));
  for (std::size_t i = 0; i < loop_.counts.events.size(); ++i) {
    page.counter("millrace_events_total", "Events published, by type.", real(loop_.counts.events[i]),
                 label("type", to_string(static_cast<EventType>(i))));
  }
  for (std::size_t i = 0; i < std::size(kAnswerWords); ++i) {
    page.counter("millrace_reports_total", "Reports of attempts, by how they were answered.",
                 real(loop_.counts.answers[i]), label("answer", kAnswerWords[i]));
  }
}

void CoordinatorState::store_metrics(MetricsPage& page) const {
  page.gauge("millrace_store_up", "Whether a connection to the store stands.", loop_.store_ready ? 1 : 0);
  for (std::size_t i = 0; i < std::size(kCommitWords); ++i) {
    page.counter("millrace_commits_total", "Commits of partitions, by result.", real(loop_.counts.commits[i]),
                 label("result", kCommitWords[i]));
  }
  page.counter("millrace_commit_calls_total", "Calls that carried commits: one a turn, resent ones again.",
               real(loop_.counts.commit_calls));
  page.counter("millrace_records_total", "Task records in commits.", real(loop_.counts.records));
  page.gauge("millrace_durability_info", "What the store is to keep of what was acknowledged, and what it is.", 1,
             {{"mode", loop_.store.durability.empty() ? "none" : loop_.store.durability}, {"store", loop_.store.kind}});
  page.gauge("millrace_durability_weaker", "In how many ways the store is configured weaker than that.",
             real(loop_.store.weaker.size()));
  page.gauge("millrace_replicas_short", "Whether effects wait until enough replicas have what they rest on.",
             loop_.store.replicas_short ? 1 : 0);
  page.counter("millrace_store_connections_total", "Connections to the store that were made.",
               real(loop_.store.connections));
  page.gauge("millrace_store_ring_bytes", "Recent commits kept to repair a store that has lost them.",
             real(loop_.store.ring_bytes));
  page.counter("millrace_store_repairs_total", "Partitions whose store was behind and was brought back.",
               real(loop_.counts.repairs));
  page.counter("millrace_store_repaired_commits_total", "Commits that were applied again by that.",
               real(loop_.counts.commits_repaired));
  page.counter("millrace_store_losses_total", "Partitions whose store was behind and could not be brought back.",
               real(loop_.counts.losses));
  page.counter("millrace_store_lost_commits_total", "Commits lost by that.", real(loop_.counts.commits_lost));
  page.counter("millrace_store_lost_runs_total", "Live runs touched by that.", real(loop_.counts.runs_touched));
  page.counter("millrace_letters_sent_again_total", "Letters between partitions that their receiver's store had lost.",
               real(loop_.counts.letters_again));
  page.counter("millrace_letter_losses_total", "Times that such letters were not kept any more.",
               real(loop_.counts.letter_losses));
  page.counter("millrace_values_put_back_total", "Large values that the store had lost and that were put back.",
               real(loop_.counts.values_put_back));
  page.counter("millrace_values_lost_total", "Large values that the store has lost and that nobody has any more.",
               real(loop_.counts.values_lost));
  page.counter("millrace_runs_written_anew_total", "Live runs whose stored records were damaged.",
               real(loop_.counts.runs_written_anew));
  page.gauge("millrace_turns_in_flight", "Turns whose effects have not left.", real(loop_.turns_in_flight));
  page.gauge("millrace_store_reads_open", "Reads that the store has not answered.", real(loop_.store_reads_open));
  page.gauge("millrace_definitions", "Workflow definitions in memory.", real(loop_.definitions));
  page.gauge("millrace_partitions", "Partitions of the cluster.", real(loop_.partitions));
  page.gauge("millrace_partitions_owned", "Partitions owned here.", real(loop_.owned.size()));
  page.gauge("millrace_partitions_serving", "Of them loaded, and renewed lately.", real(loop_.partitions_serving));
  page.gauge("millrace_partitions_awaited", "Partitions that are neither served here nor known to be another's.",
             real(loop_.partitions_awaited));
  for (const LoopSnapshot::Owned& owned : loop_.owned) {
    page.gauge("millrace_partition_epoch", "The epoch under which a partition is owned here.", owned.epoch,
               label("partition", std::to_string(owned.partition.value)));
  }
}

void CoordinatorState::fleet_metrics(MetricsPage& page) const {
  static constexpr char kWorkers[] = "millrace_workers";
  static constexpr char kHelp[] = "Workers connected here, by state.";
  page.gauge(kWorkers, kHelp, loop_.workers_ready, label("state", "ready"));
  page.gauge(kWorkers, kHelp, loop_.workers_draining, label("state", "draining"));
  page.gauge(kWorkers, kHelp, loop_.workers_silent, label("state", "silent"));
  page.counter("millrace_workers_lost_total", "Workers given up because they were silent.",
               real(loop_.counts.workers_lost));
  page.gauge("millrace_slots", "Slots of the workers that are ready.", real(loop_.slots));
  page.gauge("millrace_credit", "Attempts that the workers that are ready take from here.", real(loop_.credit));
  page.gauge("millrace_attempts_out", "Attempts that are out.", real(loop_.attempts_out));
  page.counter("millrace_attempts_asked_back_total",
               "Attempts that waited at a busy or slow worker and were asked back for an idle one.",
               real(loop_.counts.asked_back));
  page.gauge("millrace_tasks_without_worker", "Ready tasks that no worker which is here could run.",
             real(loop_.unplaceable));
  page.gauge("millrace_suggested_workers",
             "Workers that would have a slot for all demand, by the slots of those of now.",
             real(workers_suggested(loop_.demand(), loop_.slots, loop_.workers_ready)));
  page.counter("millrace_messages_total", "Messages taken in, of workers and clients.", real(loop_.counts.messages));
}

void CoordinatorState::house_metrics(MetricsPage& page) const {
  const HouseCounts& house = loop_.house;
  static constexpr char kDeleted[] = "millrace_deleted_total";
  static constexpr char kDeletedHelp[] = "What was deleted because no run is kept that needs it, by kind.";
  page.counter(kDeleted, kDeletedHelp, real(house.runs_deleted), label("kind", "run"));
  page.counter(kDeleted, kDeletedHelp, real(house.definitions_deleted), label("kind", "definition"));
  for (std::size_t i = 0; i < house.swept.size(); ++i)
    page.counter(kDeleted, kDeletedHelp, real(house.swept[i].dropped), label("kind", kSweptWords[i]));
  for (std::size_t i = 0; i < house.swept.size(); ++i)
    page.counter("millrace_deleted_bytes_total", "Bytes that it held in the store, about.", real(house.swept[i].bytes),
                 label("kind", kSweptWords[i]));
  page.counter("millrace_audit_tasks_total", "Tasks that the audit looked at.", real(house.audit_looked));
  for (std::size_t i = 0; i < kAuditKinds; ++i) {
    const std::string_view kind = to_string(static_cast<AuditKind>(i));
    page.counter("millrace_audit_findings_total", "What the audit found in nobody's hands, by kind.",
                 real(house.audit_found[i]), label("kind", kind));
    page.counter("millrace_audit_repairs_total", "What of it the audit put right, by kind.",
                 real(house.audit_repaired[i]), label("kind", kind));
  }
}

}  // namespace millrace
