// Letters: what partitions tell each other (DESIGN section 8). Partitions share nothing; one that wants something of
// another posts a letter, which stands in its outbox from the commit that decided it until the other has taken it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/model/pause.h"
#include "common/model/payload.h"
#include "common/model/records.h"
#include "coordinator/core/cache_home.h"
#include "coordinator/core/triggers.h"

namespace millrace {

// A run that the receiving partition is to accept: the one of its tenant and key, so that it is accepted once however
// often it is wanted. Its definition stands in the store of `home`.
struct RunWanted {
  std::string tenant = "default";
  std::string key;
  Hash128 definition;
  PartitionId home;
  Payload inputs;  // JSON object
  Labels labels;
  std::string trace_id;  // empty: one is made
  std::string caller;
  std::int32_t priority = 0;
  std::uint32_t version = 0;  // of the registered workflow
  RunParent parent;           // whom to tell what becomes of it
  bool operator==(const RunWanted&) const = default;
};

// Child runs (child.cc). To the home of the name: which definition and partition it is.
struct ChildWanted {
  std::string name;
  RunWanted run;  // without its definition
  bool operator==(const ChildWanted&) const = default;
};
struct ChildCancelled {  // by the same way; nothing if it has ended
  std::string tenant;
  std::string key;
  RunId parent;
  bool passed_on = false;  // by the home of the name
  bool operator==(const ChildCancelled&) const = default;
};
struct ChildTold {  // to the parent
  RunId parent;
  TaskIndex task;
  RunId child;  // zero: there is none
  RunState state = RunState::kAccepted;
  Payload outputs;
  std::string why;            // of one that has failed
  std::uint32_t attempt = 1;  // of its node
  bool operator==(const ChildTold&) const = default;
};

// A run that the receiving partition is to cancel, if it has it: the one of its tenant and key.
struct RunUnwanted {
  std::string tenant = "default";
  std::string key;
  std::string why;
  bool operator==(const RunUnwanted&) const = default;
};

// To the home of the trigger that wanted it: a run has ended, or could not be accepted.
struct RunOver {
  TriggerName trigger;
  std::string key;
  std::string error;  // why it could not be; empty: it was accepted
  bool operator==(const RunOver&) const = default;
};

// To every partition: a trigger wants to hear of the ends of runs (nothing: no more).
struct RunEndWatched {
  TriggerName trigger;
  std::optional<RunEndSpec> runs;
  bool operator==(const RunEndWatched&) const = default;
};
// To the home of such a trigger.
struct RunEnded {
  TriggerName trigger;
  RunEndNews news;
  bool operator==(const RunEnded&) const = default;
};

// Values that are kept under a key (cache_home.h, caching.cc). To the home of the key:
struct CacheAsked {
  CacheName name;
  RunId run;
  TaskIndex task;
  Duration ttl{};  // how old a value may be
  bool wants_old = false;
  bool operator==(const CacheAsked&) const = default;
};
struct CacheLeft {  // one that has asked: its task has ended, with a value or without
  CacheName name;
  RunId run;
  TaskIndex task;
  Duration ttl{};
  std::optional<Payload> value;
  bool operator==(const CacheLeft&) const = default;
};
// And to whoever has asked.
struct CacheTold {
  CacheAnswer answer;
  bool operator==(const CacheTold&) const = default;
};

// To every partition: it is paused, or no more (pauses.h).
struct PauseTold {
  Pause pause;
  bool paused = true;
  bool operator==(const PauseTold&) const = default;
};

using LetterBody = std::variant<RunWanted, ChildWanted, ChildCancelled, ChildTold, RunUnwanted, RunOver, RunEndWatched,
                                RunEnded, CacheAsked, CacheLeft, CacheTold, PauseTold>;

// Numbers of one sender grow: its epoch's counter above, a count within the epoch below. Letters of one sender to one
// receiver are taken in their order.
struct Letter {
  PartitionId from;
  PartitionId to;
  std::uint64_t number = 0;
  LetterBody body;
  bool operator==(const Letter&) const = default;
};
using SharedLetter = std::shared_ptr<const Letter>;
std::size_t size_of(const Letter& letter);  // what it holds, about: what is long in it counts in full

// How far a partition has taken the letters of one sender.
struct Mark {
  std::uint64_t number = 0;  // of the latest
  std::uint64_t taken = 0;   // how many, ever
  bool operator==(const Mark&) const = default;
};

}  // namespace millrace
