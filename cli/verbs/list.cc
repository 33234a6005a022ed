#include <chrono>
#include <utility>

#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/submission.h"
#include "cli/verbs/all.h"
#include "cli/views.h"

namespace millrace {
namespace {

constexpr std::int64_t kLimitMax = 1000;

Time wall_clock() {
  return Time(std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch()));
}

std::string tasks_cell(const Value& row) {
  const Value* tasks = row.find("tasks");
  return cell_text(*tasks, "done") + "/" + cell_text(*tasks, "total");
}

Document list_document(const ListReply& reply, Time now) {
  Document document;
  document.name_key = "run";
  for (const RunSummary& one : reply.runs) document.rows.push_back(summary_json(one, now));
  document.whole = Value::Object{{"runs", Value::Array(document.rows)},
                                 {"next_page", reply.next_page.empty() ? Value() : Value(reply.next_page)}};
  document.columns = {
      {"RUN", [](const Value& row) { return cell_text(row, "run"); }},
      {"WORKFLOW", [](const Value& row) { return cell_text(row, "workflow"); }},
      {"STATUS", [](const Value& row) { return cell_text(row, "status"); }, false, false, true},
      {"TASKS", tasks_cell, false, true},
      {"ELAPSED", [](const Value& row) { return cell_duration_ms(row, "elapsed_ms"); }, false, true},
      {"ACCEPTED", [](const Value& row) { return cell_text(row, "accepted").substr(0, 19); }},
      {"LABELS", [](const Value& row) { return cell_pairs(row, "labels"); }},
      {"TENANT", [](const Value& row) { return cell_text(row, "tenant"); }, true},
      {"TRACE", [](const Value& row) { return cell_text(row, "trace_id"); }, true},
  };
  return document;
}

Result<ListRuns> list_request(const Arguments& arguments) {
  ListRuns request;
  Result<Labels> labels = parse_labels(arguments.list("label"));
  if (!labels.ok()) return std::move(labels).error();
  request.labels = std::move(*labels);
  request.tenant = arguments.text("tenant");
  request.workflow = arguments.text("workflow");
  if (arguments.given("status")) request.state = parse_run_state(arguments.text("status"));
  if (arguments.given("mine")) request.caller = caller_name();
  request.page = arguments.text("page");
  request.where = arguments.text("where");
  std::int64_t limit = arguments.number("limit").value_or(request.limit);
  if (limit < 1 || limit > kLimitMax) {
    return Error{Code::kInvalid,
                 "--limit " + std::to_string(limit) + ": expected 1 to " + std::to_string(kLimitMax),
                 {},
                 "usage"};
  }
  request.limit = static_cast<std::uint32_t>(limit);
  return request;
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  Result<ListRuns> request = list_request(arguments);
  if (!request.ok()) return std::move(request).error();
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  Format format = output_format(arguments);
  std::string next_page;
  Result<int> code = show_or_watch(context, arguments, [&]() -> Result<Shown> {
    Result<ListReply> reply = session->call<ListReply>(*request);
    if (!reply.ok()) return std::move(reply).error();
    next_page = reply->next_page;
    return Shown{render(list_document(*reply, wall_clock()), format, context.console), false, kExitOk};
  });
  if (code.ok() && !next_page.empty() && format != Format::kJson && format != Format::kYaml) {
    context.console.note("there are more: --page " + next_page);
  }
  return code;
}

}  // namespace

Verb list_verb() {
  Option status{"status", 's', Takes::kText, "WORD", "only runs in this state"};
  for (auto state = static_cast<int>(RunState::kAccepted); state <= static_cast<int>(RunState::kCancelled); ++state) {
    status.choices.push_back(to_string(static_cast<RunState>(state)));
  }
  return {
      "list",
      "list runs, newest first",
      "Lists runs, newest first. What is given narrows it down; all of it must fit. A page ends with a token for the\n"
      "next one (in JSON: next_page).",
      {"millrace list -l team=search --status failed", "millrace list --limit 1 -o name"},
      {{},
       {{"label", 'l', Takes::kText, "NAME=VALUE", "only runs with this label", true},
        status,
        {"where", 0, Takes::kText, "EXPR", "only runs for which this holds: 'elapsed > 60 and labels.team == \"a\"'"},
        {"workflow", 0, Takes::kText, "NAME", "only runs of this workflow"},
        {"tenant", 0, Takes::kText, "NAME", "only runs of this tenant"},
        {"mine", 0, Takes::kNothing, "", "only runs that this user@host submitted"},
        {"limit", 'n', Takes::kNumber, "N", "at most so many, 1 to 1000 (default: 50)"},
        {"page", 0, Takes::kText, "TOKEN", "go on where the list before ended"},
        output_option(),
        watch_option(),
        coordinator_option(),
        timeout_option()}},
      run};
}

}  // namespace millrace
