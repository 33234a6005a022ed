#include <algorithm>
#include <charconv>

#include "cli/difference.h"
#include "cli/exit_code.h"
#include "cli/pauses.h"
#include "cli/registered.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/submission.h"
#include "cli/text.h"
#include "cli/verbs/all.h"
#include "common/wire/codec.h"

namespace millrace {
namespace {

Error usage(const std::string& what) { return {Code::kInvalid, "millrace workflow " + what, {}, "usage"}; }

Value text_or_null(const std::string& text) { return text.empty() ? Value() : Value(text); }

Value version_json(const WorkflowVersion& version) {
  return Value::Object{
      {"version", std::uint64_t{version.version}},
      {"definition", to_string(version.definition)},
      {"applied", iso_time(version.applied)},
      {"caller", text_or_null(version.caller)},
      {"rolled_back_to", version.rolled_back_to == 0 ? Value() : Value(std::uint64_t{version.rolled_back_to})}};
}

// {"workflow","tenant"}, then what is said of a version.
Value named_json(const RegisteredWorkflow& workflow) {
  return Value::Object{{"workflow", workflow.name}, {"tenant", workflow.tenant}};
}
Value with_members(Value json, const Value& more) {
  for (const auto& [key, value] : more.as_object()) json.set(key, value);
  return json;
}
Value with_version(Value json, const WorkflowVersion& version) {
  return with_members(std::move(json), version_json(version));
}

WorkflowRequest request_of(WorkflowAct act, const Arguments& arguments, std::string name) {
  WorkflowRequest request;
  request.act = act;
  request.tenant = arguments.text("tenant", "default");
  request.name = std::move(name);
  request.caller = caller_name();
  return request;
}

// ---------------------------------------------------------------- apply, rollback, delete

int print_change(const CommandContext& context, const Arguments& arguments, const WorkflowReply& reply) {
  const WorkflowVersion& version = reply.workflow.versions.back();
  Value whole = with_version(named_json(reply.workflow), version);
  whole.set("changed", reply.changed);
  const Format format = output_format(arguments);
  const std::string words =
      printable(reply.workflow.name) + " version " + std::to_string(version.version) +
      (!reply.changed                ? " (unchanged)"
       : version.rolled_back_to != 0 ? " (as version " + std::to_string(version.rolled_back_to) + ")"
                                     : "");
  context.console.out(is_for_people(format) ? words + "\n" : render_object(whole, "workflow", format));
  return kExitOk;
}

Result<int> apply(const CommandContext& context, const Arguments& arguments) {
  if (arguments.operands().size() != 2) return usage("apply: one FILE is expected");
  Result<WorkflowSpec> spec = load_workflow(arguments.operand(1));
  if (!spec.ok()) return std::move(spec).error();
  WorkflowRequest request = request_of(WorkflowAct::kApply, arguments, spec->name);
  request.definition_bytes = std::make_shared<const std::string>(encode_definition(*spec));
  request.definition = hash128(*request.definition_bytes);
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  Result<WorkflowReply> reply = session->call<WorkflowReply>(request);
  if (!reply.ok()) return std::move(reply).error();
  return print_change(context, arguments, *reply);
}

Result<int> roll_back(const CommandContext& context, const Arguments& arguments) {
  std::optional<std::uint32_t> version;
  if (arguments.operands().size() == 3) version = parse_version(arguments.operand(2));
  if (!version) return usage("rollback: NAME and the number of a version are expected");
  WorkflowRequest request = request_of(WorkflowAct::kRollBack, arguments, arguments.operand(1));
  request.version = *version;
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  Result<WorkflowReply> reply = session->call<WorkflowReply>(request);
  if (!reply.ok()) return std::move(reply).error();
  return print_change(context, arguments, *reply);
}

Result<int> erase(const CommandContext& context, const Arguments& arguments) {
  if (arguments.operands().size() != 2) return usage("delete: one NAME is expected");
  WorkflowRequest request = request_of(WorkflowAct::kDelete, arguments, arguments.operand(1));
  request.force = arguments.given("force");
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  Result<WorkflowReply> reply = session->call<WorkflowReply>(request);
  if (!reply.ok()) return std::move(reply).error();
  Value whole = named_json(reply->workflow);
  whole.set("deleted", true);
  whole.set("last_version", std::uint64_t{reply->workflow.latest});
  const Format format = output_format(arguments);
  context.console.out(is_for_people(format) ? printable(reply->workflow.name) + " is deleted\n"
                                            : render_object(whole, "workflow", format));
  return kExitOk;
}

// ---------------------------------------------------------------- list, versions, show, diff

Result<int> list(const CommandContext& context, const Arguments& arguments) {
  if (arguments.operands().size() != 1) return usage("list: takes no argument");
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  Result<WorkflowsReply> reply = session->call<WorkflowsReply>(ListWorkflows{arguments.text("tenant")});
  if (!reply.ok()) return std::move(reply).error();
  Result<PausesReply> pauses = session->call<PausesReply>(ListPauses{arguments.text("tenant")});
  if (!pauses.ok()) return std::move(pauses).error();
  const auto pause_of = [&](const RegisteredWorkflow& workflow) {
    const PauseName name{PauseKind::kWorkflow, workflow.tenant, workflow.name};
    const auto found = std::ranges::find(pauses->pauses, name, &Pause::what);
    return found == pauses->pauses.end() ? Value() : pause_json(*found);
  };
  std::ranges::sort(reply->workflows, [](const RegisteredWorkflow& a, const RegisteredWorkflow& b) {
    return std::tie(a.name, a.tenant) < std::tie(b.name, b.tenant);
  });
  Document document;
  document.name_key = "workflow";
  for (const RegisteredWorkflow& workflow : reply->workflows) {
    document.rows.push_back(with_version(named_json(workflow), workflow.versions.back()));
    document.rows.back().set("pause", pause_of(workflow));
  }
  document.whole = Value::Object{{"workflows", Value::Array(document.rows)}};
  document.columns = {
      {"WORKFLOW", [](const Value& row) { return cell_text(row, "workflow"); }},
      {"VERSION", [](const Value& row) { return cell_text(row, "version"); }, false, true},
      {"APPLIED", [](const Value& row) { return cell_text(row, "applied").substr(0, 19); }},
      {"BY", [](const Value& row) { return cell_text(row, "caller"); }},
      {"STATUS", [](const Value& row) { return std::string(row.find("pause")->is_null() ? "active" : "paused"); }},
      {"TENANT", [](const Value& row) { return cell_text(row, "tenant"); }, true},
      {"DEFINITION", [](const Value& row) { return cell_text(row, "definition"); }, true},
  };
  context.console.out(render(document, output_format(arguments), context.console));
  return kExitOk;
}

Result<int> versions(const CommandContext& context, const Arguments& arguments) {
  if (arguments.operands().size() != 2) return usage("versions: one NAME is expected");
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  WorkflowRequest request = request_of(WorkflowAct::kGet, arguments, arguments.operand(1));
  Result<WorkflowReply> reply = session->call<WorkflowReply>(request);
  if (!reply.ok()) return std::move(reply).error();
  Document document;
  document.name_key = "version";
  for (const WorkflowVersion& version : reply->workflow.versions) {
    document.rows.push_back(version_json(version));
    document.rows.back().set("current", version.version == reply->workflow.versions.back().version);
  }
  document.whole = named_json(reply->workflow);
  document.whole.set("versions", Value::Array(document.rows));
  document.columns = {
      {"VERSION", [](const Value& row) { return cell_text(row, "version"); }, false, true},
      {"APPLIED", [](const Value& row) { return cell_text(row, "applied").substr(0, 19); }},
      {"BY", [](const Value& row) { return cell_text(row, "caller"); }},
      {"AS VERSION", [](const Value& row) { return cell_text(row, "rolled_back_to"); }, false, true},
      {"DEFINITION", [](const Value& row) { return cell_text(row, "definition"); }, true},
  };
  context.console.out(render(document, output_format(arguments), context.console));
  return kExitOk;
}

Result<int> show(const CommandContext& context, const Arguments& arguments) {
  if (arguments.operands().size() != 2) return usage("show: NAME or NAME@VERSION is expected");
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  Result<FoundWorkflow> found = find_workflow(*session, arguments, arguments.operand(1));
  if (!found.ok()) return std::move(found).error();
  Value whole = with_version(named_json(found->workflow), found->version);
  whole.set("current", found->version.version == found->workflow.versions.back().version);
  whole = with_members(std::move(whole), spec_json(found->spec));
  const Format format = output_format(arguments);
  if (!is_for_people(format)) {
    context.console.out(render_object(whole, "workflow", format));
    return kExitOk;
  }
  std::string text = printable(found->spec.name) + " version " + std::to_string(found->version.version) + ", applied " +
                     iso_time(found->version.applied).substr(0, 19) +
                     (found->version.caller.empty() ? "" : " by " + printable(found->version.caller)) + "\n";
  if (!found->spec.description.empty()) text += printable(found->spec.description) + "\n";
  const Column inputs[] = {{"INPUT", [](const Value& row) { return cell_text(row, "name"); }},
                           {"TYPE", [](const Value& row) { return cell_text(row, "type"); }},
                           {"DEFAULT", [](const Value& row) { return cell_text(row, "default"); }}};
  const Column nodes[] = {{"NODE", [](const Value& row) { return cell_text(row, "node"); }},
                          {"EXECUTOR", [](const Value& row) { return cell_text(row, "executor"); }},
                          {"DEPENDS ON", [](const Value& row) { return cell_pairs(row, "depends_on"); }}};
  const auto table = [&](const char* member, std::span<const Column> columns) {
    const Value::Array& rows = whole.find(member)->as_array();
    if (!rows.empty()) text += "\n" + render_table(columns, rows, false, 0, false);
  };
  table("inputs", inputs);
  table("nodes", nodes);
  context.console.out(text);
  return kExitOk;
}

// NAME: the version before the current one with the current one. NAME@A: A with the current one. A second operand says
// with what instead: NAME@B, or a file.
Result<int> diff(const CommandContext& context, const Arguments& arguments) {
  const std::size_t given = arguments.operands().size();
  if (given < 2 || given > 3) return usage("diff: NAME[@A] and perhaps NAME[@B] or FILE are expected");
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  Result<FoundWorkflow> first = find_workflow(*session, arguments, arguments.operand(1));
  if (!first.ok()) return std::move(first).error();
  const auto& all = first->workflow.versions;
  const bool names_version = arguments.operand(1).find('@') != std::string::npos;
  if (given == 2 && !names_version && all.size() > 1) {
    const std::string before = first->workflow.name + "@" + std::to_string(all[all.size() - 2].version);
    first = find_workflow(*session, arguments, before);
    if (!first.ok()) return std::move(first).error();
  }
  std::string with = given == 3 ? arguments.operand(2) : first->workflow.name;
  Value to;
  WorkflowSpec second;
  if (given == 3 && !names_registered(with)) {
    Result<WorkflowSpec> spec = load_workflow(with);
    if (!spec.ok()) return std::move(spec).error();
    second = std::move(*spec);
    to = with;
  } else {
    Result<FoundWorkflow> found = find_workflow(*session, arguments, with);
    if (!found.ok()) return std::move(found).error();
    second = std::move(found->spec);
    to = std::uint64_t{found->version.version};
  }
  const WorkflowDifference changes = difference(first->spec, second);
  const Format format = output_format(arguments);
  if (is_for_people(format)) {
    context.console.out(changes.empty() ? "no difference\n" : difference_text(changes));
    return kExitOk;
  }
  Value whole = named_json(first->workflow);
  whole.set("from", std::uint64_t{first->version.version});
  whole.set("to", std::move(to));
  whole = with_members(std::move(whole), difference_json(changes));
  context.console.out(render_object(whole, "workflow", format));
  return kExitOk;
}

struct Action {
  std::string_view name;
  Result<int> (*run)(const CommandContext& context, const Arguments& arguments);
};

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  static const std::vector<Action> actions = {{"apply", apply}, {"list", list},         {"show", show},
                                              {"diff", diff},   {"versions", versions}, {"rollback", roll_back},
                                              {"delete", erase}};
  const auto action = std::ranges::find(actions, arguments.operand(0), &Action::name);
  if (arguments.given("force") && action->name != "delete") return usage("--force is for delete");
  return action->run(context, arguments);
}

}  // namespace

