// Value needs: which runs need which values of those that are stored by content, as a turn's commit tells.
//
// Written down before the commit, so that what is written is never less than what is needed; what is more than that is
// found out when values are swept (ports.h, Sweep). Threads: pure functions. Fails: never.
#pragma once

#include <vector>

#include "coordinator/shell/ports.h"

namespace millrace {

struct ValueNeed {
  Hash128 hash;
  RunId run;
};

inline std::vector<ValueNeed> value_needs(const TurnCommit& commit) {
  std::vector<ValueNeed> needs;
  auto add = [&](const Payload& payload, RunId run) {
    if (payload.is_reference()) needs.push_back({payload.hash(), run});
  };
  for (const ValueWrite& value : commit.values) {
    if (value.run != RunId{}) needs.push_back({value.hash, value.run});
  }
  for (const PartitionCommit& part : commit.partitions) {
    for (const RunWrite& write : part.runs) {
      if (write.info != nullptr) add(write.info->inputs, write.run);
      add(write.record.outputs, write.run);
      for (const auto& [task, record] : write.tasks) {
        add(record.output, write.run);
        if (record.artifacts == nullptr) continue;
        for (const Artifact& one : *record.artifacts) needs.push_back({one.hash, write.run});
      }
    }
  }
  return needs;
}

}  // namespace millrace
