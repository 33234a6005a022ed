#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include "cli/exit_code.h"
#include "cli/registered.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/submission.h"
#include "cli/text.h"
#include "cli/verbs/all.h"
#include "common/base/units.h"
#include "common/schedule/firings.h"
#include "common/zones/zones.h"

namespace millrace {
namespace {

constexpr std::int64_t kFiringsMax = 10'000;
constexpr std::int64_t kLookedAtMax = 100'000;  // firings, those that a filter keeps out among them
constexpr const char* kMoment = "RFC 3339, like 2026-01-31T08:00:00Z";

Error usage(std::string what) { return Error{Code::kInvalid, std::move(what), {}, "usage"}; }

Time wall_clock() {
  return Time(std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch()));
}

// A trigger with what it takes to know its firings.
struct Scheduled {
  const TriggerSpec* trigger = nullptr;
  Cron cron;
  ZoneRules zone;
};

Result<std::vector<Scheduled>> scheduled(const WorkflowSpec& spec, const std::string& only) {
  std::vector<Scheduled> all;
  for (const TriggerSpec& trigger : spec.triggers) {
    if ((!only.empty() && trigger.name != only) || trigger.schedule.cron.empty()) continue;
    Result<Cron> cron = parse_cron(trigger.schedule.cron);
    if (!cron.ok()) return std::move(cron).error();
    Result<ZoneRules> zone = load_zone(trigger.schedule.timezone);
    if (!zone.ok()) return std::move(zone).error();
    all.push_back({&trigger, *cron, std::move(*zone)});
  }
  if (!all.empty()) return all;
  const std::string named =
      only.empty() ? "has no triggers with a schedule" : "has no trigger '" + only + "' with a schedule";
  return Error{only.empty() ? Code::kInvalid : Code::kNotFound,
               "the workflow '" + spec.name + "' " + named,
               {{"", 0, 0, "nothing starts it by itself", "triggers: {NAME: {schedule: \"0 2 * * *\"}}", ""}},
               "no_trigger"};
}

// Null: the trigger's filter keeps it out.
Result<Value> firing_json(const Scheduled& one, const WorkflowSpec& spec, Time time) {
  const Value event = firing_event(*one.trigger, spec.name, one.zone, time);
  const FiringRules rules(one.trigger->filter, one.trigger->inputs);
  const Result<bool> passed = rules.passes(event);
  if (passed.ok() && !*passed) return Value();
  Result<Value> inputs = passed.ok() ? rules.inputs(event) : passed.error();
  if (inputs.ok()) inputs = bind_inputs(spec.inputs, *inputs);
  if (!inputs.ok()) {
    Error error = std::move(inputs).error();
    error.what = "trigger '" + one.trigger->name + "' at " + format_time(time) + ": " + error.what;
    return error;
  }
  return Value(Value::Object{{"trigger", one.trigger->name},
                             {"time", format_time(time)},
                             {"local_time", format_local(one.zone, time)},
                             {"timezone", one.zone.name},
                             {"starts", format_time(time + jitter_of(*one.trigger, spec.name, time))},
                             {"inputs", std::move(*inputs)}});
}

// The next `count` firings of all of them, in their order; of one moment, in that of the file.
Result<Document> next_firings(const WorkflowSpec& spec, const std::vector<Scheduled>& all, Time after,
                              std::int64_t count) {
  std::map<std::pair<Time, std::size_t>, const Scheduled*> waiting;
  const auto put = [&](std::size_t index, Time from) {
    if (const auto time = next_firing(all[index].cron, all[index].zone, from)) waiting[{*time, index}] = &all[index];
  };
  for (std::size_t i = 0; i < all.size(); ++i) put(i, after);
  Document document;
  for (std::int64_t looked = 0; looked < kLookedAtMax && !waiting.empty() && std::ssize(document.rows) < count;
       ++looked) {
    const auto [at, one] = *waiting.begin();
    waiting.erase(waiting.begin());
    Result<Value> row = firing_json(*one, spec, at.first);
    if (!row.ok()) return std::move(row).error();
    if (!row->is_null()) document.rows.push_back(std::move(*row));
    put(at.second, at.first);
  }
  document.whole =
      Value::Object{{"workflow", spec.name}, {"after", format_time(after)}, {"firings", Value::Array(document.rows)}};
  document.name_key = "time";
  document.columns = {
      {"TIME", [](const Value& row) { return cell_text(row, "time"); }},
      {"LOCAL", [](const Value& row) { return cell_text(row, "local_time"); }},
      {"TRIGGER", [](const Value& row) { return cell_text(row, "trigger"); }},
      {"STARTS", [](const Value& row) { return cell_text(row, "starts"); }, true},
      {"TIMEZONE", [](const Value& row) { return cell_text(row, "timezone"); }, true},
      {"INPUTS", [](const Value& row) { return printable(row.find("inputs")->dump()); }, true},
  };
  return document;
}

struct Source {
  WorkflowSpec spec;
  std::optional<FoundWorkflow> registered;  // else it is of a file
  std::optional<Session> session;           // then
};

Result<Source> source_of(const CommandContext& context, const Arguments& arguments, bool only_registered) {
  const std::string name = arguments.operand(1);
  Source source;
  if (!only_registered && !names_registered(name)) {
    Result<WorkflowSpec> spec = load_workflow(name);
    if (!spec.ok()) return std::move(spec).error();
    source.spec = std::move(*spec);
    return source;
  }
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  Result<FoundWorkflow> found = find_workflow(*session, arguments, name);
  if (!found.ok()) return std::move(found).error();
  source.spec = found->spec;
  source.registered = std::move(*found);
  source.session = std::move(*session);
  return source;
}

Result<int> next(const CommandContext& context, const Arguments& arguments) {
  if (arguments.operands().size() != 2) return usage("millrace schedule next: one FILE or NAME is expected");
  const std::int64_t count = arguments.number("count").value_or(10);
  if (count < 1 || count > kFiringsMax)
    return usage("--count " + std::to_string(count) + ": expected 1 to " + std::to_string(kFiringsMax));
  Time after = wall_clock();
  if (arguments.given("after")) {
    Result<Time> time = parse_time(arguments.text("after"));
    if (!time.ok()) return usage("--after: " + time.error().what + "; expected " + kMoment);
    after = *time;
  }
  Result<Source> source = source_of(context, arguments, false);
  if (!source.ok()) return std::move(source).error();
  Result<std::vector<Scheduled>> all = scheduled(source->spec, arguments.text("trigger"));
  if (!all.ok()) return std::move(all).error();
  Result<Document> document = next_firings(source->spec, *all, after, count);
  if (!document.ok()) return std::move(document).error();
  context.console.out(render(*document, output_format(arguments), context.console));
  return kExitOk;
}

// ---------------------------------------------------------------- backfill

// A date is midnight on the trigger's wall clock.
Result<Time> bound_of(const std::string& text, const ZoneRules& zone) {
  if (text.size() == 10) {
    const Result<Time> midnight = parse_time(text + "T00:00:00Z");
    if (midnight.ok()) return moment_of(zone, wall_minute_at(ZoneRules{}, *midnight));
  }
  Result<Time> time = parse_time(text);
  if (time.ok()) return time;
  return usage("'" + text + "' is no time; expected A..B, each a date (2026-01-31) or " + std::string(kMoment));
}

Result<std::vector<Time>> firings_between(const Scheduled& one, const std::string& range) {
  const std::size_t dots = range.find("..");
  if (dots == std::string::npos) return usage("'" + range + "': expected A..B, two dates or times");
  const Result<Time> from = bound_of(range.substr(0, dots), one.zone);
  if (!from.ok()) return from.error();
  const Result<Time> until = bound_of(range.substr(dots + 2), one.zone);
  if (!until.ok()) return until.error();
  if (*until < *from) return usage("'" + range + "': B is before A");
  std::vector<Time> times;
  Time last = *from - 1us;
  while (const std::optional<Time> time = next_firing(one.cron, one.zone, last)) {
    if (*time >= *until) break;
    if (std::ssize(times) == kFiringsMax) {
      return Error{
          Code::kRefused,
          "there are more than " + std::to_string(kFiringsMax) + " firings in " + range + ": backfill it in parts",
          {},
          "backfill_max"};
    }
    times.push_back(*time);
    last = *time;
  }
  return times;
}

// The run that the trigger would have started: the same key, so that one that it has started is found again.
SubmitRun run_of(const FoundWorkflow& found, const Scheduled& one, Time time, const Value& inputs) {
  SubmitRun request;
  request.tenant = found.workflow.tenant;
  request.key = trigger_key(found.workflow.name, one.trigger->name, found.version.version, time);
  request.definition = found.version.definition;
  request.definition_bytes = found.bytes;
  request.inputs = Payload::inline_json(inputs.dump());
  request.labels = {{"trigger", one.trigger->name}};
  request.caller = caller_name();
  request.version = found.version.version;
  return request;
}

Result<int> backfill(const CommandContext& context, const Arguments& arguments) {
  if (arguments.operands().size() != 3) return usage("millrace schedule backfill: NAME and A..B are expected");
  Result<Source> source = source_of(context, arguments, true);
  if (!source.ok()) return std::move(source).error();
  Result<std::vector<Scheduled>> all = scheduled(source->spec, arguments.text("trigger"));
  if (!all.ok()) return std::move(all).error();
  if (all->size() > 1) {
    std::string names;
    for (const Scheduled& one : *all) names += (names.empty() ? "" : ", ") + one.trigger->name;
    return usage("'" + source->spec.name + "' has several triggers: --trigger says which (" + names + ")");
  }
  const Scheduled& one = all->front();
  Result<std::vector<Time>> times = firings_between(one, arguments.operand(2));
  if (!times.ok()) return std::move(times).error();
  const bool dry = arguments.given("dry-run");
  Document document;
  for (const Time time : *times) {
    Result<Value> row = firing_json(one, source->spec, time);
    if (!row.ok()) return std::move(row).error();
    if (row->is_null()) continue;
    Value run;
    Value existing;
    if (!dry) {
      const SubmitRun request = run_of(*source->registered, one, time, *row->find("inputs"));
      Result<SubmitReply> reply = submit(*source->session->client, request, source->session->answer);
      if (!reply.ok()) return std::move(reply).error();  // asked again, it goes on: what there is, is found
      run = to_string(reply->run);
      existing = reply->existing;
    }
    document.rows.push_back(Value::Object{{"time", *row->find("time")},
                                          {"local_time", *row->find("local_time")},
                                          {"run", std::move(run)},
                                          {"existing", std::move(existing)},
                                          {"inputs", *row->find("inputs")}});
  }
  document.whole = Value::Object{{"workflow", source->spec.name},
                                 {"version", std::uint64_t{source->registered->version.version}},
                                 {"trigger", one.trigger->name},
                                 {"firings", Value::Array(document.rows)}};
  document.name_key = dry ? "time" : "run";
  document.columns = {
      {"TIME", [](const Value& row) { return cell_text(row, "time"); }},
      {"LOCAL", [](const Value& row) { return cell_text(row, "local_time"); }},
      {"RUN", [](const Value& row) { return cell_text(row, "run"); }},
      {"EXISTED", [](const Value& row) { return cell_text(row, "existing"); }},
      {"INPUTS", [](const Value& row) { return printable(row.find("inputs")->dump()); }, true},
  };
  context.console.out(render(document, output_format(arguments), context.console));
  return kExitOk;
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  const bool fills = arguments.operand(0) == "backfill";
  if (!fills && arguments.given("dry-run")) return usage("--dry-run is for backfill");
  if (fills && (arguments.given("count") || arguments.given("after"))) return usage("--count and --after are for next");
  return fills ? backfill(context, arguments) : next(context, arguments);
}

}  // namespace

