// Packed events: the durable events of one commit as one stream entry, about five bytes an event.
//
// Layout (in the envelope of packing.h; its place is the partition and the stream id): base time, the runs that occur,
// then each event as the number of its run, its type, the distances of seq, task and time to the event before.
//
// Promises: decode(encode(x)) == x, with node ids empty (the plan knows them) and every cursor the entry's stream id.
// Decoding is total and bounded by its input. Threads: pure functions. Fails: an Error names the entry.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/model/event.h"
#include "coordinator/shell/packing.h"

namespace millrace {

constexpr std::uint8_t kPackedEventsVersion = 1;

struct StreamPlace {  // one entry of one partition's stream
  PartitionId partition;
  std::uint32_t epoch = 0;
  std::uint64_t commit = 0;
};

void encode_events(const StreamPlace& place, std::span<const Event> events, Packer& out);
std::string encode_events(const StreamPlace& place, std::span<const Event> events);
Result<std::vector<Event>> decode_events(const StreamPlace& place, std::string_view bytes);

}  // namespace millrace
