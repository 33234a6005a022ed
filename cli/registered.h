// Registered: registered workflows as the CLI names and shows them.
//
// Threads: those of the session. Fails: what the coordinator answers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cli/session.h"
#include "common/model/registered.h"
#include "common/model/workflow.h"

namespace millrace {

struct FoundWorkflow {
  RegisteredWorkflow workflow;
  WorkflowVersion version;
  WorkflowSpec spec;
  std::shared_ptr<const std::string> bytes;  // of its definition
};

// "NAME" or "NAME@VERSION" of --tenant, with its definition.
Result<FoundWorkflow> find_workflow(Session& session, const Arguments& arguments, const std::string& text);
Result<FoundWorkflow> find_workflow(Session& session, const std::string& tenant, const std::string& text);
// Whether an operand that may be either names a registered workflow: "-" and what looks like a path or is a file do
// not.
bool names_registered(const std::string& text);
std::optional<std::uint32_t> parse_version(std::string_view text);  // from 1 on

std::string kind_of(const NodeSpec& node);  // its executor, or "value", "branch", "wait", "signal", "approval"
// {"description","inputs":[{"name","type","required","default"}],"nodes":[{"node","executor","depends_on"}]}
Value spec_json(const WorkflowSpec& spec);

}  // namespace millrace
