#include <algorithm>
#include <utility>

#include "cli/complain.h"
#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/submission.h"
#include "cli/verbs/all.h"
#include "cli/views.h"

namespace millrace {
namespace {

Value file_json(const std::string& file, const Result<WorkflowSpec>& spec) {
  Value::Array problems;
  if (!spec.ok()) {
    for (const Problem& problem : spec.error().details) problems.push_back(problem_json(problem));
  }
  return Value::Object{
      {"file", file},
      {"valid", spec.ok()},
      {"workflow", spec.ok() ? Value(spec->name) : Value()},
      {"nodes", spec.ok() ? Value(std::uint64_t{spec->node_count()}) : Value()},
      {"edges", spec.ok() ? Value(std::uint64_t{spec->upstream.targets.size()}) : Value()},
      {"problems", std::move(problems)},
  };
}

void join(Error& all, const Error& one) {
  all.what += all.what.empty() ? one.what : "; " + one.what;
  all.details.insert(all.details.end(), one.details.begin(), one.details.end());
  if (one.details.empty()) all.details.push_back({"", 0, 0, one.what, "", ""});
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  const Console& console = context.console;
  Format format = output_format(arguments);
  Document document;
  document.name_key = "file";
  document.columns = {
      {"FILE", [](const Value& row) { return cell_text(row, "file"); }},
      {"VALID", [](const Value& row) { return std::string(row.find("valid")->as_bool() ? "yes" : "no"); }},
      {"WORKFLOW", [](const Value& row) { return cell_text(row, "workflow"); }},
      {"NODES", [](const Value& row) { return cell_text(row, "nodes"); }, false, true},
      {"EDGES", [](const Value& row) { return cell_text(row, "edges"); }, false, true},
      {"PROBLEMS", [](const Value& row) { return std::to_string(row.find("problems")->as_array().size()); }, false,
       true},
  };
  Error all{Code::kInvalid, "", {}, ""};
  for (const std::string& file : arguments.operands()) {
    Result<WorkflowSpec> spec = load_workflow(file);
    document.rows.push_back(file_json(file, spec));
    if (spec.ok()) continue;
    join(all, spec.error());
    if (is_for_people(format)) {
      console.err(complaint(spec.error(), console.err_terminal, console.err_terminal && console.colour));
    }
  }
  bool valid = all.what.empty();
  document.whole = Value::Object{{"valid", valid}, {"files", Value::Array(document.rows)}};
  if (!valid) document.whole.set("error", *error_json(all).find("error"));
  console.out(render(document, format, console));
  return valid ? kExitOk : kExitUsage;
}

}  // namespace

Verb validate_verb() {
  return {"validate",
          "check workflow files",
          "Reads workflow files and tells every problem of all of them at once, each with file, line and column, what\n"
          "was expected and, where it can be guessed, what was meant. Needs no cluster. Exit code 2 if any is invalid.",
          {"millrace validate examples/*.yaml", "millrace validate flow.yaml -o json"},
          {{{"FILE", "workflow files; - is standard input", true, true, Completes::kFile, {}}}, {output_option()}},
          run};
}

}  // namespace millrace
