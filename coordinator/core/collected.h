// Collected: the outputs of a fan-out's items, put in order as they come.
//
// Neighbours grow together. What is stored by reference stays so: a small list is put together from texts that are
// asked for at the end, a large one is composed and names them (common/model/composed.h). So that a large one needs no
// memory of its size, what has grown to a part's size is stored and named from then on. Promises: deterministic,
// whatever the order. Threads: none. Fails: never.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/hash.h"
#include "common/model/composed.h"
#include "common/model/payload.h"

namespace millrace {

class Collected {
 public:
  // The outputs of items first .. first + count - 1: an array of as many, inline or stored.
  void add(std::uint32_t first, std::uint32_t count, const Payload& array);
  void add_one(std::uint32_t item, const Payload& output);              // the output itself; none: null
  void add_null(std::uint32_t item) { put(item, {1, 1, "null", {}}); }  // null in its place
  void add_nothing(std::uint32_t item) { put(item, {1, 0, "", {}}); }   // it is left out

  using Store = std::function<Hash128(std::string json)>;
  // Stores what has grown to so many bytes.
  void store_grown(std::size_t bytes, const Store& store);

  std::vector<Hash128> references() const;           // that the list needs
  std::uint64_t size() const { return bytes_ + 2; }  // of the list as JSON, about
  // The list, when every item has been added. `text_of`: the array that a reference names.
  std::string list(const std::function<std::string_view(const Hash128&)>& text_of) const;
  // The same as what it is put together from, when every item has been added.
  Composed composed(const Store& store) const;

 private:
  struct Run {
    std::uint32_t items = 0;
    std::uint32_t elements = 0;  // of the list
    std::string text;            // the elements, joined by commas
    Hash128 hash;                // not zero: instead of the text, an array that is stored
    bool one = false;            // or, with a hash, one element
    std::uint64_t bytes = 0;     // of what is stored
  };
  void put(std::uint32_t first, Run run);
  static void append(std::string& text, std::string_view more);

  std::map<std::uint32_t, Run> runs_;  // by first item
  std::uint32_t grown_ = 0;            // the latest that has a text
  std::uint64_t bytes_ = 0;
};

}  // namespace millrace
