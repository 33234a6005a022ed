#include "worker/executors/task_support.h"

#include <chrono>
#include <cstdlib>

namespace millrace {
namespace {

constexpr const char* kPassedOn[] = {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ"};
constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const Value* present(const TaskContext& task, std::string_view field) {
  const Value* value = task.fields.find(field);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string wrong_kind(std::string_view field, const char* expected, const Value& got) {
  return "`" + std::string(field) + "` must be " + expected + ", not " + got.kind_name();
}

}  // namespace

Outcome failed(Reason reason, std::string message, std::string traceback) {
  Outcome outcome;
  outcome.reason = reason;
  outcome.error.message = clip(to_valid_utf8(message), kErrorMessageMax);
  outcome.error.traceback = clip(to_valid_utf8(traceback), kErrorTracebackMax);
  return outcome;
}

Outcome killed(Reason why) {
  std::string message;
  if (why == Reason::kTimeout) message = "timed out";
  else if (why == Reason::kCancelRequested) message = "cancelled";
  else if (why == Reason::kFailFast) message = "cancelled: another node failed";
  else message = std::string(to_string(why));
  return failed(why, std::move(message));
}

std::string text_of(const Value& value) {
  if (value.is_string()) return value.as_string();
  return value.is_null() ? std::string() : value.dump();
}

std::string_view lookup(const Environment& environment, std::string_view name) {
  for (const auto& [key, value] : environment) {
    if (key == name) return value;
  }
  return {};
}

void assign(Environment& environment, std::string_view name, std::string value) {
  for (auto& [key, old] : environment) {
    if (key == name) {
      old = std::move(value);
      return;
    }
  }
  environment.emplace_back(std::string(name), std::move(value));
}

std::vector<std::string> to_strings(const Environment& environment) {
  std::vector<std::string> out;
  out.reserve(environment.size());
  for (const auto& [name, value] : environment) out.push_back(name + "=" + value);
  return out;
}

Environment worker_environment() {
  Environment out;
  for (const char* name : kPassedOn) {
    if (const char* value = std::getenv(name)) out.emplace_back(name, value);
  }
  if (lookup(out, "PATH").empty()) assign(out, "PATH", kDefaultPath);
  if (lookup(out, "LANG").empty()) assign(out, "LANG", "C.UTF-8");
  if (lookup(out, "TMPDIR").empty()) assign(out, "TMPDIR", "/tmp");
  if (lookup(out, "HOME").empty()) assign(out, "HOME", "/");
  return out;
}

void settle_in(Environment& environment, const TaskUser& user, const std::string& directory, bool jailed) {
  if (user.changes) {
    assign(environment, "HOME", directory);
    assign(environment, "TMPDIR", directory);
  }
  if (jailed) assign(environment, "TMPDIR", "/tmp");
}

Environment task_environment(const TaskContext& task, Environment base) {
  Environment out = std::move(base);
  assign(out, "MILLRACE_RUN", to_string(task.attempt.run));
  assign(out, "MILLRACE_NODE", task.node);
  assign(out, "MILLRACE_ATTEMPT", std::to_string(task.attempt.number));
  if (const Value* env = present(task, "env")) {
    for (const auto& [name, value] : env->as_object()) assign(out, name, text_of(value));
  }
  return out;
}

std::string check_string(const TaskContext& task, std::string_view field) {
  const Value* value = present(task, field);
  return value == nullptr || value->is_string() ? std::string() : wrong_kind(field, "text", *value);
}

std::string check_list(const TaskContext& task, std::string_view field) {
  const Value* value = present(task, field);
  if (value == nullptr) return {};
  if (!value->is_array()) return wrong_kind(field, "a list", *value);
  for (const Value& item : value->as_array()) {
    if (text_of(item).find('\0') != std::string::npos) return "`" + std::string(field) + "` holds a NUL character";
  }
  return {};
}

std::string check_environment(const TaskContext& task) {
  const Value* env = present(task, "env");
  if (env == nullptr) return {};
  if (!env->is_object()) return wrong_kind("env", "a map of names to values", *env);
  for (const auto& [name, value] : env->as_object()) {
    if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != std::string::npos) {
      return "`env` holds the name \"" + name + "\"; a name is not empty and has no =";
    }
    if (text_of(value).find('\0') != std::string::npos) return "`env` variable " + name + " holds a NUL character";
  }
  return {};
}

std::string string_field(const TaskContext& task, std::string_view field) {
  const Value* value = present(task, field);
  return value == nullptr ? std::string() : value->as_string();
}

std::vector<std::string> list_field(const TaskContext& task, std::string_view field) {
  std::vector<std::string> out;
  if (const Value* value = present(task, field)) {
    for (const Value& item : value->as_array()) out.push_back(text_of(item));
  }
  return out;
}

Outcome not_started(const Error& error) {
  return failed(error.name == "isolation" ? Reason::kRefused : Reason::kInvalidInput, error.what);
}

Outcome with_limit(const Terms& terms, int signal_number, std::string_view said, Outcome outcome) {
  LimitReached limit = limit_reached(terms, signal_number, said);
  if (limit.reason == Reason::kNone) return outcome;
  Outcome out = failed(limit.reason, std::move(limit.message), std::move(outcome.error.traceback));
  out.output = std::move(outcome.output);
  return out;
}

Outcome within_output(const TaskLimits& limits, Outcome outcome) {
  if (!outcome.success || limits.output == 0 || outcome.output.size() <= limits.output) return outcome;
  return failed(Reason::kInvalidOutput, "output: it gave " + std::to_string(outcome.output.size()) +
                                            " bytes of JSON; at most " + std::to_string(limits.output) +
                                            " are allowed");
}

std::int64_t steady_us() {
  return std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace millrace
