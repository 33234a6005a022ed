// The inside of Loop: what its parts (turns, ownership, requests of clients, messages of workers) share. See loop.h.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/core/balance.h"
#include "coordinator/core/home.h"
#include "coordinator/core/partition.h"
#include "coordinator/core/placement.h"
#include "coordinator/core/stealing.h"
#include "coordinator/shell/forward.h"
#include "coordinator/shell/housekeeping.h"
#include "coordinator/shell/key_filter.h"
#include "coordinator/shell/loop.h"
#include "coordinator/shell/mail.h"
#include "coordinator/shell/membership.h"
#include "coordinator/shell/meter.h"
#include "coordinator/shell/plan_cache.h"
#include "coordinator/shell/streams.h"
#include "coordinator/shell/value_ring.h"
#include "coordinator/shell/worker_lines.h"

namespace millrace {

constexpr Duration kResendFirst = 20ms;  // after an unknown outcome; also how often an absent store is looked for

// One partition as this coordinator sees it.
struct Share {
  enum class Phase : std::uint8_t {
    kWatching,   // somebody else may own it: look at its beat
    kTaking,     // compare-and-set is out
    kRepairing,  // ours; what the store has lost is being applied again
    kLoading,    // ours; live runs are coming, new ones are accepted
    kServing,
    kReleasing,  // given up: the release is out
    kReleased,   // at the end
  };
  PartitionId id;
  Phase phase = Phase::kWatching;
  bool asked = false;  // a ReadOwner or TakePartition is out
  Time ask_at{};       // when to ask again
  std::optional<OwnerRecord> seen;
  Time seen_since{};    // since when that beat stands
  bool silent = false;  // that beat stands for too long
  Time silent_since{};
  std::optional<std::string> giving;                   // to be given up, and for whom
  bool giving_closed = false;                          // its last effects are in a turn
  std::vector<std::pair<RunId, TaskIndex>> postponed;  // that would have had a slot meanwhile
  std::vector<WorkerId> gone;                          // workers that were lost meanwhile
  bool inherited = false;                              // we were its heir
  Time taken{};
  std::uint32_t epoch_highest = 0;  // highest counter ever heard of
  Epoch epoch;
  std::uint64_t number = 0;  // of the last commit handed to the store
  std::uint64_t beat = 0;
  Time beat_due{};
  Time renewed{};  // when the last applied commit was handed over
  std::unique_ptr<Partition> core;
  KeyFilter keys;                        // of this epoch
  std::unique_ptr<KeyFilter> keys_anew;  // that takes its place when it is complete
  std::string load_cursor;
  bool load_done = false;
  std::vector<StoredRun> restoring;  // wait for their definitions
  struct Mail {
    std::vector<SharedLetter> letters;
    std::map<PartitionId, Mark> marks;
  };
  Mail mail;  // as far as it has been read
  bool mail_loaded = false;
  std::map<PartitionId, std::uint64_t> mail_heard;  // by receiver: number of the batch that was answered last
  // Its live runs, as the store has them, are looked at before it is given up.
  struct Look {
    std::uint64_t number = 0;
    std::string heir;
    std::string cursor = {};
    std::size_t stuck = 0;  // runs that only this memory has
  };
  std::optional<Look> look;
  std::set<RunId> to_write_anew;         // whose stored records are damaged, with the next turn
  Time stays_until{};                    // for such runs
  std::set<Hash128> definitions_stored;  // in this partition
  bool adopting = false;                 // ready tasks are held back
  Time adopt_until = kNever;
  // What we know of it from when it was ours: under `epochs`, one after the other with nobody between (the last ones
  // perhaps only tried for); taken at `base_number` from `base`.
  struct Past {
    std::vector<Epoch> epochs;
    Epoch base;
    std::uint64_t base_number = 0;
    std::uint64_t acked = 0;                             // highest commit that the store has acknowledged
    std::optional<std::map<RunId, std::uint32_t>> runs;  // with their versions, when they left our memory
  };
  Past past;
  bool retake = false;                                   // at once, as the store is behind
  std::optional<std::map<RunId, std::uint32_t>> lost;    // after a loss: runs that have not come from the store
  std::vector<std::pair<RunId, std::uint64_t>> touched;  // and their latest event that is kept; 0: gone altogether
  ShareHouse house;
  std::set<std::string> awaited;  // workers of the stored fleet that have not spoken to this epoch
  bool ours() const { return phase == Phase::kLoading || phase == Phase::kServing; }
  bool serving() const { return phase == Phase::kServing && !giving; }
  bool open() const { return ours() && !giving; }           // takes inputs, of runs that it has
  bool accepting() const { return open() && mail_loaded; }  // new runs, too: whom their ends are told is known
  bool has(RunId run) const { return open() && core->find(run) != nullptr; }
  bool served_elsewhere() const { return phase == Phase::kWatching && seen && !seen->owner.empty() && !silent; }
};

// Acknowledged commits that the store has lost and that could not be brought back.
struct Loss {
  PartitionId partition;
  Time when{};
  std::uint64_t first = 0;  // commit
  std::uint64_t last = 0;
  bool elsewhere = false;              // another coordinator had taken the partition: it knows its live runs, not we
  std::size_t touched = 0;             // live runs
  std::vector<std::string> runs = {};  // the first of them
};

// The same of what is not a commit: letters that had been taken, a large value.
struct LostThing {
  Time when{};
  std::string subject;
  std::string what;
  std::string action;
};

// What leaves when the turn is durable.
struct Outgoing {
  PartitionId partition;
  Effects effects;
};

// What one turn says to one worker.
struct ToWorker {
  AnswerBatch answers;
  CancelBatch cancels;
  Reclaim reclaims;
  AssignBatch assigns;
  std::size_t assign_bytes = 0;
};

constexpr std::size_t kIncomingHeldMax = 4'096;  // messages, while the store refuses writes
constexpr Duration kOnItsWay = 60s;              // how long it is known what left when

// The same words to many workers.
struct Announcement {
  CoordinatorMessage message;
  std::vector<PeerId> peers;
};

constexpr PartitionId kNoPartition{kPartitionsMax};  // of what rests on no partition

struct PendingTurn {
  bool needs_commit = false;
  bool in_store = false;  // handed over, not answered
  bool durable = false;
  bool only_beats = false;  // made while there is no room for others
  Time begun{};
  Time handed{};  // to the store
  TurnCommit commit;
  std::vector<Outgoing> outgoing;
};

constexpr std::size_t kResumeFromMax = 1'000;  // nodes that a run is run again from

// Tells a repeat from a conflict.
Hash128 request_hash(const SubmitRun& submit);

// A request that waits for something from the store.
using Continuation = std::function<void(Time now, StoreAnswer&& answer)>;

struct Loop::State {
  State(LoopOptions o, Clock& c, Store& s, Gateway& g, Bus& b);

