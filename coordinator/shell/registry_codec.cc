#include "coordinator/shell/registry_codec.h"

#include "common/base/hash.h"
#include "coordinator/shell/packing.h"

namespace millrace {
namespace {

constexpr std::uint64_t kPlace = 13;

std::uint64_t place(std::string_view field) { return place_of(kPlace, hash64(field)); }

}  // namespace

std::string workflow_field(std::string_view tenant, std::string_view name) {
  std::string field(tenant);
  return field.append(1, '\0').append(name);
}

std::string encode_workflow(const RegisteredWorkflow& workflow) {
  Packer out;
  out.text(workflow.tenant);
  out.text(workflow.name);
  out.number(workflow.latest);
  out.number(workflow.versions.size());
  for (const WorkflowVersion& version : workflow.versions) {
    out.number(version.version);
    out.hash(version.definition);
    out.time(version.applied, Time{});
    out.text(version.caller);
    out.number(version.rolled_back_to);
  }
  return seal(kWorkflowVersion, place(workflow_field(workflow.tenant, workflow.name)), out.bytes());
}

Result<RegisteredWorkflow> decode_workflow(std::string_view field, std::string_view bytes) {
  const std::string what = "workflow '" + std::string(field.substr(field.find('\0') + 1)) + "'";
  const auto body = unseal(kWorkflowVersion, place(field), bytes);
  if (!body) {
    const std::string newer = newer_version(kWorkflowVersion, bytes);
    if (!newer.empty()) return Error{Code::kRefused, what + " " + newer, {}, "newer_version"};
    return Error{Code::kInternal, what + ": wrong version or checksum", {}, "damaged"};
  }
  Unpacker in(*body);
  RegisteredWorkflow workflow;
  workflow.tenant = in.text();
  workflow.name = in.text();
  workflow.latest = in.number32();
  for (std::size_t i = in.count(19); i > 0 && !in.failed(); --i) {
    WorkflowVersion version;
    version.version = in.number32();
    version.definition = in.hash();
    version.applied = in.time(Time{});
    version.caller = in.text();
    version.rolled_back_to = in.number32();
    workflow.versions.push_back(std::move(version));
  }
  if (!in.done()) return Error{Code::kInternal, what + ": does not parse", {}, "damaged"};
  return workflow;
}

}  // namespace millrace
