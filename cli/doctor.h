// Doctor: what is wrong with a cluster, from what its coordinators tell of themselves and what only who asks them all
// can see: who does not answer, clocks that differ, versions that differ, partitions of nobody.
//
// Promises: total and deterministic: the same answers give the same findings, worst first, each once. Threads: pure
// functions. Fails: never. Times are handed in.
#pragma once

#include <vector>

#include "common/base/value.h"
#include "common/model/health.h"
#include "common/model/operator_messages.h"

namespace millrace {

constexpr Duration kClockSkewMax = 2s;

struct Examination {
  HealthReply health;
  CoordinatorsReply coordinators;
  PartitionsReply partitions;
  WorkersReply workers;
  Time asked{};  // by our clock: before and after the coordinators said what theirs show
  Time answered{};
  std::string version;  // ours
};

std::vector<Finding> findings_of(const Examination& examination);
// Whether anything is wrong: notes are not.
bool is_well(const std::vector<Finding>& findings);

Value doctor_json(const Examination& examination, const std::vector<Finding>& findings);
Value finding_json(const Finding& finding);
// For people: each problem with what to do, worst first, and one line that sums up.
std::string doctor_text(const Examination& examination, const std::vector<Finding>& findings, bool colour);

}  // namespace millrace
