#include "cli/pauses.h"

#include <algorithm>
#include <utility>

#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/submission.h"
#include "cli/text.h"

namespace millrace {
namespace {

Error usage(std::string what) { return Error{Code::kInvalid, std::move(what), {}, "usage"}; }

Value text_or_null(const std::string& text) { return text.empty() ? Value() : Value(text); }

PauseName name_of(const Arguments& arguments) {
  if (arguments.given("queue")) return {PauseKind::kQueue, "", arguments.text("queue")};
  return {PauseKind::kWorkflow, arguments.text("tenant", "default"), arguments.text("workflow")};
}

Result<int> list(const CommandContext& context, const Arguments& arguments) {
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  Result<PausesReply> reply = session->call<PausesReply>(ListPauses{arguments.text("tenant")});
  if (!reply.ok()) return std::move(reply).error();
  std::ranges::sort(reply->pauses, {}, &Pause::what);
  Document document;
  document.name_key = "name";
  for (const Pause& pause : reply->pauses) document.rows.push_back(pause_json(pause));
  document.whole = Value::Object{{"pauses", Value::Array(document.rows)}};
  document.columns = {
      {"PAUSED", [](const Value& row) { return cell_text(row, "kind"); }},
      {"NAME", [](const Value& row) { return cell_text(row, "name"); }},
      {"SINCE", [](const Value& row) { return cell_text(row, "since").substr(0, 19); }},
      {"BY", [](const Value& row) { return cell_text(row, "caller"); }},
      {"REASON", [](const Value& row) { return cell_text(row, "reason"); }},
      {"TENANT", [](const Value& row) { return cell_text(row, "tenant"); }, true},
  };
  const Format format = output_format(arguments);
  if (document.rows.empty() && is_for_people(format)) context.console.note("no workflow and no queue is paused");
  context.console.out(render(document, format, context.console));
  return kExitOk;
}

}  // namespace

std::vector<Option> scope_options(bool pauses) {
  std::vector<Option> options = {
      {"workflow", 0, Takes::kText, "NAME", "instead of RUN: a registered workflow, all of its runs, new ones too"},
      {"queue", 0, Takes::kText, "NAME", "instead of RUN: all tasks of this queue, whosever they are"},
      {"tenant", 0, Takes::kText, "NAME", "whose workflow (default: default)"}};
  if (pauses) options.push_back({"list", 0, Takes::kNothing, "", "tell which workflows and queues are paused"});
  return options;
}

Result<bool> is_scope(const Arguments& arguments, bool pauses) {
  const int given = static_cast<int>(arguments.given("workflow")) + static_cast<int>(arguments.given("queue")) +
                    static_cast<int>(pauses && arguments.given("list"));
  if (given == 0) {
    if (arguments.given("tenant")) return usage("--tenant belongs to --workflow");
    return false;
  }
  const bool runs = !arguments.operands().empty() || arguments.given("where");
  if (given > 1 || runs) return usage("RUN, --where, --workflow, --queue and --list: one of them");
  if (arguments.given("queue") && arguments.given("tenant"))
    return usage("--queue: a queue is of all tenants; --tenant belongs to --workflow");
  if (arguments.given("dry-run") || arguments.given("yes")) return usage("--dry-run and --yes belong to --where");
  return true;
}

Value pause_json(const Pause& pause) {
  return Value::Object{{"kind", pause.what.kind == PauseKind::kWorkflow ? "workflow" : "queue"},
                       {"name", pause.what.name},
                       {"tenant", text_or_null(pause.what.tenant)},
                       {"since", text_or_null(iso_time(pause.since))},
                       {"caller", text_or_null(pause.caller)},
                       {"reason", text_or_null(pause.why)}};
}

Result<int> act_on_scope(const CommandContext& context, const Arguments& arguments, bool pauses) {
  if (pauses && arguments.given("list")) return list(context, arguments);
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  Result<PauseReply> reply =
      session->call<PauseReply>(PauseScope{name_of(arguments), pauses, arguments.text("reason"), caller_name()});
  if (!reply.ok()) return std::move(reply).error();
  Value whole = pause_json(reply->pause);
  whole.set("paused", reply->paused);
  whole.set("repeated", reply->repeated);
  const Format format = output_format(arguments);
  if (reply->repeated && is_for_people(format)) context.console.note("nothing was left to do: it had been done before");
  const std::string words =
      cell_text(whole, "kind") + " " + cell_text(whole, "name") + (reply->paused ? " is paused" : " goes on");
  context.console.out(is_for_people(format) ? words + "\n" : render_object(whole, "name", format));
  return kExitOk;
}

}  // namespace millrace
