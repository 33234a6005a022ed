// Triggers: the pure machine of the triggers whose home a partition is: which firings come, and what becomes of each.
//
// A firing is named by its moment. It is decided once: `last` in the trigger's record only grows, whatever the clock
// does, and the run that it starts has the key trigger/WORKFLOW/TRIGGER/VERSION/MOMENT, which is accepted once. Whether
// the run before lives is what the home has been told: a run that a trigger started tells it of its end (run_over).
// An event (the end of a run, a delivery of a webhook) is one firing under a key that names it, or one of several that
// a debounce or a batch collects (ADR 21): what waits stands in the record, too.
// Promises: deterministic; what due() decides stands in `records` beside the starts, so one commit holds both. One call
// starts at most kFiringsAtOnce runs; next_deadline() asks for the rest. Threads: a value, owned by a Partition. Times
// are handed in. Fails: never; a firing that cannot be (its inputs fail) is counted and its reason kept.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/base/value.h"
#include "common/model/records.h"
#include "common/schedule/firings.h"

namespace millrace {

constexpr Duration kFiringOnTime = 1min;  // what is later was missed: `catch_up` says what becomes of it
constexpr std::uint32_t kFiringsAtOnce = 200;
constexpr std::size_t kRulesKeptMax = 1'000;      // triggers whose expressions stay compiled: the latest
constexpr std::size_t kFiringsQueuedMax = 100;    // of one trigger
constexpr std::size_t kEventsRemembered = 1'000;  // of one webhook: deliveries that are known to have come
constexpr std::uint32_t kTriggerChainMax = 32;    // runs that the end of the one before has started, in a row
// Label of a run that the end of another one has started: how many such runs stand before it, itself among them.
inline constexpr char kChainLabel[] = "trigger-chain";

struct TriggerName {
  std::string tenant;
  std::string workflow;
  std::string trigger;
  auto operator<=>(const TriggerName&) const = default;
};

// Something that a trigger awaits has happened.
struct TriggerEvent {
  std::string id;                  // names it for ever
  std::string kind;                // "run_end", "webhook", "stream", "keyspace"
  Value fields = Value::Object{};  // of `event`, besides kind, workflow, trigger and time
  std::uint32_t chain = 0;         // runs before it that ends of runs have started
  Time happened{};                 // by the wall; zero: now
};

// What waits in a debounce or a batch.
struct CollectedEvents {
  std::vector<std::string> events = {};  // JSON; of a debounce the latest only
  std::uint64_t count = 0;               // that have come
  std::uint32_t chain = 0;               // the longest of theirs
  Time began{};                          // by the time that is told, not the wall's
  Time ends{};                           // it fires then; zero: nothing waits
  bool operator==(const CollectedEvents&) const = default;
};

// A delivery that has come.
struct KnownEvent {
  Hash128 id;
  std::uint64_t batch = 0;  // that it went into; zero: it fired alone
  bool operator==(const KnownEvent&) const = default;
};

// What a home keeps of a trigger: all that its firings need, so that the workflow itself need not be at hand.
struct TriggerRecord {
  TriggerName name;
  std::uint64_t version = 0;  // of the workflow
  Hash128 definition;         // of that version
  ScheduleSpec schedule;
  Value inputs = Value::Object{};
  std::optional<RunEndSpec> run_end = {};
  std::string filter = {};
  bool paused = false;
  Time last{};                    // no firing up to this moment comes again
  Time fired{};                   // moment of the latest one that started a run; zero: none
  std::string running;            // key of that run, while it may live
  std::vector<Time> queued = {};  // firings that wait for its end
  std::uint64_t started = 0;
  std::uint64_t skipped = 0;  // by overlap, by a full queue, or missed
  std::uint64_t failed = 0;   // that could start nothing
  std::string error;          // why the latest of these could not
  std::optional<WebhookSpec> webhook = {};
  CollectSpec collect = {};
  std::uint64_t since = 0;  // the version that first had such a webhook or stream: keys of its firings name it
  CollectedEvents waiting = {};
  std::uint64_t batches = 0;           // that were begun
  std::vector<KnownEvent> known = {};  // of a webhook: the latest deliveries, oldest first
  std::uint64_t filtered = 0;
  std::uint64_t duplicates = 0;
  std::optional<StreamSpec> stream = {};
  std::uint64_t added = 0;  // entries that had been added to it up to the offset; zero: not known
  std::optional<KeyspaceSpec> keyspace = {};
  std::string offset = {};  // of a stream: id of the last entry that was taken; empty: it has not begun
  bool operator==(const TriggerRecord&) const = default;
};

struct TriggerStart {  // a run to be accepted under `key`
  TriggerName name;
  std::string key;
  std::uint64_t version = 0;
  Hash128 definition;
  std::string inputs;  // JSON object
  std::uint32_t chain = 0;
  bool operator==(const TriggerStart&) const = default;
};

struct RunEndNews {  // of a run that has ended
  RunId run;
  std::string workflow;
  RunState state = RunState::kSucceeded;
  Labels labels = {};
  Time ended{};
  bool operator==(const RunEndNews&) const = default;
};

// For those who count: what has become of firings and events.
struct FiringCounts {
  std::uint64_t started = 0;
  std::uint64_t skipped = 0;
  std::uint64_t filtered = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t failed = 0;
  std::vector<Duration> lags = {};  // of those that were started: how long after their moment
  bool none() const { return started + skipped + filtered + duplicates + failed == 0; }
  void add(const FiringCounts& more);
};

// Entries of a stream that follow each other.
struct StreamEntries {
  std::string after;        // id of the entry before the first one; empty: none were ever read
  std::string until;        // id of the last one
  std::uint64_t added = 0;  // how many had been added to the stream up to there
  std::vector<TriggerEvent> events;
  std::string trouble = {};  // why some are missing, or none can be read
};

struct TriggerEffects {
  std::vector<TriggerStart> starts;
  std::vector<std::pair<std::string, std::string>> cancels;  // tenant and key of runs that make room
  std::map<TriggerName, TriggerRecord> records;              // as they are now
  std::set<TriggerName> gone;
  std::map<TriggerName, std::optional<RunEndSpec>> watches;  // whose run ends it wants to hear of from now on
  FiringCounts counts;
};

// A trigger as it is now.
struct TriggerState {
  TriggerRecord record;
  Time next = kNever;  // moment of the next firing; kNever: none, or it is paused
};

// The trigger that a trigger_key() names; nothing: it is none.
std::optional<TriggerName> trigger_of(std::string_view tenant, std::string_view key);

class Triggers {
 public:
  explicit Triggers(ZoneSource zones = {}) : zones_(std::move(zones)) {}

