// Registry codec: registered workflows as their home partition keeps them.
//
// Promises: decode(encode(x)) == x; decoding is total and bounded by its input. Threads: pure functions. Fails: an
// Error
// (`damaged`, `newer_version`) that names the workflow.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/model/registered.h"

namespace millrace {

constexpr std::uint8_t kWorkflowVersion = 1;

std::string workflow_field(std::string_view tenant, std::string_view name);  // tenant, zero byte, name
std::string encode_workflow(const RegisteredWorkflow& workflow);
Result<RegisteredWorkflow> decode_workflow(std::string_view field, std::string_view bytes);

}  // namespace millrace
