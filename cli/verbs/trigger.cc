#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/submission.h"
#include "cli/text.h"
#include "cli/verbs/all.h"

namespace millrace {
namespace {

Error usage(const std::string& what) { return {Code::kInvalid, "millrace trigger " + what, {}, "usage"}; }

constexpr Duration kRunWithin = 5s;  // a letter takes milliseconds, unless the partition that it is for just moves
constexpr Duration kLookAgain = 20ms;

std::string full_name(const TriggerView& one) { return one.workflow + "/" + one.trigger; }

Value time_or_null(Time time) { return time == Time{} ? Value() : Value(iso_time(time)); }

Value run_end_json(const std::optional<RunEndSpec>& run_end) {
  if (!run_end) return {};
  Value::Array statuses;
  for (const RunState state : run_end->statuses) statuses.push_back(to_string(state));
  return Value::Object{{"workflow", run_end->workflow}, {"statuses", std::move(statuses)}};
}

std::string when_cell(const Value& row) {
  const Value* run_end = row.find("run_end");
  if (row.find("webhook")->as_bool()) return "webhook";
  if (!row.find("stream")->is_null()) return "stream " + cell_text(row, "stream");
  if (!row.find("keyspace")->is_null()) return "keys " + cell_text(row, "keyspace");
  if (run_end->is_null()) return cell_text(row, "cron");
  const std::string statuses = cell_pairs(*run_end, "statuses");
  return "end of " + cell_text(*run_end, "workflow") + (statuses.empty() ? "" : " (" + statuses + ")");
}

Value trigger_json(const TriggerView& one) {
  return Value::Object{{"name", full_name(one)},
                       {"workflow", one.workflow},
                       {"trigger", one.trigger},
                       {"version", std::uint64_t{one.version}},
                       {"cron", one.cron.empty() ? Value() : Value(one.cron)},
                       {"timezone", one.timezone.empty() ? Value() : Value(one.timezone)},
                       {"run_end", run_end_json(one.run_end)},
                       {"webhook", one.webhook},
                       {"stream", one.stream.empty() ? Value() : Value(one.stream)},
                       {"offset", one.offset.empty() ? Value() : Value(one.offset)},
                       {"keyspace", one.keyspace.empty() ? Value() : Value(one.keyspace)},
                       {"status", one.paused ? "paused" : "active"},
                       {"next", time_or_null(one.next)},
                       {"fired", time_or_null(one.fired)},
                       {"running", !one.running.empty()},
                       {"queued", std::uint64_t{one.queued}},
                       {"started", one.started},
                       {"skipped", one.skipped},
                       {"failed", one.failed},
                       {"filtered", one.filtered},
                       {"duplicates", one.duplicates},
                       {"waiting", one.waiting},
                       {"error", one.error.empty() ? Value() : Value(one.error)}};
}

Result<int> list(const CommandContext& context, const Arguments& arguments, Session& session) {
  const ListTriggers request{arguments.text("tenant", "default"), arguments.operand(1)};
  Result<TriggersReply> reply = session.call<TriggersReply>(request);
  if (!reply.ok()) return std::move(reply).error();
  Document document;
  document.name_key = "name";
  for (const TriggerView& one : reply->triggers) document.rows.push_back(trigger_json(one));
  document.whole = Value::Object{{"triggers", Value::Array(document.rows)}};
  document.columns = {
      {"TRIGGER", [](const Value& row) { return cell_text(row, "name"); }},
      {"WHEN", when_cell},
      {"TIMEZONE", [](const Value& row) { return cell_text(row, "timezone"); }},
      {"STATUS", [](const Value& row) { return cell_text(row, "status"); }, false, false, true},
      {"NEXT", [](const Value& row) { return cell_text(row, "next").substr(0, 19); }},
      {"FIRED", [](const Value& row) { return cell_text(row, "fired").substr(0, 19); }},
      {"STARTED", [](const Value& row) { return cell_text(row, "started"); }, false, true},
      {"SKIPPED", [](const Value& row) { return cell_text(row, "skipped"); }, true, true},
      {"FAILED", [](const Value& row) { return cell_text(row, "failed"); }, false, true},
      {"QUEUED", [](const Value& row) { return cell_text(row, "queued"); }, true, true},
      {"FILTERED", [](const Value& row) { return cell_text(row, "filtered"); }, true, true},
      {"DUPLICATES", [](const Value& row) { return cell_text(row, "duplicates"); }, true, true},
      {"WAITING", [](const Value& row) { return cell_text(row, "waiting"); }, true, true},
      {"VERSION", [](const Value& row) { return cell_text(row, "version"); }, true, true},
      {"ERROR", [](const Value& row) { return cell_text(row, "error"); }, true},
  };
  context.console.out(render(document, output_format(arguments), context.console));
  return kExitOk;
}

// WORKFLOW/TRIGGER, or WORKFLOW where it has one trigger.
Result<TriggerView> named(Session& session, const std::string& tenant, const std::string& name) {
  Result<TriggersReply> all = session.call<TriggersReply>(ListTriggers{tenant, ""});
  if (!all.ok()) return std::move(all).error();
  std::vector<TriggerView> fitting;
  for (TriggerView& one : all->triggers) {
    if (full_name(one) == name) return std::move(one);
    if (one.workflow == name) fitting.push_back(std::move(one));
  }
  if (fitting.size() == 1) return std::move(fitting[0]);
  if (fitting.empty())
    return Error{Code::kNotFound,
                 "there is no trigger '" + name + "' of an applied workflow (millrace trigger list)",
                 {},
                 "trigger"};
  Error error{Code::kInvalid, "'" + name + "' has several triggers", {}, "ambiguous"};
  for (const TriggerView& one : fitting)
    error.details.push_back({"", 0, 0, full_name(one), "WORKFLOW/TRIGGER, like this one", ""});
  return error;
}

std::uint64_t random_number() {
  const std::string key = random_key();
  std::uint64_t number = 0;
  std::from_chars(key.data(), key.data() + 16, number, 16);
  return number;
}

// The run of a firing that is durable: the partition of its key is told of it by letter, so it may take a moment to be
// there. None: it is not there yet, or what it would need was not there.
std::optional<RunId> started_run(Session& session, const std::string& tenant, const std::string& key) {
  const auto begin = Client::Clock::now();
  const Duration patience = std::min(session.answer, kRunWithin);
  for (;;) {
    Result<SubmitReply> found = session.client->call_for<SubmitReply>(FindRunOfKey{tenant, key}, patience);
    if (found.ok()) return found->run;
    if (Client::Clock::now() - begin >= patience) return std::nullopt;
    session.client->pump(kLookAgain);
  }
}

Result<int> tell(const CommandContext& context, const Arguments& arguments, Session& session, TriggerAct act) {
  const std::string tenant = arguments.text("tenant", "default");
  Result<TriggerView> one = named(session, tenant, arguments.operand(1));
  if (!one.ok()) return std::move(one).error();
  Result<TriggerReply> reply =
      session.call<TriggerReply>(TellTrigger{tenant, one->workflow, one->trigger, act, random_number()});
  if (!reply.ok()) return std::move(reply).error();
  const bool fires = act == TriggerAct::kFire;
  const char* status = fires ? "fired" : reply->paused ? "paused" : "active";
  const std::optional<RunId> started = fires ? started_run(session, tenant, reply->key) : std::nullopt;
  Value whole = Value::Object{{"name", full_name(*one)},
                              {"workflow", one->workflow},
                              {"trigger", one->trigger},
                              {"status", status},
                              {"idempotency_key", reply->key.empty() ? Value() : Value(reply->key)}};
  if (fires) whole.set("run", started ? Value(to_string(*started)) : Value());
  const Format format = output_format(arguments);
  std::string line = printable(full_name(*one)) + " " + status;
  if (started) line += "  run " + to_string(*started);
  else if (fires)
    context.console.note("its run is not there yet (millrace list -l trigger=" + printable(one->trigger) +
                         "; why one is not started: millrace trigger list -o wide)");
  context.console.out(is_for_people(format) ? line + "\n" : render_object(whole, "name", format));
  return kExitOk;
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  const std::string action = arguments.operand(0);
  if (action != "list" && arguments.operands().size() != 2)
    return usage(action + ": the name of a trigger is expected, WORKFLOW or WORKFLOW/TRIGGER");
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  if (action == "list") return list(context, arguments, *session);
  return tell(context, arguments, *session,
              action == "fire"    ? TriggerAct::kFire
              : action == "pause" ? TriggerAct::kPause
                                  : TriggerAct::kResume);
}

}  // namespace

Verb trigger_verb() {
  return {
      "trigger",
      "list what starts runs by itself; fire, pause and resume it",
      "Triggers act for registered workflows (`millrace workflow apply`). `list` shows each with its schedule, its "
      "next\n"
      "firing and what became of those before. `fire NAME` starts a run now, whatever schedule, pause and overlap "
      "say;\n"
      "`pause NAME` leaves out what comes until `resume NAME`. NAME is WORKFLOW/TRIGGER, or WORKFLOW where it has one.",
      {"millrace trigger list", "millrace trigger fire nightly/monthly", "millrace trigger pause nightly/nightly"},
      {{{"ACTION",
         "list, fire, pause or resume",
         true,
         false,
         Completes::kNothing,
         {"list", "fire", "pause", "resume"}},
        {"NAME",
         "WORKFLOW/TRIGGER or WORKFLOW; of list: only of this workflow",
         false,
         false,
         Completes::kNothing,
         {}}},
       {{"tenant", 0, Takes::kText, "NAME", "whose triggers (default: default)"},
        output_option(),
        coordinator_option(),
        timeout_option()}},
      run};
}

}  // namespace millrace