  // turns.cc
  bool turn();
  void take_in(Time now);
  bool room_for_turn() const;
  bool takes_input() const { return !stopping && (broken ? refuses() : room_for_turn()); }
  bool refuses() const { return !store_refuses.empty() && incoming.size() < kIncomingHeldMax; }
  bool room_in_turn() const;
  void keep_beating(Time now);
  void refuse_new_work();
  void housekeeping(Time now);
  void place(Time now);
  bool close_turn(Time now);
  void write_fleet(Time now, TurnCommit& commit);
  static PartitionCommit beat_of(Share& share);
  void fetch(Share& share, const Hash128& hash);
  void hand_over(PendingTurn& turn);
  bool hear_store(Time now);
  void on_commit(Time now, const CommitOutcome& outcome);
  void resend(Time now);
  bool release(Time now);
  void perform(std::vector<Outgoing>& outgoing);
  void send_assigns(WorkerId worker, ToWorker& to);
  void tell_of(const std::vector<Event>& events);
  Time next_wake() const;

  // mail.cc
  static std::vector<ShelfWrite> shelf_writes(PartitionId partition, const Effects& effects);
  void watch_wall(Time now);
  std::string check_triggers(const std::vector<TriggerSpec>& triggers) const;  // what is wrong with them
  bool answer_about_triggers(Time now, Routed& one);
  void on_delivery(Time now, RequestId request, HookDelivery& delivery);
  // following.cc
  bool follow_streams(Time now);
  bool take_entries(Time now, const StreamBatch& batch);
  void find_run_of_key(RequestId request, const FindRunOfKey& find);
  TriggersReply triggers_view(const ListTriggers& query) const;
  void load_mail(Share& share, std::size_t shelf, const std::string& cursor);
  void take_record(Share& share, Shelf shelf, const std::string& field, const std::string& bytes);
  void carry(Time now, const Outgoing& out);
  void send_mail(Time now, Share& sender, const SendLetters& mail);
  bool mail_answered(Time now, const FromPeer& answer);
  void on_letters(Time now, RequestId request, const DeliverLetters& mail, std::uint8_t hops);
  void begin_mail(Time now, const std::shared_ptr<MailBatch>& batch);
  void take_mail(Time now, const std::shared_ptr<MailBatch>& batch);
  void letters_taken(Time now, Share& sender, PartitionId to, std::uint64_t until);
  void tell_missed(Time now, PartitionId sender, const LettersMissed& missed);
  bool bring_run(Share& share, const std::shared_ptr<MailBatch>& batch, RunWanted& wanted, LetterCame& came);
  void post(Time now, PartitionId from, PartitionId to, LetterBody body);

