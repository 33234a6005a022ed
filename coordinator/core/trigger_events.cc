// Triggers: events: ends of runs and deliveries, each a firing, or collected to one by a debounce or a batch
// (triggers.h).
#include <algorithm>
#include <cstdlib>
#include <utility>

#include "common/base/units.h"
#include "coordinator/core/triggers.h"

namespace millrace {
namespace {

constexpr std::size_t kKeyEndMax = 128;

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '.' || c == ':';
}

// The end of the key of the event's run: its id, or a hash of one that cannot stand in a key.
std::string key_end(const std::string& id) {
  if (!id.empty() && id.size() <= kKeyEndMax && std::ranges::all_of(id, is_plain)) return id;
  return "id-" + to_string(hash128(id));
}

Value event_value(const TriggerName& name, Time now, const TriggerEvent& event) {
  Value value = Value::Object{
      {"kind", event.kind}, {"workflow", name.workflow}, {"trigger", name.trigger}, {"time", format_time(now)}};
  for (const auto& [field, given] : event.fields.as_object()) value.set(field, given);
  return value;
}

// Of a debounce the latest event, of a batch all of them.
Value collected_value(const TriggerRecord& record, Time now) {
  const CollectedEvents& waiting = record.waiting;
  Value::Array events;
  for (const std::string& json : waiting.events) {
    Result<Value> one = Value::parse(json);
    if (one.ok()) events.push_back(std::move(*one));
  }
  if (record.collect.batch == 0 && !events.empty()) {
    Value latest = std::move(events.back());
    latest.set("count", waiting.count);
    return latest;
  }
  Value payloads = Value::Array{};
  for (const Value& one : events) {
    if (const Value* payload = one.find("payload")) payloads.as_array().push_back(*payload);
  }
  return Value::Object{{"kind", "batch"},
                       {"workflow", record.name.workflow},
                       {"trigger", record.name.trigger},
                       {"time", format_time(now)},
                       {"count", waiting.count},
                       {"events", std::move(events)},
                       {"payload", std::move(payloads)}};
}

std::size_t bytes_of(const CollectedEvents& waiting) {
  std::size_t bytes = 0;
  for (const std::string& one : waiting.events) bytes += one.size();
  return bytes;
}

std::string batch_end(std::uint64_t number) { return "batch-" + std::to_string(number); }

}  // namespace

void FiringCounts::add(const FiringCounts& more) {
  started += more.started;
  skipped += more.skipped;
  filtered += more.filtered;
  duplicates += more.duplicates;
  failed += more.failed;
  lags.insert(lags.end(), more.lags.begin(), more.lags.end());
}

// Told once of each end, by a letter.
void Triggers::run_ended(Time now, Time told, const TriggerName& name, const RunEndNews& news, TriggerEffects& out) {
  const TriggerRecord* record = find(name);
  if (record == nullptr || !record->run_end || record->run_end->workflow != news.workflow) return;
  TriggerEvent event{to_string(news.run), "run_end"};
  Value labels = Value::Object{};
  for (const auto& [label, value] : news.labels) {
    labels.set(label, value);
    if (label == kChainLabel) event.chain = static_cast<std::uint32_t>(std::strtoul(value.c_str(), nullptr, 10));
  }
  event.fields.set("run", Value::Object{{"id", to_string(news.run)},
                                        {"workflow", news.workflow},
                                        {"status", to_string(news.state)},
                                        {"ended", format_time(news.ended)},
                                        {"labels", std::move(labels)}});
  event.chain = std::min(event.chain, kTriggerChainMax) + 1;
  (void)this->event(now, told, name, event, out);
}

Result<Triggers::Taken> Triggers::event(Time now, Time told, const TriggerName& name, const TriggerEvent& event,
                                        TriggerEffects& out) {
  const auto found = triggers_.find(name);
  if (found == triggers_.end()) return no_trigger(name);
  TriggerRecord& record = found->second.record;
  Taken taken = take(now, told, found->second, event, out);
  out.records[name] = record;
  return taken;
}

void Triggers::stream_read(Time now, Time told, const TriggerName& name, const StreamEntries& read,
                           TriggerEffects& out) {
  const auto found = triggers_.find(name);
  if (found == triggers_.end()) return;
  TriggerRecord& record = found->second.record;
  if ((!record.stream && !record.keyspace) || record.paused || record.offset != read.after) return;
  if (!read.trouble.empty()) fail(record, read.trouble, out);
  for (const TriggerEvent& event : read.events) (void)take(now, told, found->second, event, out);
  record.offset = read.until;
  record.added = read.added;
  out.records[name] = record;
}

std::vector<const TriggerRecord*> Triggers::streams() const {
  std::vector<const TriggerRecord*> all;
  for (const auto& [name, trigger] : triggers_) {
    if ((trigger.record.stream || trigger.record.keyspace) && !trigger.record.paused) all.push_back(&trigger.record);
  }
  return all;
}

