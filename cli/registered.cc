#include "cli/registered.h"

#include <charconv>
#include <filesystem>

#include "common/wire/codec.h"

namespace millrace {

std::optional<std::uint32_t> parse_version(std::string_view text) {
  std::uint32_t version = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (failure != std::errc() || end != text.data() + text.size() || version == 0) return std::nullopt;
  return version;
}

bool names_registered(const std::string& text) {
  std::error_code failed;
  return text != "-" && text.find('/') == std::string::npos && !text.ends_with(".yaml") && !text.ends_with(".yml") &&
         !std::filesystem::exists(text, failed);
}

Result<FoundWorkflow> find_workflow(Session& session, const Arguments& arguments, const std::string& text) {
  return find_workflow(session, arguments.text("tenant", "default"), text);
}

Result<FoundWorkflow> find_workflow(Session& session, const std::string& tenant, const std::string& text) {
  WorkflowRequest request;
  request.act = WorkflowAct::kGet;
  request.tenant = tenant;
  request.with_definition = true;
  const std::size_t at = text.rfind('@');
  request.name = text.substr(0, at);
  if (at != std::string::npos) {
    const std::optional<std::uint32_t> version = parse_version(std::string_view(text).substr(at + 1));
    if (!version)
      return Error{Code::kInvalid, "'" + text + "': expected NAME@VERSION, a number from 1 on", {}, "usage"};
    request.version = *version;
  }
  Result<WorkflowReply> reply = session.call<WorkflowReply>(request);
  if (!reply.ok()) return std::move(reply).error();
  const WorkflowVersion* version = reply->workflow.find(reply->version);
  if (version == nullptr || reply->definition == nullptr)
    return Error{Code::kInternal, "the coordinator's answer lacks the definition of '" + text + "'", {}, "protocol"};
  Result<WorkflowSpec> spec = decode_definition(*reply->definition);
  if (!spec.ok()) return std::move(spec).error();
  return FoundWorkflow{reply->workflow, *version, std::move(*spec), reply->definition};
}

std::string kind_of(const NodeSpec& node) {
  if (node.flow.wait) {
    const WaitKind kind = node.flow.wait->kind;
    if (kind == WaitKind::kChild) return "workflow";
    return kind == WaitKind::kSignal ? "signal" : kind == WaitKind::kApproval ? "approval" : "wait";
  }
  if (node.flow.sets) return "set";
  return node.flow.branch ? "branch" : node.executor.empty() ? "value" : node.executor;
}

Value spec_json(const WorkflowSpec& spec) {
  Value::Array inputs;
  for (const InputSpec& input : spec.inputs) {
    inputs.push_back(Value::Object{{"name", input.name},
                                   {"type", to_string(input.type)},
                                   {"required", input.required},
                                   {"default", input.default_value.value_or(Value())}});
  }
  Value::Array nodes;
  for (std::uint32_t node = 0; node < spec.node_count(); ++node) {
    Value::Array upstream;
    for (std::uint32_t up : spec.upstream.of(node)) upstream.push_back(spec.id(up));
    nodes.push_back(Value::Object{
        {"node", spec.id(node)}, {"executor", kind_of(spec.spec(node))}, {"depends_on", std::move(upstream)}});
  }
  return Value::Object{{"description", spec.description.empty() ? Value() : Value(spec.description)},
                       {"inputs", std::move(inputs)},
                       {"nodes", std::move(nodes)}};
}

}  // namespace millrace
