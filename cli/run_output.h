// Run output: a run as `run`, `wait`, `submit --wait` and `status` print it, and the exit code it means.
#pragma once

#include <string>

#include "cli/render.h"
#include "cli/views.h"

namespace millrace {

// How `run` and `wait` differ for people: the first wants what came out, the second how the run is.
enum class RunStyle { kOutputs, kNodes };

Result<std::string> render_run(const RunView& view, RunStyle style, Format format, const Console& console,
                               const ReadPayload& read);

// What people want to know about the end of a run beside its outputs: why it failed, that it is degraded. "": nothing.
std::string run_remarks(const RunView& view, bool colour);

}  // namespace millrace
