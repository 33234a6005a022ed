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
}

}  // namespace millrace