Verb schedule_verb() {
  return {
      "schedule",
      "tell when triggers fire; make up for firings of the past",
      "`next FILE|NAME` lists the next moments at which the triggers of a workflow, of a file or registered, fire,\n"
      "with what their runs would be given (-o wide, -o json); of a file it needs no cluster. A minute that summer\n"
      "time skips or doubles is one firing. `backfill NAME A..B` starts the runs of the firings from A up to but\n"
      "without B; those that there are already are found and not started again.",
      {"millrace schedule next examples/nightly.yaml",
       "millrace schedule next nightly.yaml --after 2026-10-24T12:00:00Z -n 3 -o wide",
       "millrace schedule backfill nightly 2026-01-01..2026-02-01 --trigger nightly --dry-run"},
      {{{"ACTION", "next or backfill", true, false, Completes::kNothing, {"next", "backfill"}},
        {"NAME",
         "NAME or NAME@VERSION; of next also a workflow file, or - for standard input",
         true,
         false,
         Completes::kFile,
         {}},
        {"RANGE",
         "of backfill: A..B, each a date (midnight on the trigger's clock) or a time",
         false,
         false,
         Completes::kNothing,
         {}}},
       {{"count", 'n', Takes::kNumber, "N", "of next: so many, 1 to 10000 (default: 10)"},
        {"after", 0, Takes::kText, "TIME", "of next: after this moment, like 2026-01-31T08:00:00Z (default: now)"},
        {"trigger", 0, Takes::kText, "NAME", "only of this trigger"},
        {"dry-run", 0, Takes::kNothing, "", "of backfill: list the firings and start nothing"},
        {"tenant", 0, Takes::kText, "NAME", "whose workflow (default: default)"},
        output_option(),
        coordinator_option(),
        timeout_option()}},
      run};
}

}  // namespace millrace
