// Composed values: what is stored under their name is not the JSON but of what it is put together.
//
// The output of a large fan-out is a list reference: its segments are the results as they came, each an array under a
// name of its own, and what names them is small. The outputs of a run may be an object that holds such lists. The
// stored bytes begin with `#millrace `, which no JSON does: who does not know them takes them for no value.
//
// Promises: parse() takes what store() gives and nothing that could not have been stored: counts and sizes agree,
// within kComposedPiecesMax. Elements of pieces are not looked at. Threads: values; pure. Fails: parse() with kInvalid.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/hash.h"
#include "common/base/result.h"
#include "common/base/value.h"

namespace millrace {

constexpr std::size_t kComposedPiecesMax = 256 * 1024;
constexpr std::uint64_t kComposedMax = 1ULL << 40U;  // bytes of JSON

bool is_composed(std::string_view stored);

struct Piece {
  enum class Kind : std::uint8_t {
    kText,   // as it stands here; of a list: elements, joined by commas
    kItems,  // of a list: a stored array, without its brackets
    kItem,   // of a list: a stored value, one element
    kValue,  // of another: a stored value, which may be a composed list
  };
  Kind kind = Kind::kText;
  std::string text;
  Hash128 hash;
  std::uint32_t count = 0;  // elements of a list
  std::uint64_t bytes = 0;  // of JSON, about; of kText exactly
  std::uint64_t first = 0;  // elements before it: parse() says
  bool operator==(const Piece&) const = default;
};

struct Composed {
  bool list = true;
  std::uint64_t count = 0;    // elements of a list
  std::uint64_t failed = 0;   // of a list: items that failed; null stands for them
  std::uint64_t dropped = 0;  // or they were left out
  std::uint64_t bytes = 0;    // of the whole JSON, about
  std::vector<Piece> pieces;

  void add(Piece piece);  // counts it
  std::string store() const;
  static Result<Composed> parse(std::string_view stored);

  std::vector<Hash128> names() const;  // what its pieces are stored under
  // Of element `index`, which is there: its piece. Of a list.
  const Piece& piece_of(std::uint64_t index) const;
  bool operator==(const Composed&) const = default;
};

// What a stored piece adds, of what is stored under its name: a part of it.
std::string_view text_of(const Piece& piece, std::string_view stored);
// Element `offset` of the elements that a piece adds. Errors: it has not so many, or they are no JSON.
Result<Value> element_of(const Piece& piece, std::string_view stored, std::uint64_t offset);

// What is stored under a name, as far as it is at hand; null: not here.
using StoredText = std::function<const std::string*(const Hash128&)>;

// The elements of a list, each parsed once.
class ListReader {
 public:
  ListReader(Composed list, StoredText find) : list_(std::move(list)), find_(std::move(find)) {}
  std::uint64_t count() const { return list_.count; }
  // Lent for the reader's life; null: its piece is not here. What is no element reads as null, and problem() says why.
  const Value* element(std::uint64_t index);  // below count()
  const std::string& problem() const { return problem_; }

 private:
  Composed list_;
  StoredText find_;
  std::map<std::uint64_t, Value> elements_;
  std::string problem_;
};

struct Whole {
  std::string json;              // good only without the other two
  std::vector<Hash128> missing;  // at least one of them is needed, each stands here once
  std::string problem;           // too large, or not what it should be
};
// The JSON of what is stored. `stored` may also be plain JSON: it is its own whole.
Whole whole_of(std::string_view stored, const StoredText& find, std::uint64_t bytes_max);

}  // namespace millrace
