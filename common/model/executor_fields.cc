#include "common/model/executor_fields.h"

#include <array>

namespace millrace {
namespace {

constexpr std::array<FieldSpec, 1> kNoop = {{
    {"delay", FieldKind::kDuration, true, "how long the task takes"},
}};
constexpr std::array<FieldSpec, 4> kPython = {{
    {"script", FieldKind::kString, false, "python source; runs as written"},
    {"isolation", FieldKind::kString, false,
     "process (a fork of a warm interpreter; default) or none (inside a warm interpreter)"},
    {"env", FieldKind::kStringMap, true, "environment variables"},
    {"cwd", FieldKind::kString, true, "working directory"},
}};
constexpr std::array<FieldSpec, 7> kShell = {{
    {"script", FieldKind::kString, false,
     "shell source, run by /bin/sh -e unless `shell` says otherwise; runs as written"},
    {"command", FieldKind::kStringList, true, "argv, run without a shell"},
    {"shell", FieldKind::kString, false, "the interpreter of `script`"},
    {"args", FieldKind::kStringList, true, "positional parameters of `script`"},
    {"env", FieldKind::kStringMap, true, "environment variables"},
    {"stdin", FieldKind::kAny, true, "text for standard input; a value that is not text is written as JSON"},
    {"cwd", FieldKind::kString, true, "working directory"},
}};

constexpr std::array<std::string_view, 1> kPythonRequired = {"script"};
constexpr std::array<std::string_view, 2> kShellRequired = {"script", "command"};

const std::array<ExecutorFields, 3> kTable = {{
    {"noop", SlotClass::kCpu, false, "does nothing, after an optional delay", kNoop, {}},
    {"python", SlotClass::kCpu, true, "python code in a warm interpreter", kPython, kPythonRequired},
    {"shell", SlotClass::kCpu, false, "a shell script or a command", kShell, kShellRequired},
}};

}  // namespace

std::span<const ExecutorFields> executor_table() { return kTable; }

const ExecutorFields* find_executor(std::string_view name) {
  for (const ExecutorFields& row : kTable) {
    if (row.executor == name) return &row;
  }
  return nullptr;
}

}  // namespace millrace
