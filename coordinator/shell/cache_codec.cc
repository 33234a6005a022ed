#include "coordinator/shell/cache_codec.h"

#include "common/base/hash.h"

namespace millrace {
namespace {

constexpr std::uint64_t kEntryPlace = 20;
constexpr std::uint64_t kAskerPlace = 21;

std::uint64_t place(std::uint64_t kind, PartitionId home, std::string_view field) {
  return place_of(place_of(kind, home.value), hash64(field));
}

Error unreadable(const std::string& what, std::string_view bytes) {
  const std::string newer = newer_version(kCacheVersion, bytes);
  if (!newer.empty()) return Error{Code::kRefused, what + " " + newer, {}, "newer_version"};
  return Error{Code::kInternal, what + ": wrong version or checksum", {}, "damaged"};
}

Error misread(const std::string& what) { return Error{Code::kInternal, what + ": does not parse", {}, "damaged"}; }

}  // namespace

void pack(Packer& out, const CacheName& name) {
  out.text(name.tenant);
  out.hash(name.key);
}

CacheName unpack_cache_name(Unpacker& in) {
  CacheName name;
  name.tenant = in.text();
  name.key = in.hash();
  return name;
}

std::string encode_cache_entry(PartitionId home, const CacheEntry& entry) {
  Packer out;
  pack(out, entry.name);
  out.payload(entry.value);
  out.time(entry.made, Time{});
  out.duration(entry.ttl);
  return seal(kCacheVersion, place(kEntryPlace, home, entry_field(entry)), out.bytes());
}

Result<CacheEntry> decode_cache_entry(PartitionId home, std::string_view field, std::string_view bytes) {
  const std::string what = "a value in the cache";
  const auto body = unseal(kCacheVersion, place(kEntryPlace, home, field), bytes);
  if (!body) return unreadable(what, bytes);
  Unpacker in(*body);
  CacheEntry entry;
  entry.name = unpack_cache_name(in);
  entry.value = in.payload();
  entry.made = in.time(Time{});
  entry.ttl = in.duration();
  if (!in.done() || entry_field(entry) != field) return misread(what);
  return entry;
}

std::string encode_cache_asker(PartitionId home, const CacheAsker& asker) {
  Packer out;
  pack(out, asker.name);
  out.fixed64(asker.run.value);
  out.number(asker.task.value);
  out.number(asker.number);
  out.time(asker.asked, Time{});
  out.byte(asker.computes ? 1 : 0);
  out.byte(asker.wants_old ? 1 : 0);
  return seal(kCacheVersion, place(kAskerPlace, home, asker_field(asker)), out.bytes());
}

Result<CacheAsker> decode_cache_asker(PartitionId home, std::string_view field, std::string_view bytes) {
  const std::string what = "a task that asks for a value in the cache";
  const auto body = unseal(kCacheVersion, place(kAskerPlace, home, field), bytes);
  if (!body) return unreadable(what, bytes);
  Unpacker in(*body);
  CacheAsker asker;
  asker.name = unpack_cache_name(in);
  asker.run = RunId{in.fixed64()};
  asker.task = TaskIndex{in.number32()};
  asker.number = in.number();
  asker.asked = in.time(Time{});
  asker.computes = in.byte() != 0;
  asker.wants_old = in.byte() != 0;
  if (!in.done() || asker_field(asker) != field) return misread(what);
  return asker;
}

}  // namespace millrace
