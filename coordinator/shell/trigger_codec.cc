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

Error unreadable(std::string_view bytes) {
  const std::string newer = newer_version(kTriggerVersion, bytes);
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
  return seal(kTriggerVersion, place(kTriggerPlace, home, trigger_field(record.name)), out.bytes());
}

Result<TriggerRecord> decode_trigger(PartitionId home, std::string_view field, std::string_view bytes) {
  const auto body = unseal(kTriggerVersion, place(kTriggerPlace, home, field), bytes);
  if (!body) return unreadable(bytes);
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
  if (!in.done() || trigger_field(record.name) != field)
    return Error{Code::kInternal, "a trigger: does not parse", {}, "damaged"};
  return record;
}

std::string encode_watcher(PartitionId partition, const TriggerName& trigger, const RunEndSpec& runs) {
  Packer out;
  pack(out, trigger);
  pack(out, runs);
  return seal(kTriggerVersion, place(kWatcherPlace, partition, trigger_field(trigger)), out.bytes());
}

Result<Watcher> decode_watcher(PartitionId partition, std::string_view field, std::string_view bytes) {
  const auto body = unseal(kTriggerVersion, place(kWatcherPlace, partition, field), bytes);
  if (!body) return unreadable(bytes);
  Unpacker in(*body);
  Watcher watcher;
  watcher.trigger = unpack_trigger_name(in);
  watcher.runs = unpack_run_end(in);
  if (!in.done() || trigger_field(watcher.trigger) != field)
    return Error{Code::kInternal, "a watcher of run ends: does not parse", {}, "damaged"};
  return watcher;
}

}  // namespace millrace