  // pausing.cc
  bool answer_about_pauses(Time now, Routed& one);
  void on_pause(Time now, RequestId request, PauseScope& scope);
  PausesReply pauses_view(const std::string& tenant) const;
  std::vector<Finding> pauses_found() const;

  // registering.cc
  void on_workflow(Time now, RequestId request, WorkflowRequest& ask);
  void show_workflow(RequestId request, Share& home, const WorkflowRequest& ask);
  void ask_definition(RequestId request, PartitionId home, const Hash128& definition, WorkflowReply answer);
  void apply_workflow(Time now, RequestId request, Share& home, WorkflowRequest& ask);
  void roll_back_workflow(Time now, RequestId request, Share& home, WorkflowRequest& ask);
  void delete_if_idle(RequestId request, WorkflowRequest ask, std::size_t state);
  WorkflowsReply workflows_here(const std::string& tenant) const;

  // housekeeping.cc
  void keep_house(Time now);
  bool count_kept(Time now);
  void sweep_runs(Time now);
  void ask_runs(PartitionId partition, const std::string& cursor);
  void ask_others();
  void choose_runs(Time now);
  std::map<std::string, std::uint64_t> kept_everywhere() const;
  bool clear_away(Time now);
  Time next_clearing(const Share& share, std::size_t kind) const;
  bool has_others() const;
  bool house_writes(const Share& share, Time now) const;
  void add_house(Time now, Share& share, PartitionCommit& part);

  // self_audit.cc
  bool audit(Time now);  // whether something was put right
  void audit_offers(Time now, std::vector<AuditFinding>& findings);
  void audit_partitions(Time now, std::vector<AuditFinding>& findings);
  void tell_findings(const std::vector<AuditFinding>& findings);
  CoordinatorHealth health(const ServerFacts* store, Duration answered, std::vector<AuditFinding> found) const;
  void on_examine(Time now, Routed& one);

