// Workload: what clients ask for, made of the generator: workflows of many shapes and sizes, and how each is submitted.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/model/workflow.h"
#include "coordinator/core/plan.h"
#include "tests/sim/random.h"

namespace millrace::sim {

struct Order {  // what one client does
  std::string key;
  std::shared_ptr<const std::string> definition;
  std::shared_ptr<const Plan> plan;
  std::int32_t priority = 0;
  Duration submit_after{};
  bool twice = false;                        // it sends everything twice at once
  bool wait = false;                         // the submission itself waits for the end
  Duration cancel_after = Duration::zero();  // after the submission; zero: never
  Duration pause_after = Duration::zero();   // likewise
  Duration pause_for{};
  std::vector<Duration> signals_after;  // when it sends signal `go` and decides whatever is asked
};

Order make_order(Random& random, int number, bool large);

}  // namespace millrace::sim
