// Trigger codec: what the home of a trigger keeps of it, sealed with its partition and name.
//
// Promises: decode(encode(x)) == x; decoding is total and bounded by its input. Threads: pure functions. Fails: an
// Error (`damaged`, `newer_version`) that names the field.
#pragma once

#include <string>
#include <string_view>

#include "common/base/ids.h"
#include "common/base/result.h"
#include "coordinator/core/triggers.h"
#include "coordinator/shell/packing.h"

namespace millrace {

constexpr std::uint8_t kTriggerVersion = 2;  // before: without webhooks and what collects events
constexpr std::uint8_t kWatcherVersion = 1;

std::string trigger_field(const TriggerName& name);  // on its shelf
std::string encode_trigger(PartitionId home, const TriggerRecord& record);
Result<TriggerRecord> decode_trigger(PartitionId home, std::string_view field, std::string_view bytes);

struct Watcher {
  TriggerName trigger;
  RunEndSpec runs;
};
std::string encode_watcher(PartitionId partition, const TriggerName& trigger, const RunEndSpec& runs);
Result<Watcher> decode_watcher(PartitionId partition, std::string_view field, std::string_view bytes);

// Parts that letters have, too.
void pack(Packer& out, const TriggerName& name);
TriggerName unpack_trigger_name(Unpacker& in);
void pack(Packer& out, const RunEndSpec& runs);
RunEndSpec unpack_run_end(Unpacker& in);
RunState unpack_run_state(Unpacker& in);

}  // namespace millrace
