// Fan-out: what a run holds of a mapped node while its items run.
//
// A mapped node is one task of the plan. Its items are dealt out in chunks, each one attempt of the task that the
// chunk's first item names (Plan::base() + item), so attempts, reports, losses, timers and records of items are those
// of any task. Nothing is held for an item that waits: `todo` are ranges. What is held is what is out, what has failed
// and is tried again, and what Collected keeps of outputs.
//
// An item is always in exactly one of: unasked, todo, out, waiting (its retry is not due, or it has asked), done.
// Threads: none; owned by a Run.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/model/records.h"
#include "common/model/run_view.h"
#include "coordinator/core/collected.h"
#include "coordinator/core/item_source.h"

namespace millrace {

constexpr std::uint32_t kOffersMax = 64;            // chunks offered at once, per node
constexpr std::uint32_t kHistoriesMax = 10'000;     // items that failed and are not done: then no others are begun
constexpr std::size_t kChunkBytesMax = 256 * 1024;  // of the values of one chunk; a larger one travels alone
constexpr std::size_t kListMinDefault = 1024 * 1024;
constexpr std::size_t kListPart = 1024 * 1024;  // bytes of outputs that are stored as one, where they come in small
constexpr Duration kChunkBudget = 1s;           // of a chunk whose size was found out: then the rest is dealt out anew
constexpr Duration kChunkTarget = 250ms;        // and how long it should take at most
constexpr Duration kProgressEvery = 100ms;
constexpr std::uint32_t kCachedItemsMax = 1'000;  // items that have asked for a value and are not done
constexpr std::uint32_t kChildrenUsual = 100;     // child runs at once of a node that does not say how many
constexpr std::uint32_t kChildrenMax = 1000;

// How long items take, and what an attempt costs beside them: moving averages.
struct Pace {
  double item_us = 0;      // zero: not known
  double overhead_us = 0;  // from dispatch to report, without what ran and what waited at the worker

  void learn(std::uint32_t items, Duration ran, Duration overhead);
  // Items of one chunk: so many that the overhead is below 5 %, but not so many that a slot is left without work at the
  // end, nor longer than kChunkTarget. One while nothing is known.
  std::uint32_t chunk(std::uint64_t left, std::uint32_t slots) const;
};

// An item that has failed, or was lost alone, or waits for its child run, and is not done.
struct ItemHistory {
  TaskRecord record;
  std::uint64_t sum = 0;  // checksum of its durable record
  bool waiting = false;   // until record.due, or for its child
};

// An item as the expressions of its node see it.
struct BoundItem {
  Value item;
  Value index;
};

struct Mapped {
  TaskIndex node;
  std::uint32_t base = 0;  // its item i is the task base + i
  bool opened = false;     // what it goes over is known
  bool failing = false;    // an item failed for good and the node with it: it ends when nothing is out
  ItemSource source;
  std::vector<std::size_t> feeding;  // pieces of the list that it goes over: asked for, not here
  std::uint32_t total = 0;
  ItemRanges todo;
  ItemRanges unasked;  // of a node with a `cache`: whose values were not asked for
  ItemRanges done;
  std::map<std::uint32_t, std::uint32_t> out;      // chunks that are dispatched: first item -> items
  std::map<std::uint32_t, ItemHistory> history;    // by item
  std::map<std::uint32_t, std::uint32_t> numbers;  // attempt numbers used, by first item, while it is not done
  std::uint32_t waiting = 0;                       // of the histories
  std::uint32_t children = 0;                      // of these, those that wait for a child
  std::uint32_t asking = 0;                        // and those that wait for the value of their key
  std::uint32_t running = 0;                       // items that are out
  std::uint32_t failed = 0;                        // items, for good
  std::uint32_t offers = 0;                        // to Placement, not granted
  std::uint32_t slots = 1;                         // of the fleet, as the latest grant said
  Pace pace;
  Collected outputs;
  std::vector<FailedItem> shown;  // the first of those that failed
  Reason reason = Reason::kNone;  // of failing
  std::shared_ptr<const ErrorInfo> error;
  std::optional<std::uint32_t> replaced_first;  // of the items that have an older value in the place of their own
  std::shared_ptr<const ErrorInfo> replaced;    // why that one failed
  Duration ran{};
  Time dispatched{};  // the first
  Time progress{};    // when it was last told

  bool complete() const { return opened && done.count() == total; }
  // Of what is to be dealt out, the first range that begins with an item that is at hand.
  std::map<std::uint32_t, std::uint32_t>::const_iterator next_here() const;
  bool can_deal() const { return next_here() != todo.ranges().end(); }
  ItemsView view() const;
  void show(const FailedItem& item);
  void fell_back(std::uint32_t item, const std::shared_ptr<const ErrorInfo>& why);
};

// The error of an item as that of its node.
ErrorInfo of_item(std::uint32_t item, const ErrorInfo& error);

}  // namespace millrace
