#include "coordinator/core/collected.h"

#include <iterator>
#include <utility>

namespace millrace {

void Collected::append(std::string& text, std::string_view more) {
  if (!text.empty() && !more.empty()) text += ',';
  text += more;
}

void Collected::add(std::uint32_t first, std::uint32_t count, const Payload& array) {
  if (array.is_reference()) {
    bytes_ += array.size();
    runs_[first] = {count, count, {}, array.hash(), false, array.size()};
    return;
  }
  std::string_view elements = array.json();
  if (elements.starts_with('[') && elements.ends_with(']')) elements = elements.substr(1, elements.size() - 2);
  put(first, {count, count, std::string(elements), {}});
}

void Collected::add_one(std::uint32_t item, const Payload& output) {
  if (output.is_null()) return add_null(item);
  if (!output.is_reference()) return put(item, {1, 1, std::string(output.json()), {}});
  bytes_ += output.size();
  runs_[item] = {1, 1, {}, output.hash(), true, output.size()};
}

void Collected::put(std::uint32_t first, Run run) {
  bytes_ += run.text.size() + 1;
  const auto next = runs_.lower_bound(first);
  auto at = next == runs_.begin() ? runs_.end() : std::prev(next);
  if (at != runs_.end() && at->second.hash.is_zero() && at->first + at->second.items == first) {
    append(at->second.text, run.text);
    at->second.items += run.items;
    at->second.elements += run.elements;
  } else {
    at = runs_.emplace_hint(next, first, std::move(run));
  }
  grown_ = at->first;
  if (next == runs_.end() || !next->second.hash.is_zero() || at->first + at->second.items != next->first) return;
  append(at->second.text, next->second.text);
  at->second.items += next->second.items;
  at->second.elements += next->second.elements;
  runs_.erase(next);
}

void Collected::store_grown(std::size_t bytes, const Store& store) {
  const auto at = runs_.find(grown_);
  if (at == runs_.end() || !at->second.hash.is_zero() || at->second.text.size() < bytes) return;
  std::string json = "[" + std::exchange(at->second.text, {}) + "]";
  at->second.bytes = json.size();
  at->second.hash = store(std::move(json));
}

Composed Collected::composed(const Store& store) const {
  static constexpr std::size_t kTextMax = 4096;  // less is not worth a name
  Composed out;
  for (const auto& [first, run] : runs_) {
    if (run.elements == 0) continue;
    Piece piece;
    piece.count = run.elements;
    if (run.hash.is_zero() && run.text.size() <= kTextMax) {
      piece.text = run.text;
      piece.bytes = run.text.size();
    } else {
      std::string json = run.hash.is_zero() ? "[" + run.text + "]" : std::string();
      piece.kind = run.one ? Piece::Kind::kItem : Piece::Kind::kItems;
      piece.bytes = run.hash.is_zero() ? json.size() : run.bytes;
      piece.hash = run.hash.is_zero() ? store(std::move(json)) : run.hash;
    }
    out.add(std::move(piece));
  }
  return out;
}

std::vector<Hash128> Collected::references() const {
  std::vector<Hash128> out;
  for (const auto& [first, run] : runs_) {
    if (!run.hash.is_zero()) out.push_back(run.hash);
  }
  return out;
}

std::string Collected::list(const std::function<std::string_view(const Hash128&)>& text_of) const {
  std::string elements;
  elements.reserve(bytes_);
  for (const auto& [first, run] : runs_) {
    std::string_view more = run.text;
    if (!run.hash.is_zero()) {
      more = text_of(run.hash);
      if (!run.one && more.size() >= 2) more = more.substr(1, more.size() - 2);
    }
    append(elements, more);
  }
  return "[" + elements + "]";
}

}  // namespace millrace
