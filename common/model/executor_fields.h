// The fields that each executor understands: one table for validation (spec), for editors (schema) and for rendering
// (worker).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace millrace {

// What a field may hold before its expressions are rendered. A text with `{{` in it fits any templated field.
enum class FieldKind : std::uint8_t {
  kAny,
  kString,
  kBoolean,
  kInteger,
  kDuration,
  kStringList,
  kStringMap,
  kStringOrList
};

struct FieldSpec {
  std::string_view name;
  FieldKind kind;
  bool templated;  // expressions are rendered on the worker; false: as written (code is never templated)
  std::string_view description;
};

enum class SlotClass : std::uint8_t { kCpu, kIo };

struct ExecutorFields {
  std::string_view executor;
  SlotClass slot_class;
  bool sees_values;  // its code sees the inputs and upstream outputs; otherwise only rendered fields do
  std::string_view description;
  std::span<const FieldSpec> fields;
  std::span<const std::string_view> required_one_of;  // at least one of these must be present; empty: none required
};

// All executors that every worker has, in alphabetical order.
std::span<const ExecutorFields> executor_table();
const ExecutorFields* find_executor(std::string_view name);

// What any executor understands: one that is not in the table is somebody's own (an SDK's, a plug-in's), which a
// workflow declares under `executors` and gives its arguments in `with`. Such names are written as node ids are.
const ExecutorFields& fields_of_executor(std::string_view name);

}  // namespace millrace
