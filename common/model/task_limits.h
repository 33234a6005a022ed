// What the process of a task may use, and how it is kept apart: the fields `limits` and `isolation`, read. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/time.h"
#include "common/base/value.h"
#include "common/model/field_checks.h"
#include "common/model/requirements.h"

namespace millrace {

// Ascending. kContainer: whatever of the others can be had, on a worker that itself runs in a container of the
// operator's runtime class.
enum class Isolation : std::uint8_t { kNone, kProcess, kNamespaces, kContainer };
Result<Isolation> parse_isolation(std::string_view word);  // kInvalid, as a sentence about the field
std::string_view to_string(Isolation isolation);

// Labels of workers that say what isolation they can give.
constexpr std::string_view kIsolationLabel = "isolation";         // none, process or namespaces: the most
constexpr std::string_view kRuntimeClassLabel = "runtime_class";  // of the container that the worker runs in

// What a task may use. Zero: no limit of our own.
struct TaskLimits {
  std::uint64_t memory = 0;     // bytes of address space
  Duration cpu{};               // of cpu time, rounded up to seconds
  std::uint64_t processes = 0;  // of its user
  std::uint64_t files = 0;      // open at once
  std::uint64_t file_size = 0;  // bytes of one file
  std::uint64_t output = 0;     // bytes of its output as JSON
  // {memory: 512MiB, cpu: 10s, processes: 64, files: 256, file_size: 1GiB, output: 1MiB}. Fails: kInvalid, with the
  // key.
  static Result<TaskLimits> read(const Value& value);
};

std::vector<FieldProblem> check_task_limits(const Value& fields);

// What the field `isolation` of a task asks of the worker's labels; empty: nothing.
std::optional<LabelRule> rule_of_isolation(const Value& fields);

}  // namespace millrace
