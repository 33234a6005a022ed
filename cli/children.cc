#include "cli/children.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "cli/session.h"
#include "cli/submission.h"
#include "common/wire/codec.h"

namespace millrace {
namespace {

// What of the workflow's nodes cannot be run with these; a problem each.
void look_for(const WorkflowSpec& workflow, const std::vector<WorkflowSpec>& known, std::vector<Problem>& missing) {
  for (std::uint32_t node = 0; node < workflow.node_count(); ++node) {
    const FlowSpec& flow = workflow.spec(node).flow;
    if (!flow.wait || flow.wait->kind != WaitKind::kChild) continue;
    const std::string& name = flow.wait->workflow;
    Problem problem;
    problem.message = "node '" + workflow.id(node) + "' of workflow '" + workflow.name + "' runs ";
    if (std::ranges::find(known, name, &WorkflowSpec::name) == known.end()) {
      problem.message += "the registered workflow '" + name + "', and this process has none of that name";
      problem.expected = "--apply FILE of it, or --coordinator of a cluster where it is registered";
    } else if (flow.wait->version > 1) {
      problem.message += "version " + std::to_string(flow.wait->version) + " of '" + name + "', and here it has one";
      problem.expected = "--coordinator of a cluster where it is registered, or no version";
    } else {
      continue;
    }
    missing.push_back(std::move(problem));
  }
}

}  // namespace

Result<std::vector<WorkflowSpec>> load_children(const WorkflowSpec& workflow, const std::vector<std::string>& files) {
  std::vector<WorkflowSpec> all;
  for (const std::string& file : files) {
    Result<WorkflowSpec> one = load_workflow(file);
    if (!one.ok()) return std::move(one).error();
    if (std::ranges::find(all, one->name, &WorkflowSpec::name) != all.end())
      return Error{
          Code::kInvalid, "--apply " + file + ": there is another one of the name '" + one->name + "'", {}, "usage"};
    if (!one->triggers.empty())
      return Error{
          Code::kInvalid,
          "--apply " + file + ": it has triggers, which would start runs of their own; register it on a cluster",
          {},
          "usage"};
    all.push_back(std::move(*one));
  }
  std::vector<Problem> missing;
  look_for(workflow, all, missing);
  for (const WorkflowSpec& one : all) look_for(one, all, missing);
  if (missing.empty()) return all;
  return Error{Code::kInvalid, "a child run needs its workflow", std::move(missing), "child_workflow"};
}

Status apply_children(Client& client, const std::vector<WorkflowSpec>& workflows, const std::string& tenant,
                      Duration timeout) {
  for (const WorkflowSpec& workflow : workflows) {
    WorkflowRequest request;
    request.act = WorkflowAct::kApply;
    request.tenant = tenant;
    request.name = workflow.name;
    request.caller = caller_name();
    request.definition_bytes = std::make_shared<const std::string>(encode_definition(workflow));
    request.definition = hash128(*request.definition_bytes);
    Result<OperatorReply> reply = client.call(std::move(request), timeout);
    if (!reply.ok()) return std::move(reply).error();
    if (auto* refused = std::get_if<ErrorReply>(&*reply)) return std::move(refused->error);
    if (!std::holds_alternative<WorkflowReply>(*reply))
      return Error{Code::kInternal, "the coordinator gave an answer of another kind", {}, "protocol"};
  }
  return Done{};
}

}  // namespace millrace
