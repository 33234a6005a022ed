#include "common/schedule/firings.h"

#include <algorithm>
#include <string>

#include "common/base/hash.h"
#include "common/base/units.h"
#include "common/expr/expression.h"

namespace millrace {

std::optional<Time> next_firing(const Cron& cron, const ZoneRules& zone, Time after) {
  WallMinute from = wall_minute_at(zone, after);
  while (const std::optional<WallMinute> minute = first_match(cron, from)) {
    const Time moment = moment_of(zone, *minute);
    if (moment > after) return moment;
    from = *minute + 1;  // this minute itself; or the second time of a minute that comes twice
  }
  return std::nullopt;
}

std::optional<Time> previous_firing(const Cron& cron, const ZoneRules& zone, Time until) {
  // Clocks that were put back not long ago have shown later minutes than now.
  WallMinute from = wall_minute_at(zone, until);
  for (const ZoneRules::Change& change : zone.changes) {
    const Time at = from_us(change.at * 1'000'000);
    if (at > until - 48h && at <= until) from = std::max(from, wall_minute_at(zone, at - 1us));
  }
  while (const std::optional<WallMinute> minute = last_match(cron, from)) {
    const Time moment = moment_of(zone, *minute);
    if (moment <= until) return moment;
    from = *minute - 1;
  }
  return std::nullopt;
}

std::string trigger_key(std::string_view workflow, std::string_view trigger, std::uint64_t version, Time moment) {
  std::string key = "trigger/";
  key.append(workflow).append("/").append(trigger).append("/").append(std::to_string(version)).append("/");
  return key + format_time(moment);
}

Duration jitter_of(const TriggerSpec& trigger, std::string_view workflow, Time firing) {
  if (trigger.schedule.jitter <= Duration::zero()) return Duration::zero();
  const std::string name = std::string(workflow) + '/' + trigger.name;
  const std::uint64_t hash = hash64(name, static_cast<std::uint64_t>(to_us(firing)));
  return Duration(static_cast<Duration::rep>(hash % static_cast<std::uint64_t>(trigger.schedule.jitter.count() + 1)));
}

Value firing_event(const TriggerSpec& trigger, std::string_view workflow, const ZoneRules& zone, Time firing) {
  return Value::Object{{"kind", "schedule"},
                       {"workflow", workflow},
                       {"trigger", trigger.name},
                       {"time", format_time(firing)},
                       {"local_time", format_local(zone, firing)},
                       {"timezone", zone.name}};
}

Result<bool> passes(const TriggerSpec& trigger, const Value& event) {
  if (trigger.filter.empty()) return true;
  const Result<expr::TextTemplate> filter = expr::TextTemplate::compile(trigger.filter);
  if (!filter.ok()) return filter.error();
  const Value roots = Value::Object{{"event", event}};
  const Result<Value> value = filter->render(expr::ObjectScope(roots));
  if (!value.ok()) return value.error();
  return expr::truthy(*value);
}

Result<Value> firing_inputs(const TriggerSpec& trigger, const Value& event) {
  const Result<expr::Template> inputs = expr::Template::compile(trigger.inputs);
  if (!inputs.ok()) return inputs.error();
  const Value roots = Value::Object{{"event", event}};
  return inputs->render(expr::ObjectScope(roots));
}

}  // namespace millrace
