// `triggers:`: what starts runs by itself. A trigger has a `schedule`, or says whose `run_end` it awaits, or is a
// `webhook` or follows a `stream` or a `keyspace` (read_hooks.cc); a `filter`, and the inputs of its runs.
#include <algorithm>
#include <utility>

#include "common/expr/expression.h"
#include "common/schedule/cron.h"
#include "common/spec/keys.h"
#include "common/spec/reader.h"

namespace millrace {
namespace {

bool is_scalar(const YamlNode& node) { return node.kind == YamlKind::kPlain || node.kind == YamlKind::kText; }

template <class Enum>
void read_choice(Reader& reader, std::uint32_t index, const std::string& what, std::span<const std::string_view> words,
                 Enum& choice) {
  if (const auto word = reader.read_word(index, what, words))
    choice = static_cast<Enum>(std::ranges::find(words, *word) - words.begin());
}

void read_cron(Reader& reader, std::uint32_t index, const std::string& what, ScheduleSpec& schedule) {
  const std::optional<std::string> text = reader.read_string(index, what);
  if (!text) return;
  schedule.cron = *text;
  const Result<Cron> cron = parse_cron(*text);
  if (cron.ok()) return;
  const Problem& problem = cron.error().details.front();
  reader.problem(index, problem.message + " (in " + what + ")", problem.expected, problem.hint);
}

void read_timezone(Reader& reader, std::uint32_t index, const std::string& what, ScheduleSpec& schedule) {
  const std::optional<std::string> name = reader.read_string(index, what);
  if (!name) return;
  schedule.timezone = *name;
  const Outside& outside = reader.outside;
  const bool known =
      !name->empty() && name->size() <= kZoneNameMax && (!outside.zone_exists || outside.zone_exists(*name));
  if (known) return;
  std::string hint;
  if (outside.zone_names && !reader.report.full()) {
    const std::vector<std::string> names = outside.zone_names();
    const std::vector<std::string_view> views(names.begin(), names.end());
    hint = reader.suggestion(*name, views);
  }
  reader.problem(index, what + " is " + kind_of(reader.at(index)),
                 "a name of the time zone database, like Europe/Berlin or UTC", std::move(hint));
}

void read_jitter(Reader& reader, std::uint32_t index, const std::string& what, ScheduleSpec& schedule) {
  schedule.jitter = reader.read_duration(index, what, Duration::zero()).value_or(Duration::zero());
  if (schedule.jitter > kJitterMax) reader.problem(index, what + " is longer than a day", "at most 24h");
}

void read_schedule(Reader& reader, std::uint32_t index, const std::string& where, ScheduleSpec& schedule) {
  const std::string what = "'schedule' of " + where;
  if (is_scalar(reader.at(index))) return read_cron(reader, index, what, schedule);  // schedule: "0 2 * * *"
  if (!reader.expect_mapping(index, what)) return;
  std::optional<std::uint32_t> limit_at;
  for (const Entry& entry : reader.entries(index)) {
    const std::string key = "'" + entry.name + "' in " + what;
    if (entry.name == "cron") read_cron(reader, entry.value, key, schedule);
    else if (entry.name == "timezone") read_timezone(reader, entry.value, key, schedule);
    else if (entry.name == "jitter") read_jitter(reader, entry.value, key, schedule);
    else if (entry.name == "overlap") read_choice(reader, entry.value, key, keys::kOverlap, schedule.overlap);
    else if (entry.name == "catch_up") read_choice(reader, entry.value, key, keys::kCatchUp, schedule.catch_up);
    else if (entry.name == "catch_up_limit") {
      limit_at = entry.key;
      schedule.catch_up_limit =
          static_cast<std::uint32_t>(reader.read_integer(entry.value, key, 1, kCatchUpMax).value_or(1));
    } else reader.unknown_key(entry, what, keys::kSchedule);
  }
  const std::vector<Entry> entries = reader.entries(index);
  if (std::ranges::none_of(entries, [](const Entry& e) { return e.name == "cron"; }))
    reader.problem(index, what + " has no 'cron'", "{cron: \"0 2 * * *\"}");
  if (limit_at && schedule.catch_up != CatchUp::kAll)
    reader.problem(*limit_at, "'catch_up_limit' in " + what + " limits nothing", "'catch_up: all' beside it");
}

void read_statuses(Reader& reader, std::uint32_t index, const std::string& what, RunEndSpec& run_end) {
  std::vector<std::uint32_t> items;
  if (reader.at(index).kind == YamlKind::kSequence) items = reader.at(index).children;
  else items.push_back(index);
  for (const std::uint32_t item : items) {
    const std::optional<std::string> word = reader.read_word(item, what, keys::kEndStatuses);
    if (!word) continue;
    const RunState state = *parse_run_state(*word);
    if (std::ranges::find(run_end.statuses, state) == run_end.statuses.end()) run_end.statuses.push_back(state);
  }
  std::ranges::sort(run_end.statuses);
  if (items.empty())
    reader.problem(index, what + " is empty", "one of " + list_words(keys::kEndStatuses) + ", or several");
}

void read_run_end(Reader& reader, std::uint32_t index, const std::string& where, TriggerSpec& trigger) {
  const std::string what = "'run_end' of " + where;
  RunEndSpec& run_end = trigger.run_end.emplace();
  const auto read_name = [&](std::uint32_t at, const std::string& key) {
    run_end.workflow = reader.read_string(at, key).value_or("");
    if (run_end.workflow == reader.spec.name)
      reader.problem(at, key + " is the workflow itself: it would start itself for ever", "another workflow");
  };
  if (is_scalar(reader.at(index))) return read_name(index, what);  // run_end: load
  if (!reader.expect_mapping(index, what)) return;
  bool named = false;
  for (const Entry& entry : reader.entries(index)) {
    const std::string key = "'" + entry.name + "' in " + what;
    if (entry.name == "workflow") named = true, read_name(entry.value, key);
    else if (entry.name == "statuses") read_statuses(reader, entry.value, key, run_end);
    else reader.unknown_key(entry, what, keys::kRunEnd);
  }
  if (!named) reader.problem(index, what + " has no 'workflow'", "{workflow: NAME}");
}

void read_filter(Reader& reader, std::uint32_t index, const std::string& where, TriggerSpec& trigger) {
  const std::string what = "'filter' of " + where;
  ExpressionPlace place{what, std::nullopt, /*core=*/true};
  place.more = keys::kTriggerRoots;
  place.only_more = true;
  const std::optional<std::string> text = reader.read_string(index, what);
  if (!text) return;
  check_expressions(reader, index, place);
  trigger.filter = *text;
  const Result<expr::TextTemplate> compiled = expr::TextTemplate::compile(*text);
  if (compiled.ok() && !compiled->is_single_expression())
    reader.problem(index, what + " is " + kind_of(reader.at(index)), "one expression",
                   "filter: \"{{ event.run.status == 'failed' }}\"");
}

bool has_expression(const Value& value) {
  if (value.is_string()) return value.as_string().find("{{") != std::string::npos;
  if (value.is_array()) return std::ranges::any_of(value.as_array(), has_expression);
  if (!value.is_object()) return false;
  return std::ranges::any_of(value.as_object(), [](const Value::Member& m) { return has_expression(m.second); });
}

void read_input(Reader& reader, const Entry& entry, const std::string& where, TriggerSpec& trigger) {
  ExpressionPlace place{"'inputs' of " + where, std::nullopt, /*core=*/true};
  place.more = keys::kTriggerRoots;
  place.only_more = true;
  check_expressions(reader, entry.value, place);
  const Value value = reader.value(entry.value);
  trigger.inputs.set(entry.name, value);
  const std::vector<InputSpec>& declared = reader.spec.inputs;
  const auto input = std::ranges::find(declared, entry.name, &InputSpec::name);
  if (input == declared.end()) {
    std::vector<std::string_view> names;
    for (const InputSpec& one : declared) names.push_back(one.name);
    reader.problem(entry.key,
                   "'inputs' of " + where + " names '" + entry.name + "', which the workflow does not declare",
                   names.empty() ? "an input declared in 'inputs'; none is" : "one of " + list_words(names),
                   reader.suggestion(entry.name, names));
  } else if (!has_expression(value)) {
    const Result<Value> bound = bind_inputs({*input}, Value::Object{{entry.name, value}});
    if (!bound.ok())
      reader.problem(entry.value, bound.error().details.front().message + " (in 'inputs' of " + where + ")",
                     bound.error().details.front().expected);
  }
}

void check_required(Reader& reader, std::uint32_t at, const std::string& where, const TriggerSpec& trigger) {
  for (const InputSpec& input : reader.spec.inputs) {
    if (!input.required || input.default_value || trigger.inputs.find(input.name) != nullptr) continue;
    reader.problem(at, where + " gives its runs no '" + input.name + "', which is required",
                   "'" + input.name + "' in the 'inputs' of " + where, "inputs: {" + input.name + ": ...}");
  }
}

void read_trigger(Reader& reader, const Entry& named) {
  const std::string where = "trigger '" + named.name.substr(0, kNodeIdMax) + "'";
  TriggerSpec trigger;
  trigger.name = named.name;
  if (!is_node_id(named.name) && !is_reserved(named.name)) {
    reader.problem(named.key, "'" + named.name.substr(0, 40) + "' cannot be the name of a trigger",
                   "1 to 64 letters, digits, '_', '.', '-', the first a letter, a digit or '_'");
  }
  if (!reader.expect_mapping(named.value, where)) return;
  std::vector<std::string_view> kinds;
  std::vector<std::uint32_t> collects;  // the keys that collect events
  for (const Entry& entry : reader.entries(named.value)) {
    if (entry.name == "schedule") {
      kinds.push_back("schedule");
      read_schedule(reader, entry.value, where, trigger.schedule);
    } else if (entry.name == "run_end") {
      kinds.push_back("run_end");
      read_run_end(reader, entry.value, where, trigger);
    } else if (entry.name == "webhook") {
      kinds.push_back("webhook");
      read_webhook(reader, entry.value, where, trigger);
    } else if (entry.name == "stream") {
      kinds.push_back("stream");
      read_stream(reader, entry.value, where, trigger);
    } else if (entry.name == "keyspace") {
      kinds.push_back("keyspace");
      read_keyspace(reader, entry.value, where, trigger);
    } else if (entry.name == "debounce") {
      collects.push_back(entry.key);
      read_debounce(reader, entry.value, where, trigger);
    } else if (entry.name == "batch") {
      collects.push_back(entry.key);
      read_batch(reader, entry.value, where, trigger);
    } else if (entry.name == "filter") {
      read_filter(reader, entry.value, where, trigger);
    } else if (entry.name == "inputs") {
      if (!reader.expect_mapping(entry.value, "'inputs' of " + where)) continue;
      for (const Entry& input : reader.entries(entry.value)) read_input(reader, input, where, trigger);
    } else {
      reader.unknown_key(entry, where, keys::kTrigger);
    }
  }
  if (kinds.empty())
    reader.problem(named.key, where + " has neither 'schedule' nor 'run_end', 'webhook', 'stream' or 'keyspace'",
                   "schedule: \"0 2 * * *\"");
  if (kinds.size() > 1)
    reader.problem(named.key, where + " has both '" + std::string(kinds[0]) + "' and '" + std::string(kinds[1]) + "'",
                   "two triggers");
  if (collects.size() > 1) reader.problem(collects[1], where + " has both 'debounce' and 'batch'", "one of both");
  if (!collects.empty() && kinds == std::vector<std::string_view>{"schedule"})
    reader.problem(collects[0], where + " collects events, and a schedule has none",
                   "a 'run_end', a 'webhook', a 'stream' or a 'keyspace'");
  check_required(reader, named.key, where, trigger);
  reader.spec.triggers.push_back(std::move(trigger));
}

}  // namespace

void read_triggers(Reader& reader, std::uint32_t index) {
  if (!reader.expect_mapping(index, "'triggers'")) return;
  const std::vector<Entry> entries = reader.entries(index);
  if (entries.size() > kTriggersMax) {
    reader.problem(index, "the workflow has " + std::to_string(entries.size()) + " triggers",
                   "at most " + std::to_string(kTriggersMax));
    return;
  }
  for (const Entry& entry : entries) read_trigger(reader, entry);
}

}  // namespace millrace
