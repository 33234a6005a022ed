#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/text.h"
#include "cli/verbs/all.h"
#include "coordinator/shell/store_tool.h"

namespace millrace {
namespace {

Error usage(std::string what) { return {Code::kInvalid, "millrace store " + what, {}, "usage"}; }
Value count(std::uint64_t number) { return Value(static_cast<std::int64_t>(number)); }

// Fields of idempotency keys are bytes.
Value entry_json(const StoreFinding& finding) {
  if (finding.entry.empty()) return {};
  if (finding.kind != "key") return Value(printable(finding.entry));
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : finding.entry) {
    const auto byte = static_cast<unsigned char>(c);
    hex += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return Value(hex);
}

Value finding_json(const StoreFinding& finding) {
  return Value::Object{{"partition", finding.partition ? count(*finding.partition) : Value()},
                       {"kind", finding.kind},
                       {"run", finding.run ? Value(to_string(*finding.run)) : Value()},
                       {"key", finding.key},
                       {"entry", entry_json(finding)},
                       {"what", printable(finding.what)}};
}

std::vector<Column> finding_columns() {
  return {{"PARTITION", [](const Value& row) { return cell_text(row, "partition"); }, false, true},
          {"KIND", [](const Value& row) { return cell_text(row, "kind"); }},
          {"RUN", [](const Value& row) { return cell_text(row, "run"); }},
          {"WHAT", [](const Value& row) { return cell_text(row, "what"); }},
          {"KEY", [](const Value& row) { return cell_text(row, "key"); }, true},
          {"ENTRY", [](const Value& row) { return cell_text(row, "entry"); }, true}};
}

std::string things(std::uint64_t number, const char* what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

Result<int> check(const CommandContext& context, const Arguments& arguments, StoreTool& tool) {
  const Result<StoreCheck> check = tool.check();
  if (!check.ok()) return check.error();
  const bool clean = check->findings.empty();
  Document document;
  document.name_key = "key";
  for (const StoreFinding& finding : check->findings) document.rows.push_back(finding_json(finding));
  document.whole = Value::Object{{"redis", tool.where()},
                                 {"state", clean ? "clean" : "damaged"},
                                 {"partitions", count(check->partitions)},
                                 {"runs", count(check->runs)},
                                 {"live_runs", count(check->runs_live)},
                                 {"tasks", count(check->tasks)},
                                 {"events", count(check->events)},
                                 {"definitions", count(check->definitions)},
                                 {"values", count(check->values)},
                                 {"findings", Value::Array(document.rows)}};
  document.columns = finding_columns();
  const Format format = output_format(arguments);
  if (!is_for_people(format) || !clean) context.console.out(render(document, format, context.console));
  if (is_for_people(format)) {
    context.console.out((clean ? "clean: " : things(check->findings.size(), "finding") + " among ") +
                        things(check->partitions, "partition") + ", " + things(check->runs, "run") + " (" +
                        std::to_string(check->runs_live) + " live), " + things(check->tasks, "task record") + ", " +
                        things(check->events, "event") + ", " + things(check->values, "value") + "\n");
  }
  return clean ? kExitOk : kExitRunFailed;
}

Result<int> repair(const CommandContext& context, const Arguments& arguments, StoreTool& tool) {
  const Result<StoreRepair> repair = tool.repair(arguments.given("take"));
  if (!repair.ok()) return repair.error();
  Document document;
  document.name_key = "key";
  std::uint64_t done = 0;
  for (const StoreAction& action : repair->actions) {
    Value row = finding_json(action.finding);
    Value::Object object = row.as_object();
    object.insert(object.begin(), {"action", Value(action.action)});
    object.push_back({"why", action.why.empty() ? Value() : Value(action.why)});
    document.rows.emplace_back(std::move(object));
    done += action.action == "left" ? 0 : 1;
  }
  document.whole = Value::Object{{"redis", tool.where()},
                                 {"repaired", count(done)},
                                 {"left", count(repair->left)},
                                 {"actions", Value::Array(document.rows)}};
  document.columns = finding_columns();
  document.columns.insert(document.columns.begin(),
                          {"ACTION", [](const Value& row) { return cell_text(row, "action"); }});
  document.columns.push_back({"WHY LEFT", [](const Value& row) { return cell_text(row, "why"); }});
  const Format format = output_format(arguments);
  if (!is_for_people(format) || !document.rows.empty()) context.console.out(render(document, format, context.console));
  if (is_for_people(format))
    context.console.out(repair->actions.empty()
                            ? "nothing to repair\n"
                            : std::to_string(done) + " repaired, " + std::to_string(repair->left) + " left\n");
  return repair->left == 0 ? kExitOk : kExitRunFailed;
}

Result<int> copied(const CommandContext& context, const Arguments& arguments, const StoreTool& tool,
                   const Result<StoreCopy>& copy, std::string_view word) {
  if (!copy.ok()) return copy.error();
  const std::string file = arguments.operand(1);
  const Value whole = Value::Object{{"redis", tool.where()},          {"file", file},
                                    {"format", count(kBackupFormat)}, {"partitions", count(copy->partitions)},
                                    {"keys", count(copy->keys)},      {"bytes", count(copy->bytes)}};
  const Format format = output_format(arguments);
  context.console.out(is_for_people(format)
                          ? printable(file) + " " + std::string(word) + ": " + things(copy->partitions, "partition") +
                                ", " + things(copy->keys, "key") + ", " + things(copy->bytes, "byte") + "\n"
                          : render_object(whole, "file", format));
  return kExitOk;
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  const std::string action = arguments.operand(0);
  const bool file = action == "backup" || action == "restore";
  if (arguments.operands().size() != (file ? 2U : 1U))
    return usage(action + (file ? ": one FILE is expected" : ": no operand is expected"));
  if (arguments.given("take") && action != "repair") return usage(action + ": --take is of no use here");
  if (arguments.given("force") && action != "restore") return usage(action + ": --force is of no use here");
  std::string url = arguments.text("redis");
  if (url.empty()) {
    const char* named = context.environment("MILLRACE_REDIS");
    url = named != nullptr && *named != '\0' ? named : "redis://127.0.0.1:6379/0";
  }
  Result<std::unique_ptr<StoreTool>> tool = StoreTool::open(url, arguments.duration("timeout").value_or(Duration{5s}));
  if (!tool.ok()) return tool.error();
  if (action == "check") return check(context, arguments, **tool);
  if (action == "repair") return repair(context, arguments, **tool);
  if (action == "backup") return copied(context, arguments, **tool, (*tool)->backup(arguments.operand(1)), "written");
  return copied(context, arguments, **tool, (*tool)->restore(arguments.operand(1), arguments.given("force")),
                "restored");
}

}  // namespace

Verb store_verb() {
  return {
      "store",
      "check, repair, back up or restore what Redis keeps",
      "Talks to Redis itself, beside the coordinators, which may run or not. check reads everything and says what is\n"
      "damaged: exit code 1. repair takes damaged partitions for a moment, puts indexes right and sets aside what "
      "cannot\n"
      "be read; where a living owner still has damaged live runs in memory, it leaves them to it unless --take is "
      "given.\n"
      "backup writes all that the cluster keeps to FILE, each partition as of one commit; restore puts it into an\n"
      "empty store. See docs/durability.md.",
      {"millrace store check --redis redis://127.0.0.1:6379/0", "millrace store repair",
       "millrace store backup monday.backup", "millrace store restore monday.backup -o json"},
      {{{"ACTION",
         "check, repair, backup or restore",
         true,
         false,
         Completes::kNothing,
         {"check", "repair", "backup", "restore"}},
        {"FILE", "of backup and restore", false, false, Completes::kFile, {}}},
       {output_option(),
        {"redis", 0, Takes::kText, "URL",
         "the cluster's Redis, as its coordinators name it (environment: MILLRACE_REDIS)"},
        {"take", 0, Takes::kNothing, "", "repair: give up damaged live runs that a living owner has in memory"},
        {"force", 0, Takes::kNothing, "", "restore: replace what is there"},
        {"timeout", 0, Takes::kDuration, "DURATION", "how long to wait for Redis (default: 5s)"}}},
      run};
}

}  // namespace millrace
