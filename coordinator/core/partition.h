// Partition: the pure machine of one share of all runs. It is told inputs and asks for effects (DESIGN sections 2 and
// 4).
//
// Promises: deterministic: the same inputs at the same times give the same effects; a task is offered once everything
// it depends on is committed or in this turn's writes; each task gets at most one committed result; each accepted run
// ends exactly once. One step writes at most about kRecordsPerStep records: what a large change leaves over is done by
// the following steps (next_deadline() asks for them); only a run that is run again begins with up to kSharedMax. Owned
// by the loop, which takes the effects of a whole turn with take(). Threads: none of its own. Times are handed in.
// Fails: never; a wrong request is answered with an ErrorReply.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/model/run_view.h"
#include "coordinator/core/cache_home.h"
#include "coordinator/core/effect.h"
#include "coordinator/core/fanout.h"
#include "coordinator/core/input.h"
#include "coordinator/core/outbox.h"
#include "coordinator/core/pauses.h"
#include "coordinator/core/registry.h"
#include "coordinator/core/run.h"
#include "coordinator/core/tally.h"
#include "coordinator/core/triggers.h"

namespace millrace {

constexpr std::uint32_t kRecordsPerStep = 1'000;
constexpr Duration kConfirmWithin = 2s;  // an attempt of which its worker has not spoken for so long is asked for
constexpr Duration kReclaimAgain = 2s;   // an attempt that was asked back is not asked for again before
constexpr std::uint32_t kKeptTasksMax = 10'000;  // tasks of ended runs that stay in memory, per partition

// Bugs that the simulator plants to see that it catches them. Test-only.
enum class TestPlant : std::uint8_t {
  kNone,
  kOpenEarly,        // a task is opened by the first upstream task that ends
  kForgetLost,       // a lost attempt is not tried again
  kForgetReclaimed,  // one that was given back is not dispatched again
  kNoPatience,       // one that is asked back is dispatched again at once
  kForgetTimer,      // what is to be tried again later has no timer
  kForgetOpened,     // what a completion opens is not looked at
  kMiscount,         // a run that ends is not counted off
  kTakeTwice,        // a letter that comes twice is taken twice
  kForgetFirings,    // what a trigger has fired is not kept
  kStartPaused,      // what is paused is started all the same
  kComputeTwice,     // everybody who asks for a value that is kept under a key is to compute it
};

// Why a node, or an item, cannot have the child run that it is for.
struct NoChild {
  Reason reason = Reason::kNone;
  std::string why;
};

struct PartitionOptions {
  PartitionId partition;
  Epoch epoch;
  std::size_t inline_max = kInlineMaxDefault;
  bool adopting = false;  // ready tasks of restored runs are held back until AdoptionClosed
  TestPlant plant = TestPlant::kNone;
  std::uint64_t run_tasks_max = kTasksMax;  // nodes and items of one run
  std::uint16_t partitions = 1;             // of the cluster
  ZoneSource zones = {};                    // of triggers
  Duration wall_ahead{};                    // see ClockSet
  std::size_t list_min = kListMinDefault;   // bytes from which on the output of a fan-out is a list reference
};

// Durations seen per definition, for ranks along the critical path. Bounded.
struct DurationHistory {
  std::vector<std::uint32_t> ran_us;  // by spec, moving average; 0: never seen
  std::uint64_t runs = 0;             // ended runs that it knows of
  std::shared_ptr<const std::vector<std::uint32_t>> ranks;
  std::map<std::uint32_t, Pace> paces;  // of mapped nodes, by spec
};

// An attempt that is out and of which its worker has not said that it started.
struct Unstarted {
  RunId run;
  TaskIndex task;
  std::int32_t priority = 0;
  Time age{};
  Time dispatched{};
  Time reclaimed{};  // when it was last asked back
  const Requirements* needs = nullptr;
};

// What the live runs of one tenant hold.
struct Load {
  std::uint32_t runs = 0;
  std::uint64_t tasks = 0;
  bool operator==(const Load&) const = default;
};

class Partition {
 public:
  explicit Partition(PartitionOptions options);

