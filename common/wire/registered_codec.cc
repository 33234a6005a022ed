#include "common/wire/registered_codec.h"

#include <memory>
#include <utility>

namespace millrace {
namespace {

void write(const RegisteredWorkflow& workflow, pb::RegisteredWorkflow* out) {
  out->set_tenant(workflow.tenant);
  out->set_name(workflow.name);
  out->set_latest(workflow.latest);
  for (const WorkflowVersion& version : workflow.versions) {
    pb::WorkflowVersion* v = out->add_versions();
    v->set_version(version.version);
    millrace::write(version.definition, v->mutable_definition());
    v->set_applied_us(to_us(version.applied));
    v->set_caller(version.caller);
    v->set_rolled_back_to(version.rolled_back_to);
  }
}

RegisteredWorkflow read(const pb::RegisteredWorkflow& m) {
  RegisteredWorkflow out{m.tenant(), m.name(), m.latest(), {}};
  out.versions.reserve(static_cast<std::size_t>(m.versions_size()));
  for (const pb::WorkflowVersion& v : m.versions()) {
    out.versions.push_back(
        {v.version(), read_hash(v.definition()), from_us(v.applied_us()), v.caller(), v.rolled_back_to()});
  }
  return out;
}

std::shared_ptr<const std::string> taken(std::string* bytes) {
  return std::make_shared<const std::string>(std::move(*bytes));
}

}  // namespace

void write(const WorkflowRequest& request, pb::WorkflowRequest* out) {
  out->set_act(static_cast<std::uint32_t>(request.act));
  out->set_tenant(request.tenant);
  out->set_name(request.name);
  out->set_version(request.version);
  write(request.definition, out->mutable_definition());
  if (request.definition_bytes != nullptr) out->set_definition_bytes(*request.definition_bytes);
  out->set_caller(request.caller);
  out->set_force(request.force);
  out->set_with_definition(request.with_definition);
}

WorkflowRequest read_workflow_request(Reader& in, pb::WorkflowRequest* m) {
  WorkflowRequest out;
  out.act = in.to_enum(m->act(), WorkflowAct::kDelete, "unknown act on a workflow");
  out.tenant = m->tenant();
  out.name = m->name();
  out.version = m->version();
  out.definition = read_hash(m->definition());
  if (m->has_definition_bytes()) out.definition_bytes = taken(m->mutable_definition_bytes());
  out.caller = m->caller();
  out.force = m->force();
  out.with_definition = m->with_definition();
  return out;
}

void write(const WorkflowReply& reply, pb::WorkflowReply* out) {
  write(reply.workflow, out->mutable_workflow());
  out->set_version(reply.version);
  out->set_changed(reply.changed);
  if (reply.definition != nullptr) out->set_definition(*reply.definition);
}

WorkflowReply read_workflow_reply(pb::WorkflowReply* m) {
  return {read(m->workflow()), m->version(), m->changed(),
          m->has_definition() ? taken(m->mutable_definition()) : nullptr};
}

void write(const WorkflowsReply& reply, pb::WorkflowsReply* out) {
  for (const RegisteredWorkflow& workflow : reply.workflows) write(workflow, out->add_workflows());
}

WorkflowsReply read_workflows(const pb::WorkflowsReply& m) {
  WorkflowsReply out;
  for (const pb::RegisteredWorkflow& workflow : m.workflows()) out.workflows.push_back(read(workflow));
  return out;
}

}  // namespace millrace
