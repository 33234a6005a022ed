#include "common/spec/parse.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "common/base/units.h"
#include "common/model/executor_fields.h"
#include "common/spec/keys.h"
#include "common/spec/reader.h"

namespace millrace {
namespace {

constexpr std::size_t kNameMax = 128;  // of workflows and outputs, in bytes

// "flows/insight.yaml" -> "insight"
std::string stem_of(std::string_view file_name) {
  const std::size_t slash = file_name.find_last_of("/\\");
  std::string_view stem = slash == std::string_view::npos ? file_name : file_name.substr(slash + 1);
  const std::size_t dot = stem.find_last_of('.');
  if (dot != std::string_view::npos && dot > 0) stem = stem.substr(0, dot);
  return stem.empty() || stem == "-" ? "workflow" : std::string(stem.substr(0, kNameMax));
}

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameMax && name.front() != ' ' && name.back() != ' ' &&
         std::ranges::none_of(name, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

constexpr const char* kNameRule = "1 to 128 bytes of text in one line, without blanks around it";

void read_name(Reader& reader, std::uint32_t index) {
  const std::optional<std::string> name = reader.read_string(index, "'name'");
  if (!name) return;
  if (is_name(*name)) reader.spec.name = *name;
  else reader.problem(index, "'name' is " + kind_of(reader.at(index)), kNameRule);
}

// A duration from when a run is accepted, or a moment.
void read_deadline(Reader& reader, std::uint32_t index) {
  const std::optional<std::string> text = reader.read_string(index, "'deadline'");
  if (!text) return;
  const Result<Deadline> deadline = parse_deadline(*text);
  if (deadline.ok()) reader.spec.deadline = *deadline;
  else
    reader.problem(index, "'deadline' is " + kind_of(reader.at(index)),
                   "a duration (2h) or a moment (2026-01-31T08:00:00Z)");
}

void read_key(Reader& reader, const Entry& entry) {
  WorkflowSpec& spec = reader.spec;
  const std::string what = "'" + entry.name + "'";
  if (entry.name == "name") read_name(reader, entry.value);
  else if (entry.name == "description") spec.description = reader.read_string(entry.value, what).value_or("");
  else if (entry.name == "fail_fast") spec.fail_fast = reader.read_boolean(entry.value, what).value_or(true);
  else if (entry.name == "timeout") spec.timeout = reader.read_duration(entry.value, what, 1us).value_or(Duration{});
  else if (entry.name == "deadline") read_deadline(reader, entry.value);
  else if (entry.name == "priority") {
    constexpr std::int64_t kMax = std::numeric_limits<std::int32_t>::max();
    spec.priority = static_cast<std::int32_t>(reader.read_integer(entry.value, what, -kMax, kMax).value_or(0));
  } else if (std::ranges::find(keys::kWorkflow, entry.name) == keys::kWorkflow.end()) {
    reader.unknown_key(entry, "the workflow", keys::kWorkflow);
  }
}

const Entry* find_entry(const std::vector<Entry>& entries, std::string_view name) {
  const auto found = std::ranges::find(entries, name, [](const Entry& e) -> std::string_view { return e.name; });
  return found == entries.end() ? nullptr : &*found;
}

// Names before what refers to them: executors, inputs, nodes, then outputs and triggers, in whatever order they are
// written.
void read_workflow(Reader& reader) {
  const std::uint32_t root = reader.document.root();
  if (!reader.expect_mapping(root, "the workflow")) return;
  const std::vector<Entry> entries = reader.entries(root);
  for (const Entry& entry : entries) read_key(reader, entry);
  if (const Entry* executors = find_entry(entries, "executors")) read_executors(reader, executors->value);
  if (const Entry* inputs = find_entry(entries, "inputs")) read_inputs(reader, inputs->value);
  if (const Entry* nodes = find_entry(entries, "nodes"))
    read_nodes(reader, nodes->value, find_entry(entries, "on_failure"), find_entry(entries, "finally"));
  else reader.problem(root, "the workflow has no key 'nodes'", "'nodes' with at least one node");
  if (const Entry* outputs = find_entry(entries, "outputs")) read_outputs(reader, outputs->value);
  check_variables(reader);
  if (const Entry* triggers = find_entry(entries, "triggers")) read_triggers(reader, triggers->value);
  link_nodes(reader);
}

// More nodes than a workflow may have; nothing of them is read then.
std::optional<Problem> too_many_nodes(const YamlDocument& document) {
  const YamlNode& root = document.node(document.root());
  if (root.kind != YamlKind::kMapping) return std::nullopt;
  for (std::size_t i = 0; i + 1 < root.children.size(); i += 2) {
    if (document.node(root.children[i]).text != "nodes") continue;
    const YamlNode& nodes = document.node(root.children[i + 1]);
    if (nodes.kind != YamlKind::kMapping || nodes.children.size() / 2 <= kYamlNodesMax) return std::nullopt;
    return document.problem_at(nodes.offset, "the workflow has " + std::to_string(nodes.children.size() / 2) + " nodes",
                               "at most " + std::to_string(kYamlNodesMax),
                               "larger graphs are submitted in the packed form");
  }
  return std::nullopt;
}

}  // namespace

// Names that are nobody's yet. A typo in a node's `executor` is found all the same: it is neither here nor in the
// table.
void read_executors(Reader& reader, std::uint32_t index) {
  if (reader.at(index).kind != YamlKind::kSequence) {
    reader.problem(index, "'executors' is " + kind_of(reader.at(index)), "a list of names",
                   "write 'executors: [NAME]'");
    return;
  }
  for (const std::uint32_t item : reader.at(index).children) {
    const std::optional<std::string> name = reader.read_string(item, "an entry of 'executors'");
    if (!name) continue;
    if (find_executor(*name) != nullptr || *name == keys::kChildExecutor) {
      reader.problem(item, "the executor '" + *name + "' is there without being declared",
                     "the name of an executor of your own");
    } else if (!is_node_id(*name)) {
      reader.problem(item, "'" + name->substr(0, 40) + "' cannot be the name of an executor", "a name like a node id");
    } else if (std::ranges::find(reader.executors, *name) != reader.executors.end()) {
      reader.problem(item, "the executor '" + *name + "' is declared twice", "each name once");
    } else {
      reader.executors.push_back(*name);
    }
  }
}

void read_outputs(Reader& reader, std::uint32_t index) {
  reader.spec.outputs_declared = true;
  if (!reader.expect_mapping(index, "'outputs'")) return;
  for (const Entry& entry : reader.entries(index)) {
    if (!is_name(entry.name)) {
      reader.problem(entry.key, "'" + entry.name.substr(0, 40) + "' cannot be the name of an output", kNameRule);
    }
    check_expressions(reader, entry.value,
                      {"output '" + entry.name + "'", std::nullopt, /*core=*/true, /*all_nodes=*/true});
    reader.spec.outputs.emplace_back(entry.name, reader.value(entry.value));
  }
}

Result<WorkflowSpec> parse_workflow(std::string_view yaml, std::string_view file_name, const Outside& outside) {
  static_assert(YamlLimits{}.bytes_max == kYamlBytesMax);
  Result<YamlDocument> document = YamlDocument::read(yaml, file_name);
  if (!document.ok()) return document.error();
  if (std::optional<Problem> problem = too_many_nodes(*document)) {
    return Error{Code::kInvalid, document->file() + ": 1 problem", {std::move(*problem)}, "yaml_workflow_nodes_max"};
  }
  WorkflowSpec spec;
  spec.name = stem_of(file_name);
  Reader reader(*document, spec, outside);
  read_workflow(reader);
  if (!reader.report.empty()) return std::move(reader.report).to_error(document->file());
  return spec;
}

}  // namespace millrace