  void step(Time now, Input input);
  // A live run as it was read back from the store; before any step that names it. Effects as of a step.
  void restore(Time now, const struct RestoredRun& run);
  // What stood in the store's outbox, and how far it had taken the letters of others; then letters may go.
  void restore_mail(std::vector<SharedLetter> letters, const std::map<PartitionId, Mark>& marks);
  void restore_workflow(RegisteredWorkflow workflow) { registry_.restore(std::move(workflow)); }
  const Registry& registry() const { return registry_; }
  bool has_taken(PartitionId from, std::uint64_t number) const { return inbox_.has(from, number); }
  std::uint64_t taken_until(PartitionId from) const { return inbox_.mark(from).number; }
  std::uint64_t latest_letter()
      const;  // the number of the latest one that this epoch has written, or could have before
  std::size_t letters_waiting() const { return outbox_.size(); }
  // Before letters may go.
  void restore_trigger(TriggerRecord record, Time now = kNever) { triggers_.restore(std::move(record), now); }
  std::vector<TriggerState> triggers() const { return triggers_.list(); }
  void restore_cached(Time now, CacheEntry entry) { cache_.restore(now, std::move(entry)); }
  void restore_cache_asker(CacheAsker asker) { cache_.restore(std::move(asker)); }
  const CacheHome& cache() const { return cache_; }
  void restore_pause(Pause pause) { pauses_.set(std::move(pause)); }
  std::vector<Pause> pauses_decided() const;  // of names whose home it is
  // What keeps the node from starting, beside a pause of its run itself; null: nothing. A loan until the next step.
  const Pause* pause_of(const Run& run, TaskIndex node) const;
  bool is_kept_waiting(const Run& run, TaskIndex node) const;  // by a pause, of whatever kind
  std::size_t triggers_here() const { return triggers_.size(); }
  std::vector<const TriggerRecord*> streams() const { return triggers_.streams(); }
  std::uint64_t events_waiting() const { return triggers_.waiting(); }
  const TriggerRecord* trigger(const TriggerName& name) const { return triggers_.find(name); }
  void restore_watcher(const TriggerName& trigger, RunEndSpec runs) { watch(trigger, std::move(runs)); }
  bool stirred() const { return stirred_; }  // since the last take(); if not, that would have nothing
  [[nodiscard]] Effects take();              // of all steps since the last take(): one turn
  // All that is to be stored of a live run as it is after take(); nothing where its items are not all in memory, or it
  // is too large for one commit.
  std::optional<RunWrite> whole(RunId run) const;
  // The part of the effects that Placement needs within the turn; take() has it no more.
  void take_placement(std::vector<Offer>& offers, std::vector<SlotChange>& slots);
  void offer_again(RunId run, TaskIndex task);  // whose grant could not be used; nothing if it is not ready any more
  void live_events(bool wanted) { live_events_ = wanted; }          // whether ephemeral events are emitted
  Time next_deadline() const;                                       // when to send TimePassed; kNever without a reason
  std::size_t pending_records() const { return records_pending_; }  // written since take()
  std::size_t pending_bytes() const { return bytes_pending_; }

  const Epoch& epoch() const { return options_.epoch; }
  const Run* find(RunId run) const;  // live, or ended and still in memory
  std::optional<RunId> find_key(std::string_view tenant, std::string_view key) const;
  std::uint32_t runs_live() const { return runs_live_; }
  std::uint64_t tasks_live() const { return tasks_live_; }
  std::uint64_t bytes_live() const { return bytes_live_; }  // inputs and recorded outputs of live runs
  Load load_of(std::string_view tenant) const;
  void forget(RunId run);  // an ended one leaves the memory, if it is there; its store keeps it no longer
  const Tally& tally() const { return tally_; }
  const std::map<RunId, std::unique_ptr<Run>>& runs() const { return runs_; }
  bool wants_place(RunId run, TaskIndex task) const;  // it is offered, or should be
  // Of what is out at this worker, dispatched before then; but not what is being cancelled.
  std::vector<Unstarted> unstarted(WorkerId worker, Time before) const;
  // Workers that have not spoken of an attempt for kConfirmWithin: they should say Hello.
  std::vector<WorkerId> unconfirmed(Time now) const;
  static bool halted(const Run& run, TaskIndex task);  // its run is being stopped, and it does not clean up

 private:
  friend std::string check_invariants(const Partition& partition);
  friend class Audit;

