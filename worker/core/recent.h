// Recent: the attempts that ended or were given back a short while ago, so that a repeated assignment is known for one.
//
// Promises: remembers the latest `most`; add, find and forgetting take constant time. Threads: none. Fails: never.
#pragma once

#include <cstddef>
#include <optional>
#include <unordered_map>
#include <vector>

#include "common/base/ids.h"

namespace millrace {

struct AttemptHash {
  std::size_t operator()(const AttemptId& id) const noexcept {
    std::uint64_t h = id.run.value ^ (std::uint64_t{id.epoch} << 32 | id.number) * 0x9E3779B97F4A7C15ULL;
    h = (h ^ (h >> 29) ^ id.task.value) * 0xBF58476D1CE4E5B9ULL;
    return static_cast<std::size_t>(h ^ (h >> 32));
  }
};

enum class Fate : std::uint8_t { kAnswered, kGivenBack };

class Recent {
 public:
  explicit Recent(std::size_t most) : most_(most) { fates_.reserve(most); }

  void add(const AttemptId& attempt, Fate fate) {
    if (!fates_.insert_or_assign(attempt, fate).second) return;
    if (order_.size() < most_) {
      order_.push_back(attempt);
      return;
    }
    fates_.erase(order_[oldest_]);
    order_[oldest_] = attempt;
    oldest_ = (oldest_ + 1) % most_;
  }
  std::optional<Fate> find(const AttemptId& attempt) const {
    auto it = fates_.find(attempt);
    if (it == fates_.end()) return std::nullopt;
    return it->second;
  }

 private:
  std::size_t most_;
  std::size_t oldest_ = 0;
  std::vector<AttemptId> order_;  // a ring once it is full
  std::unordered_map<AttemptId, Fate, AttemptHash> fates_;
};

}  // namespace millrace
