// ItemSource: what a fan-out goes over, and ItemRanges, sets of items as ranges.
//
// Of a list the text is kept and a mark for every kStride elements: what waits costs its bytes and nothing more; a
// range costs nothing at all. Of a list reference those pieces are here that were given and are not forgotten; their
// places count in Composed::pieces. Promises: plain values, deterministic. Threads: none. Fails: see each.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/value.h"
#include "common/model/composed.h"

namespace millrace {

class ItemSource {
 public:
  ItemSource() = default;
  // A list; an object, whose items are {key, value}; a text, whose items are its lines. Errors: kFailed, what it is.
  static Result<ItemSource> over(const Value& value);
  // {from, to, step}, rendered. Errors: kFailed.
  static Result<ItemSource> range(const Value& bounds);
  static ItemSource of(Composed list);  // a list

  std::uint64_t count() const { return count_; }
  // Items first, first + 1 ... as a JSON array; as many of `most` (at least one) as stay within `bytes`, and how many
  // these are. The source has them, and the first is here.
  std::string slice(std::uint32_t first, std::uint32_t most, std::size_t bytes, std::uint32_t& taken) const;

  bool is_reference() const { return list_ != nullptr; }
  const Composed& list() const { return *list_; }
  std::size_t piece_at(std::uint32_t item) const {
    return static_cast<std::size_t>(&list_->piece_of(item) - list_->pieces.data());
  }
  bool has_piece(std::size_t piece) const {
    return list_->pieces[piece].kind == Piece::Kind::kText || here_.contains(piece);
  }
  bool has(std::uint32_t item) const { return list_ == nullptr || has_piece(piece_at(item)); }
  // What the piece is stored as. False: it is not what the list says.
  bool give(std::size_t piece, const std::shared_ptr<const std::string>& stored);
  // Forgets pieces of which no item is wanted.
  void forget_but(const std::function<bool(std::uint32_t first, std::uint32_t end)>& wanted);

 private:
  static constexpr std::uint64_t kStride = 64;
  struct Here {  // an array
    std::shared_ptr<const std::string> text;
    std::vector<std::uint64_t> marks;
  };
  std::string slice_of_piece(std::uint32_t first, std::uint32_t most, std::size_t bytes, std::uint32_t& taken) const;
  void add(std::string_view element);

  std::uint64_t count_ = 0;
  std::string text_;  // "[a,b,...": of a list
  std::vector<std::uint64_t> marks_;
  bool is_range_ = false;
  std::int64_t from_ = 0;
  std::int64_t step_ = 1;
  std::shared_ptr<const Composed> list_;  // null: it is none
  std::map<std::size_t, Here> here_;      // its pieces
};

class ItemRanges {
 public:
  void add(std::uint32_t first, std::uint32_t end);        // joined with its neighbours
  void add_apart(std::uint32_t first, std::uint32_t end);  // not joined: it is taken out again as it is, or in parts
  void remove(std::uint32_t first, std::uint32_t end);     // of what is there
  bool contains(std::uint32_t item) const { return overlaps(item, item + 1); }
  bool overlaps(std::uint32_t first, std::uint32_t end) const;
  std::uint64_t count() const { return count_; }
  bool empty() const { return ranges_.empty(); }
  const std::map<std::uint32_t, std::uint32_t>& ranges() const { return ranges_; }  // first -> end
  void clear() { ranges_.clear(), count_ = 0; }

 private:
  std::map<std::uint32_t, std::uint32_t> ranges_;
  std::uint64_t count_ = 0;
};

}  // namespace millrace