  // members.cc
  void meet(Time now);
  BalanceView balance_view() const;
  void plan_ownership(Time now);
  void leave(Time now, Share& share, const std::string& heir);
  void give(Share& share, const std::string& heir);
  void finish_giving(Time now);
  void let_go(Time now, Share& share, const OwnerAnswer* answer);
  ClusterNews news() const;
  void tell_news(Time now);
  void tell_some_again();

  // ownership.cc
  void own(Time now);
  void watch_owners(Time now);
  void look_at(Share& share, Time when);  // at its owner record, from then on
  void list_cores();
  void take(Time now, Share& share);
  Duration watch_every() const;
  void on_owner(Time now, Share& share, const OwnerAnswer& answer);
  void begin_loading(Share& share);
  void load(Share& share);
  void scan_keys(Share& share, const std::string& cursor);
  void on_page(Time now, Share& share, ActivePage& page);
  void restore_known(Time now, Share& share);
  void without_definition(Share& share, const Hash128& definition, const std::string& why);
  void drop(Time now, Share& share, const std::string& why);
  void settle_slots(Share& share);
  void forget_core(Time now, Share& share);
  void close_adoption(Time now, Share& share);
  void release_all(Time now);

  // stored_runs.cc
  void look_at_stored(Share& share);
  void on_stored_page(Time now, Share& share, const ActivePage& page);
  bool save(Share& share, RunId run, const Error& damage);
  void write_anew(Share& share, PartitionCommit& part);

  // loss.cc
  void fall_behind(Time now, Share& share);
  void after_take(Time now, Share& share, const OwnerRecord& before, std::uint64_t stored);
  void repair(Time now, Share& share, const Share::Past& past, std::uint64_t stored);
  void on_repaired(Time now, Share& share, const Share::Past& past, std::uint64_t stored, std::uint64_t reached);
  void report_loss(Time now, Share& share, const Share::Past& past, std::uint64_t stored);
  void look_for_loss(Time now, Share& share, const OwnerRecord& record);
  void compare_lost(Share& share, const RunInfo& info, const RunRecord& record);
  void tell_lost(Time now, Share& share);
  void load_value(const LoadValue& read, std::function<void(Time, ValueAnswer*)> then);
  void give_value(PeerId peer, const ValueRequest& wanted);
  void give_value(RequestId request, const GetValue& wanted);
  void take_part(Time now, PeerId peer, PutPart& part);
  void take_inputs(Time now, RequestId request, PutInputs& part);
  // Reads inputs that were sent ahead, and goes on with the submission.
  void fetch_inputs(RequestId request, SubmitRun&& submit, std::uint8_t hops);
  bool hold_part(std::uint64_t bytes);
  void read_value(const LoadValue& read, std::function<void(ValueAnswer*)> then, std::function<void()> full);
  void look_after_values(Time now);
  void look_for_value(const Hash128& hash);
  void put_back(Time now, const Hash128& hash, std::uint64_t from);
  void lost_value(Time now, const ValueRing::Value& value);
  void lose(LostThing thing);
  Loss* latest_loss(PartitionId partition);
  std::vector<Finding> losses_found() const;

  // forward.cc
  void on_request(Time now, FromClient& from);
  void route(Time now, Routed one);
  bool answers_here(const Share& share, const OperatorRequest& body) const;
  std::optional<PartitionId> concerns(const OperatorRequest& body) const;
  bool forward(Time now, Share& share, Routed& one);
  bool forward_to(Time now, const MemberRecord& peer, PartitionId partition, Routed& one, std::uint64_t gather);
  void hold(Time now, Routed one);
  void on_peer(Time now, FromPeer& from);
  void look_at_routes(Time now);
  void gather(Time now, RequestId request, const OperatorRequest& body, OperatorReply ours);
  void close_gathers(Time now);

  // waits.cc
  bool look_at_placement(Time now);
  void explain_waits(RunView& view, const Run& run, const Share& share) const;

