// Redis keys: the names under which Millrace keeps its state. `p7` is the partition, in braces as hash tag, so that a
// partition lives in one slot of a Redis Cluster.
//
//   mr:meta                 hash: format, partitions
//   mr:fleet                set: names of workers to wait for after a restart
//   mr:members              hash: name of a coordinator -> how it published itself, sealed (member_codec.h)
//   mr:blob:<hash>          string: a value over the inline limit, sealed
//   mr:part:{mr:blob:<hash>}  string: what has come of a value that comes in parts, behind the room for its envelope;
//                           gone kPartsLife after the last; in the slot of the value
//   mr:{p7}:owner           hash: owner, epoch (counter), nonce, beat, n (number of the last commit), heir, since,
//                                 values_since (first epoch of an unbroken row that keep `needs`)
//   mr:{p7}:r:<run>         hash: .i (info), .m (record), <commit in base 36> (segment); see redis_commit.h for pieces
//   mr:{p7}:active          zset: live runs by position (listing.h)
//   mr:{p7}:runs            zset: all runs by position
//   mr:{p7}:keys            hash: 12 bytes of hash(tenant, key) -> run, request, time
//   mr:{p7}:def:<hash>      string: a definition, sealed
//   mr:{p7}:events          stream: <epoch>-<commit> -> e (packed events)
//   mr:{p7}:needs           zset by name: 16 bytes of a value's hash, then the printed id of a run that needs it; or
//                                 '=', the number of a commit, ':' and the field of shelf:cache that it wrote
//   mr:{p7}:finished        hash: tenant, zero byte, workflow -> how many ended runs are kept, as their owner tells
//   mr:{p7}:shelf:workflows hash: tenant, zero byte, name -> a registered workflow, sealed (registry_codec.h)
//   mr:{p7}:shelf:cache     hash: key and content -> a value that is kept under a key, sealed (cache_codec.h)
//   mr:{p7}:shelf:cache_asks hash: key, run and task -> who asks for one, sealed
//   mr:{p7}:shelf:pauses    hash: kind, tenant and name -> what is paused, since when, by whom and why, sealed
//   mr:{p7}:shelf:outbox    hash: number -> a letter to another partition that is not taken yet, sealed
//   (letter_codec.h) mr:{p7}:shelf:inbox     hash: partition -> how far its letters are taken, sealed mr:{p7}:log:<run>
//   stream: l (one packed line), capped
#pragma once

#include <string>

#include "common/base/hash.h"
#include "common/base/ids.h"

namespace millrace {

inline std::string partition_key(PartitionId partition) { return "mr:{p" + std::to_string(partition.value) + "}"; }
inline std::string partition_key(PartitionId partition, const char* what) {
  return partition_key(partition) + ":" + what;
}
inline std::string run_key(RunId run) { return partition_key(partition_of(run)) + ":r:" + to_string(run); }
inline std::string log_key(RunId run) { return partition_key(partition_of(run)) + ":log:" + to_string(run); }
inline std::string definition_key(PartitionId partition, const Hash128& hash) {
  return partition_key(partition) + ":def:" + to_string(hash);
}
inline std::string shelf_key(PartitionId partition, const char* shelf) {
  return partition_key(partition) + ":shelf:" + shelf;
}
inline std::string blob_key(const Hash128& hash) { return "mr:blob:" + to_string(hash); }
inline std::string parts_key(const Hash128& hash) { return "mr:part:{" + blob_key(hash) + "}"; }
// In the index of who needs which value: by hash, then by run.
inline std::string need_prefix(const Hash128& hash) {
  std::string bytes;
  for (std::uint64_t half : {hash.high, hash.low}) {
    for (int shift = 56; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(half >> shift));
  }
  return bytes;
}
inline std::string need_member(const Hash128& hash, RunId run) { return need_prefix(hash) + to_string(run); }
inline std::string need_member(const Hash128& hash, std::uint64_t commit, const std::string& cache_field) {
  return need_prefix(hash) + '=' + std::to_string(commit) + ':' + cache_field;
}
inline constexpr std::size_t kNeedHashBytes = 16;
inline constexpr char kMetaKey[] = "mr:meta";
inline constexpr char kFleetKey[] = "mr:fleet";
inline constexpr char kMembersKey[] = "mr:members";

}  // namespace millrace
