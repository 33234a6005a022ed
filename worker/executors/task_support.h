// What several executors need: the outcomes that are not of their own making, fields as text, a task's environment.
//
// Threads: any. Fails: never; a field of the wrong kind is an empty optional with the reason in `problem`.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "worker/executors/executor.h"

namespace millrace {

Outcome failed(Reason reason, std::string message, std::string traceback = {});
Outcome killed(Reason why);  // ended by kill(): "timed out", "cancelled" ...

// How a value reads as text: strings as they are, null as nothing, everything else as JSON.
std::string text_of(const Value& value);

// The environment of a task's process: few variables of the worker's own, the attempt's name, the field `env` (its
// names win). In the order given, each name once.
using Environment = std::vector<std::pair<std::string, std::string>>;
Environment worker_environment();  // PATH, HOME, LANG, TMPDIR and their like
// What differs for a task that is somebody else, at a place of its own.
void settle_in(Environment& environment, const TaskUser& user, const std::string& directory, bool jailed);
Environment task_environment(const TaskContext& task, Environment base = worker_environment());
std::string_view lookup(const Environment& environment, std::string_view name);  // empty: not there
void assign(Environment& environment, std::string_view name, std::string value);
std::vector<std::string> to_strings(const Environment& environment);  // NAME=value

// Checks a field's kind: absent is fine. The sentence of the first problem, or empty.
std::string check_string(const TaskContext& task, std::string_view field);
std::string check_list(const TaskContext& task, std::string_view field);
std::string check_environment(const TaskContext& task);

// Absent and null read as empty. The field has passed its check.
std::string string_field(const TaskContext& task, std::string_view field);
std::vector<std::string> list_field(const TaskContext& task, std::string_view field);

// Of a task that `error` keeps from starting: kRefused where it is about the isolation, else kInvalidInput.
Outcome not_started(const Error& error);
// `outcome` of a task that failed, unless a limit of its own is the reason. `signal_number` 0: no signal ended it.
// Fails a good one whose output is more than the limit.
Outcome within_output(const TaskLimits& limits, Outcome outcome);
Outcome with_limit(const Terms& terms, int signal_number, std::string_view said, Outcome outcome);

std::int64_t steady_us();
inline Duration since(std::int64_t start_us) { return Duration{steady_us() - start_us}; }

}  // namespace millrace
