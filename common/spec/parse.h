// From the text of a workflow file to its WorkflowSpec. The format: docs/workflow.md.
//
// Promises: total and bounded (YamlLimits, kYamlNodesMax); pure but for what `outside` does, so any thread may call. A
// spec that comes back is whole: its graph has no cycle, edges from references included, every expression compiles and
// every name in it resolves. Fails: kInvalid with every problem of the text at once, in its order, each with file, line
// and column.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/model/workflow.h"

namespace millrace {

// What a text may name that lies outside of it.
struct Outside {
  std::function<bool(const std::string&)> zone_exists;   // a time zone; nothing: any name that could be one is taken
  std::function<std::vector<std::string>()> zone_names;  // for "did you mean"
};

// `file_name` stands in the problems; its stem is the workflow's name where the text gives none.
Result<WorkflowSpec> parse_workflow(std::string_view yaml, std::string_view file_name, const Outside& outside = {});

}  // namespace millrace