  // admit.cc
  void on(Time now, RunSubmitted& in);
  void on(Time now, CancelRequested& in);
  void on(Time now, WaitRequested& in);
  Run& add(std::shared_ptr<const RunInfo> info, std::shared_ptr<const Plan> plan);
  void begin(Time now, Run& run);
  std::vector<std::uint32_t> openable(Run& run) const;  // tasks that nothing is left to wait for, by what has ended
  static void say_why(Run& run, std::string why);       // it is acted on

  // resume.cc
  void take_over(Time now, Run& run, std::vector<std::pair<TaskIndex, TaskRecord>> shared);

  // mail.cc
  void on(Time now, LetterPosted& in);
  void on(Time now, LetterCame& in);
  void on(Time now, LettersRead& in);
  void on(Time now, LettersTaken& in);
  void post(PartitionId to, LetterBody body);
  void take(Time now, LetterCame& in, RunWanted& wanted);
  void take(Time now, LetterCame& in, RunUnwanted& unwanted);
  void take(Time now, LetterCame& in, RunOver& over);
  void take(Time now, LetterCame& in, RunEndWatched& watched);
  void take(Time now, LetterCame& in, RunEnded& ended);
  void count_mail();
  std::vector<RunId> awaiting_others() const;

  // child.cc
  static bool awaits_child(const Run& run, TaskIndex task);
  static bool awaits_child(const TaskRecord& record);
  Result<RunParent> link_of(const Run& run, TaskIndex task, std::uint32_t children) const;
  std::optional<NoChild> order_child(const Run& run, TaskIndex task, const WaitSpec& wait, const Value& inputs,
                                     std::uint32_t children, std::uint32_t attempt);
  void note_child_try(TaskRecord& record, Time now) const;
  bool ask_for_child(Time now, Run& run, TaskIndex task, const Flow::Wait& wait);
  void cancel_child(const Run& run, TaskIndex task, std::uint32_t attempt);
  void take(Time now, LetterCame& in, ChildWanted& wanted);
  void take(Time now, LetterCame& in, ChildCancelled& cancelled);
  void take(Time now, LetterCame& in, ChildTold& told);
  void tell_refused(const RunParent& parent, std::string_view key, std::string why);
  void tell_parent(const Run& run);

  // cached_items.cc
  static bool caches_items(const Run& run, TaskIndex node);
  static bool awaits_cache(const ItemHistory& past);
  void ask_for_cached(Time now, Run& run, Mapped& m);
  bool ask_for_cached(Time now, Run& run, Mapped& m, std::uint32_t item);
  void ask_cache_again(Time now, const Run& run, const Mapped& m, std::uint32_t item);
  void leave_cached(const Run& run, const Mapped& m, std::uint32_t item, TaskRecord& record);
  bool item_falls_back(Time now, Run& run, Mapped& m, std::uint32_t item);
  void end_with_kept(Time now, Run& run, Mapped& m, std::uint32_t item, Reason reason, Payload value);
  void leave_all_cached(const Run& run, Mapped& m);
  void item_cache_told(Time now, Run& run, CacheAnswer& answer);

  // caching.cc
  static void include(std::string& text, std::string_view part);  // of what a key is made of
  static bool awaits_cache(const TaskRecord& record);
  static bool awaits_cache(const Run& run, TaskIndex task);
  std::string seen_by(const Run& run, TaskIndex task) const;
  std::optional<Hash128> cache_key(Time now, Run& run, TaskIndex task, const Flow::Cache& cache);
  void claim(Time now, Run& run, TaskIndex task, const Flow::Cache& cache);
  void ask_cache(Time now, const Run& run, TaskIndex task);
  static CacheName cache_name(const Run& run, TaskIndex task);
  PartitionId cache_home(const CacheName& name) const;
  void give_up_claim(Run& run, TaskIndex task, TaskState state, Reason reason);
  void take(Time now, LetterCame& in, CacheAsked& asked);
  void take(Time now, LetterCame& in, CacheLeft& left);
  void take(Time now, LetterCame& in, CacheTold& told);
  void tend_cache(Time now);
  void keep_cache();

  // registering.cc
  void on(Time now, WorkflowChanged& in);

  // pausing.cc
  void on(Time now, PauseWanted& in);
  void take(Time now, LetterCame& in, PauseTold& told);
  bool held_back(const Run& run, TaskIndex node) const;  // it may not start now
  void heed(Time now, const PauseTold& told);
  void hold_all(Time now, Run& run);
  void let_all_go(Time now, Run& run, const PauseName& what);
  void offer_anew(Time now, Run& run, TaskIndex task);

