// Workload: what clients ask for, made of the generator: workflows of many shapes and sizes, and how each is submitted.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/model/operator_messages.h"
#include "common/model/workflow.h"
#include "coordinator/core/plan.h"
#include "tests/sim/random.h"

namespace millrace::sim {

struct Again {  // a run that has ended is run again
  ResumeScope scope = ResumeScope::kFailed;
  std::vector<std::string> from;
  std::shared_ptr<const std::string> definition;  // with the plan; null: that of the run
  std::shared_ptr<const Plan> plan;
  Duration after{};
};

struct Order {  // what one client does
  std::string key;
  std::shared_ptr<const std::string> definition;
  std::shared_ptr<const Plan> plan;
  std::int32_t priority = 0;
  Deadline deadline;
  Duration submit_after{};
  bool twice = false;                        // it sends everything twice at once
  bool wait = false;                         // the submission itself waits for the end
  Duration cancel_after = Duration::zero();  // after the submission; zero: never
  Duration pause_after = Duration::zero();   // likewise
  Duration pause_for{};
  std::vector<Duration> signals_after;  // when it sends signal `go` and decides whatever is asked
  std::vector<Again> again;             // afterwards, one after the other, each of the run before
};

constexpr char kRegisteredName[] = "kin";
constexpr char kWorkflowName[] = "sim";  // of all others

// `children`: some nodes start runs of the registered workflow.
struct Extras {  // that only some seeds have
  bool children = false;
  bool cache = false;
  bool lists = false;
};
Order make_order(Random& random, int number, bool large, const Extras& extras);
Order make_registered();  // its definition and plan

}  // namespace millrace::sim
