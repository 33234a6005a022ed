// Audit: whether every task of a partition is in somebody's hands, and whether its counts add up; what is not is put
// right on the spot. Cheap and continuous: a slice of tasks at a time, in turn; one partition's counts at a time.
//
// Every live task has an owner (an attempt at a worker that is known), a timer (to be tried again), a declared wait (a
// slot: it is offered; a value: it is asked for; a signal or an approval; the end of a pause; upstream tasks that have
// not ended), or stands on the list of what the next step looks at. What is in nobody's hands was lost by a mistake of
// our own: that is found, told and repaired here, since a run that stands still for ever is worse than one that is
// tried again.
//
// Promises: a repair never gives a task a second result: it offers, opens, sets a timer or counts a loss, all of which
// the partition checks as it always does. Threads: none; the loop's. Times are handed in. Fails: never.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/core/partition.h"

namespace millrace {

enum class AuditKind : std::uint8_t {
  kOwner,      // dispatched or running, and no known worker has it
  kOffer,      // ready, and nobody is asked for a slot
  kTimer,      // to be tried again, and nothing will wake it
  kOpened,     // everything upstream has ended, and nobody looks at it
  kValue,      // waits for a value that nobody fetches
  kEnd,        // all tasks have ended, or were told to stop, and the run does not end
  kCounts,     // counts that do not add up
  kPartition,  // a partition that nobody serves
};
constexpr std::size_t kAuditKinds = static_cast<std::size_t>(AuditKind::kPartition) + 1;
std::string_view to_string(AuditKind kind);  // "owner", "offer", "timer" ...

struct AuditFinding {
  AuditKind kind = AuditKind::kCounts;
  RunId run;
  TaskIndex task;
  std::string what;  // names run and task, or the counts
  bool repaired = true;
};

class Audit {
 public:
  // How things stand outside of the partition.
  struct World {
    std::function<bool(WorkerId)> knows;  // the worker
  };
  explicit Audit(Partition& partition) : partition_(partition) {}

  struct Place {  // where it goes on; a zero run: at the beginning
    RunId run;
    std::uint32_t task = 0;
    bool operator==(const Place&) const = default;
  };
  // Looks at `tasks` tasks from `from` on; returns where to go on. What is found is added to `findings`, at most
  // kFindingsMax; the rest comes next time.
  Place look(Time now, Place from, std::size_t tasks, const World& world, std::vector<AuditFinding>& findings);
  // Whether the counts of the partition are those of its runs.
  void count(std::vector<AuditFinding>& findings);
  // Ready tasks that must be offered (not a fan-out whose list is on its way): whoever matches them with slots has at
  // least as many offers of this partition and the others together, or has lost some. offer_all() offers every one
  // anew; an offer too many does no harm.
  std::uint64_t ready() const;
  void offer_all(Time now);
  std::uint64_t looked() const { return looked_; }

  static constexpr std::size_t kFindingsMax = 256;

 private:
  void look_at_counts(Run& run, std::vector<AuditFinding>& findings);
  void look_at(Time now, Run& run, TaskIndex task, const World& world, std::vector<AuditFinding>& findings);
  void look_at_wait(Time now, Run& run, TaskIndex task, std::vector<AuditFinding>& findings);
  bool rings(const Run& run, TaskIndex task) const;  // it has a timer
  void look_at_items(Time now, Run& run, Mapped& mapped, const World& world, std::vector<AuditFinding>& findings);
  void look_at_end(Time now, Run& run, std::vector<AuditFinding>& findings);
  void found(std::vector<AuditFinding>& findings, AuditKind kind, const Run& run, TaskIndex task, const char* what);

  Partition& partition_;
  std::uint64_t looked_ = 0;
};

}  // namespace millrace
