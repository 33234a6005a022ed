#include <string>
#include <vector>

#include "common/wire/codec.h"
#include "common/wire/scratch.h"
#include "common/wire/shapes.h"

namespace millrace {
namespace {

bool has_default_node(const Event& event) {
  return is_task_event(event.type) ? is_packed_id(event.node, event.task.value) : event.node.empty();
}

void write_group(std::span<const Event> events, pb::EventGroup* out) {
  const std::size_t n = events.size();
  out->set_run(events[0].run.value);
  auto* times = out->mutable_time_deltas_us();
  times->Reserve(static_cast<int>(n));
  std::uint64_t time = 0;
  for (const Event& e : events) {
    const auto now = static_cast<std::uint64_t>(to_us(e.time));
    times->AddAlreadyReserved(static_cast<std::int64_t>(now - time));
    time = now;
  }
  write_column<std::int64_t>(out->mutable_seq_deltas(), n, 0, [&](std::size_t i) {
    return static_cast<std::int64_t>(events[i].seq - (i == 0 ? 0 : events[i - 1].seq));
  });
  write_column<std::uint32_t>(out->mutable_types(), n, 0,
                              [&](std::size_t i) { return static_cast<std::uint32_t>(events[i].type); });
  write_column<std::uint32_t>(out->mutable_reasons(), n, 0,
                              [&](std::size_t i) { return static_cast<std::uint32_t>(events[i].reason); });
  write_column<std::int32_t>(out->mutable_task_deltas(), n, 0, [&](std::size_t i) {
    return static_cast<std::int32_t>(events[i].task.value - (i == 0 ? 0 : events[i - 1].task.value));
  });
  write_column<std::uint32_t>(out->mutable_attempts(), n, 0, [&](std::size_t i) { return events[i].attempt; });
  write_text_column(
      out->mutable_nodes(), n, [&](std::size_t i) { return has_default_node(events[i]); },
      [&](std::size_t i) -> const std::string& { return events[i].node; });
  write_text_column(
      out->mutable_cursors(), n, [&](std::size_t i) { return events[i].cursor.empty(); },
      [&](std::size_t i) -> const std::string& { return events[i].cursor; });
  write_text_column(
      out->mutable_data(), n, [&](std::size_t i) { return events[i].data.is_null(); },
      [&](std::size_t i) { return events[i].data.is_null() ? std::string() : std::string(events[i].data.json()); });
}

void read_group(Reader& in, const pb::EventGroup& group, std::vector<Event>& out) {
  const auto n = static_cast<std::size_t>(group.time_deltas_us_size());
  in.require(n > 0, "an empty group");
  const Column<std::int64_t> seqs(in, group.seq_deltas(), n, 0);
  const Column<std::uint32_t> types(in, group.types(), n, 0);
  const Column<std::uint32_t> reasons(in, group.reasons(), n, 0);
  const Column<std::int32_t> tasks(in, group.task_deltas(), n, 0);
  const Column<std::uint32_t> attempts(in, group.attempts(), n, 0);
  const TextColumn nodes(in, group.nodes(), n, kNodePathMax + kItemNameMax);
  const TextColumn cursors(in, group.cursors(), n, kCursorMax);
  const TextColumn data(in, group.data(), n, kEventDataMax);
  if (!in.ok()) return;
  std::uint64_t time = 0;
  std::uint64_t seq = 0;
  std::uint32_t task = 0;
  for (std::size_t i = 0; i < n; ++i) {
    Event& e = out.emplace_back();
    e.run = RunId{group.run()};
    e.time = from_us(
        static_cast<std::int64_t>(time += static_cast<std::uint64_t>(group.time_deltas_us(static_cast<int>(i)))));
    e.seq = seq += static_cast<std::uint64_t>(seqs[i]);
    e.type = in.to_enum(types[i], kEventTypeLast, "unknown event type");
    e.reason = in.to_enum(reasons[i], kReasonLast, "unknown reason");
    e.task = TaskIndex{task += static_cast<std::uint32_t>(tasks[i])};
    e.attempt = attempts[i];
    if (!nodes.all_default()) {
      e.node = nodes[i];
    } else if (is_task_event(e.type)) {
      e.node = to_packed_id(task);
    }
    if (!cursors.all_default()) e.cursor = cursors[i];
    if (!data.all_default() && !data[i].empty()) e.data = Payload::inline_json(data[i]);
  }
}

}  // namespace

void write_events(std::span<const Event> events, pb::Events* out) {
  for_each_stretch(
      events, [](const Event& a, const Event& b) { return a.run == b.run; },
      [&](std::size_t first, std::size_t count) { write_group(events.subspan(first, count), out->add_groups()); });
}

std::vector<Event> read_events(Reader& in, const pb::Events& events) {
  std::vector<Event> out;
  out.reserve(count_entries(in, events.groups(), kBatchMax,
                            [](const pb::EventGroup& group) { return group.time_deltas_us_size(); }));
  for (const pb::EventGroup& group : events.groups()) {
    if (in.ok()) read_group(in, group, out);
  }
  return out;
}

std::string encode_events(std::span<const Event> events) {
  Scratch<pb::Events> message;
  write_events(events, &*message);
  return message.serialize();
}

Result<std::vector<Event>> decode_events(std::string_view bytes) {
  Reader in("events");
  Scratch<pb::Events> message;
  if (!in.require(message.parse(bytes), "malformed")) return in.error();
  std::vector<Event> events = read_events(in, *message);
  if (!in.ok()) return in.error();
  return events;
}

}  // namespace millrace
