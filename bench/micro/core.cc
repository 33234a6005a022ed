// Partition and Placement: items are completed tasks, times are of the processor. `allocations_each` counts calls of
// operator new for one of them.
#include <benchmark/benchmark.h>

#include "bench/core_drive.h"
#include "bench/graphs.h"
#include "bench/micro/allocations.h"

namespace millrace::bench {
namespace {

void drive(benchmark::State& state, const WorkflowSpec& spec, const CoreLoad& load) {
  const auto plan = plan_of(spec);
  std::uint64_t completions = 0;
  const std::uint64_t before = allocations();
  for (auto _ : state) {
    const CoreDriven driven = drive_core(plan, load);
    state.SetIterationTime(driven.seconds);
    completions += driven.completions;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(completions));
  state.counters["allocations_each"] = static_cast<double>(allocations() - before) / static_cast<double>(completions);
}

std::uint32_t argument(const benchmark::State& state) { return static_cast<std::uint32_t>(state.range(0)); }

void core_fan_in(benchmark::State& state) { drive(state, fan_in(argument(state)), {}); }
void core_chain(benchmark::State& state) { drive(state, chain(argument(state)), {}); }
void core_random(benchmark::State& state) { drive(state, random_dag(argument(state), 1), {}); }
void core_diamonds_live(benchmark::State& state) {  // by runs in flight
  const std::uint32_t live = argument(state);
  drive(state, diamond(), {.runs = std::max(10'000U, 2 * live), .in_flight = live});
}
void core_fan_in_workers(benchmark::State& state) {  // by workers, each with room for 8
  drive(state, fan_in(100'000), {.workers = argument(state), .credit = 8});
}
// By classes of tasks, each with a share of a resource of its own size, on 100 workers.
void core_fan_in_resources(benchmark::State& state) {
  WorkflowSpec spec = fan_in(100'000);
  const NodeSpec alike = spec.specs.at(0);
  spec.specs.assign(argument(state), alike);
  for (std::uint32_t i = 0; i < spec.specs.size(); ++i) spec.specs[i].resources = {{"cpu", i + 1}};
  spec.spec_of.clear();
  for (std::uint32_t i = 0; i < spec.node_count(); ++i) spec.spec_of.push_back(i % argument(state));
  drive(state, spec, {.workers = 100, .credit = 64, .resources = {{"cpu", 1'000'000}}});
}
void core_plan(benchmark::State& state) {
  const WorkflowSpec spec = random_dag(argument(state), 1);
  for (auto _ : state) benchmark::DoNotOptimize(plan_of(spec));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

BENCHMARK(core_fan_in)->RangeMultiplier(10)->Range(100, 1'000'000)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(core_chain)->Arg(1'000)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(core_random)->RangeMultiplier(10)->Range(100, 1'000'000)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(core_diamonds_live)->RangeMultiplier(10)->Range(10, 100'000)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(core_fan_in_workers)->RangeMultiplier(10)->Range(1, 1'000)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(core_fan_in_resources)->RangeMultiplier(10)->Range(1, 1'000)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(core_plan)->Arg(1'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace millrace::bench
