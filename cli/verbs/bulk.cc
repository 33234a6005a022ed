#include "cli/verbs/bulk.h"

#include <utility>

#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/text.h"

namespace millrace {
namespace {

constexpr std::size_t kAskedMax = 20;  // runs that are shown when it is asked back

Error usage(std::string what) { return Error{Code::kInvalid, std::move(what), {}, "usage"}; }

Result<std::vector<RunSummary>> runs_where(Session& session, const std::string& where, const std::string& applies) {
  ListRuns request;
  request.where = "(" + where + ") and (" + applies + ")";
  request.limit = 1000;
  std::vector<RunSummary> runs;
  do {
    Result<ListReply> reply = session.call<ListReply>(request);
    if (!reply.ok()) return std::move(reply).error();
    for (RunSummary& run : reply->runs) runs.push_back(std::move(run));
    if (runs.size() > kBulkMax)
      return usage("--where: more than " + std::to_string(kBulkMax) + " runs; say more of which ones");
    request.page = std::move(reply->next_page);
  } while (!request.page.empty());
  return runs;
}

// The expression alone first: what is wrong in it is told as it was written.
Status check_where(Session& session, const std::string& where) {
  ListRuns request;
  request.where = where;
  request.limit = 1;
  Result<ListReply> reply = session.call<ListReply>(request);
  if (!reply.ok()) return std::move(reply).error();
  return Done{};
}

Value row_of(const RunSummary& run) {
  return Value::Object{{"run", to_string(run.run)}, {"workflow", run.workflow}, {"was", to_string(run.state)}};
}

Result<bool> confirmed(const Console& console, const Bulk& bulk, const std::vector<RunSummary>& runs) {
  if (!console.ask || !console.err_terminal)
    return usage("--where: " + bulk.does + " " + std::to_string(runs.size()) +
                 " runs? Say --yes, or look first with --dry-run");
  for (std::size_t i = 0; i < runs.size() && i < kAskedMax; ++i) {
    console.err("  " + to_string(runs[i].run) + "  " + printable(runs[i].workflow) + "  " +
                std::string(to_string(runs[i].state)) + "\n");
  }
  if (runs.size() > kAskedMax) console.err("  and " + std::to_string(runs.size() - kAskedMax) + " more\n");
  const std::string answer = console.ask(bulk.does + " these " + std::to_string(runs.size()) + " runs? [y/N] ");
  return answer == "y" || answer == "yes" || answer == "Y";
}

Document document_of(std::vector<Value> rows, const Bulk& bulk, bool dry) {
  Document document;
  document.name_key = "run";
  document.whole =
      Value::Object{{"action", bulk.does}, {"dry_run", dry}, {"runs", Value::Array(rows.begin(), rows.end())}};
  document.rows = std::move(rows);
  document.columns = {
      {"RUN", [](const Value& row) { return cell_text(row, "run"); }},
      {"WORKFLOW", [](const Value& row) { return cell_text(row, "workflow"); }},
      {"WAS", [](const Value& row) { return cell_text(row, "was"); }, false, false, true},
  };
  if (dry) return document;
  const auto is_new = [](const Value& row) {
    return row.find("new_run") != nullptr ? cell_text(row, "new_run") : cell_text(row, "status");
  };
  document.columns.push_back({"NOW", is_new, false, false, true});
  document.columns.push_back({"ERROR", [](const Value& row) { return cell_text(row, "error"); }});
  return document;
}

}  // namespace

std::vector<Option> bulk_options() {
  return {{"where", 0, Takes::kText, "EXPR", "instead of RUN: every run for which this holds, as in list --where"},
          {"dry-run", 0, Takes::kNothing, "", "with --where: only show which runs it would be"},
          {"yes", 'y', Takes::kNothing, "", "with --where: do not ask; required where there is no terminal"}};
}

Result<bool> is_bulk(const Arguments& arguments) {
  const bool where = arguments.given("where");
  if (where == !arguments.operands().empty())
    return usage(where ? "RUN and --where: one of them" : "RUN is missing, or --where EXPR");
  if (!where && (arguments.given("dry-run") || arguments.given("yes")))
    return usage("--dry-run and --yes belong to --where");
  return where;
}

Result<int> act_on_all(const CommandContext& context, const Arguments& arguments, const Bulk& bulk) {
  const Console& console = context.console;
  const Format format = output_format(arguments);
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  const std::string where = arguments.text("where");
  if (Status right = check_where(*session, where); !right.ok()) return right.error();
  Result<std::vector<RunSummary>> runs = runs_where(*session, where, bulk.applies);
  if (!runs.ok()) return std::move(runs).error();
  const bool dry = arguments.given("dry-run");
  if (!dry && !arguments.given("yes") && !runs->empty()) {
    Result<bool> sure = confirmed(console, bulk, *runs);
    if (!sure.ok()) return std::move(sure).error();
    if (!*sure) {
      console.note("nothing was done");
      return kExitOk;
    }
  }
  std::vector<Value> rows;
  int code = kExitOk;
  for (const RunSummary& run : *runs) {
    Value row = row_of(run);
    if (!dry) {
      Result<std::string> done = bulk.act(*session, run);
      row.set(bulk.result, done.ok() ? Value(*done) : Value());
      row.set("error", done.ok() ? Value() : Value(done.error().what));
      if (!done.ok()) code = exit_code(done.error().code);
      if (!done.ok() && done.error().code == Code::kUnavailable) return std::move(done).error();
    }
    rows.push_back(std::move(row));
  }
  if (rows.empty() && is_for_people(format)) console.note("there is no such run to " + bulk.does);
  console.out(render(document_of(std::move(rows), bulk, dry), format, console));
  return code;
}

}  // namespace millrace
