// Value ring: the large values of the last seconds, as they were acknowledged, so that those that a store has lost (a
// failover that lost a suffix, a restart) can be put back, whichever of its nodes they lay at.
//
// Promises: of each value that was acknowledged within kValuesKeptFor it knows that it was and which run needs it; its
// bytes it has as long as all together have no more than kValuesKeptBytes: those of the oldest go first, and of a value
// whose parts did not all pass here it never has them. Threads: none; a value, owned by the loop. Fails: never.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/model/worker_messages.h"
#include "coordinator/core/effect.h"

namespace millrace {

constexpr Duration kValuesKeptFor = 30s;
constexpr std::uint64_t kValuesKeptBytes = 64ULL * 1024 * 1024;
constexpr std::size_t kValuesKeptMax = 4'096;

class ValueRing {
 public:
  struct Value {
    Hash128 hash;
    RunId run;
    std::uint64_t size = 0;
    Time at{};                               // when it was acknowledged, or its latest part
    bool kept = false;                       // the store has said that it has all of it
    std::shared_ptr<const std::string> all;  // of one that was written as a whole
    std::string parts;                       // of one that came in parts: those from the first on
    bool has_bytes() const { return kept && (all != nullptr || parts.size() == size); }
    std::string_view bytes() const { return all != nullptr ? std::string_view(*all) : std::string_view(parts); }
  };

  void wrote(Time now, const ValueWrite& value);
  // A part that begins at `from`, and what the store has said to it.
  void took(Time now, RunId run, std::uint64_t size, std::uint64_t from, std::string_view part, const PartTaken& taken);
  std::vector<Hash128> recent(Time now);         // that the store has said it has
  const Value* find(const Hash128& hash) const;  // a loan until the next call
  void forget(const Hash128& hash);
  std::uint64_t bytes() const { return bytes_; }

 private:
  Value& at(Time now, const Hash128& hash);
  void set_bytes(Value& value, std::shared_ptr<const std::string> all, std::string parts);
  void make_room(Time now);

  std::map<Hash128, Value> values_;
  std::deque<std::pair<Time, Hash128>> order_;  // as they came or were changed; a later entry of the same one counts
  std::uint64_t bytes_ = 0;
};

}  // namespace millrace
