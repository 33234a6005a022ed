// Columns: parallel arrays as common.proto explains them, written compactly and read with every size checked.
//
// Reading never trusts: a Reader remembers the first thing that was wrong, and everything read after it is a harmless
// default, so decoders check once at the end.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "google/protobuf/repeated_field.h"

namespace millrace {

class Reader {
 public:
  explicit Reader(const char* message) : message_(message) {}
  bool require(bool condition, const char* complaint) {
    if (!condition && complaint_ == nullptr) complaint_ = complaint;
    return condition;
  }
  bool ok() const { return complaint_ == nullptr; }
  Error error() const {
    return Error{Code::kInvalid, "decode " + std::string(message_) + ": " + (ok() ? "no problem" : complaint_), {}, {}};
  }

  // An enumeration whose values are 0 .. last without a hole.
  template <class E>
  E to_enum(std::uint32_t number, E last, const char* complaint) {
    return require(number <= static_cast<std::uint32_t>(last), complaint) ? static_cast<E>(number) : E{};
  }

 private:
  const char* message_;
  const char* complaint_ = nullptr;
};

template <class T, class Get>
void write_column(google::protobuf::RepeatedField<T>* out, std::size_t count, T fallback, Get get) {
  if (count == 0) return;
  const T first = get(0);
  std::size_t same = 1;
  while (same < count && get(same) == first) ++same;
  if (same == count) {
    if (first != fallback) out->Add(first);
    return;
  }
  out->Reserve(static_cast<int>(count));
  for (std::size_t i = 0; i < count; ++i) out->AddAlreadyReserved(get(i));
}

template <class T>
class Column {
 public:
  Column(Reader& in, const google::protobuf::RepeatedField<T>& field, std::size_t count, T fallback)
      : data_(field.data()), fallback_(fallback) {
    const auto size = static_cast<std::size_t>(field.size());
    if (in.require(size <= 1 || size == count, "a column has the wrong length")) {
      step_ = size > 1 ? 1 : 0;
      if (size == 1) fallback_ = field.Get(0);
    }
  }
  T operator[](std::size_t i) const { return step_ != 0 ? data_[i] : fallback_; }

 private:
  const T* data_;
  T fallback_;
  std::size_t step_ = 0;
};

using TextField = google::protobuf::RepeatedPtrField<std::string>;

// `is_default(i)` and `get(i)` (a string) for each entry.
template <class IsDefault, class Get>
void write_text_column(TextField* out, std::size_t count, IsDefault is_default, Get get) {
  std::size_t defaults = 0;
  while (defaults < count && is_default(defaults)) ++defaults;
  if (defaults == count) return;
  std::size_t same = 1;
  while (same < count && get(same) == get(0)) ++same;
  const std::size_t entries = same == count ? 1 : count;
  out->Reserve(static_cast<int>(entries));
  for (std::size_t i = 0; i < entries; ++i) *out->Add() = get(i);
}

// Entries are bounded, because one entry may be copied `count` times.
class TextColumn {
 public:
  TextColumn(Reader& in, const TextField& field, std::size_t count, std::size_t bytes_max) : field_(field) {
    const auto size = static_cast<std::size_t>(field.size());
    if (!in.require(size <= 1 || size == count, "a column has the wrong length")) return;
    size_ = size;
    for (const std::string& text : field) in.require(text.size() <= bytes_max, "a text is too long");
    if (!in.ok()) size_ = 0;
  }
  bool all_default() const { return size_ == 0; }
  // Only where not all are default.
  const std::string& operator[](std::size_t i) const { return field_.Get(size_ == 1 ? 0 : static_cast<int>(i)); }

 private:
  const TextField& field_;
  std::size_t size_ = 0;
};

// "n<index>": the ids of nodes that have no other.
class PackedId {
 public:
  explicit PackedId(std::uint32_t index) {
    text_[0] = 'n';
    size_ = static_cast<std::size_t>(std::to_chars(text_ + 1, text_ + sizeof text_, index).ptr - text_);
  }
  operator std::string_view() const { return {text_, size_}; }  // NOLINT: implicit on purpose

 private:
  char text_[12];
  std::size_t size_;
};
inline bool is_packed_id(std::string_view id, std::uint32_t index) {
  return id.size() >= 2 && id[0] == 'n' && id == std::string_view(PackedId(index));
}
inline std::string to_packed_id(std::uint32_t index) { return std::string(std::string_view(PackedId(index))); }

}  // namespace millrace
