// PlanCache: definitions by content hash, decoded and planned once. Bounded; what is not in use goes first.
//
// Threads: one. Fails: put() says what is wrong with the bytes (kInvalid).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "common/base/hash.h"
#include "common/base/result.h"
#include "coordinator/core/plan.h"

namespace millrace {

struct CachedPlan {
  std::shared_ptr<const Plan> plan;
  std::shared_ptr<const std::string> bytes;  // as they are stored
};

class PlanCache {
 public:
  static constexpr std::uint64_t kNodesMax = 4'000'000;
  static constexpr std::size_t kPlansMax = 4'096;

  const CachedPlan* find(const Hash128& definition);
  std::size_t size() const { return plans_.size(); }
  // Checks that the bytes have that hash.
  Result<const CachedPlan*> put(const Hash128& definition, std::shared_ptr<const std::string> bytes);

 private:
  struct Entry {
    CachedPlan cached;
    std::uint64_t used = 0;  // grows at each use
  };
  void make_room();

  std::map<Hash128, Entry> plans_;
  std::uint64_t uses_ = 0;
  std::uint64_t nodes_ = 0;
};

}  // namespace millrace
