// Balance: who should own which partition, decided by each coordinator for itself from what all of them can see.
//
// Promises: pure and deterministic: those who see the same members and owners make the same plan, so that one alone
// takes what is free and nobody gives up more than others lack. In a settled cluster the counts differ by at most one,
// and nothing moves any more. A partition is given up only to somebody who will take it. Who drains takes nothing while
// there is anybody else. Never decides ownership
// itself: taking is a compare-and-set in the store, whatever the plans say. Threads: any. Fails: never.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/base/ids.h"
#include "common/base/time.h"

namespace millrace {

constexpr Duration kTakeLate = 1s;       // what its taker has left lying for so long is anybody's
constexpr std::size_t kGivenAtOnce = 4;  // partitions on their way out of one coordinator, for the sake of balance

struct BalanceMember {  // alive
  std::string name;
  bool draining = false;
};

struct BalancePartition {
  enum class State : std::uint8_t {
    kUnknown,  // not looked at yet
    kOwned,
    kLeaving,  // given up by its owner, not released yet; `heir` will have it
    kFree,     // released, or never owned; `since` when
    kSilent,   // its owner's beat stands still; `since` when that was certain
  };
  PartitionId id;
  State state = State::kUnknown;
  std::string owner;       // of kOwned, kLeaving
  std::string heir;        // of kFree, kLeaving: who should take it; empty: anybody
  Time since{};            // of kFree, kSilent
  Time taken{};            // of our own: when
  bool inherited = false;  // of our own: we were named as its heir; given up after all others
};

struct BalanceView {
  std::string self;
  std::vector<BalanceMember> members;        // by name; with ourselves
  std::vector<BalancePartition> partitions;  // by id
  bool members_known = true;                 // every member was seen long enough to say whether it lives
  bool settled = false;                      // the members have not changed for a while: partitions may be given up
};

struct BalancePlan {
  std::vector<PartitionId> take;
  std::vector<std::pair<PartitionId, std::string>> give;  // and to whom
  Time look_again = kNever;                               // the plan changes then by the passing of time alone
};

BalancePlan balance(Time now, const BalanceView& view);

// Who would take each of our partitions if we were gone: heirs for an orderly stop. Empty without anybody else.
std::vector<std::pair<PartitionId, std::string>> heirs_of(const BalanceView& view);

}  // namespace millrace
