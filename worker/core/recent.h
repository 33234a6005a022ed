// Recent: the attempts that ended or were given back a short while ago, so that a repeated assignment is known for one.
//
// Promises: remembers the latest `most`; add, find and forgetting take constant time. Threads: none. Fails: never.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
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

// A ring of the latest, found through a table of places in it: open addressing, twice as large, with the gaps of what
// is forgotten closed at once (Knuth, TAOCP 3, 6.4, algorithm R). Both grow as they are needed.
class Recent {
 public:
  explicit Recent(std::size_t most) : most_(most), slots_(kFirst, kEmpty) {}

  void add(const AttemptId& attempt, Fate fate) {
    std::size_t slot = slot_of(attempt);
    if (slots_[slot] != kEmpty) {
      ring_[slots_[slot]].fate = fate;
      return;
    }
    std::uint32_t place = static_cast<std::uint32_t>(ring_.size());
    if (ring_.size() < most_) {
      if (2 * (ring_.size() + 1) > slots_.size()) {
        grow();
        slot = slot_of(attempt);
      }
      ring_.push_back({attempt, fate});
    } else {
      place = oldest_;
      forget(slot_of(ring_[place].attempt));
      slot = slot_of(attempt);
      ring_[place] = {attempt, fate};
      oldest_ = static_cast<std::uint32_t>((oldest_ + 1) % most_);
    }
    slots_[slot] = place;
  }
  std::optional<Fate> find(const AttemptId& attempt) const {
    const std::uint32_t place = slots_[slot_of(attempt)];
    if (place == kEmpty) return std::nullopt;
    return ring_[place].fate;
  }

 private:
  static constexpr std::uint32_t kEmpty = 0xFFFFFFFF;
  static constexpr std::size_t kFirst = 64;
  struct Entry {
    AttemptId attempt;
    Fate fate = Fate::kAnswered;
  };

  std::size_t home(const AttemptId& attempt) const { return AttemptHash{}(attempt) & (slots_.size() - 1); }
  std::size_t next(std::size_t slot) const { return (slot + 1) & (slots_.size() - 1); }
  // Where it is, or where it would be put.
  std::size_t slot_of(const AttemptId& attempt) const {
    std::size_t slot = home(attempt);
    while (slots_[slot] != kEmpty && ring_[slots_[slot]].attempt != attempt) slot = next(slot);
    return slot;
  }
  void grow() {
    slots_.assign(2 * slots_.size(), kEmpty);
    for (std::uint32_t place = 0; place < ring_.size(); ++place) slots_[slot_of(ring_[place].attempt)] = place;
  }
  // Empties a slot and moves up what would no longer be found.
  void forget(std::size_t gap) {
    slots_[gap] = kEmpty;
    for (std::size_t slot = next(gap); slots_[slot] != kEmpty; slot = next(slot)) {
      const std::size_t wanted = home(ring_[slots_[slot]].attempt);
      const bool stays = gap <= slot ? gap < wanted && wanted <= slot : gap < wanted || wanted <= slot;
      if (stays) continue;
      slots_[gap] = std::exchange(slots_[slot], kEmpty);
      gap = slot;
    }
  }

  std::size_t most_;
  std::uint32_t oldest_ = 0;
  std::vector<Entry> ring_;
  std::vector<std::uint32_t> slots_;  // places in the ring
};

}  // namespace millrace