  // From now on the triggers of this workflow are those of this version; what comes back keeps its state.
  void apply(Time now, const std::string& tenant, const std::string& workflow, std::uint64_t version,
             const Hash128& definition, const std::vector<TriggerSpec>& specs, TriggerEffects& out);
  void remove(const std::string& tenant, const std::string& workflow, TriggerEffects& out);
  // As it stood in the store. What waits for others waits no longer than it had to from `now`, ours, whatever the clock
  // of who wrote it.
  void restore(TriggerRecord record, Time now = kNever);

  // `now` is the wall's here and above; `told` is the time that never goes back, which debounces and batches follow.
  void due(Time now, TriggerEffects& out);
  void collected(Time now, Time told, TriggerEffects& out);  // those whose time has come
  void run_ended(Time now, Time told, const TriggerName& name, const RunEndNews& news, TriggerEffects& out);
  struct Taken {
    EventFate fate = EventFate::kFired;
    std::string key;  // of the run that it starts, or of the one that its batch will start; empty: none
  };
  // kNotFound: there is no such trigger.
  Result<Taken> event(Time now, Time told, const TriggerName& name, const TriggerEvent& event, TriggerEffects& out);
  // `error`: why it could not be accepted; empty: it was.
  void run_over(const TriggerName& name, std::string_view key, std::string_view error, TriggerEffects& out);
  // The entries and how far they go are one commit. Those that do not begin where it stands change nothing.
  void stream_read(Time now, Time told, const TriggerName& name, const StreamEntries& read, TriggerEffects& out);
  // By hand; kNotFound: there is no such trigger. A fired one starts a run whatever its schedule, pause or overlap say,
  // under a key that ends with `once`: the same number is the same run. The text is that key; of a pause it is empty.
  Result<std::string> pause(Time now, const TriggerName& name, bool pause, TriggerEffects& out);
  Result<std::string> fire(Time now, const TriggerName& name, std::uint64_t once, TriggerEffects& out);

