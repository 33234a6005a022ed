#include "coordinator/core/triggers.h"

#include <algorithm>
#include <utility>

#include "common/base/units.h"

namespace millrace {
namespace {

constexpr std::string_view kKeyBegins = "trigger/";
constexpr std::size_t kErrorMax = 512;
constexpr char kStreamBegin[] = "0-0";

// As jitter and the events of a schedule want it.
TriggerSpec spec_of(const TriggerRecord& record) { return {record.name.trigger, record.schedule}; }

Time starts_at(const TriggerRecord& record, Time moment) {
  return moment + jitter_of(spec_of(record), record.name.workflow, moment);
}

// Takes what stands behind the last slash off the end.
std::string_view take_last(std::string_view& text) {
  const std::size_t slash = text.rfind('/');
  if (slash == std::string_view::npos) return {};
  const std::string_view last = text.substr(slash + 1);
  text = text.substr(0, slash);
  return last;
}

}  // namespace

Error Triggers::no_trigger(const TriggerName& name) {
  return {Code::kNotFound,
          "there is no trigger '" + name.workflow + "/" + name.trigger + "' of an applied workflow",
          {},
          "trigger"};
}

std::string Triggers::key_begin(const TriggerName& name, std::uint64_t version) {
  return std::string(kKeyBegins) + name.workflow + "/" + name.trigger + "/" + std::to_string(version) + "/";
}

std::string Triggers::key_begin(const TriggerRecord& record) {
  return key_begin(record.name, record.webhook || record.stream || record.keyspace ? record.since : record.version);
}

std::optional<TriggerName> trigger_of(std::string_view tenant, std::string_view key) {
  if (!key.starts_with(kKeyBegins)) return std::nullopt;
  key.remove_prefix(kKeyBegins.size());
  const bool moment = !take_last(key).empty();
  const bool version = !take_last(key).empty();
  const std::string_view trigger = take_last(key);
  if (!moment || !version || trigger.empty() || key.empty()) return std::nullopt;
  return TriggerName{std::string(tenant), std::string(key), std::string(trigger)};
}

// Compiled once, however many events come; forgotten again where very many triggers have some.
const FiringRules& Triggers::rules(Trigger& trigger) {
  if (trigger.rules) return *trigger.rules;
  while (compiled_.size() >= kRulesKeptMax) {
    if (const auto oldest = triggers_.find(compiled_.front()); oldest != triggers_.end()) oldest->second.rules.reset();
    compiled_.pop_front();
  }
  compiled_.push_back(trigger.record.name);
  return trigger.rules.emplace(trigger.record.filter, trigger.record.inputs);
}

Result<TriggerStart> Triggers::prepare(Trigger& trigger, const Value& event, std::string key) {
  const Result<Value> inputs = rules(trigger).inputs(event);
  if (!inputs.ok()) return inputs.error();
  const TriggerRecord& record = trigger.record;
  return TriggerStart{record.name, std::move(key), record.version, record.definition, inputs->dump()};
}

void Triggers::ready(Trigger& trigger) {
  trigger.rules.reset();
  trigger.zone = nullptr;
  if (trigger.record.schedule.cron.empty()) {
    trigger.record.running.clear();
    return set_timer(trigger);
  }
  const Result<Cron> cron = parse_cron(trigger.record.schedule.cron);
  trigger.zone = cron.ok() && zones_ ? zones_(trigger.record.schedule.timezone) : nullptr;
  if (cron.ok()) trigger.cron = *cron;
  set_timer(trigger);
}

void Triggers::set_timer(Trigger& trigger) {
  if (trigger.timer != kNever) timers_.erase({trigger.timer, trigger.record.name});
  trigger.timer = kNever;
  if (trigger.record.paused || trigger.zone == nullptr) return;
  const std::optional<Time> next = next_firing(trigger.cron, *trigger.zone, trigger.record.last);
  if (!next) return;
  trigger.timer = starts_at(trigger.record, *next);
  timers_.insert({trigger.timer, trigger.record.name});
}

void Triggers::apply(Time now, const std::string& tenant, const std::string& workflow, std::uint64_t version,
                     const Hash128& definition, const std::vector<TriggerSpec>& specs, TriggerEffects& out) {
  const auto stays = [&](const TriggerName& name) {
    return std::ranges::find(specs, name.trigger, &TriggerSpec::name) != specs.end();
  };
  forget(tenant, workflow, stays, out);
  for (const TriggerSpec& spec : specs) {
    const TriggerName name{tenant, workflow, spec.name};
    const auto [it, fresh] = triggers_.try_emplace(name);
    TriggerRecord& record = it->second.record;
    // A schedule that stays as it was goes on where it stood; another one begins now.
    if (fresh || record.schedule != spec.schedule) record.last = std::max(record.last, now);
    if (record.run_end != spec.run_end) out.watches[name] = spec.run_end;
    // What waits was acknowledged, and collected by another rule than the next ones: it fires as it would have.
    if (record.waiting.count > 0 &&
        (record.run_end != spec.run_end || record.webhook != spec.webhook || record.stream != spec.stream ||
         record.keyspace != spec.keyspace || record.collect != spec.collect))
      (void)fire_collected(now, record.waiting.began, it->second, out);
    if (fresh || record.webhook.has_value() != spec.webhook.has_value() || record.stream != spec.stream ||
        record.keyspace != spec.keyspace)
      record.since = version;
    if (record.stream != spec.stream) {
      record.added = 0;
      record.offset = spec.stream && spec.stream->from_begin ? kStreamBegin : "";
    }
    record.stream = spec.stream;
    record.keyspace = spec.keyspace;
    record.run_end = spec.run_end;
    record.webhook = spec.webhook;
    record.collect = spec.collect;
    record.filter = spec.filter;
    record.name = name;
    record.version = version;
    record.definition = definition;
    record.schedule = spec.schedule;
    record.inputs = spec.inputs;
    ready(it->second);
    out.gone.erase(name);
    out.records[name] = record;
  }
}

void Triggers::forget(const std::string& tenant, const std::string& workflow,
                      const std::function<bool(const TriggerName&)>& stays, TriggerEffects& out) {
  for (auto it = triggers_.lower_bound({tenant, workflow, ""}); it != triggers_.end();) {
    const TriggerName& name = it->first;
    if (name.tenant != tenant || name.workflow != workflow) break;
    if (stays(name)) {
      ++it;
      continue;
    }
    if (it->second.timer != kNever) timers_.erase({it->second.timer, name});
    windows_.erase({it->second.record.waiting.ends, name});
    if (it->second.record.run_end) out.watches[name] = std::nullopt;
    out.records.erase(name);
    out.gone.insert(name);
    it = triggers_.erase(it);
  }
}

void Triggers::remove(const std::string& tenant, const std::string& workflow, TriggerEffects& out) {
  forget(
      tenant, workflow, [](const TriggerName&) { return false; }, out);
}

void Triggers::restore(TriggerRecord record, Time now) {
  CollectedEvents& waiting = record.waiting;
  if (const Duration ahead = waiting.began - now; waiting.ends != Time{} && ahead > Duration::zero()) {
    waiting.began -= ahead;
    waiting.ends -= ahead;
  }
  Trigger& trigger = triggers_[record.name];
  trigger.record = std::move(record);
  if (trigger.record.waiting.ends != Time{}) windows_.insert({trigger.record.waiting.ends, trigger.record.name});
  ready(trigger);
}

// Of the firings that are long past, leaves those that are to be made up for.
void Triggers::drop_missed(Time now, Trigger& trigger, TriggerEffects& out) {
  const ScheduleSpec& schedule = trigger.record.schedule;
  const Time until = now - kFiringOnTime - schedule.jitter;
  const std::optional<Time> next = next_firing(trigger.cron, *trigger.zone, trigger.record.last);
  if (!next || *next > until) return;
  const std::uint32_t most = schedule.catch_up == CatchUp::kNone  ? 0
                             : schedule.catch_up == CatchUp::kOne ? 1
                                                                  : schedule.catch_up_limit;
  Time keep_after = until;  // the moment before the first one that is kept
  for (std::uint32_t kept = 0; kept < most && keep_after >= *next; ++kept) {
    const std::optional<Time> one = previous_firing(trigger.cron, *trigger.zone, keep_after);
    if (!one) break;
    keep_after = *one - 1us;
  }
  if (keep_after < *next) return;  // all of them
  ++out.counts.skipped;
  ++trigger.record.skipped;  // how many were missed is not counted out: it may be a year of them
  trigger.record.last = keep_after;
}

void Triggers::due(Time now, TriggerEffects& out) {
  std::uint32_t budget = kFiringsAtOnce;
  while (budget > 0 && !timers_.empty() && timers_.begin()->first <= now) {
    Trigger& trigger = triggers_.at(timers_.begin()->second);
    drop_missed(now, trigger, out);
    for (; budget > 0; --budget) {
      const std::optional<Time> next = next_firing(trigger.cron, *trigger.zone, trigger.record.last);
      if (!next || starts_at(trigger.record, *next) > now) break;
      trigger.record.last = *next;
      const std::uint64_t before = out.counts.started;
      firing(trigger, *next, out);
      if (out.counts.started > before) out.counts.lags.push_back(now - *next);
    }
    set_timer(trigger);
    out.records[trigger.record.name] = trigger.record;
  }
}

void Triggers::firing(Trigger& trigger, Time moment, TriggerEffects& out) {
  TriggerRecord& record = trigger.record;
  const Overlap overlap = record.schedule.overlap;
  if (record.running.empty() || overlap == Overlap::kAllow) return start(trigger, moment, out);
  if (overlap == Overlap::kCancel) {
    out.cancels.emplace_back(record.name.tenant, record.running);
    return start(trigger, moment, out);
  }
  if (overlap == Overlap::kQueue && record.queued.size() < kFiringsQueuedMax) return record.queued.push_back(moment);
  ++record.skipped;
  ++out.counts.skipped;
}

void Triggers::start(Trigger& trigger, Time moment, TriggerEffects& out) {
  TriggerRecord& record = trigger.record;
  const Value event = firing_event(spec_of(record), record.name.workflow, *trigger.zone, moment);
  if (!lets_pass(trigger, event, out)) return;
  (void)launch(trigger, moment, event, trigger_key(record.name.workflow, record.name.trigger, record.version, moment),
               0, out);
}

// False: that is counted. An event about which the filter cannot tell starts nothing.
bool Triggers::lets_pass(Trigger& trigger, const Value& event, TriggerEffects& out) {
  TriggerRecord& record = trigger.record;
  const Result<bool> passed = rules(trigger).passes(event);
  if (!passed.ok()) {
    fail(record, passed.error().what, out);
    return false;
  }
  if (*passed) return true;
  ++record.filtered;
  ++out.counts.filtered;
  return false;
}

void Triggers::fail(TriggerRecord& record, const std::string& why, TriggerEffects& out) {
  ++record.failed;
  ++out.counts.failed;
  record.error = why.substr(0, kErrorMax);
}

bool Triggers::launch(Trigger& trigger, Time moment, const Value& event, std::string key, std::uint32_t chain,
                      TriggerEffects& out) {
  TriggerRecord& record = trigger.record;
  Result<TriggerStart> one = prepare(trigger, event, std::move(key));
  if (!one.ok()) {
    fail(record, one.error().what, out);
    return false;
  }
  one->chain = chain;
  ++record.started;
  ++out.counts.started;
  record.fired = moment;
  if (!record.schedule.cron.empty()) record.running = one->key;
  out.starts.push_back(std::move(*one));
  return true;
}

void Triggers::start_queued(Trigger& trigger, TriggerEffects& out) {
  TriggerRecord& record = trigger.record;
  if (record.paused || trigger.zone == nullptr) return;
  while (record.running.empty() && !record.queued.empty()) {
    const Time moment = record.queued.front();
    record.queued.erase(record.queued.begin());
    start(trigger, moment, out);
  }
}

void Triggers::run_over(const TriggerName& name, std::string_view key, std::string_view error, TriggerEffects& out) {
  const auto found = triggers_.find(name);
  if (found == triggers_.end()) return;
  TriggerRecord& record = found->second.record;
  if (error.empty() && record.running != key) return;
  if (!error.empty()) fail(record, std::string(error), out);
  if (record.running == key) {
    record.running.clear();
    start_queued(found->second, out);
  }
  out.records[name] = record;
}

Result<std::string> Triggers::pause(Time now, const TriggerName& name, bool pause, TriggerEffects& out) {
  const auto found = triggers_.find(name);
  if (found == triggers_.end()) return no_trigger(name);
  TriggerRecord& record = found->second.record;
  if (record.paused == pause) return std::string();
  record.paused = pause;
  if (!pause) record.last = std::max(record.last, now);  // what came meanwhile was not missed
  set_timer(found->second);
  start_queued(found->second, out);
  out.records[name] = record;
  return std::string();
}

Result<std::string> Triggers::fire(Time now, const TriggerName& name, std::uint64_t once, TriggerEffects& out) {
  const auto found = triggers_.find(name);
  if (found == triggers_.end()) return no_trigger(name);
  static const ZoneRules kUtc;
  const ZoneRules* zone = found->second.record.schedule.cron.empty() ? &kUtc : found->second.zone.get();
  if (zone == nullptr)
    return Error{Code::kUnavailable, "this coordinator does not know the time zone of the trigger", {}, "timezone"};
  const TriggerRecord& record = found->second.record;
  Value event = firing_event(spec_of(record), name.workflow, *zone, now);
  event.set("kind", "manual");
  Result<TriggerStart> one =
      prepare(found->second, event, key_begin(name, record.version) + "by-hand-" + std::to_string(once));
  if (!one.ok()) return std::move(one).error();
  out.starts.push_back(*one);
  return std::move(one->key);
}

const TriggerRecord* Triggers::find(const TriggerName& name) const {
  const auto found = triggers_.find(name);
  return found == triggers_.end() ? nullptr : &found->second.record;
}

std::vector<TriggerState> Triggers::list() const {
  std::vector<TriggerState> states;
  for (const auto& [name, trigger] : triggers_) {
    TriggerState state{trigger.record};
    if (trigger.zone != nullptr && !trigger.record.paused)
      state.next = next_firing(trigger.cron, *trigger.zone, trigger.record.last).value_or(kNever);
    states.push_back(std::move(state));
  }
  return states;
}

}  // namespace millrace
