#include "worker/shell/worker_meter.h"

#include <algorithm>

#include "common/base/value.h"

namespace millrace {

std::size_t WorkerState::welcomed() const {
  return static_cast<std::size_t>(std::ranges::count(counts.welcomed, true));
}

OperatorState::Readiness WorkerState::readiness() const {
  const bool ready = !draining && welcomed() > 0;
  Value::Object coordinators;
  coordinators.emplace_back("connected", Value(static_cast<std::int64_t>(welcomed())));
  coordinators.emplace_back("all", Value(static_cast<std::int64_t>(counts.welcomed.size())));
  Value::Object object;
  object.emplace_back("ready", Value(ready));
  object.emplace_back("worker", Value(name));
  object.emplace_back("draining", Value(draining));
  object.emplace_back("coordinators", Value(std::move(coordinators)));
  return {ready, Value(std::move(object)).dump()};
}

void WorkerState::metrics(MetricsPage& page) const {
  auto real = [](std::uint64_t number) { return static_cast<double>(number); };
  page.gauge("millrace_worker_slots", "Tasks that may run at once.", slots);
  page.gauge("millrace_worker_tasks_running", "Tasks that run.", running);
  page.gauge("millrace_worker_tasks_queued", "Assigned tasks that have not started.", queued);
  page.gauge("millrace_worker_draining", "1 while it takes nothing new and waits for what runs.", draining ? 1 : 0);
  page.counter("millrace_worker_starts_total", "Tasks started.", real(counts.started));
  static constexpr char kEnds[] = "millrace_worker_ends_total";
  static constexpr char kHelp[] = "Attempts that ended here, by outcome: succeeded, or the reason why not.";
  page.counter(kEnds, kHelp, real(counts.succeeded), {{"outcome", "succeeded"}});
  for (std::size_t i = 1; i < counts.failed.size(); ++i) {
    page.counter(kEnds, kHelp, real(counts.failed[i]), {{"outcome", std::string(to_string(static_cast<Reason>(i)))}});
  }
  page.gauge("millrace_worker_coordinators", "Coordinators it was told of.", real(counts.welcomed.size()));
  page.gauge("millrace_worker_coordinators_connected", "Of them those that have welcomed it.", real(welcomed()));
  page.counter("millrace_worker_reopened_total", "Lines opened anew because a coordinator did not answer.",
               real(counts.reopened));
  page.histogram("millrace_worker_wait_seconds", "Assigned until started, in this worker.", counts.waited);
  page.histogram("millrace_worker_task_seconds", "Started until ended.", counts.ran);
  page.counter("millrace_worker_log_bytes_total", "Bytes that tasks printed.", real(log_bytes));
  page.counter("millrace_worker_log_dropped_bytes_total", "Of them those beyond a task's rate, which were dropped.",
               real(log_bytes_dropped));
  for (const auto& [executor, warmth] : executors) {
    page.counter("millrace_worker_pool_hits_total", "Tasks that found a process ready for them.", real(warmth.hits),
                 {{"executor", executor}});
    page.counter("millrace_worker_pool_misses_total", "Tasks that had to wait for a process to be made, or to be free.",
                 real(warmth.misses), {{"executor", executor}});
    page.counter("millrace_worker_interpreter_starts_total",
                 "Interpreters started for a pool: zygotes, processes of node.", real(warmth.starts),
                 {{"executor", executor}});
    page.counter("millrace_worker_interpreter_restarts_total",
                 "Of them those that replaced one that had ended by itself.", real(warmth.restarts),
                 {{"executor", executor}});
    static constexpr char kQuantiles[] = "millrace_worker_start_up_quantile_seconds";
    static constexpr char kQuantilesHelp[] = "What the share `quantile` of all tasks took at most, of the histogram.";
    for (const auto& [quantile, of] : {std::pair{"0.5", 0.5}, std::pair{"0.99", 0.99}}) {
      page.gauge(kQuantiles, kQuantilesHelp, std::chrono::duration<double>(warmth.start_up.quantile(of)).count(),
                 {{"executor", executor}, {"quantile", quantile}});
    }
    page.histogram("millrace_worker_start_up_seconds", "What a task took beyond its own code.", warmth.start_up,
                   {{"executor", executor}});
  }
}

}  // namespace millrace
