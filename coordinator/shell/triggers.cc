// Loop: triggers: the wall clock that they follow, and what operators ask and tell of them.
#include "coordinator/core/triggers.h"

#include <utility>

#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

constexpr std::size_t kWatchLettersMax = 1'000;
constexpr Duration kWallEvery = 1s;
constexpr Duration kWallOff = 20ms;  // what is less is the uncertainty of looking

TriggerView view_of(const TriggerState& state) {
  const TriggerRecord& record = state.record;
  TriggerView view;
  view.tenant = record.name.tenant;
  view.workflow = record.name.workflow;
  view.trigger = record.name.trigger;
  view.version = record.version;
  view.run_end = record.run_end;
  view.cron = record.schedule.cron;
  if (!view.cron.empty()) view.timezone = record.schedule.timezone;
  view.webhook = record.webhook.has_value();
  if (record.stream) view.stream = record.stream->redis + "/" + record.stream->key;
  if (record.keyspace) view.keyspace = record.keyspace->redis + "/" + record.keyspace->pattern;
  view.offset = record.offset;
  view.waiting = record.waiting.count;
  view.filtered = record.filtered;
  view.duplicates = record.duplicates;
  view.paused = record.paused;
  view.next = state.next == kNever ? Time{} : state.next;
  view.fired = record.fired;
  view.running = record.running;
  view.queued = static_cast<std::uint32_t>(record.queued.size());
  view.started = record.started;
  view.skipped = record.skipped;
  view.failed = record.failed;
  view.error = record.error;
  return view;
}

}  // namespace

// Our own clock never goes back, and so leaves the wall's behind when that is set.
void Loop::State::watch_wall(Time now) {
  if (!options.wall || now < wall_due) return;
  wall_due = now + kWallEvery;
  const Duration ahead = options.wall() - now;
  if (ahead > wall_ahead - kWallOff && ahead < wall_ahead + kWallOff) return;
  wall_ahead = ahead;
  for (Share* share : cores) {
    if (share->open()) share->core->step(now, ClockSet{ahead});
  }
}

std::string Loop::State::check_triggers(const std::vector<TriggerSpec>& triggers) const {
  std::size_t watching = 0;
  for (const TriggerSpec& trigger : triggers) {
    const std::string who = "trigger '" + trigger.name + "': ";
    if (trigger.run_end) {
      ++watching;
      continue;
    }
    if (trigger.stream || trigger.keyspace) {
      const std::string& redis = trigger.stream ? trigger.stream->redis : trigger.keyspace->redis;
      if (options.streams == nullptr || !options.streams->knows(redis))
        return who + "the coordinator knows no Redis '" + redis + "' (--stream-redis)";
      continue;
    }
    if (trigger.webhook) {
      if (!options.hook_secret) return who + "a webhook needs secrets, and this coordinator has none (--secrets-file)";
      if (!options.hook_secret(trigger.webhook->secret))
        return who + "the coordinator has no secret '" + trigger.webhook->secret + "' (--secrets-file)";
      continue;
    }
    if (const Result<Cron> cron = parse_cron(trigger.schedule.cron); !cron.ok()) return who + cron.error().what;
    if (!options.zones || options.zones(trigger.schedule.timezone) == nullptr)
      return who + "the coordinator knows no time zone '" + trigger.schedule.timezone + "'";
  }
  if (watching * shares.size() > kWatchLettersMax)  // each partition is told of each, in one commit
    return std::to_string(watching) + " triggers await run ends; at most " +
           std::to_string(kWatchLettersMax / shares.size()) + " with " + std::to_string(shares.size()) + " partitions";
  return "";
}

TriggersReply Loop::State::triggers_view(const ListTriggers& query) const {
  TriggersReply reply;
  for (const Share& share : shares) {
    if (!share.serving()) continue;
    for (const TriggerState& state : share.core->triggers()) {
      const TriggerName& name = state.record.name;
      if (name.tenant == query.tenant && (query.workflow.empty() || name.workflow == query.workflow))
        reply.triggers.push_back(view_of(state));
    }
  }
  return reply;
}

// True: the request was one of these.
bool Loop::State::answer_about_triggers(Time now, Routed& one) {
  if (const auto* query = std::get_if<ListTriggers>(&one.body)) {
    TriggersReply ours = triggers_view(*query);
    if (one.hops == 0) gather(now, one.request, one.body, std::move(ours));
    else reply(one.request, std::move(ours));
    return true;
  }
  if (auto* tell = std::get_if<TellTrigger>(&one.body)) {
    Share& home = share(partition_for(tell->tenant, tell->workflow));
    if (!home.serving()) {
      refuse(one.request, not_serving(home.id));
      return true;
    }
    TriggerName name{std::move(tell->tenant), std::move(tell->workflow), std::move(tell->trigger)};
    home.core->step(now, TriggerTold{one.request, std::move(name), tell->act, tell->once});
    return true;
  }
  if (auto* delivery = std::get_if<HookDelivery>(&one.body)) {
    on_delivery(now, one.request, *delivery);
    return true;
  }
  if (const auto* find = std::get_if<FindRunOfKey>(&one.body)) {
    find_run_of_key(one.request, *find);
    return true;
  }
  return false;
}

}  // namespace millrace