Triggers::Taken Triggers::take(Time now, Time told, Trigger& trigger, const TriggerEvent& event, TriggerEffects& out) {
  TriggerRecord& record = trigger.record;
  const std::string begin = key_begin(record);
  const auto known = std::ranges::find(record.known, hash128(event.id), &KnownEvent::id);
  if (record.webhook && known != record.known.end()) {
    ++record.duplicates;
    ++out.counts.duplicates;
    return {EventFate::kDuplicate, begin + (known->batch == 0 ? key_end(event.id) : batch_end(known->batch))};
  }
  if (record.paused) {
    ++record.skipped;
    ++out.counts.skipped;
    return {EventFate::kPaused, ""};
  }
  if (event.chain > kTriggerChainMax) {
    fail(record,
         "trigger_chain: " + std::to_string(kTriggerChainMax) +
             " runs in a row were started by the end of the one before; workflows that await each other would go on "
             "for ever",
         out);
    return {EventFate::kFailed, ""};
  }
  const Value value = event_value(record.name, now, event);
  const std::uint64_t failed = record.failed;
  if (!lets_pass(trigger, value, out)) return {record.failed > failed ? EventFate::kFailed : EventFate::kFiltered, ""};
  if (record.collect.on()) return collect(now, told, trigger, event, value.dump(), out);
  std::string key = begin + key_end(event.id);
  if (!launch(trigger, now, value, key, event.chain, out)) return {EventFate::kFailed, ""};
  remember(record, event, 0);
  out.counts.lags.push_back(event.happened == Time{} ? Duration::zero() : std::max(now - event.happened, Duration{}));
  return {EventFate::kFired, std::move(key)};
}

void Triggers::remember(TriggerRecord& record, const TriggerEvent& event, std::uint64_t batch) {
  if (!record.webhook) return;  // others come once by themselves
  if (record.known.size() >= kEventsRemembered) record.known.erase(record.known.begin());
  record.known.push_back({hash128(event.id), batch});
}

Triggers::Taken Triggers::collect(Time now, Time told, Trigger& trigger, const TriggerEvent& event, std::string json,
                                  TriggerEffects& out) {
  TriggerRecord& record = trigger.record;
  CollectedEvents& waiting = record.waiting;
  const CollectSpec& rule = record.collect;
  const bool batch = rule.batch > 0;
  if (batch && waiting.count > 0 && bytes_of(waiting) + json.size() > kCollectBytesMax)
    (void)fire_collected(now, told, trigger, out);
  if (waiting.count == 0) {
    waiting.began = told;
    ++record.batches;
  }
  if (!batch) waiting.events.clear();
  waiting.events.push_back(std::move(json));
  ++waiting.count;
  waiting.chain = std::max(waiting.chain, event.chain);
  remember(record, event, record.batches);
  std::string key = key_begin(record) + batch_end(record.batches);
  if (batch && waiting.count >= rule.batch) {
    const bool fired = fire_collected(now, told, trigger, out);
    return {fired ? EventFate::kFired : EventFate::kFailed, std::move(key)};
  }
  set_window(record,
             batch ? waiting.began + rule.window : std::min(told + rule.debounce, waiting.began + rule.longest));
  return {EventFate::kWaits, std::move(key)};
}

bool Triggers::fire_collected(Time now, Time told, Trigger& trigger, TriggerEffects& out) {
  TriggerRecord& record = trigger.record;
  const std::string begin = key_begin(record);
  const Value event = collected_value(record, now);
  const std::uint32_t chain = record.waiting.chain;
  const Duration lag = told - record.waiting.began;
  set_window(record, Time{});
  record.waiting = {};
  if (!launch(trigger, now, event, begin + batch_end(record.batches), chain, out)) return false;
  out.counts.lags.push_back(std::max(lag, Duration::zero()));
  return true;
}

void Triggers::set_window(TriggerRecord& record, Time ends) {
  if (record.waiting.ends != Time{}) windows_.erase({record.waiting.ends, record.name});
  record.waiting.ends = ends;
  if (ends != Time{}) windows_.insert({ends, record.name});
}

std::uint64_t Triggers::waiting() const {
  std::uint64_t events = 0;
  for (const auto& [ends, name] : windows_) events += triggers_.at(name).record.waiting.count;
  return events;
}

// A trigger that is paused meanwhile fires what it had taken before.
void Triggers::collected(Time now, Time told, TriggerEffects& out) {
  for (std::uint32_t budget = kFiringsAtOnce; budget > 0 && next_collected() <= told; --budget) {
    const TriggerName name = windows_.begin()->second;
    Trigger& trigger = triggers_.at(name);
    (void)fire_collected(now, told, trigger, out);
    out.records[name] = trigger.record;
  }
}

}  // namespace millrace
