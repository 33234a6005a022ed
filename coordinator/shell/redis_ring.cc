#include "coordinator/shell/redis_ring.h"

#include <algorithm>

#include "coordinator/shell/redis_keys.h"

namespace millrace {
namespace {

constexpr std::size_t kKeptOverhead = 128;  // of an entry itself

}  // namespace

void CommitRing::keep(Steady::time_point now, FormattedCommit call) {
  if (!call.slices.empty()) add(now, std::move(call));  // else it carries beats alone
}

void CommitRing::keep(Steady::time_point now, const RedisCommand& value) { add(now, {value, {}}); }

void CommitRing::add(Steady::time_point now, FormattedCommit call) {
  const std::size_t bytes = call.command.capacity() + kKeptOverhead;
  while (!kept_.empty() && (kept_.front().at + kRingFor < now || bytes_ + bytes > kRingBytesMax)) {
    bytes_ -= kept_.front().bytes;
    kept_.pop_front();
  }
  if (bytes > kRingBytesMax) return;  // then it does not reach back over this one
  bytes_ += bytes;
  kept_.push_back({now, std::move(call), bytes});
}

std::optional<CommitRing::Repair> CommitRing::repair(const RepairPartition& repair) const {
  Repair found;
  std::uint64_t next = repair.after + 1;
  for (const Kept& kept : kept_) {
    if (kept.call.slices.empty()) {
      found.values.push_back(kept.call.command);
      continue;
    }
    for (const CommitSlice& slice : kept.call.slices) {
      if (slice.partition != repair.partition || slice.number != next) continue;  // also there: what was resent
      if (std::ranges::find(repair.written, slice.epoch) == repair.written.end()) continue;
      RedisCommand call = {"FCALL", "millrace_repair", "1", partition_key(repair.partition)};
      call.push_number(repair.epoch.counter);
      call.push_number(repair.epoch.nonce);
      call.append_raw(std::string_view(kept.call.command.formatted()).substr(slice.begin, slice.bytes), slice.args);
      found.calls.push_back(std::move(call));
      ++next;
    }
  }
  if (next <= repair.until) return std::nullopt;
  return found;
}

}  // namespace millrace
