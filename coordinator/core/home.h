// Home: which partition something lives in, by its name: a run by its idempotency key, a registered workflow by its
// name.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/base/hash.h"
#include "common/base/ids.h"

namespace millrace {

// What decides, with the tenant, which partition a run lives in: what stands in the key's first pair of braces, or else
// the whole key. The rule of Redis Cluster's hash tags:
// https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
constexpr std::string_view key_tag(std::string_view key) {
  const std::size_t open = key.find('{');
  if (open == std::string_view::npos) return key;
  const std::size_t close = key.find('}', open + 1);
  if (close == std::string_view::npos || close == open + 1) return key;
  return key.substr(open + 1, close - open - 1);
}

inline PartitionId home_of(std::string_view tenant, std::string_view key, std::uint16_t partitions) {
  return PartitionId{static_cast<std::uint16_t>(hash64(key_tag(key), hash64(tenant)) % partitions)};
}

}  // namespace millrace
