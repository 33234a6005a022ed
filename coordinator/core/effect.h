// Effects: everything that a Partition can ask for. The loop performs those of a whole turn in one order: writes become
// durable, then sends leave, then events go out.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/hash.h"
#include "common/model/event.h"
#include "common/model/operator_messages.h"
#include "common/model/records.h"
#include "common/model/worker_messages.h"
#include "coordinator/core/outbox.h"

namespace millrace {

// All that one turn changes of one run.
struct RunWrite {
  RunId run;
  std::shared_ptr<const RunInfo> info;                  // set when the run is accepted in this turn
  RunRecord record;                                     // as it is at the end of the turn
  std::vector<std::pair<TaskIndex, TaskRecord>> tasks;  // a task may stand twice: the higher version counts
  std::uint32_t tasks_total = 0;
  std::uint32_t tasks_done = 0;
  bool operator==(const RunWrite&) const = default;
};

struct ValueWrite {  // content-addressed, idempotent, durable before the turn's commit
  Hash128 hash;
  std::shared_ptr<const std::string> json;
  RunId run = {};  // that needs it, whether a record names it or only an assignment; zero: its records tell
};

// Who needs a value that is stored by content, and does not say so by a record of its own in this turn: a run, or what
// is kept under a key.
struct ValueNeed {
  Hash128 hash;
  RunId run;
  std::string entry = {};  // the field of that; empty: the run
};

struct SendAssign {
  WorkerId worker;
  Assignment assignment;
};
struct SendCancel {
  WorkerId worker;
  AttemptCancel cancel;
};
struct SendReclaim {
  WorkerId worker;
  AttemptId attempt;
};
struct SendAnswer {
  WorkerId worker;
  ReportAnswer answer;
};
struct SendReply {
  RequestId request;
  OperatorReply reply;
};

struct LetterAck {    // all of `from`'s letters up to this one are taken
  RequestId request;  // zero: they came from a partition of this coordinator
  PartitionId from;
  PartitionId to;
  std::uint64_t until = 0;
};

// Letters that their receiver had taken, and has lost with its store.
struct LettersMissed {
  PartitionId by;
  std::size_t again = 0;            // that many go once more
  bool missing = false;             // and some cannot: they are not kept any more
  std::vector<RunId> waiting = {};  // then: live runs here that wait for what others tell
};

// A task's wishes about its place. Keys name nodes of a run, or what tasks of any run share.
struct PlacingHints {
  std::vector<std::uint64_t> noted;  // it counts under these
  std::vector<std::uint64_t> apart;  // rather not where those of these keys went
  std::uint64_t sticky = 0;          // rather where the latest of this key went; zero: none
};

// A ready task looks for a slot. It stays offered until granted; an offer that no longer holds is refused when granted.
struct Offer {
  RunId run;
  TaskIndex task;
  std::int32_t priority = 0;                  // higher first
  Time age{};                                 // older runs first
  std::uint32_t rank = 0;                     // longer remaining path first
  std::shared_ptr<const Requirements> needs;  // of a worker
  std::unique_ptr<const PlacingHints> hints = nullptr;
};

// An attempt is out at this worker that Placement did not grant (adopted), or one is no longer out.
struct SlotChange {
  WorkerId worker;
  SlotClass slot_class = SlotClass::kCpu;
  bool taken = false;
  const Requirements* needs = nullptr;  // where it has resources; a loan of this turn
};

struct Effects {
  std::vector<RunWrite> writes;  // one entry a run and turn
  std::vector<ValueWrite> values;
  std::vector<RegisteredWorkflow> workflows;  // as they are now; the last of a name counts
  std::vector<std::pair<Hash128, std::shared_ptr<const std::string>>> definitions;  // that those need
  std::vector<Hash128> definitions_dropped;                        // that no registered workflow needs any more
  std::map<TriggerName, std::optional<TriggerRecord>> triggers;    // that have changed; nothing: it is gone
  std::map<TriggerName, std::optional<RunEndSpec>> watchers;       // that have changed; nothing: it is gone
  std::map<std::string, std::optional<CacheEntry>> cache_entries;  // that have changed; nothing: it is gone
  std::map<std::string, std::optional<CacheAsker>> cache_askers;   // that have changed; nothing: it is gone
  std::map<PauseName, std::optional<Pause>> pauses;                // that have changed; nothing: it is over
  std::vector<ValueNeed> needs;
  std::vector<SharedLetter> letters;        // new in the outbox
  std::vector<std::uint64_t> letters_gone;  // numbers of those that are taken
  std::map<PartitionId, Mark> marks;        // how far those of others are taken: what has changed
  std::vector<SendLetters> mail;            // leaves when the turn is durable
  std::vector<LetterAck> acks;              // likewise
  std::vector<LettersMissed> letters_missed;
  std::vector<SendCancel> cancels;
  std::vector<SendReclaim> reclaims;
  std::vector<SendAnswer> answers;
  std::vector<SendAssign> assigns;
  std::vector<SendReply> replies;
  std::vector<Event> events;                          // durable and ephemeral, in order
  std::vector<Offer> offers;                          // to Placement
  std::vector<SlotChange> slots;                      // to Placement
  std::vector<Hash128> fetches;                       // values to load from the store
  std::vector<std::shared_ptr<const RunInfo>> ended;  // runs that ended in this turn, for those who count
  CacheCounts cached;                                 // likewise, of values that are kept under keys
  FiringCounts firings;                               // what became of firings and events, for those who count
  bool writes_shelves() const {
    return !workflows.empty() || !triggers.empty() || !watchers.empty() || !cache_entries.empty() ||
           !cache_askers.empty() || !pauses.empty() || writes_mail();
  }
  bool writes_mail() const { return !letters.empty() || !letters_gone.empty() || !marks.empty(); }
  bool empty() const {
    return writes.empty() && values.empty() && cancels.empty() && reclaims.empty() && answers.empty() &&
           assigns.empty() && replies.empty() && events.empty() && offers.empty() && slots.empty() && fetches.empty() &&
           !writes_shelves() && mail.empty() && acks.empty() && letters_missed.empty();
  }
};

}  // namespace millrace
