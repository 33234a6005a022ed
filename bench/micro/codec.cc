// Messages to bytes and back: items are assignments, reports or requests; `bytes_each` is what one takes on the wire,
// `allocations_each` how many calls of operator new it costs (messages themselves lie in an arena).
#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "bench/micro/allocations.h"
#include "common/wire/codec.h"

namespace millrace::bench {
namespace {

std::shared_ptr<const RunContext> context_of(std::uint32_t run) {
  return std::make_shared<const RunContext>(
      RunContext{make_run_id(PartitionId{3}, 1, run), 1, {11, 12}, "bench", "0123456789abcdef0123456789abcdef", {}});
}

// `count` no-op assignments of one run, or each of a run of its own.
AssignBatch assignments(std::int64_t count, bool one_run) {
  AssignBatch batch;
  auto spec = std::make_shared<NodeSpec>();
  spec->executor = "noop";
  auto context = context_of(1);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!one_run) context = context_of(i + 1);
    Assignment a;
    a.context = context;
    a.task = TaskIndex{one_run ? 500'000 + i : 0};
    a.number = 1;
    a.node_spec = spec;
    a.node = "n" + std::to_string(a.task.value);
    a.age = from_us(1'700'000'000'000'000);
    if (one_run) {
      a.bindings = {{TaskIndex{a.task.value - 1'000}, 1, {}}};
      a.names = {"n" + std::to_string(a.task.value - 1'000)};
    }
    batch.assignments.push_back(std::move(a));
  }
  return batch;
}

AttemptReports reports(std::int64_t count, bool one_run) {
  AttemptReports out;
  for (std::uint32_t i = 0; i < count; ++i) {
    AttemptReport report;
    report.attempt = {make_run_id(PartitionId{3}, 1, one_run ? 1 : i + 1), TaskIndex{one_run ? 500'000 + i : 0}, 1, 1};
    report.outcome.success = true;
    report.outcome.waited = Duration{3'000 + i};
    report.outcome.ran = Duration{i % 100};
    out.reports.push_back(std::move(report));
  }
  return out;
}

SubmitRun submission() {
  SubmitRun submit;
  submit.key = "12345-1234567890123456-1000000";
  submit.definition = {1, 2};
  submit.caller = "bench";
  return submit;
}

RunReply run_reply() {
  RunReply reply;
  reply.view.info.run = make_run_id(PartitionId{3}, 1, 7);
  reply.view.info.workflow = "bench-diamond";
  reply.view.info.trace_id = "0123456789abcdef0123456789abcdef";
  reply.view.info.key = submission().key;
  reply.view.record.state = RunState::kSucceeded;
  reply.view.nodes_total = 4;
  reply.view.by_state[TaskState::kSucceeded] = 4;
  return reply;
}

void count(benchmark::State& state, std::int64_t items, std::size_t bytes, std::uint64_t before) {
  const auto made = static_cast<double>(allocations() - before);
  state.SetItemsProcessed(state.iterations() * items);
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
  state.counters["bytes_each"] = static_cast<double>(bytes) / static_cast<double>(items);
  state.counters["allocations_each"] = made / static_cast<double>(state.iterations() * items);
}

template <bool kOneRun>
void assign_encode(benchmark::State& state) {
  const CoordinatorMessage message = assignments(state.range(0), kOneRun);
  SentSpecs sent;
  std::size_t bytes = encode(message, sent).size();  // the first sends the spec
  const std::uint64_t before = allocations();
  for (auto _ : state) bytes = encode(message, sent).size();
  count(state, state.range(0), bytes, before);
}
template <bool kOneRun>
void assign_decode(benchmark::State& state) {
  const CoordinatorMessage message = assignments(state.range(0), kOneRun);
  SentSpecs sent;
  SpecCache cache;
  if (!decode_coordinator_message(encode(message, sent), cache).ok()) return state.SkipWithError("not decoded");
  const std::string bytes = encode(message, sent);
  const std::uint64_t before = allocations();
  for (auto _ : state) benchmark::DoNotOptimize(decode_coordinator_message(bytes, cache).ok());
  count(state, state.range(0), bytes.size(), before);
}
template <bool kOneRun>
void reports_encode(benchmark::State& state) {
  const WorkerMessage message = reports(state.range(0), kOneRun);
  std::size_t bytes = 0;
  const std::uint64_t before = allocations();
  for (auto _ : state) bytes = encode(message).size();
  count(state, state.range(0), bytes, before);
}
template <bool kOneRun>
void reports_decode(benchmark::State& state) {
  const std::string bytes = encode(WorkerMessage(reports(state.range(0), kOneRun)));
  const std::uint64_t before = allocations();
  for (auto _ : state) benchmark::DoNotOptimize(decode_worker_message(bytes).ok());
  count(state, state.range(0), bytes.size(), before);
}

void submit_encode(benchmark::State& state) {
  const OperatorRequest request = submission();
  std::size_t bytes = 0;
  const std::uint64_t before = allocations();
  for (auto _ : state) bytes = encode_request(1, request).size();
  count(state, 1, bytes, before);
}
void submit_decode(benchmark::State& state) {
  const std::string bytes = encode_request(1, submission());
  const std::uint64_t before = allocations();
  for (auto _ : state) benchmark::DoNotOptimize(decode_request(bytes).ok());
  count(state, 1, bytes.size(), before);
}
void run_reply_encode(benchmark::State& state) {
  const OperatorReply reply = run_reply();
  std::size_t bytes = 0;
  const std::uint64_t before = allocations();
  for (auto _ : state) bytes = encode_reply(1, reply).size();
  count(state, 1, bytes, before);
}
void run_reply_decode(benchmark::State& state) {
  const std::string bytes = encode_reply(1, run_reply());
  const std::uint64_t before = allocations();
  for (auto _ : state) benchmark::DoNotOptimize(decode_reply(bytes).ok());
  count(state, 1, bytes.size(), before);
}

BENCHMARK(assign_encode<true>)->Name("assign_encode/one_run")->Arg(1)->Arg(64)->Arg(1'000);
BENCHMARK(assign_encode<false>)->Name("assign_encode/runs")->Arg(64);
BENCHMARK(assign_decode<true>)->Name("assign_decode/one_run")->Arg(1)->Arg(64)->Arg(1'000);
BENCHMARK(assign_decode<false>)->Name("assign_decode/runs")->Arg(64);
BENCHMARK(reports_encode<true>)->Name("reports_encode/one_run")->Arg(1)->Arg(64)->Arg(1'000);
BENCHMARK(reports_encode<false>)->Name("reports_encode/runs")->Arg(64);
BENCHMARK(reports_decode<true>)->Name("reports_decode/one_run")->Arg(1)->Arg(64)->Arg(1'000);
BENCHMARK(reports_decode<false>)->Name("reports_decode/runs")->Arg(64);
BENCHMARK(submit_encode);
BENCHMARK(submit_decode);
BENCHMARK(run_reply_encode);
BENCHMARK(run_reply_decode);

}  // namespace
}  // namespace millrace::bench
