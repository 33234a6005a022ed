// Difference: how two definitions of a workflow differ, for people and for programs.
//
// For people a line each: "+ node g", "- node x", "~ node b: script, retry", "+ edge a -> b", "~ outputs". Promises:
// holds no byte that a terminal would obey. Threads: pure, any.
#pragma once

#include <string>

#include "common/base/value.h"
#include "common/model/difference.h"

namespace millrace {

std::string difference_text(const WorkflowDifference& difference);
// {"added","removed","changed":[{"node","keys"}],"edges_added":[{"from","to"}],"edges_removed","settings"}
Value difference_json(const WorkflowDifference& difference);

}  // namespace millrace