  // triggering.cc
  void on(Time now, TriggerTold& in);
  void on(Time now, EventCame& in);
  void on(Time now, StreamCame& in);
  void on(Time now, ClockSet& in);
  void apply_triggers(Time now, const RegisteredWorkflow& workflow, const std::vector<TriggerSpec>& triggers);
  void fire_due(Time now);
  Time next_firing_due() const;
  void keep_triggers(TriggerEffects said);
  void tell_watchers(const Run& run);
  void watch(const TriggerName& trigger, std::optional<RunEndSpec> runs);
  void tell_trigger(std::string_view tenant, std::string_view key, std::string error = "");

  // attempts.cc
  void on(Time now, SlotGranted& in);
  void on(Time now, AttemptStarted& in);
  void on(Time now, AttemptEnded& in);
  void on(Time now, AttemptReclaimed& in);
  void on(Time now, ReclaimWanted& in);
  void on(Time now, WorkerReported& in);
  void on(Time now, WorkerLost& in);
  void on(Time now, AdoptionClosed& in);
  bool adopt(Time now, Run& run, const AttemptId& id, const WorkerRef& worker,
             const std::vector<UpstreamVersion>& rests_on, bool started);
  bool rests_on_these(const Run& run, TaskIndex node, const std::vector<UpstreamVersion>& rests_on) const;
  bool is_unstarted(const Run& run, TaskIndex task, const Attempt& attempt) const;
  void settle(Time now, Run& run, const Attempt& attempt, Outcome& outcome);
  void failed(Time now, Run& run, TaskIndex task, Reason reason);
  void lost(Time now, Run& run, TaskIndex task, std::string_view why);
  void close_attempt(Run& run, TaskIndex task);
  void lose_attempt(Time now, Run& run, TaskIndex task, std::string_view why);
  Assignment assignment(Run& run, TaskIndex task, std::uint32_t number);
  void bundle(Run& run, std::span<const std::uint32_t> upstream, Assignment& a);
  std::uint32_t next_number(const Run& run, TaskIndex task) const;
  void answer(const WorkerRef& worker, const AttemptId& attempt, Answer answer, std::string why = "");
  void slot_freed(const Run& run, TaskIndex task, WorkerId worker);
  void offer(Time now, Run& run, TaskIndex task);
  void begin_try(Time now, Run& run, TaskIndex task);  // ready: offered, or what it waits for begins
  void offer_ready(Time now, bool restored_only);      // every ready task, anew

  // placing.cc
  void on(Time now, TaskUnplaceable& in);
  bool waits_for_place(const Run& run, TaskIndex task) const;  // ready but for a worker that could run it
  void place_found(Run& run, TaskIndex task);                  // if it waited for one, it is ready again
  std::unique_ptr<const PlacingHints> hints(const Run& run, TaskIndex task);
  std::uint64_t hint_key(const Run& run, TaskIndex task, const Wish& wish);

  // progress.cc
  void move(Run& run, TaskIndex task, TaskState to);  // the one door
  void write(Run& run, TaskIndex task);               // its record has changed durably: version, checksum, segment
  void write_record(Run& run, TaskIndex task, TaskRecord& record, std::uint64_t& sum);  // the same, of any task
  RunWrite& touch(Run& run);                                                            // its header has changed
  static void note_start(Time now, Run& run);  // its first task is dispatched, or waits
  void emit(Time now, Run& run, EventType type, TaskIndex task = {}, std::uint32_t attempt = 0,
            Reason reason = Reason::kNone);
  void complete(Time now, Run& run, TaskIndex task);  // terminal: opens what it opens
  void work(Time now);                                // the worklist and the sweeps, within the step's budget
  void open_some(Time now);
  void sweep(Time now, Run& run);
  void end_task(Time now, Run& run, TaskIndex task, TaskState state, Reason reason, EventType event);
  void cancel_task(Time now, Run& run, TaskIndex task);  // ends it: its run is being stopped
  void fail_run(Time now, Run& run, Reason reason, RunError error);
  void stop_run(Time now, Run& run, RunState state, Reason reason);
  void finish_if_done(Time now, Run& run);
  void finish(Time now, Run& run, RunState state);
  void keep_ended(RunId run);
  void take_artifacts(Run& run, TaskRecord& record, Outcome& outcome);
  void count_bytes(Run& run, const Payload& payload);
  void forget_ended(std::map<RunId, std::unique_ptr<Run>>::iterator run);
  void learn(Run& run);

