#include "worker/executors/runner_source.h"

// The assembler copies the file as it is: no quoting, no length limit of string literals. MILLRACE_PYTHON_RUNNER is its
// path, given by the build.
__asm__(
    ".pushsection .rodata\n"
    "millrace_python_runner_begin:\n"
    ".incbin \"" MILLRACE_PYTHON_RUNNER
    "\"\n"
    "millrace_python_runner_end:\n"
    ".byte 0\n"
    ".popsection\n");

extern "C" {
extern const char millrace_python_runner_begin[] __attribute__((visibility("hidden")));
extern const char millrace_python_runner_end[] __attribute__((visibility("hidden")));
}

namespace millrace {

std::string_view python_runner_source() {
  return {millrace_python_runner_begin,
          static_cast<std::size_t>(millrace_python_runner_end - millrace_python_runner_begin)};
}

}  // namespace millrace
