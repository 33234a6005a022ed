// KeyFilter: which idempotency keys a partition has surely never seen, so that a fresh submission need not ask the
// store.
//
// A Bloom filter in layers, each twice the last (Almeida et al., "Scalable Bloom Filters", 2007): 16 bits a key and
// four probes, which is one wrong "perhaps" in four hundred a layer. Only the owner of a partition accepts runs, so
// what it has read once and what it has accepted since is all there is.
//
// Promises: a key that was added is never surely new; beyond kKeysMax nothing is surely new any more, and the memory
// (2 bytes a key) is given back. Threads: none; owned by its share. Fails: never.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace millrace {

class KeyFilter {
 public:
  static constexpr std::size_t kKeysMax = 4'000'000;
  static constexpr std::size_t kWornMin = 50'000;

  // Every key of the store has been added.
  void complete() {
    complete_ = true;
    stored_ = keys_;
  }
  // Whether most of what was added is likely to be gone from the store by now: time to read it anew.
  bool worn() const { return complete_ && !given_up_ && keys_ > kWornMin && keys_ > 4 * stored_; }
  void add(std::uint64_t fingerprint) {
    if (given_up_) return;
    if (layers_.empty() || layers_.back().room == 0) {
      if (keys_ >= kKeysMax) return give_up();
      const std::size_t room = layers_.empty() ? kFirst : layers_.back().keys * 2;
      layers_.push_back({room, room, std::vector<std::uint64_t>(room * kBits / 64)});
    }
    Layer& layer = layers_.back();
    --layer.room;
    ++keys_;
    probe(layer, fingerprint, [](std::uint64_t& word, std::uint64_t bit) {
      word |= bit;
      return true;
    });
  }
  bool surely_new(std::uint64_t fingerprint) const {
    if (!complete_ || given_up_) return false;
    return std::ranges::none_of(layers_, [&](const Layer& layer) {
      return probe(layer, fingerprint, [](const std::uint64_t& word, std::uint64_t bit) { return (word & bit) != 0; });
    });
  }
  void give_up() {
    given_up_ = true;
    layers_ = {};
  }
  bool given_up() const { return given_up_; }

 private:
  static constexpr std::size_t kFirst = 4096;  // keys of the first layer; a power of two, as are all
  static constexpr std::size_t kBits = 16;     // a key
  static constexpr int kProbes = 4;

  struct Layer {
    std::size_t keys = 0;
    std::size_t room = 0;
    std::vector<std::uint64_t> words;
  };

  // Whether `see` holds of every bit that stands for the key.
  template <class L, class See>
  static bool probe(L& layer, std::uint64_t fingerprint, See see) {
    const std::uint64_t step = (fingerprint >> 32) | 1U;
    for (int i = 0; i < kProbes; ++i, fingerprint += step) {
      const std::uint64_t bit = fingerprint & (layer.keys * kBits - 1);
      if (!see(layer.words[bit / 64], std::uint64_t{1} << (bit % 64))) return false;
    }
    return true;
  }

  bool complete_ = false;
  bool given_up_ = false;
  std::size_t keys_ = 0;
  std::size_t stored_ = 0;  // when it was complete
  std::vector<Layer> layers_;
};

}  // namespace millrace
