// Pause codec: a pause as partitions keep it and as letters carry it.
//
// Promises: decode(encode(x)) == x; decoding is total and bounded by its input. Threads: pure functions. Fails: an
// Error (`damaged`, `newer_version`).
#pragma once

#include <string>
#include <string_view>

#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/model/pause.h"
#include "coordinator/shell/packing.h"

namespace millrace {

constexpr std::uint8_t kPauseVersion = 1;

std::string pause_field(const PauseName& what);  // on its shelf
std::string encode_pause(PartitionId partition, const Pause& pause);
Result<Pause> decode_pause(PartitionId partition, std::string_view field, std::string_view bytes);

// Parts that letters have, too.
void pack(Packer& out, const Pause& pause);
Pause unpack_pause(Unpacker& in);

}  // namespace millrace
