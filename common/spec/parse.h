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

// Sources that a definition takes with it.
constexpr std::size_t kSourceFileMax = 1024 * 1024;   // one
constexpr std::size_t kSourcesMax = 4 * 1024 * 1024;  // of all nodes together
constexpr std::size_t kSourceFilesMax = 200;          // of one node

// What a text may name that lies outside of it.
struct Outside {
  std::function<bool(const std::string&)> zone_exists;   // a time zone; nothing: any name that could be one is taken
  std::function<std::vector<std::string>()> zone_names;  // for "did you mean"
  // A file of the path that the text names, relative to where the text is; kNotFound: there is none. Nothing: what
  // nodes name is not packed.
  std::function<Result<std::string>(const std::string&)> read_source = {};
  // The sources (.py, .js, .json) below a folder, by their paths within it, in order; empty: there are none.
  std::function<std::vector<std::string>(const std::string&)> list_sources = {};
};

// `file_name` stands in the problems; its stem is the workflow's name where the text gives none.
Result<WorkflowSpec> parse_workflow(std::string_view yaml, std::string_view file_name, const Outside& outside = {});

}  // namespace millrace
