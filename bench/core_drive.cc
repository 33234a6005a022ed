#include "bench/core_drive.h"

#include <cassert>
#include <ctime>
#include <string>
#include <utility>
#include <vector>

#include "common/wire/codec.h"
#include "coordinator/core/look_ahead.h"
#include "coordinator/core/partition.h"
#include "coordinator/core/placement.h"

namespace millrace::bench {
namespace {

double thread_cpu_s() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

std::vector<WorkerRef> fleet_of(Placement& placement, const CoreLoad& load) {
  std::vector<WorkerRef> fleet;
  for (std::uint32_t i = 0; i < load.workers; ++i) {
    WorkerHello hello;
    hello.incarnation = i + 1;
    hello.name = "w" + std::to_string(i);
    hello.executors = {"noop"};
    hello.resources = load.resources;
    std::optional<WorkerId> replaced;
    Result<WorkerRef> worker = placement.join(Time{}, hello, replaced);
    assert(worker.ok());
    placement.credit(worker->id, {load.credit, 0});
    fleet.push_back(std::move(worker).value());
  }
  return fleet;
}

}  // namespace

std::shared_ptr<const Plan> plan_of(const WorkflowSpec& spec) {
  Result<std::shared_ptr<const Plan>> plan = Plan::build(spec, hash128(encode_definition(spec)));
  assert(plan.ok());
  return *plan;
}

CoreDriven drive_core(const std::shared_ptr<const Plan>& plan, const CoreLoad& load) {
  Partition partition({PartitionId{0}, Epoch{1, 1}, kInlineMaxDefault, false});
  Placement placement;
  const std::vector<WorkerRef> fleet = fleet_of(placement, load);
  Time now = from_us(1);
  CoreDriven driven;
  std::uint32_t submitted = 0;
  std::vector<Offer> offers;
  std::vector<SlotChange> slots;
  std::vector<Grant> grants;
  std::vector<std::pair<WorkerId, AttemptId>> out;
  const double begin = thread_cpu_s();
  while (submitted < load.runs || partition.runs_live() > 0) {
    now += 10us;
    for (; submitted < load.runs && partition.runs_live() < load.in_flight; ++submitted) {
      SubmitRun submit;
      submit.key = std::to_string(submitted);
      submit.inputs = Payload::inline_json("{}");
      partition.step(now, RunSubmitted{RequestId{submitted + 1}, std::move(submit), plan, {}});
    }
    if (partition.next_deadline() <= now) partition.step(now, TimePassed{});
    LookAhead ends(LookAhead::To::kEnd);
    for (std::size_t i = 0; i < out.size(); ++i) {
      const auto& [worker, attempt] = out[i];
      ends.before(i, out.size(), partition,
                  [&](std::size_t k) { return std::pair(out[k].second.run, out[k].second.task); });
      AttemptReport report;
      report.attempt = attempt;
      report.outcome.success = true;
      partition.step(now, AttemptEnded{fleet[worker.value - fleet[0].id.value], std::move(report)});
      ++driven.completions;
    }
    out.clear();
    offers.clear();
    slots.clear();
    grants.clear();
    partition.take_placement(offers, slots);
    for (const SlotChange& slot : slots) placement.change(slot);
    for (Offer& offer : offers) placement.offer(std::move(offer));
    placement.place(grants);
    LookAhead granted(LookAhead::To::kGrant);
    for (std::size_t i = 0; i < grants.size(); ++i) {
      const Grant& grant = grants[i];
      granted.before(i, grants.size(), partition,
                     [&](std::size_t k) { return std::pair(grants[k].run, grants[k].task); });
      partition.step(now, SlotGranted{grant.run, grant.task, grant.worker, grant.slot_class, grant.needs});
    }
    const Effects effects = partition.take();
    for (const SendAssign& assign : effects.assigns) out.emplace_back(assign.worker, assign.assignment.attempt());
  }
  driven.seconds = thread_cpu_s() - begin;
  return driven;
}

}  // namespace millrace::bench
