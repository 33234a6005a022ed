// Ids: small value types, one per thing that has an identity, so that they cannot be mixed up.
//
// Promises: trivially copyable, totally ordered, hashable. Printing and parsing of a RunId is a bijection.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace millrace {

template <class Tag, class Rep = std::uint64_t>
struct Id {
  Rep value = 0;
  auto operator<=>(const Id&) const = default;
};

using RunId = Id<struct RunTag>;
using WorkerId = Id<struct WorkerTag, std::uint32_t>;  // given by a coordinator for one connection of a worker
using TaskIndex =
    Id<struct TaskTag, std::uint32_t>;  // a task within its run; below the node count it is the node's index
using PartitionId = Id<struct PartitionTag, std::uint16_t>;
using PeerId = Id<struct PeerTag>;        // a connection as the gateway numbers it
using RequestId = Id<struct RequestTag>;  // a client's request waiting for its reply
using TraceId = std::string;              // 32 lower-case hex digits (W3C trace context)

// The generation of an owner: the fencing token. Compared for equality; the counter tells which is newer.
struct Epoch {
  std::uint32_t counter = 0;
  std::uint64_t nonce = 0;
  auto operator<=>(const Epoch&) const = default;
};

// One try of a task, named for ever (DESIGN rule 3). `epoch` is the counter of the epoch that dispatched it.
struct AttemptId {
  RunId run;
  TaskIndex task;
  std::uint32_t epoch = 0;
  std::uint32_t number = 0;  // 1, 2, 3 ... over all tries of the task
  auto operator<=>(const AttemptId&) const = default;
};

// A RunId is 10 bits of partition, 22 bits of the epoch counter it was accepted under, 32 bits of counter.
constexpr unsigned kRunPartitionBits = 10;
constexpr unsigned kRunEpochBits = 22;
constexpr unsigned kRunCounterBits = 32;
constexpr std::uint16_t kPartitionsMax = 1U << kRunPartitionBits;

constexpr RunId make_run_id(PartitionId partition, std::uint32_t epoch, std::uint32_t counter) {
  return RunId{(std::uint64_t{partition.value} << (kRunEpochBits + kRunCounterBits)) |
               ((std::uint64_t{epoch} & ((1U << kRunEpochBits) - 1)) << kRunCounterBits) | counter};
}
constexpr PartitionId partition_of(RunId run) {
  return PartitionId{static_cast<std::uint16_t>(run.value >> (kRunEpochBits + kRunCounterBits))};
}

// 13 characters of lower-case base32 (RFC 4648 alphabet). The bits are mixed first (a bijection), so that runs
// accepted one after the other differ in their first characters and a short prefix names one.
std::string to_string(RunId run);
std::optional<RunId> parse_run_id(std::string_view text);

}  // namespace millrace

template <class Tag, class Rep>
struct std::hash<millrace::Id<Tag, Rep>> {
  std::size_t operator()(const millrace::Id<Tag, Rep>& id) const noexcept {
    return static_cast<std::size_t>(id.value * 0x9E3779B97F4A7C15ULL);
  }
};