  // cluster_requests.cc
  bool answer_about_cluster(Time now, Routed& one);
  PartitionsReply partitions_view() const;
  CoordinatorsReply coordinators_view() const;
  void on_move(Time now, Routed& one, const MovePartition& move);
  void on_drain(Time now, Routed& one);

  // requests.cc
  void answer(Time now, Routed& one);
  bool act(Time now, Routed& one);
  PingReply pong() const;
  void on_submit(Time now, RequestId request, SubmitRun& submit, std::uint8_t hops);
  // Its definition, planned. Fails: the request has been answered (with the wish to see it, or with what is wrong).
  Result<std::shared_ptr<const Plan>> plan_of(RequestId request, const SubmitRun& submit);
  // Goes on where its key names no run yet; else the request is answered with that run, or with a conflict.
  void look_up_key(Time now, RequestId request, SubmitRun&& submit, std::uint8_t hops, const Hash128& hash,
                   std::function<void(Time, SubmitRun&&)> fresh);
  PartitionId home_of(const SubmitRun& submit) const;  // where its run lives, or will live
  // Why no more runs are taken, of this tenant.
  std::optional<Error> full(const std::string& tenant, std::uint64_t adds, std::uint64_t adds_bytes) const;
  void admit(Time now, RequestId request, SubmitRun&& submit, std::shared_ptr<const Plan> plan, const Hash128& hash,
             std::shared_ptr<const RestoredRun> old = nullptr, std::vector<Hash128> parts = {});
  void with_run(Time now, RequestId request, const RunName& name, std::function<void(Time, RunId)> then);
  void with_stored(RunId run, RequestId request, std::function<void(Time, RestoredRun&)> then);
  void without_plan(RunId run, RequestId request, Error why);
  void with_plan(PartitionId partition, const Hash128& definition,
                 std::function<void(Time, Result<std::shared_ptr<const Plan>>)> then);
  void view(Time now, RequestId request, RunId run, std::uint32_t nodes_max, bool wait_for_end);
  void list(Time now, RequestId request, const ListRuns& query);
  void events(Time now, RequestId request, RunId run, const ReadEvents& query);
  void logs(Time now, RequestId request, RunId run, const ReadLogs& query);
  void reply(RequestId request, OperatorReply reply, PartitionId of = kNoPartition);
  static Error not_serving(PartitionId partition);
  void refuse(RequestId request, Error error);

  // resuming.cc
  struct Resumption;
  void on_resume(Time now, RequestId request, SubmitRun& submit, std::uint8_t hops);
  void resume_inputs(Time now, std::shared_ptr<Resumption> all);
  void resume_lists(Time now, std::shared_ptr<Resumption> all);
  void admit_resumed(Time now, Resumption& all);

  // workers.cc
  void on_worker(Time now, PeerId peer, WorkerMessage& message);
  void on_beats(Time now, const FromBeats& beats);
  void on_hello(Time now, PeerId peer, WorkerHello& hello);
  Time first_dispatch_left_after(Time when) const;
  void on_log(Time now, TaskLog& log);
  void on_news(Time now, TaskNews& news);
  void hear_epochs(Time now, const WorkerHello& hello);
  void take_above(Time now, Share& share, const std::string& heard);
  void worker_gone(Time now, WorkerId worker);
  bool tell(WorkerId worker, const CoordinatorMessage& message);

  Share* share_of(RunId run);
  Share& share(PartitionId partition) { return shares[partition.value]; }
  Time wall_due{};        // when the wall clock is looked at again
  Duration wall_ahead{};  // of ours
  PartitionId partition_for(const std::string& tenant, const std::string& key) const;
  bool all_serving() const;
  LoopSnapshot snapshot() const;  // meter.cc
  void ask(const StoreRead& read, Continuation then);
  void ask_again(Time now, std::function<void()> ask);  // a while later, when the store is there
  void ask_due(Time now);

  LoopOptions options;
  Clock& clock;
  Store& store;
  Gateway& gateway;
  Bus& bus;

