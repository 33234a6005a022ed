// CacheHome: values of keys whose home is this partition, and who asks for them.
//
// Promises: of a key at most one task computes at a time: the first that asks, and when that has left without a value
// the one that has waited longest. Everybody who asked is answered, in the order in which they asked: with a value that
// is younger than they want, or that was given after they asked, or that they are to compute it. To ask, to give or to
// leave again changes nothing. Tenants share nothing. In order of (tenant, key).
// Threads: none; a value, owned by a Partition. Times are handed in. Fails: never.
// Bounded: kCacheEntriesMax values, kCacheInlineMax bytes of those that are inline and kCacheReferencedMax of the
// others: those that nobody took for the longest time go first. A value stays kCacheOldFor beyond its ttl, for who
// takes an old one rather than none. Who asks is bounded by the runs that live.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/base/time.h"
#include "common/model/payload.h"

namespace millrace {

constexpr std::size_t kCacheEntriesMax = 10'000;
constexpr std::uint64_t kCacheInlineMax = 16ULL * 1024 * 1024;
constexpr std::uint64_t kCacheReferencedMax = 1024ULL * 1024 * 1024;
constexpr Duration kCacheOldFor = 24h;
constexpr Duration kCacheAskAgain = 60s;  // who waits asks again, and so whether who computes is still there

struct CacheName {
  std::string tenant = "default";
  Hash128 key;
  auto operator<=>(const CacheName&) const = default;
};

struct CacheEntry {  // a value
  CacheName name;
  Payload value;
  Time made{};
  Duration ttl{};
  bool operator==(const CacheEntry&) const = default;
};
struct CacheAsker {  // a task that has asked and is not answered, or computes
  CacheName name;
  RunId run;
  TaskIndex task;
  std::uint64_t number = 0;  // in the order in which they asked
  Time asked{};
  bool computes = false;
  bool wants_old = false;
  bool operator==(const CacheAsker&) const = default;
};

// What is kept of a key stands in records of their own: a value under the key and its content, an asker under key, run
// and task.
std::string entry_field(const CacheEntry& entry);
std::string asker_field(const CacheAsker& asker);

struct CacheAnswer {
  enum class Kind : std::uint8_t {
    kTake,     // the value
    kCompute,  // yourself; with what is too old, if there is something and it is wanted
    kThere,    // nothing: tell if you have left
  };
  CacheName name;
  RunId run;
  TaskIndex task;
  Kind kind = Kind::kTake;
  bool has_value = false;
  Payload value;
  bool operator==(const CacheAnswer&) const = default;
};

// For those who count: what tasks that asked were told at once.
struct CacheCounts {
  std::uint64_t hits = 0;    // a value that was kept
  std::uint64_t misses = 0;  // to compute it
  std::uint64_t waits = 0;   // nothing: another one computes it
  void add(const CacheCounts& more) { hits += more.hits, misses += more.misses, waits += more.waits; }
};

struct CacheEffects {  // nothing: the record goes
  std::map<std::string, std::optional<CacheEntry>> entries;
  std::map<std::string, std::optional<CacheAsker>> askers;
  std::vector<CacheAnswer> answers;
  CacheCounts counts;
};

class CacheHome {
 public:
  // `ttl`: how old a value may be that it takes.
  void asked(Time now, const CacheName& name, RunId run, TaskIndex task, Duration ttl, bool wants_old);
  void given(Time now, const CacheName& name, RunId run, TaskIndex task, Duration ttl, Payload value);
  void left(Time now, const CacheName& name, RunId run, TaskIndex task);

  bool answering() const { return !answering_.empty(); }  // there are some left to answer
  void answer_one();
  void expire(Time now);     // what is too old for everybody
  Time next_expiry() const;  // of expire(); kNever: nothing
  CacheEffects take() { return std::exchange(effects_, {}); }
  bool has_effects() const {
    return !effects_.entries.empty() || !effects_.askers.empty() || !effects_.answers.empty();
  }

  void restore(Time now, CacheEntry entry);
  void restore(CacheAsker asker);
  void restored();  // that was all
  std::size_t entries() const { return entries_.size(); }
  std::size_t askers() const { return askers_count_; }

 private:
  struct Kept {
    CacheEntry entry;
    std::uint64_t used = 0;  // in the order of their last use
    Time ends{};
  };
  struct Line {
    std::map<std::uint64_t, CacheAsker> askers;  // by number
    std::map<std::pair<RunId, TaskIndex>, std::uint64_t> by_task;
    std::uint64_t computing = 0;   // the number of who does; zero: nobody
    std::optional<Payload> given;  // since they asked: all that do not compute take it
  };
  void add(Line& line, CacheAsker asker);
  void remove(const CacheName& name, Line& line, std::uint64_t number);
  void next_computes(Line& line);
  void tell_to_compute(const CacheAsker& asker);
  void keep(CacheEntry entry);
  void drop(const CacheName& name);
  void touch(Kept& kept);
  void make_room();
  struct Share {  // of values that are inline, or of those by reference
    std::uint64_t bytes = 0;
    std::map<std::uint64_t, CacheName> by_use;
  };
  Share& share_of(const Payload& value) { return value.is_reference() ? referenced_ : inline_; }

  std::map<CacheName, Kept> entries_;
  std::set<std::pair<Time, CacheName>> by_end_;
  Share inline_;
  Share referenced_;
  std::map<CacheName, Line> lines_;
  std::set<CacheName> answering_;  // lines with a value for those who wait
  std::size_t askers_count_ = 0;
  std::uint64_t uses_ = 0;
  std::uint64_t asked_ = 0;
  CacheEffects effects_;
};

}  // namespace millrace
