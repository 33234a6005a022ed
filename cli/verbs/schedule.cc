#include <chrono>
#include <map>
#include <utility>

#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/submission.h"
#include "cli/text.h"
#include "cli/verbs/all.h"
#include "common/base/units.h"
#include "common/schedule/firings.h"
#include "common/zones/zones.h"

namespace millrace {
namespace {

constexpr std::int64_t kFiringsMax = 10'000;

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
    if (!only.empty() && trigger.name != only) continue;
    Result<Cron> cron = parse_cron(trigger.schedule.cron);
    if (!cron.ok()) return std::move(cron).error();
    Result<ZoneRules> zone = load_zone(trigger.schedule.timezone);
    if (!zone.ok()) return std::move(zone).error();
    all.push_back({&trigger, *cron, std::move(*zone)});
  }
  if (!all.empty()) return all;
  const std::string named = only.empty() ? "has no triggers" : "has no trigger '" + only + "'";
  return Error{only.empty() ? Code::kInvalid : Code::kNotFound,
               "the workflow '" + spec.name + "' " + named,
               {{"", 0, 0, "nothing starts it by itself", "triggers: {NAME: {schedule: \"0 2 * * *\"}}", ""}},
               "no_trigger"};
}

Result<Value> firing_json(const Scheduled& one, const WorkflowSpec& spec, Time time) {
  const Value event = firing_event(*one.trigger, spec.name, one.zone, time);
  Result<Value> inputs = firing_inputs(*one.trigger, event);
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
  while (!waiting.empty() && std::ssize(document.rows) < count) {
    const auto [at, one] = *waiting.begin();
    waiting.erase(waiting.begin());
    Result<Value> row = firing_json(*one, spec, at.first);
    if (!row.ok()) return std::move(row).error();
    document.rows.push_back(std::move(*row));
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

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  const std::int64_t count = arguments.number("count").value_or(10);
  if (count < 1 || count > kFiringsMax)
    return usage("--count " + std::to_string(count) + ": expected 1 to " + std::to_string(kFiringsMax));
  Time after = wall_clock();
  if (arguments.given("after")) {
    Result<Time> time = parse_time(arguments.text("after"));
    if (!time.ok())
      return usage("--after: " + time.error().what + "; expected " + time.error().details.front().expected);
    after = *time;
  }
  Result<WorkflowSpec> spec = load_workflow(arguments.operand(1));
  if (!spec.ok()) return std::move(spec).error();
  Result<std::vector<Scheduled>> all = scheduled(*spec, arguments.text("trigger"));
  if (!all.ok()) return std::move(all).error();
  Result<Document> document = next_firings(*spec, *all, after, count);
  if (!document.ok()) return std::move(document).error();
  context.console.out(render(*document, output_format(arguments), context.console));
  return kExitOk;
}

}  // namespace

Verb schedule_verb() {
  return {"schedule",
          "tell when a workflow's triggers fire",
          "`next FILE` lists the next moments at which the triggers of a workflow file fire, with what their runs "
          "would be\n"
          "given (-o wide, -o json). Needs no cluster. A minute that summer time skips or doubles is one firing.",
          {"millrace schedule next examples/nightly.yaml",
           "millrace schedule next nightly.yaml --after 2026-10-24T12:00:00Z -n 3 -o wide"},
          {{{"ACTION", "next", true, false, Completes::kNothing, {"next"}},
            {"FILE", "a workflow file; - is standard input", true, false, Completes::kFile, {}}},
           {{"count", 'n', Takes::kNumber, "N", "so many of them, 1 to 10000 (default: 10)"},
            {"after", 0, Takes::kText, "TIME", "after this moment, like 2026-01-31T08:00:00Z (default: now)"},
            {"trigger", 0, Takes::kText, "NAME", "only of this trigger"},
            output_option()}},
          run};
}

}  // namespace millrace
