#include "coordinator/core/item_source.h"

#include <algorithm>

#include "common/base/json_scan.h"

namespace millrace {
namespace {

Error failed(std::string what) { return {Code::kFailed, std::move(what), {}, ""}; }

// Elements as an array, as many of `most` (at least one) as stay within `bytes`.
class Slice {
 public:
  Slice(std::uint32_t most, std::size_t bytes, std::uint32_t& taken) : most_(most), bytes_(bytes), taken_(taken) {
    taken_ = 0;
  }
  bool add(std::string_view element) {  // false: no more
    if (taken_ > 0 && text_.size() + element.size() + 2 > bytes_) return false;
    if (taken_++ > 0) text_ += ',';
    text_ += element;
    return taken_ < most_;
  }
  void add_from(ElementCursor cursor, std::uint64_t skip) {
    std::string_view element;
    for (; skip > 0; --skip) cursor.next(element);
    while (cursor.next(element) && add(element)) {}
  }
  std::string take() { return std::move(text_) + ']'; }

 private:
  std::string text_ = "[";
  std::uint32_t most_;
  std::size_t bytes_;
  std::uint32_t& taken_;
};

}  // namespace

void ItemSource::add(std::string_view element) {
  if (count_ % kStride == 0) marks_.push_back(text_.size() + (count_ == 0 ? 0 : 1));
  if (count_++ > 0) text_ += ',';
  text_ += element;
}

Result<ItemSource> ItemSource::over(const Value& value) {
  ItemSource source;
  source.text_ = "[";
  std::string element;
  const auto add = [&](const Value& one) {
    element.clear();
    one.dump_to(element);
    source.add(element);
  };
  if (value.is_array()) {
    for (const Value& one : value.as_array()) add(one);
  } else if (value.is_object()) {
    for (const auto& [key, one] : value.as_object()) add(Value::Object{{"key", key}, {"value", one}});
  } else if (value.is_string()) {
    std::string_view left = value.as_string();
    while (!left.empty()) {
      const std::size_t end = std::min(left.find('\n'), left.size());
      std::string_view line = left.substr(0, end);
      if (line.ends_with('\r')) line.remove_suffix(1);
      add(Value(line));
      left.remove_prefix(std::min(end + 1, left.size()));
    }
  } else {
    return failed(std::string("'foreach' goes over a list, an object or the lines of a text, and this is ") +
                  (value.is_null() ? "null: write `| default([])` where there may be nothing" : value.kind_name()) +
                  (value.is_integer() ? ": numbers up to it are {from: 0, to: N}" : ""));
  }
  source.text_.shrink_to_fit();
  return source;
}

Result<ItemSource> ItemSource::range(const Value& bounds) {
  const auto whole = [&](const char* name, std::int64_t fallback) -> Result<std::int64_t> {
    const Value* value = bounds.find(name);
    if (value == nullptr) return fallback;
    if (!value->is_int())
      return failed(std::string("'") + name + "' of a range is " + value->kind_name() + ", not a whole number");
    return value->as_int();
  };
  const Result<std::int64_t> from = whole("from", 0);
  const Result<std::int64_t> to = whole("to", 0);
  const Result<std::int64_t> step = whole("step", 1);
  for (const Result<std::int64_t>* one : {&from, &to, &step}) {
    if (!one->ok()) return one->error();
  }
  if (*step == 0) return failed("'step' of a range is 0");
  ItemSource source;
  source.is_range_ = true;
  source.from_ = *from;
  source.step_ = *step;
  // Modulo 2^64 a distance of 64-bit integers is always right where it is not negative.
  const auto distance = *step > 0 ? static_cast<std::uint64_t>(*to) - static_cast<std::uint64_t>(*from)
                                  : static_cast<std::uint64_t>(*from) - static_cast<std::uint64_t>(*to);
  const std::uint64_t width = *step > 0 ? static_cast<std::uint64_t>(*step) : 0 - static_cast<std::uint64_t>(*step);
  const bool any = *step > 0 ? *from < *to : *from > *to;
  source.count_ = any ? (distance - 1) / width + 1 : 0;
  return source;
}

ItemSource ItemSource::of(Composed list) {
  ItemSource source;
  source.count_ = list.count;
  source.list_ = std::make_shared<const Composed>(std::move(list));
  return source;
}

bool ItemSource::give(std::size_t piece, const std::shared_ptr<const std::string>& stored) {
  Here here;
  const Piece& what = list_->pieces[piece];
  here.text = what.kind == Piece::Kind::kItems ? stored : std::make_shared<const std::string>("[" + *stored + "]");
  ElementCursor cursor(*here.text);
  std::string_view element;
  for (std::uint32_t i = 0; i < what.count; ++i) {
    if (i % kStride == 0) here.marks.push_back(cursor.at());
    if (!cursor.next(element)) return false;
  }
  if (cursor.next(element)) return false;
  here_[piece] = std::move(here);
  return true;
}

void ItemSource::forget_but(const std::function<bool(std::uint32_t first, std::uint32_t end)>& wanted) {
  std::erase_if(here_, [&](const auto& one) {
    const Piece& piece = list_->pieces[one.first];
    const auto first = static_cast<std::uint32_t>(piece.first);
    return !wanted(first, first + piece.count);
  });
}

// To the end of the piece at most.
std::string ItemSource::slice_of_piece(std::uint32_t first, std::uint32_t most, std::size_t bytes,
                                       std::uint32_t& taken) const {
  Slice out(most, bytes, taken);
  const std::size_t place = piece_at(first);
  const Piece& piece = list_->pieces[place];
  const std::uint64_t offset = first - piece.first;
  if (piece.kind == Piece::Kind::kText) {
    const std::string array = "[" + piece.text + "]";
    out.add_from(ElementCursor(array), offset);
  } else {
    const Here& here = here_.at(place);
    out.add_from(ElementCursor(*here.text, here.marks[offset / kStride]), offset % kStride);
  }
  return out.take();
}

std::string ItemSource::slice(std::uint32_t first, std::uint32_t most, std::size_t bytes, std::uint32_t& taken) const {
  if (list_ != nullptr) return slice_of_piece(first, most, bytes, taken);
  Slice out(most, bytes, taken);
  if (is_range_) {
    const auto at = [&](std::uint64_t i) {
      return std::to_string(
          static_cast<std::int64_t>(static_cast<std::uint64_t>(from_) + i * static_cast<std::uint64_t>(step_)));
    };
    for (std::uint64_t i = first; i < count_ && out.add(at(i)); ++i) {}
  } else {
    out.add_from(ElementCursor(text_, marks_[first / kStride]), first % kStride);
  }
  return out.take();
}

void ItemRanges::add(std::uint32_t first, std::uint32_t end) {
  if (first >= end) return;
  count_ += end - first;
  auto next = ranges_.lower_bound(first);
  if (next != ranges_.end() && next->first == end) {
    end = next->second;
    next = ranges_.erase(next);
  }
  if (next != ranges_.begin() && std::prev(next)->second == first) std::prev(next)->second = end;
  else ranges_.emplace_hint(next, first, end);
}

void ItemRanges::add_apart(std::uint32_t first, std::uint32_t end) {
  if (first >= end) return;
  count_ += end - first;
  ranges_.emplace(first, end);
}

void ItemRanges::remove(std::uint32_t first, std::uint32_t end) {
  auto it = ranges_.upper_bound(first);
  if (it != ranges_.begin()) --it;
  while (it != ranges_.end() && it->first < end) {
    const auto [begin, stop] = *it;
    if (stop <= first) {
      ++it;
      continue;
    }
    it = ranges_.erase(it);
    count_ -= std::min(stop, end) - std::max(begin, first);
    if (begin < first) ranges_.emplace(begin, first);
    if (stop > end) it = ranges_.emplace(end, stop).first;
  }
}

bool ItemRanges::overlaps(std::uint32_t first, std::uint32_t end) const {
  auto it = ranges_.lower_bound(end);
  return it != ranges_.begin() && std::prev(it)->second > first;
}

}  // namespace millrace