  // flow.cc
  struct Upstream {  // of a task, by what became of it
    std::uint32_t well = 0;
    std::uint32_t skipped = 0;
    std::uint32_t failed = 0;
  };
  Upstream upstream_of(const Run& run, TaskIndex task) const;
  Reason hindrance(const Run& run, TaskIndex task) const;
  void open(Time now, Run& run, TaskIndex task);
  void open_early(Run& run, TaskIndex ended);
  void decide(Time now, Run& run, TaskIndex task);
  std::optional<Value> choose(Time now, Run& run, TaskIndex task, const Flow& flow);
  bool fall_back(Run& run, TaskIndex task);
  bool failure_is_taken(const Run& run, TaskIndex task) const;

  // stand_in.cc
  static bool stands_aside(const TaskRecord& record);  // it has failed, and waits for the node in its place
  static bool stands_aside(const Run& run, TaskIndex task);
  bool stand_aside(Time now, Run& run, TaskIndex task, Reason cause);
  bool may_stand_in(const Run& run, TaskIndex task) const;
  void stood_in(Time now, Run& run, TaskIndex task);

  // limits.cc
  void begin_run_limits(Time now, const Run& run);
  void run_time_over(Time now, Run& run);
  void begin_limit(Time now, Run& run, TaskIndex task);
  static bool over_limit(Time now, const Run& run, TaskIndex task);
  static ErrorInfo limit_error(const Run& run, TaskIndex task);
  void fail_by_limit(Time now, Run& run, TaskIndex task);
  void time_is_up(Time now, Run& run, TaskIndex task);
  bool too_late(const Run& run, TaskIndex node, Time due, ErrorInfo& error, Reason& reason) const;

  // cleanup.cc
  Value error_for(const Run& run, TaskIndex task) const;
  static bool ends_in_order(const Run& run, TaskIndex task);
  static Time ordered_end(Time now, Run& run, TaskIndex task);
  void enter_phase(Run& run, Cleanup phase);
  static bool may_undo(const Run& run);
  void undo_next(Run& run);
  bool clean_up(Run& run);
  void open_cleanup(Time now, Run& run, TaskIndex task);
  void cleanup_ended(Run& run, TaskIndex task);
  void cleanup_failed(Run& run, TaskIndex task, RunError error);

  // waiting.cc
  void on(Time now, SignalGiven& in);
  void on(Time now, ApprovalGiven& in);
  void on(Time now, PauseRequested& in);
  // A run that can still be acted on; else the request is answered. `waits`: also one whose clean-up may wait for it.
  Run* act_on(RequestId request, RunId id, bool waits);
  void acted(RequestId request, const Run& run, std::optional<TaskIndex> task, bool repeated);
  void begin_wait(Time now, Run& run, TaskIndex task, const Flow& flow);
  void wait_over(Time now, Run& run, TaskIndex task);  // nobody came in time, or the time was all there was to wait for
  void end_wait(Time now, Run& run, TaskIndex task, Payload output);
  void fail_wait(Time now, Run& run, TaskIndex task, Reason reason, std::string why);
  std::optional<TaskIndex> take_signal(Time now, Run& run, std::string_view name, Payload payload,
                                       std::optional<TaskIndex> but = {});
  void leave_wait(Time now, Run& run, TaskIndex task);  // it ends without it
  void restore_wait(Time now, Run& run, TaskIndex task);
  void hold(Run& run, TaskIndex task);    // ready, while it may not start
  bool let_go(Run& run, TaskIndex task);  // whether it was held
  void go_on(Time now, Run& run);         // after a pause
  static bool is_held(const Run& run, TaskIndex task);
  static bool awaits_event(const TaskRecord& record);  // waits for a timer, a signal, an approval
  static bool awaits_event(const Run& run, TaskIndex task);

