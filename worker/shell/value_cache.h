// ValueCache: values fetched by content hash, the least recently used forgotten first.
//
// Promises: holds at most `bytes_max` bytes of JSON, except that the latest value is always kept. Who holds a value
// keeps it though the cache forgets it. Threads: one. Fails: never.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "common/base/hash.h"

namespace millrace {

using SharedText = std::shared_ptr<const std::string>;

class ValueCache {
 public:
  explicit ValueCache(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  SharedText find(const Hash128& hash) {  // null: not here
    auto it = by_hash_.find(hash);
    if (it == by_hash_.end()) return nullptr;
    order_.splice(order_.begin(), order_, it->second);
    return it->second->second;
  }
  void put(const Hash128& hash, SharedText json) {
    if (find(hash) != nullptr) return;
    bytes_ += json->size();
    order_.emplace_front(hash, std::move(json));
    by_hash_[hash] = order_.begin();
    while (bytes_ > bytes_max_ && order_.size() > 1) {
      bytes_ -= order_.back().second->size();
      by_hash_.erase(order_.back().first);
      order_.pop_back();
    }
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_max_;
  std::size_t bytes_ = 0;
  std::list<std::pair<Hash128, SharedText>> order_;  // most recently used first
  std::map<Hash128, std::list<std::pair<Hash128, SharedText>>::iterator> by_hash_;
};

}  // namespace millrace
