// Machine: what tasks may take of the machine where nobody has said so: its processors and its memory, or the share of
// them that a container has.
//
// Threads: any. Fails: never; what cannot be read is left out.
#pragma once

#include "common/model/requirements.h"

namespace millrace {

// Adds `cpu` and `memory` unless they are there.
void add_machine_resources(Resources& resources);

}  // namespace millrace