Verb workflow_verb() {
  return {
      "workflow",
      "register workflows under their names, version by version",
      "apply FILE registers a workflow under its name: the first time as version 1, then as the next one whenever it\n"
      "has changed. list, show NAME[@V], versions NAME and diff tell what there is; rollback NAME V makes version V\n"
      "current again, as a new version; delete NAME forgets the name. `millrace submit NAME[@V]` starts a run of one.\n"
      "Runs that there are keep the definition that they were started with.",
      {"millrace workflow apply flow.yaml", "millrace workflow diff insight flow.yaml",
       "millrace workflow rollback insight 3", "millrace submit insight@3 -i day=2026-01-31"},
      {{{"ACTION",
         "apply, list, show, versions, diff, rollback or delete",
         true,
         false,
         Completes::kNothing,
         {"apply", "list", "show", "versions", "diff", "rollback", "delete"}},
        {"NAME", "FILE to apply; else NAME or NAME@VERSION", false, false, Completes::kFile, {}},
        {"OTHER", "of rollback: the version; of diff: NAME@VERSION or FILE", false, false, Completes::kFile, {}}},
       {{"tenant", 0, Takes::kText, "NAME", "whose workflows (default: default; list: all)"},
        {"force", 0, Takes::kNothing, "", "of delete: also where runs of it are live; they go on"},
        output_option(),
        coordinator_option(),
        timeout_option()}},
      run};
}

}  // namespace millrace
