// Value needs: who needs which values of those that are stored by content, as a turn's commit tells.
//
// Written down before the commit, so that what is written is never less than what is needed; what is more than that is
// found out when values are swept (ports.h, Sweep). Threads: pure functions. Fails: never.
#pragma once

#include <string>
#include <vector>

#include "coordinator/shell/ports.h"

namespace millrace {

struct StoredNeed {
  Hash128 hash;
  PartitionId at;            // where it is written down
  RunId run;                 // zero: it is what the partition keeps under a key
  std::string entry;         // then: the field of that
  std::uint64_t commit = 0;  // and the number of the commit that writes it
};

inline std::vector<StoredNeed> value_needs(const TurnCommit& commit) {
  std::vector<StoredNeed> needs;
  auto add = [&](const Payload& payload, RunId run) {
    if (payload.is_reference()) needs.push_back({payload.hash(), partition_of(run), run, "", 0});
  };
  for (const ValueWrite& value : commit.values) {
    if (value.run != RunId{}) needs.push_back({value.hash, partition_of(value.run), value.run, "", 0});
  }
  for (const PartitionCommit& part : commit.partitions) {
    for (const ValueNeed& need : part.needs) {
      if (need.entry.empty()) needs.push_back({need.hash, partition_of(need.run), need.run, "", 0});
      else needs.push_back({need.hash, part.partition, {}, need.entry, part.number});
    }
    for (const RunWrite& write : part.runs) {
      if (write.info != nullptr) add(write.info->inputs, write.run);
      add(write.record.outputs, write.run);
      for (const auto& [task, record] : write.tasks) {
        add(record.output, write.run);
        if (record.claim != nullptr) add(record.claim->old, write.run);
        if (record.artifacts == nullptr) continue;
        for (const Artifact& one : *record.artifacts)
          needs.push_back({one.hash, partition_of(write.run), write.run, "", 0});
      }
    }
  }
  return needs;
}

}  // namespace millrace
