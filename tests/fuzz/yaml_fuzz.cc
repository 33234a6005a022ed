// Any bytes as a workflow file: parse_workflow is total, and keeps its promises about what it returns.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/graph/dag.h"
#include "common/spec/parse.h"
#include "common/spec/yaml_value.h"

namespace {

void must(bool promise) {
  if (!promise) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace millrace;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Result<WorkflowSpec> spec = parse_workflow(text, "fuzz.yaml");
  if (spec.ok()) {
    must(spec->node_count() > 0 && spec->node_count() == spec->ids.size() && spec->specs.size() == spec->ids.size());
    must(Dag::build(spec->upstream).ok());
    for (const std::string& id : spec->ids) must(is_node_id(id));
  } else {
    must(spec.error().code == Code::kInvalid && !spec.error().what.empty() && !spec.error().details.empty());
    for (const Problem& problem : spec.error().details) {
      must(!problem.message.empty() && problem.line >= 0 && problem.column >= 0);
    }
  }
  const Result<Value> value = parse_yaml_value(text, "fuzz.yaml");
  if (value.ok()) {
    const Result<Value> again = Value::parse(value->dump());
    must(again.ok() && *again == *value);
  }
  return 0;
}