  // fanout.cc
  Mapped* mapped_at(const Run& run, TaskIndex node) const;  // null: it has not begun
  Mapped& mapped_of(Run& run, TaskIndex node);
  void open_items(Time now, Run& run, TaskIndex node, const Flow& flow);
  void advance_items(Time now, Run& run, Mapped& mapped);  // ends the node, or offers what it has to do
  void offer_items(Time now, Run& run, Mapped& mapped);
  std::uint32_t take_items(const Run& run, Mapped& mapped, std::uint32_t& first, std::string& values);
  void deal_items(Time now, Run& run, SlotGranted& in);
  bool adopt_items(Time now, Run& run, const AttemptId& id, const WorkerRef& worker,
                   const std::vector<UpstreamVersion>& rests_on, bool started, std::uint32_t count);
  void hold_items(Run& run, Mapped& mapped, std::uint32_t first, std::uint32_t count, Attempt attempt);
  void finish_items(Time now, Run& run, Mapped& mapped);
  static bool items_over(const Run& run, TaskIndex node);
  void close_items(Run& run, TaskIndex node);  // it ends: what it held goes
  bool fetch_items(Run& run, Mapped& mapped);
  std::optional<ItemSource> source_of(Time now, Run& run, TaskIndex node, const Flow& flow);
  std::vector<std::size_t> pieces_lacking(const Mapped& mapped) const;
  void feed_items(Run& run, Mapped& mapped);
  void store_outputs(const Run& run, Mapped& mapped);
  bool give_list(Run& run, Mapped& mapped, TaskRecord& record);

  // fanout_ends.cc
  void items_ended(Time now, Run& run, AttemptEnded& in);
  void settle_items(Time now, Run& run, Mapped& mapped, const Attempt& attempt, std::uint32_t count, Outcome& outcome);
  void keep_items(Time now, Run& run, Mapped& mapped, const Attempt& attempt, const Outcome& outcome,
                  std::uint32_t first, std::uint32_t count, std::string_view outputs);
  void item_failed(Time now, Run& run, Mapped& mapped, const Attempt& attempt, const Outcome& outcome,
                   std::uint32_t item, Reason reason, ErrorInfo error);
  void fail_items(Run& run, Mapped& mapped, Reason reason, ErrorInfo error);  // the node fails when nothing is out
  void item_failed_for_good(Time now, Run& run, Mapped& mapped, std::uint32_t item, Reason reason);
  void items_lost(Time now, Run& run, Mapped& mapped, const Attempt& attempt, std::uint32_t first, std::uint32_t count,
                  std::string_view why);
  void lose_items(Time now, Run& run, TaskIndex chunk, std::string_view why);
  void items_reclaimed(Time now, Run& run, TaskIndex chunk);
  std::uint32_t release_items(Run& run, Mapped& mapped, TaskIndex chunk);  // is out no more; how many it had
  void item_due(Time now, Run& run, TaskIndex item);
  void restore_items(Time now, Run& run, TaskIndex chunk, const TaskRecord& record);
  void item_ended_badly(Time now, Run& run, Mapped& mapped, std::uint32_t item, Reason reason);
  void tell_progress(Time now, Run& run, Mapped& mapped);
  // Of mapped nodes whose items are child runs (child_items.cc).
  static bool asks_children(const Run& run, TaskIndex node);
  void ask_for_items(Time now, Run& run, Mapped& mapped);
  bool ask_for_item(Time now, Run& run, Mapped& mapped, std::uint32_t item);  // false: it waits for values
  void item_child_failed(Time now, Run& run, Mapped& mapped, std::uint32_t item, Reason reason, std::string why);
  void item_told(Time now, Run& run, ChildTold& told);
  void item_waited_enough(Time now, Run& run, Mapped& mapped, std::uint32_t item);
  void await_again(Time now, Run& run, Mapped& mapped, std::uint32_t item);  // after a restart
  void leave_children(Run& run, Mapped& mapped);                             // nobody waits for them any more

  // evaluate.cc
  void note_try(TaskRecord& record, Time now) const;
  void on(Time now, ValueFetched& in);
  void evaluate_control_node(Time now, Run& run, TaskIndex task);
  void end_loop(Time now, Run& run, TaskIndex task, const LoopSpec& loop);
  void fail_expression(Time now, Run& run, TaskIndex task, std::string why);
  // Nothing: the task waits for values, or has failed by it.
  std::optional<Value> evaluate_for(Time now, Run& run, TaskIndex task, const expr::Template& what);
  bool assemble_outputs(Time now, Run& run);  // false: waits for values, or the run has failed by it
  void await_values(Run& run, TaskIndex task, const std::vector<Hash128>& missing);
  class Outputs;
  Payload make_payload(RunId run, std::string json);  // by reference when larger than the inline limit
  Payload store_value(RunId run, std::string json);   // by reference whatever its size
  Result<Value> evaluate(const Run& run, const expr::Template& what, std::vector<Hash128>& missing,
                         std::optional<TaskIndex> task = {}, const BoundItem* item = nullptr);
  void fetch(const Run& run, const Hash128& hash);  // it waits for that