  std::vector<Share> shares;
  std::vector<Share*> cores;  // those that are in our memory, by id: a turn looks at no others
  Time watch_at{};            // no owner record has to be looked at before
  Placement placement;
  Stealing stealing;
  PlanCache plans;
  Meter meter;
  std::deque<PendingTurn> turns;
  std::deque<Loss> losses;            // the latest
  std::deque<LostThing> things_lost;  // likewise
  std::uint64_t turns_made = 0;
  bool broken = false;        // an outcome is unknown: nothing new until the pipeline was resent
  std::string store_refuses;  // then: why it takes no writes, so that new work is refused and not left waiting
  Time store_wavered{};       // when it was last away, or did not have what it should
  Time resend_at{};
  Duration resend_pause = Duration::zero();

  std::deque<Incoming> incoming;
  Membership membership;
  bool meeting = false;  // MeetMembers is out
  Time meet_at{};
  Time twin_noted{};
  bool plan_dirty = true;    // who should own what may have changed
  Time plan_at{};            // it is looked at again then
  bool routes_dirty = true;  // who answers what may have changed
  bool news_dirty = true;    // what workers know of the cluster may have changed
  Time news_at{};
  ClusterNews news_told;
  WorkerId told_last;             // of those that are told again
  std::uint64_t told_rounds = 0;  // through the fleet
  std::vector<Routed> held;
  Time held_at = kNever;  // to be tried again
  std::map<std::uint64_t, Forwarded> forwarded;
  std::uint64_t forwards_made = 0;  // begins somewhere: answers meant for an earlier process find nothing
  std::map<std::uint64_t, MailOut> mail_out;
  struct Following {
    PartitionId home;
    TriggerName trigger;
  };
  std::map<std::string, Following> following;  // streams, by token
  std::uint64_t looks = 0;                     // at what the store has of partitions
  std::uint64_t followings = 0;                // tokens of before a misfit are not used again
  Time follow_at{};                            // which ones are wanted is looked at again
  Time entries_at = kNever;                    // entries wait for room
  std::map<std::uint64_t, Gather> gathers;
  std::uint64_t gathers_made = 0;
  Time began{};
  House house;

  std::map<std::uint64_t, Continuation> asked;
  std::uint64_t tags = 0;
  std::vector<std::function<void()>> asks_due;
  Time asks_at = kNever;
  std::vector<Outgoing> replies_direct;  // of this turn, not from a partition
  std::vector<std::pair<PeerId, CoordinatorMessage>> sends_direct;
  std::vector<Announcement> announcements;
  std::vector<LogAppend> logs_pending;
  std::uint64_t parts_held = 0;                         // bytes of large values that pass through here
  ValueRing values_kept;                                // of the last seconds
  Time values_looked{};                                 // when they were looked for in the store
  std::vector<std::pair<WorkerRef, AttemptId>> unsent;  // assignments that the gateway did not take

  WorkerLines lines;
  std::deque<std::pair<Time, Time>> dispatches_left;  // within kOnItsWay: when a turn with assignments left and began
  std::map<PeerId, std::deque<std::pair<std::uint64_t, Time>>> asked_hello;  // numbers of SayHello, when each went out
  std::uint64_t hellos_asked = kNothingAsked;
  std::set<PeerId> hello_wanted;       // SayHello goes out with this turn
  std::set<std::string> fleet_stored;  // names as the store has them
  bool fleet_asked = false;
  bool fleet_read = false;
  bool fleet_dirty = false;
  Time fleet_whole_at{};             // not before are all names written again
  std::set<std::string> fleet_come;  // names that the store has not been told yet
  std::set<std::string> fleet_gone;  // names that it need not keep
  Time unconfirmed_at{};             // when to look for attempts that nobody spoke of

  bool stopping = false;
  bool released = false;
  bool forgotten = false;  // at the end: our record as a member
  Time stop_until{};
};

}  // namespace millrace
