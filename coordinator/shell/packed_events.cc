#include "coordinator/shell/packed_events.h"

#include <unordered_map>

#include "coordinator/shell/listing.h"
#include "coordinator/shell/packing.h"

namespace millrace {
namespace {

constexpr std::size_t kEventBytesMin = 4;  // head, run, seq, time

// Low five bits of the first byte: the type; then what is not as expected.
constexpr std::uint8_t kTypeMask = 0x1F;
constexpr std::uint8_t kHasReason = 0x20;
constexpr std::uint8_t kHasTask = 0x40;
constexpr std::uint8_t kHasAttempt = 0x80;

std::uint64_t place_number(const StreamPlace& place) {
  return place_of(place_of(place.partition.value, place.epoch), place.commit);
}

}  // namespace

void encode_events(const StreamPlace& place, std::span<const Event> events, Packer& out) {
  std::unordered_map<RunId, std::size_t> numbers;
  std::vector<RunId> runs;
  auto number_of = [&](RunId run) {  // events of one run stand together as a rule
    if (!runs.empty() && runs.back() == run) return runs.size() - 1;
    auto [it, fresh] = numbers.emplace(run, runs.size());
    if (fresh) runs.push_back(run);
    return it->second;
  };
  std::vector<std::size_t> run_of;
  run_of.reserve(events.size());
  for (const Event& event : events) run_of.push_back(number_of(event.run));

  const std::size_t opened = out.open(kPackedEventsVersion);
  Time time = events.empty() ? Time{} : events.front().time;
  out.time(time, Time{});
  out.number(runs.size());
  for (RunId run : runs) out.fixed64(run.value);
  out.number(events.size());
  std::vector<std::uint64_t> seqs(runs.size(), 0);
  std::uint64_t task = 0;
  for (std::size_t i = 0; i < events.size(); ++i) {
    const Event& event = events[i];
    const std::size_t run = run_of[i];
    bool has_task = is_task_event(event.type);
    std::uint8_t head = static_cast<std::uint8_t>(event.type) & kTypeMask;
    if (event.reason != Reason::kNone) head |= kHasReason;
    if (has_task) head |= kHasTask;
    if (event.attempt != 0) head |= kHasAttempt;
    out.byte(head);
    out.number(run);
    out.difference(event.seq, seqs[run] + 1);
    seqs[run] = event.seq;
    out.time(event.time, time);
    time = event.time;
    if (event.reason != Reason::kNone) out.byte(static_cast<std::uint8_t>(event.reason));
    if (has_task) {
      out.difference(event.task.value, task + 1);
      task = event.task.value;
    }
    if (event.attempt != 0) out.number(event.attempt);
  }
  out.close(opened, kPackedEventsVersion, place_number(place));
}

std::string encode_events(const StreamPlace& place, std::span<const Event> events) {
  Packer out;
  encode_events(place, events, out);
  return out.take();
}

Result<std::vector<Event>> decode_events(const StreamPlace& place, std::string_view bytes) {
  const std::string cursor = stream_id(place.epoch, place.commit);
  auto damaged = [&](const char* why) {
    return Error{Code::kInternal,
                 "events of partition " + std::to_string(place.partition.value) + ", entry " + cursor + ": " + why,
                 {},
                 "damaged"};
  };
  auto body = unseal(kPackedEventsVersion, place_number(place), bytes);
  if (!body.has_value()) {
    const std::string newer = newer_version(kPackedEventsVersion, bytes);
    if (newer.empty()) return damaged("wrong version or checksum");
    return Error{Code::kRefused,
                 "events of partition " + std::to_string(place.partition.value) + ", entry " + cursor + " " + newer,
                 {},
                 "newer_version"};
  }
  Unpacker in(*body);
  Time time = in.time(Time{});
  std::vector<RunId> runs(in.count(8));
  for (RunId& run : runs) run = RunId{in.fixed64()};
  std::vector<std::uint64_t> seqs(runs.size(), 0);
  std::vector<Event> events(in.count(kEventBytesMin));
  std::uint64_t task = 0;
  for (Event& event : events) {
    std::uint8_t head = in.byte();
    std::uint64_t run = in.number();
    event.type = static_cast<EventType>(head & kTypeMask);
    if (run >= runs.size() || !is_durable(event.type)) in.fail();
    if (in.failed()) break;
    event.run = runs[run];
    event.seq = seqs[run] = in.difference(seqs[run] + 1);
    event.time = time = in.time(time);
    if (head & kHasReason) event.reason = static_cast<Reason>(in.byte());
    if (event.reason > kReasonLast) in.fail();
    if (head & kHasTask) {
      task = in.difference(task + 1);
      if (task > UINT32_MAX) in.fail();
      event.task = TaskIndex{static_cast<std::uint32_t>(task)};
    }
    if (head & kHasAttempt) event.attempt = in.number32();
    event.cursor = cursor;
  }
  if (!in.done()) return damaged("does not parse");
  return events;
}

}  // namespace millrace