  Time next_deadline() const { return timers_.empty() ? kNever : timers_.begin()->first; }  // of due()
  Time next_collected() const { return windows_.empty() ? kNever : windows_.begin()->first; }
  const TriggerRecord* find(const TriggerName& name) const;  // a loan until the next call
  std::vector<TriggerState> list() const;                    // by name
  std::size_t size() const { return triggers_.size(); }
  std::vector<const TriggerRecord*> streams()
      const;                      // of those that follow one, or a key-space, now; a loan until the next call
  std::uint64_t waiting() const;  // events in a debounce or a batch

 private:
  struct Trigger {
    TriggerRecord record;
    Cron cron;
    std::shared_ptr<const ZoneRules> zone;
    Time timer = kNever;
    std::optional<FiringRules> rules = {};  // with its first event
  };

  void ready(Trigger& trigger);  // cron, zone and timer, from its record
  void set_timer(Trigger& trigger);
  void forget(const std::string& tenant, const std::string& workflow,
              const std::function<bool(const TriggerName&)>& stays, TriggerEffects& out);
  static void drop_missed(Time now, Trigger& trigger, TriggerEffects& out);
  void firing(Trigger& trigger, Time moment, TriggerEffects& out);
  void start(Trigger& trigger, Time moment, TriggerEffects& out);
  const FiringRules& rules(Trigger& trigger);
  bool lets_pass(Trigger& trigger, const Value& event, TriggerEffects& out);
  Result<TriggerStart> prepare(Trigger& trigger, const Value& event, std::string key);
  // False: it can start nothing.
  bool launch(Trigger& trigger, Time moment, const Value& event, std::string key, std::uint32_t chain,
              TriggerEffects& out);
  void start_queued(Trigger& trigger, TriggerEffects& out);
  static Error no_trigger(const TriggerName& name);
  static std::string key_begin(const TriggerName& name, std::uint64_t version);
  static std::string key_begin(const TriggerRecord& record);  // of its events
  static void fail(TriggerRecord& record, const std::string& why, TriggerEffects& out);

  // trigger_events.cc
  Taken take(Time now, Time told, Trigger& trigger, const TriggerEvent& event, TriggerEffects& out);
  Taken collect(Time now, Time told, Trigger& trigger, const TriggerEvent& event, std::string json,
                TriggerEffects& out);
  static void remember(TriggerRecord& record, const TriggerEvent& event, std::uint64_t batch);
  bool fire_collected(Time now, Time told, Trigger& trigger, TriggerEffects& out);
  void set_window(TriggerRecord& record, Time ends);

  ZoneSource zones_;
  std::map<TriggerName, Trigger> triggers_;
  std::deque<TriggerName> compiled_;                // that have rules, oldest first; some more than once
  std::set<std::pair<Time, TriggerName>> timers_;   // by the wall
  std::set<std::pair<Time, TriggerName>> windows_;  // of what waits, by the time that is told
};

}  // namespace millrace
