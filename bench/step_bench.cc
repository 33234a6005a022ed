// The pure core alone: completions a second through Partition and Placement, no sockets, no store.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "bench/graphs.h"
#include "common/wire/codec.h"
#include "coordinator/core/partition.h"
#include "coordinator/core/placement.h"

namespace {

using namespace millrace;

// Runs `spec` to its end with one worker that ends attempts in batches of up to `credit`; returns completions a second.
double completions_per_second(const WorkflowSpec& spec, std::uint32_t runs, std::uint32_t credit) {
  std::string bytes = encode_definition(spec);
  Result<std::shared_ptr<const Plan>> plan = Plan::build(spec, hash128(bytes));
  assert(plan.ok());
  Partition partition({PartitionId{0}, Epoch{1, 1}, kInlineMaxDefault, false});
  Placement placement;
  WorkerHello hello;
  hello.incarnation = 1;
  hello.name = "w";
  hello.executors = {"noop"};
  std::optional<WorkerId> replaced;
  WorkerRef worker = *placement.join(Time{}, hello, replaced);
  placement.credit(worker.id, {credit, 0});
  Time now = from_us(1);
  auto begin = std::chrono::steady_clock::now();
  for (std::uint32_t run = 0; run < runs; ++run) {
    SubmitRun submit;
    submit.key = std::to_string(run);
    submit.inputs = Payload::inline_json("{}");
    partition.step(now, RunSubmitted{RequestId{run + 1}, std::move(submit), *plan, {}});
  }
  std::uint64_t completed = 0;
  std::vector<Offer> offers;
  std::vector<SlotChange> slots;
  std::vector<Grant> grants;
  std::vector<AttemptId> out;
  while (partition.runs_live() > 0) {
    now += 10us;
    if (partition.next_deadline() <= now) partition.step(now, TimePassed{});
    for (const AttemptId& attempt : out) {
      AttemptReport report;
      report.attempt = attempt;
      report.outcome.success = true;
      partition.step(now, AttemptEnded{worker, std::move(report)});
      ++completed;
    }
    out.clear();
    offers.clear();
    slots.clear();
    grants.clear();
    partition.take_placement(offers, slots);
    for (const SlotChange& slot : slots) placement.freed(slot.worker, slot.slot_class);
    for (const Offer& offer : offers) placement.offer(offer);
    placement.place(grants);
    for (Grant& grant : grants) partition.step(now, SlotGranted{grant.offer.run, grant.offer.task, grant.worker});
    Effects effects = partition.take();
    for (const SendAssign& assign : effects.assigns) out.push_back(assign.assignment.attempt());
  }
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return static_cast<double>(completed) / seconds;
}

double median_of_three(const WorkflowSpec& spec, std::uint32_t runs) {
  std::vector<double> rates;
  for (int i = 0; i < 3; ++i) rates.push_back(completions_per_second(spec, runs, 1'024));
  std::sort(rates.begin(), rates.end());
  return rates[1];
}

}  // namespace

int main(int argc, char** argv) {
  std::uint32_t tasks = argc > 1 ? static_cast<std::uint32_t>(std::strtoul(argv[1], nullptr, 10)) : 200'000;
  std::printf("core fan-in  %u tasks: %.0f completions/s\n", tasks, median_of_three(bench::fan_in(tasks), 1));
  std::printf("core diamonds %u runs: %.0f completions/s\n", tasks / 4, median_of_three(bench::diamond(), tasks / 4));
  std::printf("core random  %u tasks: %.0f completions/s\n", tasks, median_of_three(bench::random_dag(tasks, 1), 1));
  return 0;
}
