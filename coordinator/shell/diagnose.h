// Diagnose: what is wrong with one coordinator and its store, from what it knows of itself, and what to do about it.
//
// Promises: total and deterministic; worst first. Findings name the setting or command that mends them. Threads: pure
// functions. Fails: never. What takes several coordinators to see (clocks, versions) is judged by who asked them all.
#pragma once

#include <vector>

#include "common/model/health.h"

namespace millrace {

constexpr double kNearFull = 0.8;              // of a limit
constexpr Duration kStoreSlow = 50ms;          // for one answer
constexpr std::uint64_t kDemandPerSlot = 100;  // ready tasks for each slot: they will wait for long

// Adds to health.findings.
void diagnose(CoordinatorHealth& health);
void sort_by_severity(std::vector<Finding>& findings);  // errors, warnings, notes; otherwise as they were

}  // namespace millrace