  // partition.cc
  void on(Time now, TimePassed& in);
  Run* live(RunId run);
  template <class Do>
  void each_live(Do what) {  // in their order; what is done may end them
    for (auto it = live_.begin(); it != live_.end();) {
      Run& run = *it->second;  // stays in memory until the turn is taken
      what(run);
      it = live_.upper_bound(run.id());
    }
  }
  void set_timer(Time when, RunId run, TaskIndex task);
  void run_timer(Time now, RunId run, TaskIndex task);

  static constexpr TaskIndex kRunTimer{0xFFFFFFFF};  // the run's own timeout

  PartitionOptions options_;
  std::uint32_t runs_made_ = 0;
  std::map<RunId, std::unique_ptr<Run>> runs_;
  std::map<RunId, Run*> live_;    // of these, those that have not ended: what walks through runs walks here
  std::deque<RunId> ended_kept_;  // ended, oldest first
  std::uint32_t ended_tasks_ = 0;
  std::array<std::uint64_t, 10> ended_states_{};          // of them, by state
  std::unordered_map<std::string, RunId> keys_;           // lookups only
  std::set<std::tuple<WorkerId, RunId, TaskIndex>> out_;  // attempts by worker
  std::set<std::tuple<Time, RunId, TaskIndex>> timers_;
  std::deque<std::pair<RunId, TaskIndex>> opened_;  // tasks whose upstream is all done: to offer, evaluate or skip
  std::set<RunId> sweeps_;                          // runs that are being stopped
  std::map<Hash128, std::set<RunId>> fetches_;      // values on their way, and who waits
  std::map<Hash128, std::shared_ptr<const std::string>> fetched_;  // while somebody needs them
  std::map<Hash128, DurationHistory> history_;
  std::uint32_t runs_live_ = 0;
  std::uint64_t tasks_live_ = 0;
  std::uint64_t bytes_live_ = 0;
  std::map<std::string, Load, std::less<>> tenants_;  // that have live runs
  Tally tally_;

  Registry registry_;
  Outbox outbox_;
  Inbox inbox_;
  std::uint32_t letters_made_ = 0;  // under this epoch
  Triggers triggers_;
  CacheHome cache_;
  Pauses pauses_;
  std::map<TriggerName, RunEndSpec> watchers_;  // triggers of any home that hear of run ends here
  std::map<std::pair<std::string, std::string>, std::set<TriggerName>> watched_;  // the same by tenant and workflow
  Duration wall_ahead_{};

  std::vector<std::uint32_t> scratch_;  // of complete()
  Effects effects_;
  bool stirred_ = false;
  std::uint64_t turn_ = 1;
  bool live_events_ = true;
  std::size_t records_pending_ = 0;
  std::size_t bytes_pending_ = 0;
  std::size_t records_step_ = 0;  // written in this step
};

struct RestoredRun {
  std::shared_ptr<const RunInfo> info;
  std::shared_ptr<const Plan> plan;
  RunRecord record;
  std::vector<std::pair<TaskIndex, TaskRecord>> tasks;
};

// Read-only answers (view.cc). A run that the partition no longer holds is viewed from its stored records.
RunView view_of(const Run& run, Time now, std::uint32_t nodes_max);
RunView view_of(const RestoredRun& run, Time now, std::uint32_t nodes_max);
RunSummary summary_of(const Run& run);

// A time as a workflow writes it: a duration or a number of seconds from `from` on, or a moment. With `until` a number
// is that of seconds since 1970, and a duration is none. Errors: kInvalid.
Result<Time> moment_of(const Value& value, Time from, bool until);
// "child run ID failed: why", or why there is none.
std::string end_of_child(const ChildTold& told);

// What must be true between steps (invariants.cc); empty, or what is broken. For tests and the self-audit.
std::string check_invariants(const Partition& partition);

}  // namespace millrace
