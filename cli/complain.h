// Complain: an error as people read it: what was attempted, then every problem with its place, the line of source it
// stands in and a caret below it.
//
// Promises: user data cannot control the terminal. Threads: any; reads the named files again for their lines.
#pragma once

#include <string>

#include "cli/console.h"
#include "common/base/result.h"

namespace millrace {

// `with_source`: show source lines; it is for terminals.
std::string complaint(const Error& error, bool with_source, bool colour);

}  // namespace millrace
