#include "common/schedule/firings.h"

#include <algorithm>
#include <string>

#include "common/base/hash.h"
#include "common/base/units.h"

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

namespace {

// `event`, without a copy of it.
class EventScope final : public expr::Scope {
 public:
  explicit EventScope(const Value& event) : event_(event) {}
  bool has_root(std::string_view root) const override { return root == kRoot; }
  Value root(std::string_view root) const override { return root == kRoot ? event_ : Value(); }
  const Value* member(std::string_view root, std::string_view head) const override {
    return root == kRoot ? event_.find(head) : nullptr;
  }
  const Value* borrow(std::string_view root) const override { return root == kRoot ? &event_ : nullptr; }

 private:
  static constexpr std::string_view kRoot = "event";
  const Value& event_;
};

}  // namespace

FiringRules::FiringRules(std::string_view filter, const Value& inputs) : inputs_(expr::Template::compile(inputs)) {
  if (!filter.empty()) filter_ = expr::TextTemplate::compile(filter);
}

Result<bool> FiringRules::passes(const Value& event) const {
  if (!filter_) return true;
  if (!filter_->ok()) return filter_->error();
  const Result<Value> value = (*filter_)->render(EventScope(event));
  if (!value.ok()) return value.error();
  return expr::truthy(*value);
}

Result<Value> FiringRules::inputs(const Value& event) const {
  if (!inputs_.ok()) return inputs_.error();
  return inputs_->render(EventScope(event));
}

}  // namespace millrace
