// Value parts: a large value on its way in parts, each checked by itself, the whole by its content hash.
//
// Who wants a value asks for one part after the other and is answered with its place in the whole; a part that is lost
// is asked for again, of whom it may be. So nothing has to be held in full by those in between, other messages pass
// between two parts, and what has come stays though its sender dies. Threads: values, used by one. Fails: never.
// Units: bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/base/hash.h"
#include "common/base/time.h"

namespace millrace {

constexpr std::uint32_t kPartMin = 64 * 1024;
constexpr std::uint32_t kPartFirst = 256 * 1024;
constexpr std::uint32_t kPartMax = 1024 * 1024;  // what is asked for beyond it does not come

// Where a part stands. One without a check is no part: it is the whole, from who does not know parts.
struct PartPlace {
  std::uint64_t size = 0;  // of the whole
  std::uint64_t from = 0;
  std::uint64_t check = 0;
  bool operator==(const PartPlace&) const = default;
};
// Never zero.
std::uint64_t part_check(const Hash128& hash, std::uint64_t from, std::string_view bytes);

// How much to ask for at once: more where the last came quickly, less where it took long, so that a narrow line is not
// held by bulk for more than about a second.
class PartPace {
 public:
  std::uint32_t bytes() const { return bytes_; }
  void came(Duration took);

 private:
  std::uint32_t bytes_ = kPartFirst;
};

// What has come of one value. The bytes are kept by who asks for them: append them after kMore and kWhole.
class PartsIn {
 public:
  explicit PartsIn(const Hash128& hash) : hash_(hash) {}

  enum class Took : std::uint8_t {
    kMore,     // the next one
    kWhole,    // the last one, and the whole is what its hash says
    kOther,    // not the one that is wanted, or harmed on its way: ask again
    kDamaged,  // the whole is not what its hash says: everything is forgotten
  };
  Took take(const PartPlace& place, std::string_view bytes);
  void had(std::string_view bytes);  // what was kept of an earlier try, one after the other, before the first take()
  std::uint64_t from() const { return from_; }  // where the next part begins

 private:
  Took end();

  Hash128 hash_;
  HashStream sum_;
  std::uint64_t from_ = 0;
};

}  // namespace millrace
