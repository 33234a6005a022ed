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
