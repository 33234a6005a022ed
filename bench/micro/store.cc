// What a turn costs to encode for Redis: items are records, events or runs; `bytes_each` is what is stored of one,
// `allocations_each` how many calls of operator new it costs.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "bench/micro/allocations.h"
#include "coordinator/shell/packed_events.h"
#include "coordinator/shell/redis_commit.h"
#include "coordinator/shell/segments.h"

namespace millrace::bench {
namespace {

const RunId kRun = make_run_id(PartitionId{3}, 1, 7);
constexpr std::int64_t kNow = 1'700'000'000'000'000;

// Completed no-op tasks as a fan-out leaves them: two workers, near in time.
std::vector<TaskEntry> records(std::int64_t count) {
  const SharedName workers[] = {std::make_shared<const std::string>("worker-1"),
                                std::make_shared<const std::string>("worker-2")};
  std::vector<TaskEntry> out;
  for (std::uint32_t i = 0; i < count; ++i) {
    TaskRecord record;
    record.state = TaskState::kSucceeded;
    record.tries = record.version = record.epoch = 1;
    record.ready = from_us(kNow);
    record.dispatched = from_us(kNow + 40 + i % 7);
    record.ended = from_us(kNow + 400 + i % 61);
    record.queued = Duration{120 + i % 31};
    record.ran = Duration{i % 5};
    record.worker = workers[i % 2];
    out.emplace_back(TaskIndex{1'000 + i}, record);
  }
  return out;
}

std::vector<Event> events(std::int64_t count) {
  std::vector<Event> out;
  for (std::uint32_t i = 0; i < count; ++i) {
    Event event;
    event.run = kRun;
    event.seq = 10 + i;
    event.type = EventType::kTaskSucceeded;
    event.task = TaskIndex{1'000 + i};
    event.attempt = 1;
    event.time = from_us(kNow + i % 61);
    out.push_back(std::move(event));
  }
  return out;
}

// A turn that accepts, or ends, `runs` one-task runs.
TurnCommit turn_of(std::int64_t runs) {
  TurnCommit turn;
  turn.now = from_us(kNow);
  PartitionCommit& part = turn.partitions.emplace_back();
  part.partition = PartitionId{3};
  part.epoch = {1, 99};
  part.number = 1'000;
  for (std::uint32_t i = 0; i < runs; ++i) {
    RunWrite write;
    write.run = make_run_id(PartitionId{3}, 1, i + 1);
    auto info = std::make_shared<RunInfo>();
    info->run = write.run;
    info->workflow = "bench-single";
    info->definition = {11, 12};
    info->key = "12345-1234567890123456-" + std::to_string(i);
    info->trace_id = "0123456789abcdef0123456789abcdef";
    info->caller = "bench";
    info->accepted = from_us(kNow);
    write.info = std::move(info);
    write.record.version = 1;
    write.record.seq = 1;
    write.tasks = records(1);
    write.tasks_total = 1;
    part.runs.push_back(std::move(write));
    Event event;
    event.run = part.runs.back().run;
    event.seq = 1;
    event.type = EventType::kRunAccepted;
    event.time = from_us(kNow);
    part.events.push_back(std::move(event));
  }
  return turn;
}

void count(benchmark::State& state, std::size_t bytes, std::uint64_t before) {
  const auto made = static_cast<double>(allocations() - before);
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.counters["bytes_each"] = static_cast<double>(bytes) / static_cast<double>(state.range(0));
  state.counters["allocations_each"] = made / static_cast<double>(state.iterations() * state.range(0));
}

void segment_encode(benchmark::State& state) {
  const auto entries = records(state.range(0));
  std::size_t bytes = 0;
  const std::uint64_t before = allocations();
  for (auto _ : state) bytes = encode_segment(kRun, 5, entries).size();
  count(state, bytes, before);
}
void segment_decode(benchmark::State& state) {
  const std::string bytes = encode_segment(kRun, 5, records(state.range(0)));
  NamePool names;
  const std::uint64_t before = allocations();
  for (auto _ : state) benchmark::DoNotOptimize(decode_segment(kRun, 5, bytes, names).ok());
  count(state, bytes.size(), before);
}
void events_encode(benchmark::State& state) {
  const auto list = events(state.range(0));
  std::size_t bytes = 0;
  const std::uint64_t before = allocations();
  for (auto _ : state) bytes = encode_events(StreamPlace{PartitionId{3}, 1, 5}, list).size();
  count(state, bytes, before);
}
void events_decode(benchmark::State& state) {
  const std::string bytes = encode_events(StreamPlace{PartitionId{3}, 1, 5}, events(state.range(0)));
  const std::uint64_t before = allocations();
  for (auto _ : state) benchmark::DoNotOptimize(decode_events(StreamPlace{PartitionId{3}, 1, 5}, bytes).ok());
  count(state, bytes.size(), before);
}
void commit_of_runs(benchmark::State& state) {
  const TurnCommit turn = turn_of(state.range(0));
  std::size_t bytes = 0;
  const std::uint64_t before = allocations();
  for (auto _ : state) bytes = commit_command(turn).formatted().size();
  count(state, bytes, before);
}

BENCHMARK(segment_encode)->Name("store_segment_encode")->Arg(1)->Arg(64)->Arg(1'000);
BENCHMARK(segment_decode)->Name("store_segment_decode")->Arg(1)->Arg(64)->Arg(1'000);
BENCHMARK(events_encode)->Name("store_events_encode")->Arg(1)->Arg(64)->Arg(1'000);
BENCHMARK(events_decode)->Name("store_events_decode")->Arg(1)->Arg(64)->Arg(1'000);
BENCHMARK(commit_of_runs)->Name("store_commit_command")->Arg(1)->Arg(64)->Arg(500);

}  // namespace
}  // namespace millrace::bench
