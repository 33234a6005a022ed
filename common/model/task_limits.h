// What the process of a task may use, and how it is kept apart: the fields `limits` and `isolation`, read. Pure.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/time.h"
#include "common/base/value.h"
#include "common/model/field_checks.h"

namespace millrace {

enum class Isolation : std::uint8_t { kNone, kProcess };
Result<Isolation> parse_isolation(std::string_view word);  // kInvalid, as a sentence about the field

// What a task may use. Zero: no limit of our own.
struct TaskLimits {
  std::uint64_t memory = 0;     // bytes of address space
  Duration cpu{};               // of cpu time, rounded up to seconds
  std::uint64_t processes = 0;  // of its user
  std::uint64_t files = 0;      // open at once
  std::uint64_t file_size = 0;  // bytes of one file
  // {memory: 512MiB, cpu: 10s, processes: 64, files: 256, file_size: 1GiB}. Fails: kInvalid, names the key.
  static Result<TaskLimits> read(const Value& value);
};

std::vector<FieldProblem> check_task_limits(const Value& fields);

}  // namespace millrace
