// `triggers:`: what starts runs by itself. A trigger has a `schedule` and the inputs of its runs.
#include <algorithm>
#include <utility>

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
  bool scheduled = false;
  for (const Entry& entry : reader.entries(named.value)) {
    if (entry.name == "schedule") {
      scheduled = true;
      read_schedule(reader, entry.value, where, trigger.schedule);
    } else if (entry.name == "inputs") {
      if (!reader.expect_mapping(entry.value, "'inputs' of " + where)) continue;
      for (const Entry& input : reader.entries(entry.value)) read_input(reader, input, where, trigger);
    } else {
      reader.unknown_key(entry, where, keys::kTrigger);
    }
  }
  if (!scheduled) reader.problem(named.key, where + " has no 'schedule'", "schedule: \"0 2 * * *\"");
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
