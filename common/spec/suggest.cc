#include "common/spec/suggest.h"

#include <algorithm>
#include <array>

namespace millrace {
namespace {

constexpr std::size_t kWordMax = 64;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// One edit for each three letters, at most three: 'depend_on' means 'depends_on', 'shell' does not mean 'noop'.
std::size_t tolerance(std::string_view word) { return std::clamp<std::size_t>(word.size() / 3, 1, 3); }

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit) {
  if (a.size() > kWordMax || b.size() > kWordMax) return a == b ? 0 : limit + 1;
  if (a.size() > b.size()) std::swap(a, b);
  if (b.size() - a.size() > limit) return limit + 1;
  using Row = std::array<std::size_t, kWordMax + 1>;
  Row before{};  // two rows up, for swaps
  Row above{};
  Row row{};
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row.fill(limit + 1);  // what lies outside the band
    row[0] = i;
    const std::size_t first = i > limit ? i - limit : 1;
    const std::size_t last = std::min(b.size(), i + limit);
    for (std::size_t j = first; j <= last; ++j) {
      const std::size_t changed = lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1;
      row[j] = std::min({above[j - 1] + changed, above[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = above;
    above = row;
  }
  return std::min(above[b.size()], limit + 1);
}

std::string_view closest(std::string_view word, std::span<const std::string_view> candidates) {
  std::size_t limit = tolerance(word);
  std::string_view best;
  for (std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate, limit);
    if (distance > limit) continue;
    best = candidate;
    if (distance == 0) break;
    limit = distance - 1;  // only a closer one may replace it
  }
  return best;
}

std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates) {
  const std::string_view best = closest(word, candidates);
  return best.empty() ? "" : "did you mean '" + std::string(best) + "'?";
}

std::string list_words(std::span<const std::string_view> words, std::size_t shown) {
  std::string text;
  for (std::size_t i = 0; i < std::min(words.size(), shown); ++i) (text += i == 0 ? "" : ", ") += words[i];
  if (words.size() > shown) text += " ... (" + std::to_string(words.size()) + " in all)";
  return text;
}

}  // namespace millrace
