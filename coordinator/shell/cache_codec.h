// How values that are kept under a key, and who asks for them, are kept as records (cache_home.h).
//
// Promises: what is decoded is what was encoded, of that partition and under that field. Threads: pure functions.
// Fails: kInternal (`damaged`), kRefused (`newer_version`).
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"
#include "coordinator/core/cache_home.h"
#include "coordinator/shell/packing.h"

namespace millrace {

constexpr std::uint8_t kCacheVersion = 1;

void pack(Packer& out, const CacheName& name);
CacheName unpack_cache_name(Unpacker& in);

std::string encode_cache_entry(PartitionId home, const CacheEntry& entry);
Result<CacheEntry> decode_cache_entry(PartitionId home, std::string_view field, std::string_view bytes);
std::string encode_cache_asker(PartitionId home, const CacheAsker& asker);
Result<CacheAsker> decode_cache_asker(PartitionId home, std::string_view field, std::string_view bytes);

}  // namespace millrace
