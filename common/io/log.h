// Log: one line per decision, as JSON (one object a line) or as readable text on a terminal. Only log.cc sees spdlog.
//
// Promises: a line is one write where it is short; control characters and bytes that are not UTF-8 are escaped, so no
// value can forge a line. A reader of stderr that stalls costs at most kLogStallMax once; after that lines are dropped
// and counted until it reads again, and the count is logged.
// Threads: any. Fails: never.
//
//   log_info("lease expired", {{"run", to_string(run)}, {"task", task.value}, {"worker", name}});
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "common/base/time.h"

namespace millrace {

// error: someone should act; warn: we coped; info: lifecycle; debug: the rest.
enum class LogLevel : std::uint8_t { kError, kWarn, kInfo, kDebug };
enum class LogFormat : std::uint8_t { kAuto, kJson, kText };  // kAuto: text on a terminal, JSON elsewhere

constexpr Duration kLogStallMax = 20ms;

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kAuto;
  std::string service = "millrace";
  int fd = 2;
};
std::optional<LogLevel> parse_log_level(std::string_view word);    // "error", "warn", "info", "debug"
std::optional<LogFormat> parse_log_format(std::string_view word);  // "auto", "json", "text"

// A name and a value. Names in use: trace_id, run, node, task, attempt, worker. Loans: they end with the call.
struct LogField {
  using Value = std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool>;
  std::string_view name;
  Value value;

  LogField(std::string_view n, std::string_view v) : name(n), value(v) {}
  LogField(std::string_view n, const std::string& v) : name(n), value(std::string_view(v)) {}
  LogField(std::string_view n, const char* v) : name(n), value(std::string_view(v)) {}
  LogField(std::string_view n, bool v) : name(n), value(v) {}
  LogField(std::string_view n, std::floating_point auto v) : name(n), value(double{v}) {}
  LogField(std::string_view n, std::signed_integral auto v) : name(n), value(static_cast<std::int64_t>(v)) {}
  LogField(std::string_view n, std::unsigned_integral auto v) : name(n), value(static_cast<std::uint64_t>(v)) {}
};
using LogFields = std::initializer_list<LogField>;

// Call it once at start; before it, lines go to stderr as LogOptions' defaults say.
void set_log(const LogOptions& options);
bool log_enabled(LogLevel level);
std::uint64_t log_lines_dropped();

void log(LogLevel level, std::string_view message, LogFields fields = {});
inline void log_error(std::string_view message, LogFields fields = {}) { log(LogLevel::kError, message, fields); }
inline void log_warn(std::string_view message, LogFields fields = {}) { log(LogLevel::kWarn, message, fields); }
inline void log_info(std::string_view message, LogFields fields = {}) { log(LogLevel::kInfo, message, fields); }
inline void log_debug(std::string_view message, LogFields fields = {}) { log(LogLevel::kDebug, message, fields); }

// One line without its newline, as log() would write it: for tests and for tools.
std::string format_log_json(Time time, LogLevel level, std::string_view service, std::string_view message,
                            LogFields fields);
std::string format_log_text(Time time, LogLevel level, std::string_view message, LogFields fields, bool colour);

}  // namespace millrace
