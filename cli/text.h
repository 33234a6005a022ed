// Text for people: what a terminal shows of it, how wide it is, and how times and durations are written.
//
// Promises: total. What printable() returns holds no byte that a terminal would obey: user data cannot move the cursor,
// change colours or forge lines. Widths are columns of a terminal. Threads: any.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/base/time.h"

namespace millrace {

// One line: control characters become \n, \t, \x1b ...; what would reorder text (bidi overrides) becomes \u202e ...;
// bytes that are not UTF-8 become U+FFFD.
std::string printable(std::string_view text);
// The same, but line ends and tabs stay.
std::string printable_lines(std::string_view text);

std::size_t display_width(std::string_view printable_text);
// Cut to at most `columns`, the last of them an ellipsis where something was cut.
std::string fitted(std::string_view printable_text, std::size_t columns);
std::string padded(std::string text, std::size_t columns, bool right = false);

std::string human_duration(Duration duration);  // "870us", "12.3ms", "4.5s", "2m05s", "3h04m", "2d03h"
std::string iso_time(Time time);                // "2026-01-31T12:00:00.000123Z"; of no time: ""
std::string clock_time(Time time);              // "12:00:00.000" UTC
double to_ms(Duration duration);

}  // namespace millrace
