// FlatIndex: small values by 64-bit keys, in one array: a lookup touches one or two lines of the cache, where a tree of
// ten thousand touches a dozen. For lookups only: it has no order.
//
// Promises: constant time; open addressing at most half full, gaps closed at once (Knuth, TAOCP 3, 6.4, algorithm R).
// Threads: none. Fails: never.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace millrace {

template <class Value>
class FlatIndex {
 public:
  void put(std::uint64_t key, Value value) {
    if (2 * (size_ + 1) > slots_.size()) grow();
    Slot& slot = slots_[slot_of(key)];
    if (!slot.used) ++size_;
    slot = {key, value, true};
  }
  std::optional<Value> find(std::uint64_t key) const {
    if (slots_.empty()) return std::nullopt;
    const Slot& slot = slots_[slot_of(key)];
    if (!slot.used) return std::nullopt;
    return slot.value;
  }
  void erase(std::uint64_t key) {
    if (slots_.empty()) return;
    std::size_t gap = slot_of(key);
    if (!slots_[gap].used) return;
    slots_[gap].used = false;
    --size_;
    for (std::size_t slot = next(gap); slots_[slot].used;
         slot = next(slot)) {  // what would no longer be found moves up
      const std::size_t wanted = home(slots_[slot].key);
      const bool stays = gap <= slot ? gap < wanted && wanted <= slot : gap < wanted || wanted <= slot;
      if (stays) continue;
      slots_[gap] = std::exchange(slots_[slot], Slot{});
      gap = slot;
    }
  }
  // It is looked for in a moment: so many lookups one after the other need not each wait for the memory.
  void look_ahead(std::uint64_t key) const {
    if (!slots_.empty()) __builtin_prefetch(&slots_[home(key)]);
  }
  std::size_t size() const { return size_; }

 private:
  static constexpr std::size_t kFirst = 16;
  struct Slot {
    std::uint64_t key = 0;
    Value value{};
    bool used = false;
  };

  std::size_t home(std::uint64_t key) const {
    std::uint64_t h = key * 0x9E3779B97F4A7C15ULL;
    h = (h ^ (h >> 29)) * 0xBF58476D1CE4E5B9ULL;
    return static_cast<std::size_t>(h ^ (h >> 32)) & (slots_.size() - 1);
  }
  std::size_t next(std::size_t slot) const { return (slot + 1) & (slots_.size() - 1); }
  // Where it is, or where it would be put.
  std::size_t slot_of(std::uint64_t key) const {
    std::size_t slot = home(key);
    while (slots_[slot].used && slots_[slot].key != key) slot = next(slot);
    return slot;
  }
  void grow() {
    std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots_.empty() ? kFirst : 2 * slots_.size()));
    for (const Slot& slot : old) {
      if (slot.used) slots_[slot_of(slot.key)] = slot;
    }
  }

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
};

}  // namespace millrace
