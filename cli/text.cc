#include "cli/text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <iterator>

#include "common/base/value.h"

namespace millrace {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

// Two columns: East Asian wide and full width, and emoji.
constexpr Range kWide[] = {
    {0x1100, 0x115F},   {0x231A, 0x231B},   {0x23E9, 0x23EC},   {0x25FD, 0x25FE},   {0x2614, 0x2615},
    {0x2648, 0x2653},   {0x26A1, 0x26A1},   {0x26AA, 0x26AB},   {0x26BD, 0x26BE},   {0x26C4, 0x26C5},
    {0x26D4, 0x26D4},   {0x26EA, 0x26EA},   {0x26F2, 0x26F5},   {0x26FA, 0x26FD},   {0x2705, 0x2705},
    {0x270A, 0x270B},   {0x2728, 0x2728},   {0x274C, 0x274E},   {0x2753, 0x2757},   {0x2795, 0x2797},
    {0x27B0, 0x27BF},   {0x2B1B, 0x2B1C},   {0x2B50, 0x2B55},   {0x2E80, 0x303E},   {0x3041, 0x33FF},
    {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},   {0xA960, 0xA97C},   {0xAC00, 0xD7A3},
    {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},   {0x16FE0, 0x18AFF},
    {0x1B000, 0x1B2FF}, {0x1F004, 0x1F004}, {0x1F0CF, 0x1F0CF}, {0x1F18E, 0x1F19A}, {0x1F200, 0x1F320},
    {0x1F32D, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F7E0, 0x1F7EB}, {0x1F90C, 0x1F9FF}, {0x1FA70, 0x1FAFF},
    {0x20000, 0x3FFFD}};
// No column: combining marks, joiners, variation selectors.
constexpr Range kZero[] = {{0x0300, 0x036F}, {0x0483, 0x0489},   {0x0591, 0x05BD},  {0x0610, 0x061A}, {0x064B, 0x065F},
                           {0x06D6, 0x06DC}, {0x0900, 0x0902},   {0x093C, 0x093C},  {0x0941, 0x0948}, {0x094D, 0x094D},
                           {0x0E31, 0x0E31}, {0x0E34, 0x0E3A},   {0x0E47, 0x0E4E},  {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF},
                           {0x200B, 0x200D}, {0x2060, 0x2064},   {0x20D0, 0x20FF},  {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F},
                           {0xFEFF, 0xFEFF}, {0x1F3FB, 0x1F3FF}, {0xE0000, 0xE01EF}};

template <std::size_t N>
bool in(const Range (&ranges)[N], char32_t c) {
  const Range* at = std::partition_point(std::begin(ranges), std::end(ranges), [c](Range r) { return r.last < c; });
  return at != std::end(ranges) && at->first <= c;
}

std::size_t columns_of(char32_t c) {
  if (c < 0x300) return 1;
  if (in(kZero, c)) return 0;
  return in(kWide, c) ? 2 : 1;
}

// The next code point of valid UTF-8; moves `at` past it.
char32_t next(std::string_view text, std::size_t& at) {
  auto lead = static_cast<unsigned char>(text[at++]);
  if (lead < 0x80) return lead;
  int tail = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
  char32_t c = lead & (0x3FU >> tail);
  for (; tail > 0 && at < text.size(); --tail) c = (c << 6) | (static_cast<unsigned char>(text[at++]) & 0x3FU);
  return c;
}

bool reorders(char32_t c) {
  return c == 0x061C || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) ||
         c == 0x2028 || c == 0x2029;
}

std::string escaped(char32_t c) {
  char text[16];
  std::snprintf(text, sizeof text, c < 0x100 ? "\\x%02x" : "\\u%04x", static_cast<unsigned>(c));
  return text;
}

std::string shown(std::string_view bytes, bool keep_lines) {
  std::string text = to_valid_utf8(bytes);
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    std::size_t start = at;
    char32_t c = next(text, at);
    if (keep_lines && (c == '\n' || c == '\t')) out += static_cast<char>(c);
    else if (c == '\n') out += "\\n";
    else if (c == '\t') out += "\\t";
    else if (c == '\r') out += "\\r";
    else if (c < 0x20 || (c >= 0x7F && c < 0xA0) || reorders(c)) out += escaped(c);
    else out.append(text, start, at - start);
  }
  return out;
}

struct Civil {
  std::tm tm{};
  int micros = 0;
};

Civil civil(Time time) {
  std::int64_t us = to_us(time);
  auto seconds = static_cast<std::time_t>(us / 1'000'000);
  Civil c;
  c.micros = static_cast<int>(us % 1'000'000);
  gmtime_r(&seconds, &c.tm);
  return c;
}

template <class... Args>
std::string formatted(const char* pattern, Args... args) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, args...);
  return text;
}

}  // namespace

std::string printable(std::string_view text) { return shown(text, false); }
std::string printable_lines(std::string_view text) { return shown(text, true); }

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t at = 0; at < text.size();) width += columns_of(next(text, at));
  return width;
}

std::string fitted(std::string_view text, std::size_t columns) {
  if (display_width(text) <= columns) return std::string(text);
  if (columns == 0) return "";
  std::size_t width = 0;
  std::size_t end = 0;
  for (std::size_t at = 0; at < text.size();) {
    width += columns_of(next(text, at));
    if (width > columns - 1) break;
    end = at;
  }
  return std::string(text.substr(0, end)) + "…";
}

std::string padded(std::string text, std::size_t columns, bool right) {
  std::size_t width = display_width(text);
  if (width >= columns) return text;
  return right ? std::string(columns - width, ' ') + text : text + std::string(columns - width, ' ');
}

std::string human_duration(Duration duration) {
  std::int64_t us = std::max<std::int64_t>(duration.count(), 0);
  if (us < 1'000) return formatted("%dus", static_cast<int>(us));
  if (us < 999'950) return formatted("%.1fms", static_cast<double>(us) / 1e3);
  if (us < 59'950'000) return formatted("%.1fs", static_cast<double>(us) / 1e6);
  auto seconds = static_cast<long long>((us + 500'000) / 1'000'000);
  if (seconds < 3600) return formatted("%lldm%02llds", seconds / 60, seconds % 60);
  if (seconds < 86'400) return formatted("%lldh%02lldm", seconds / 3600, seconds / 60 % 60);
  return formatted("%lldd%02lldh", seconds / 86'400, seconds / 3600 % 24);
}

std::string iso_time(Time time) {
  if (time == Time{} || time == kNever) return "";
  Civil c = civil(time);
  return formatted("%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", c.tm.tm_year + 1900, c.tm.tm_mon + 1, c.tm.tm_mday,
                   c.tm.tm_hour, c.tm.tm_min, c.tm.tm_sec, c.micros);
}

std::string clock_time(Time time) {
  Civil c = civil(time);
  return formatted("%02d:%02d:%02d.%03d", c.tm.tm_hour, c.tm.tm_min, c.tm.tm_sec, c.micros / 1000);
}

double to_ms(Duration duration) { return static_cast<double>(duration.count()) / 1000.0; }

}  // namespace millrace
