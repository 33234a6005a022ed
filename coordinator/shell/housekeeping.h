// Housekeeping: what a loop remembers of clearing away finished runs and what they leave behind (housekeeping.cc), and
// of its audit (self_audit.cc). Part of Loop::State.
//
// Promises: what is asked of the store is one small page at a time, kHouseEvery apart unless it brings much; a turn
// deletes at most kDeletesPerTurn runs a partition.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "coordinator/core/audit.h"
#include "coordinator/core/retention.h"
#include "coordinator/shell/ports.h"

namespace millrace {

constexpr Duration kHouseEvery = 50ms;             // between pages
constexpr std::size_t kDeletesPerTurn = 256;       // of one partition
constexpr std::size_t kDeletesWaitingMax = 1'024;  // of one partition: no more are looked for meanwhile
constexpr Duration kPublishEvery = 500ms;          // how many ended runs a partition keeps, to the other coordinators
constexpr Duration kAuditEvery = 1s;

struct Swept {
  std::uint64_t looked = 0;
  std::uint64_t dropped = 0;
  std::uint64_t bytes = 0;
};

struct HouseCounts {
  std::uint64_t runs_deleted = 0;
  std::uint64_t definitions_deleted = 0;
  std::array<Swept, 3> swept{};  // by Sweep::Kind
  std::uint64_t audit_looked = 0;
  std::array<std::uint64_t, kAuditKinds> audit_found{};
  std::array<std::uint64_t, kAuditKinds> audit_repaired{};
};

// Of one partition that we own.
struct ShareHouse {
  Kept kept;
  bool counting = false;  // a page of ScanRuns is out
  std::string count_cursor;
  std::vector<RunId> deletes;             // decided, for the next turns
  std::vector<Hash128> definitions_gone;  // with them
  std::vector<Hash128> dropped;           // that no registered workflow has any more; perhaps runs do
  bool published = false;                 // everything of `kept`, since there are others to tell
  Time publish_at{};
  struct Round {
    std::string cursor;
    Time next{};
    Time whole_at{};         // when the next goes through to the end, whatever it finds
    bool whole = true;       // this one does
    unsigned fruitless = 0;  // pages in a row
  };
  std::array<Round, 3> rounds;  // by Sweep::Kind
  bool events_left = true;      // of runs that were deleted since the last round of kEvents
  Audit::Place audited;
};

struct House {
  House(RetentionPolicy policy, std::size_t partitions) : sweep(policy, partitions) {}
  Retention sweep;
  std::size_t pages_out = 0;                                           // of this sweep
  std::uint64_t sweeps = 0;                                            // begun; answers to earlier ones are passed over
  Time sweep_at{};                                                     // when the next may begin
  Time age_at{};                                                       // when the next must, by age
  Time others_at{};                                                    // when to read again what others keep
  Time next{};                                                         // when to look again at all
  bool at_work = false;                                                // something goes on at `next`
  std::map<PartitionId, std::map<std::string, std::uint64_t>> others;  // ended runs that others keep
  bool clearing = false;                                               // a Sweep is out
  std::size_t at = 0;                                                  // whose turn it is: partition and kind
  HouseCounts counts;
  Time audit_at{};
  std::size_t audited = 0;             // partition whose turn it was
  std::uint32_t unoffered = 0;         // audits in a row that found fewer offers than ready tasks
  std::map<PartitionId, Time> nobody;  // since when a partition is nobody's
};

}  // namespace millrace
