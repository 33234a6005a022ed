// A log line as text. Values come from anywhere: every control character is escaped in both forms.
#include <array>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <string>
#include <string_view>

#include "common/base/value.h"
#include "common/io/log.h"

namespace millrace {
namespace {

constexpr std::string_view kWords[] = {"error", "warn", "info", "debug"};
constexpr std::string_view kColours[] = {"\033[31m", "\033[33m", "\033[32m", "\033[2m"};
constexpr std::string_view kColourOff = "\033[0m";

std::string_view word(LogLevel level) { return kWords[static_cast<std::size_t>(level)]; }

struct Calendar {
  std::tm tm{};
  int us = 0;
};
Calendar to_calendar(Time time) {
  Calendar c;
  const std::int64_t us = to_us(time);
  std::int64_t seconds = us / 1'000'000;
  std::int64_t rest = us % 1'000'000;
  if (rest < 0) {
    rest += 1'000'000;
    --seconds;
  }
  const auto when = static_cast<std::time_t>(seconds);
  gmtime_r(&when, &c.tm);
  c.us = static_cast<int>(rest);
  return c;
}

std::string rfc3339(Time time) {
  const Calendar c = to_calendar(time);
  char text[80];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", c.tm.tm_year + 1900, c.tm.tm_mon + 1,
                c.tm.tm_mday, c.tm.tm_hour, c.tm.tm_min, c.tm.tm_sec, c.us);
  return text;
}

// Numbers and booleans; JSON has no way to write what is not finite.
std::string number_text(const LogField::Value& value) {
  if (const auto* i = std::get_if<std::int64_t>(&value)) return std::to_string(*i);
  if (const auto* u = std::get_if<std::uint64_t>(&value)) return std::to_string(*u);
  if (const auto* b = std::get_if<bool>(&value)) return *b ? "true" : "false";
  const double d = std::get<double>(value);
  return std::isfinite(d) ? Value(d).dump() : "null";
}

bool needs_quotes(std::string_view text) {
  if (text.empty()) return true;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= ' ' || byte >= 0x7F || c == '"' || c == '=' || c == '\\') return true;
  }
  return false;
}

// DEL and the C1 control characters (U+0080 - U+009F) are legal in JSON strings, but a terminal may obey them.
void append_literal(std::string& out, std::string_view text) {
  const std::size_t from = out.size();
  append_json_string(out, text);
  constexpr std::string_view kDel = "\x7f";
  for (std::size_t i = from; i < out.size(); ++i) {
    const auto byte = static_cast<unsigned char>(out[i]);
    char escaped[8];
    if (out[i] == kDel[0]) {
      out.replace(i, 1, "\\u007f");
    } else if (byte == 0xC2 && i + 1 < out.size() && static_cast<unsigned char>(out[i + 1]) < 0xA0) {
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned char>(out[i + 1]));
      out.replace(i, 2, escaped);
    }
  }
}

void append_plain(std::string& out, std::string_view text) {
  const std::size_t quote = out.size();
  append_literal(out, text);
  // A message reads better without its quotes; what was escaped inside stays so.
  out.erase(quote, 1);
  out.pop_back();
}

}  // namespace

std::optional<LogLevel> parse_log_level(std::string_view text) {
  for (std::size_t i = 0; i < std::size(kWords); ++i) {
    if (text == kWords[i]) return static_cast<LogLevel>(i);
  }
  return std::nullopt;
}

std::optional<LogFormat> parse_log_format(std::string_view text) {
  if (text == "auto") return LogFormat::kAuto;
  if (text == "json") return LogFormat::kJson;
  if (text == "text") return LogFormat::kText;
  return std::nullopt;
}

std::string format_log_json(Time time, LogLevel level, std::string_view service, std::string_view message,
                            LogFields fields) {
  std::string out = "{\"timestamp\":\"" + rfc3339(time) + "\",\"level\":\"";
  out.append(word(level)).append("\",\"service\":");
  append_literal(out, service);
  out += ",\"message\":";
  append_literal(out, message);
  for (const LogField& field : fields) {
    out.push_back(',');
    append_literal(out, field.name);
    out.push_back(':');
    if (const auto* text = std::get_if<std::string_view>(&field.value)) {
      append_literal(out, *text);
    } else {
      out += number_text(field.value);
    }
  }
  out.push_back('}');
  return out;
}

std::string format_log_text(Time time, LogLevel level, std::string_view message, LogFields fields, bool colour) {
  std::string out = rfc3339(time).substr(11, 12);
  out.push_back(' ');
  if (colour) out.append(kColours[static_cast<std::size_t>(level)]);
  out.append(word(level));
  if (colour) out.append(kColourOff);
  out.append(6 - word(level).size(), ' ');
  append_plain(out, message);
  for (const LogField& field : fields) {
    out.push_back(' ');
    append_plain(out, field.name);
    out.push_back('=');
    if (const auto* text = std::get_if<std::string_view>(&field.value); text == nullptr) {
      out += number_text(field.value);
    } else if (needs_quotes(*text)) {
      append_literal(out, *text);
    } else {
      out += *text;
    }
  }
  return out;
}

}  // namespace millrace
