#include "worker/executors/runner_source.h"

// The assembler copies the files as they are: no quoting, no length limit of string literals. Their paths are given by
// the build.
#define MILLRACE_EMBED(name, path)                                               \
  __asm__(".pushsection .rodata\n" #name "_begin:\n.incbin \"" path "\"\n" #name \
          "_end:\n"                                                              \
          ".byte 0\n.popsection\n");                                             \
  extern "C" {                                                                   \
  extern const char name##_begin[] __attribute__((visibility("hidden")));        \
  extern const char name##_end[] __attribute__((visibility("hidden")));          \
  }

MILLRACE_EMBED(millrace_python_runner, MILLRACE_PYTHON_RUNNER)
MILLRACE_EMBED(millrace_javascript_runner, MILLRACE_JAVASCRIPT_RUNNER)
MILLRACE_EMBED(millrace_python_environment, MILLRACE_PYTHON_ENVIRONMENT)

namespace millrace {

std::string_view python_runner_source() {
  return {millrace_python_runner_begin,
          static_cast<std::size_t>(millrace_python_runner_end - millrace_python_runner_begin)};
}

std::string_view javascript_runner_source() {
  return {millrace_javascript_runner_begin,
          static_cast<std::size_t>(millrace_javascript_runner_end - millrace_javascript_runner_begin)};
}

std::string_view python_environment_source() {
  return {millrace_python_environment_begin,
          static_cast<std::size_t>(millrace_python_environment_end - millrace_python_environment_begin)};
}

}  // namespace millrace
