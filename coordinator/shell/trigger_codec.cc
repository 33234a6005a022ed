#include "coordinator/shell/trigger_codec.h"

#include <utility>

#include "coordinator/shell/packing.h"

namespace millrace {
namespace {

constexpr std::uint64_t kTriggerPlace = 14;
constexpr std::uint64_t kWatcherPlace = 15;
constexpr std::size_t kStatusesMax = 16;

std::uint64_t place(std::uint64_t kind, PartitionId home, std::string_view field) {
  return place_of(place_of(kind, home.value), hash64(field));
}

constexpr std::uint8_t kTriggerVersionBefore = 1;
constexpr std::size_t kTextsMax = 10'000;

Error unreadable(std::uint8_t version, std::string_view bytes) {
  const std::string newer = newer_version(version, bytes);
  if (!newer.empty()) return Error{Code::kRefused, "a trigger " + newer, {}, "newer_version"};
  return Error{Code::kInternal, "a trigger: wrong version or checksum", {}, "damaged"};
}

void pack(Packer& out, const ScheduleSpec& schedule) {
  out.text(schedule.cron);
  out.text(schedule.timezone);
  out.duration(schedule.jitter);
  out.byte(static_cast<std::uint8_t>(schedule.overlap));
  out.byte(static_cast<std::uint8_t>(schedule.catch_up));
  out.number(schedule.catch_up_limit);
}

template <class Enum>
Enum unpack_enum(Unpacker& in, Enum last) {
  const std::uint8_t value = in.byte();
  if (value > static_cast<std::uint8_t>(last)) in.fail();
  return static_cast<Enum>(value);
}

ScheduleSpec unpack_schedule(Unpacker& in) {
  ScheduleSpec schedule;
  schedule.cron = in.text();
  schedule.timezone = in.text();
  schedule.jitter = in.duration();
  schedule.overlap = unpack_enum(in, Overlap::kCancel);
  schedule.catch_up = unpack_enum(in, CatchUp::kAll);
  schedule.catch_up_limit = in.number32();
  if (schedule.jitter < Duration::zero() || schedule.jitter > kJitterMax || schedule.catch_up_limit > kCatchUpMax)
    in.fail();
  return schedule;
}

void pack(Packer& out, const std::vector<std::string>& texts) {
  out.number(texts.size());
  for (const std::string& text : texts) out.text(text);
}

std::vector<std::string> unpack_texts(Unpacker& in, std::size_t most) {
  std::vector<std::string> texts;
  std::size_t count = in.count(1);
  if (count > most) in.fail();
  for (; count > 0 && !in.failed(); --count) texts.emplace_back(in.text());
  return texts;
}

void pack(Packer& out, const WebhookSpec& webhook) {
  out.text(webhook.secret);
  out.byte(static_cast<std::uint8_t>(webhook.auth));
  out.text(webhook.signature_header);
  out.text(webhook.delivery_header);
  pack(out, webhook.headers);
}

WebhookSpec unpack_webhook(Unpacker& in) {
  WebhookSpec webhook;
  webhook.secret = in.text();
  webhook.auth = unpack_enum(in, HookAuth::kBearer);
  webhook.signature_header = in.text();
  webhook.delivery_header = in.text();
  webhook.headers = unpack_texts(in, kHookHeadersMax);
  return webhook;
}

// What events came to, behind what every trigger has.
void pack_events(Packer& out, const TriggerRecord& record) {
  out.byte(record.webhook ? 1 : 0);
  if (record.webhook) pack(out, *record.webhook);
  out.duration(record.collect.debounce);
  out.duration(record.collect.longest);
  out.number(record.collect.batch);
  out.duration(record.collect.window);
  out.number(record.since);
  pack(out, record.waiting.events);
  out.number(record.waiting.count);
  out.number(record.waiting.chain);
  out.time(record.waiting.began, Time{});
  out.time(record.waiting.ends, Time{});
  out.number(record.batches);
  out.number(record.known.size());
  for (const KnownEvent& known : record.known) {
    out.hash(known.id);
    out.number(known.batch);
  }
  out.number(record.filtered);
  out.number(record.duplicates);
  out.byte(record.stream ? 1 : record.keyspace ? 2 : 0);
  if (record.keyspace) {
    out.text(record.keyspace->redis);
    out.text(record.keyspace->pattern);
    pack(out, record.keyspace->events);
  }
  if (!record.stream) return;
  out.text(record.stream->redis);
  out.text(record.stream->key);
  out.byte(record.stream->from_begin ? 1 : 0);
  out.text(record.offset);
  out.number(record.added);
}

void unpack_events(Unpacker& in, TriggerRecord& record) {
  if (in.byte() != 0) record.webhook = unpack_webhook(in);
  record.collect.debounce = in.duration();
  record.collect.longest = in.duration();
  record.collect.batch = in.number32();
  record.collect.window = in.duration();
  record.since = in.number();
  record.waiting.events = unpack_texts(in, kTextsMax);
  record.waiting.count = in.number();
  record.waiting.chain = in.number32();
  record.waiting.began = in.time(Time{});
  record.waiting.ends = in.time(Time{});
  record.batches = in.number();
  for (std::size_t i = in.count(17); i > 0 && !in.failed(); --i) {
    const Hash128 id = in.hash();
    record.known.push_back({id, in.number()});
  }
  record.filtered = in.number();
  record.duplicates = in.number();
  const std::uint8_t follows = in.byte();
  if (follows > 2) in.fail();
  if (follows == 2) {
    record.keyspace.emplace();
    record.keyspace->redis = in.text();
    record.keyspace->pattern = in.text();
    record.keyspace->events = unpack_texts(in, kKeyspaceEventsMax);
  }
  if (follows == 1) {
    record.stream.emplace();
    record.stream->redis = in.text();
    record.stream->key = in.text();
    record.stream->from_begin = in.byte() != 0;
    record.offset = in.text();
    record.added = in.number();
  }
  const CollectSpec& collect = record.collect;
  for (const Duration one : {collect.debounce, collect.longest, collect.window}) {
    if (one < Duration::zero() || one > kWindowMax) in.fail();
  }
  if (collect.batch > kCollectMax || record.known.size() > kEventsRemembered) in.fail();
}

}  // namespace

void pack(Packer& out, const TriggerName& name) {
  out.text(name.tenant);
  out.text(name.workflow);
  out.text(name.trigger);
}

TriggerName unpack_trigger_name(Unpacker& in) {
  TriggerName name;
  name.tenant = in.text();
  name.workflow = in.text();
  name.trigger = in.text();
  return name;
}

void pack(Packer& out, const RunEndSpec& runs) {
  out.text(runs.workflow);
  out.number(runs.statuses.size());
  for (const RunState state : runs.statuses) out.byte(static_cast<std::uint8_t>(state));
}

RunState unpack_run_state(Unpacker& in) { return unpack_enum(in, RunState::kCancelled); }

RunEndSpec unpack_run_end(Unpacker& in) {
  RunEndSpec runs;
  runs.workflow = in.text();
  std::size_t count = in.count(1);
  if (count > kStatusesMax) in.fail();
  for (; count > 0 && !in.failed(); --count) runs.statuses.push_back(unpack_run_state(in));
  return runs;
}

std::string trigger_field(const TriggerName& name) { return name.tenant + '\0' + name.workflow + '\0' + name.trigger; }

std::string encode_trigger(PartitionId home, const TriggerRecord& record) {
  Packer out;
  pack(out, record.name);
  out.number(record.version);
  out.hash(record.definition);
  pack(out, record.schedule);
  out.text(record.inputs.dump());
  out.byte(record.run_end ? 1 : 0);
  if (record.run_end) pack(out, *record.run_end);
  out.text(record.filter);
  out.byte(record.paused ? 1 : 0);
  out.time(record.last, Time{});
  out.time(record.fired, Time{});
  out.text(record.running);
  out.number(record.queued.size());
  for (const Time moment : record.queued) out.time(moment, Time{});
  out.number(record.started);
  out.number(record.skipped);
  out.number(record.failed);
  out.text(record.error);
  pack_events(out, record);
  return seal(kTriggerVersion, place(kTriggerPlace, home, trigger_field(record.name)), out.bytes());
}

Result<TriggerRecord> decode_trigger(PartitionId home, std::string_view field, std::string_view bytes) {
  auto body = unseal(kTriggerVersion, place(kTriggerPlace, home, field), bytes);
  const bool before = !body;
  if (before) body = unseal(kTriggerVersionBefore, place(kTriggerPlace, home, field), bytes);
  if (!body) return unreadable(kTriggerVersion, bytes);
  Unpacker in(*body);
  TriggerRecord record;
  record.name = unpack_trigger_name(in);
  record.version = in.number();
  record.definition = in.hash();
  record.schedule = unpack_schedule(in);
  Result<Value> inputs = Value::parse(in.text());
  if (inputs.ok() && inputs->is_object()) record.inputs = std::move(*inputs);
  else in.fail();
  if (in.byte() != 0) record.run_end = unpack_run_end(in);
  record.filter = in.text();
  record.paused = in.byte() != 0;
  record.last = in.time(Time{});
  record.fired = in.time(Time{});
  record.running = in.text();
  for (std::size_t i = in.count(1); i > 0 && !in.failed(); --i) record.queued.push_back(in.time(Time{}));
  record.started = in.number();
  record.skipped = in.number();
  record.failed = in.number();
  record.error = in.text();
  if (!before) unpack_events(in, record);
  if (!in.done() || trigger_field(record.name) != field)
    return Error{Code::kInternal, "a trigger: does not parse", {}, "damaged"};
  return record;
}

std::string encode_watcher(PartitionId partition, const TriggerName& trigger, const RunEndSpec& runs) {
  Packer out;
  pack(out, trigger);
  pack(out, runs);
  return seal(kWatcherVersion, place(kWatcherPlace, partition, trigger_field(trigger)), out.bytes());
}

Result<Watcher> decode_watcher(PartitionId partition, std::string_view field, std::string_view bytes) {
  const auto body = unseal(kWatcherVersion, place(kWatcherPlace, partition, field), bytes);
  if (!body) return unreadable(kWatcherVersion, bytes);
  Unpacker in(*body);
  Watcher watcher;
  watcher.trigger = unpack_trigger_name(in);
  watcher.runs = unpack_run_end(in);
  if (!in.done() || trigger_field(watcher.trigger) != field)
    return Error{Code::kInternal, "a watcher of run ends: does not parse", {}, "damaged"};
  return watcher;
}

}  // namespace millrace
