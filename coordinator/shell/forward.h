// Forwarding: requests on their way to the coordinator that can answer them. Any coordinator takes any request; what
// concerns a partition is answered by its owner.
//
// Promises: a request is answered once, by whoever owns the partition when it gets there; while nobody is known to own
// it, it is held, at most kHoldMax, and then answered from the store or refused by name (`not_serving`). When the owner
// changes or dies, what was forwarded to it goes to the next one: requests are idempotent. Bounded: kHeldMax held,
// kForwardedMax forwarded, kHopsMax hops. The state of Loop (loop_state.h) holds these; forward.cc acts on them.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "common/base/ids.h"
#include "common/base/time.h"
#include "common/model/operator_messages.h"

namespace millrace {

constexpr std::size_t kHeldMax = 10'000;
constexpr std::size_t kForwardedMax = 200'000;
constexpr std::uint8_t kHopsMax = 3;
constexpr Duration kHoldMax = 4s;     // longer than a take-over
constexpr Duration kGatherMax = 1s;   // for all coordinators to answer a question to all
constexpr Duration kTryAgain = 50ms;  // what is held

struct Routed {  // a request looking for who answers it
  RequestId request;
  OperatorRequest body;
  std::uint8_t hops = 0;
  Time until{};  // it is held no longer
};

struct Forwarded {  // one that another coordinator has
  Routed routed;
  PartitionId partition;  // that it concerns; out of range: none
  std::string peer;
  std::uint64_t nonce = 0;  // of the peer's process
  Time sent{};
  std::uint64_t gather = 0;  // whose part it is; 0: none's
};

struct Gather {  // a question to all coordinators
  RequestId request;
  OperatorReply answer;          // ours, and theirs as they come
  std::set<std::uint64_t> open;  // forwarded requests without an answer
  Time until{};
};

// The run that a request names, or null.
RunName* run_name_of(OperatorRequest& request);
// Puts another coordinator's part into an answer of the same kind.
void merge_into(OperatorReply& answer, const OperatorReply& part);

}  // namespace millrace
