// From the text of a workflow file to its WorkflowSpec. The format: docs/workflow.md.
//
// Promises: total and bounded (YamlLimits, kYamlNodesMax); pure, so any thread may call. A spec that comes back is
// whole: its graph has no cycle, edges from references included, every expression compiles and every name in it
// resolves. Fails: kInvalid with every problem of the text at once, in its order, each with file, line and column.
#pragma once

#include <string_view>

#include "common/base/result.h"
#include "common/model/workflow.h"

namespace millrace {

// `file_name` stands in the problems; its stem is the workflow's name where the text gives none.
Result<WorkflowSpec> parse_workflow(std::string_view yaml, std::string_view file_name);

}  // namespace millrace
