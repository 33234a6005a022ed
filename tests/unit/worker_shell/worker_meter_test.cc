#include "worker/shell/worker_meter.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

Outcome outcome(Reason reason, Duration waited, Duration ran) {
  Outcome out;
  out.success = reason == Reason::kNone;
  out.reason = reason;
  out.waited = waited;
  out.ran = ran;
  return out;
}

TEST(WorkerMeter, CountsEndsByOutcomeAndTimesThem) {
  WorkerState state;
  state.counts.ended(outcome(Reason::kNone, 10us, 2s));
  state.counts.ended(outcome(Reason::kTimeout, 20us, 3s));
  state.counts.ended(outcome(Reason::kTimeout, 0us, 3s));

  MetricsPage page;
  state.metrics(page);

  const std::string text = page.text();
  EXPECT_NE(text.find("millrace_worker_ends_total{outcome=\"succeeded\"} 1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("millrace_worker_ends_total{outcome=\"timeout\"} 2\n"), std::string::npos);
  EXPECT_NE(text.find("millrace_worker_task_seconds_sum 8\n"), std::string::npos);
  EXPECT_NE(text.find("millrace_worker_wait_seconds_count 3\n"), std::string::npos);
}

TEST(WorkerMeter, TellsHowWarmEachExecutorIs) {
  WorkerState state;
  ExecutorCounts& python = state.executors["python"];
  python.hits = 7;
  python.misses = 2;
  python.restarts = 1;
  for (int i = 0; i < 98; ++i) python.start_up.add(1ms);
  python.start_up.add(100ms);
  python.start_up.add(100ms);
  state.executors["shell"];
  state.log_bytes = 30;
  state.log_bytes_dropped = 10;

  MetricsPage page;
  state.metrics(page);

  const std::string text = page.text();
  for (const char* line :
       {"millrace_worker_pool_hits_total{executor=\"python\"} 7\n",
        "millrace_worker_pool_misses_total{executor=\"python\"} 2\n",
        "millrace_worker_pool_misses_total{executor=\"shell\"} 0\n",
        "millrace_worker_interpreter_restarts_total{executor=\"python\"} 1\n",
        "millrace_worker_start_up_seconds_count{executor=\"python\"} 100\n",
        "millrace_worker_start_up_quantile_seconds{executor=\"python\",quantile=\"0.5\"} 0.001024\n",
        "millrace_worker_start_up_quantile_seconds{executor=\"python\",quantile=\"0.99\"} 0.131072\n",
        "millrace_worker_start_up_quantile_seconds{executor=\"shell\",quantile=\"0.99\"} 0\n",
        "millrace_worker_log_dropped_bytes_total 10\n"})
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
}

TEST(WorkerMeter, IsReadyOnceACoordinatorHasWelcomedItAndUntilItDrains) {
  WorkerState state;
  state.name = "w1";
  state.counts.welcomed = {false, false};
  EXPECT_FALSE(state.readiness().ready);

  state.counts.welcomed[1] = true;
  EXPECT_TRUE(state.readiness().ready);
  EXPECT_EQ(state.readiness().json,
            R"({"ready":true,"worker":"w1","draining":false,"coordinators":{"connected":1,"all":2}})");

  state.draining = true;
  EXPECT_FALSE(state.readiness().ready);
}

}  // namespace
}  // namespace millrace
