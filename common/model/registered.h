// Registered workflows: what an operator has applied under a name, version by version.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/hash.h"
#include "common/base/time.h"

namespace millrace {

struct WorkflowVersion {
  std::uint32_t version = 0;
  Hash128 definition;  // of the definition's bytes
  Time applied{};
  std::string caller;                // who did it
  std::uint32_t rolled_back_to = 0;  // it is that one again; zero: it was applied
  bool operator==(const WorkflowVersion&) const = default;
};

// A name lives in its home partition, whose core numbers its versions 1, 2, 3 ... A number is never used again, not
// even after the name was deleted.
struct RegisteredWorkflow {
  std::string tenant = "default";
  std::string name;
  std::uint32_t latest = 0;               // the highest number ever given
  std::vector<WorkflowVersion> versions;  // oldest first, the latest kVersionsMax; the last is the current one
  bool exists() const { return !versions.empty(); }           // else it was deleted
  const WorkflowVersion* find(std::uint32_t version) const {  // zero: the current one; null: there is none
    if (version == 0) return exists() ? &versions.back() : nullptr;
    for (const WorkflowVersion& one : versions) {
      if (one.version == version) return &one;
    }
    return nullptr;
  }
  bool operator==(const RegisteredWorkflow&) const = default;
};

constexpr std::size_t kVersionsMax = 100;  // kept of one name

}  // namespace millrace
