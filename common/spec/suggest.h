// "Did you mean": the known word closest to a mistyped one.
//
// Promises: bounded work (banded edit distance, words up to 64 bytes); deterministic, ties go to the earlier candidate.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

// Edits (insert, delete, replace, swap of neighbours) between two words, or `limit + 1` when
// there are more than `limit`.
std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit);

// The closest candidate that a slip of the fingers could have meant; empty: none is close.
std::string_view closest(std::string_view word, std::span<const std::string_view> candidates);

// "did you mean 'x'?" for the closest candidate, or empty.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);

// "a, b, c": the words, at most `shown` of them.
std::string list_words(std::span<const std::string_view> words, std::size_t shown = 30);

}  // namespace millrace
