// Partition: the triggers whose home it is, and the runs that triggers of other homes have started here (triggers.h).
#include <algorithm>
#include <utility>

#include "common/base/units.h"
#include "coordinator/core/home.h"
#include "coordinator/core/partition.h"

namespace millrace {
namespace {

// Whether a run's key is of the firing of a schedule, whose home wants to hear of its end: the others follow no run. (A
// delivery that names itself like a moment is told, too, and nobody minds.)
bool is_of_schedule(std::string_view key) {
  const std::size_t slash = key.rfind('/');
  return slash != std::string_view::npos && parse_time(key.substr(slash + 1)).ok();
}

}  // namespace

// Its current version has these triggers; a deleted one has none.
void Partition::apply_triggers(Time now, const RegisteredWorkflow& workflow, const std::vector<TriggerSpec>& triggers) {
  TriggerEffects said;
  if (workflow.exists()) {
    const WorkflowVersion& current = workflow.versions.back();
    triggers_.apply(now + wall_ahead_, workflow.tenant, workflow.name, current.version, current.definition, triggers,
                    said);
  } else {
    triggers_.remove(workflow.tenant, workflow.name, said);
  }
  keep_triggers(std::move(said));
}

void Partition::on(Time now, TriggerTold& in) {
  TriggerEffects said;
  TriggerReply reply{in.trigger.workflow, in.trigger.trigger, in.act == TriggerAct::kPause, ""};
  Result<std::string> done = std::string();
  if (in.act == TriggerAct::kFire) done = triggers_.fire(now + wall_ahead_, in.trigger, in.once, said);
  else done = triggers_.pause(now + wall_ahead_, in.trigger, reply.paused, said);
  if (!done.ok()) {
    effects_.replies.push_back({in.request, ErrorReply{std::move(done).error()}});
    return;
  }
  reply.key = std::move(*done);
  keep_triggers(std::move(said));
  effects_.replies.push_back({in.request, std::move(reply)});
}

void Partition::on(Time, ClockSet& in) { wall_ahead_ = in.ahead; }

void Partition::on(Time now, EventCame& in) {
  TriggerEffects said;
  Result<Triggers::Taken> taken = triggers_.event(now + wall_ahead_, now, in.trigger, in.event, said);
  if (!taken.ok()) {
    effects_.replies.push_back({in.request, ErrorReply{std::move(taken).error()}});
    return;
  }
  std::string why;
  if (taken->fate == EventFate::kFailed) why = triggers_.find(in.trigger)->error;
  keep_triggers(std::move(said));
  effects_.replies.push_back({in.request, HookReply{taken->fate, std::move(taken->key), std::move(why)}});
}

void Partition::on(Time now, StreamCame& in) {
  TriggerEffects said;
  triggers_.stream_read(now + wall_ahead_, now, in.trigger, in.entries, said);
  keep_triggers(std::move(said));
}

// Not before what stood in the store is here: what was decided already is not decided again.
void Partition::fire_due(Time now) {
  if (next_firing_due() > now) return;
  TriggerEffects said;
  triggers_.due(now + wall_ahead_, said);
  triggers_.collected(now + wall_ahead_, now, said);
  keep_triggers(std::move(said));
}

Time Partition::next_firing_due() const {
  if (!outbox_.is_open()) return kNever;
  const Time next = triggers_.next_deadline();
  return std::min(next == kNever ? kNever : next - wall_ahead_, triggers_.next_collected());
}

// What was decided, and the letters that it takes: one commit.
void Partition::keep_triggers(TriggerEffects said) {
  effects_.firings.add(said.counts);
  for (auto& [name, record] : said.records) {
    if (options_.plant == TestPlant::kForgetFirings && !said.starts.empty()) continue;
    effects_.triggers[name] = std::move(record);
    count_mail();
  }
  for (const TriggerName& name : said.gone) {
    effects_.triggers[name] = std::nullopt;
    count_mail();
  }
  for (auto& [name, runs] : said.watches) {
    for (std::uint16_t to = 0; to < options_.partitions; ++to) post(PartitionId{to}, RunEndWatched{name, runs});
  }
  for (auto& [tenant, key] : said.cancels) {
    const PartitionId to = home_of(tenant, key, options_.partitions);
    post(to, RunUnwanted{std::move(tenant), std::move(key), "the trigger that started it has fired again"});
  }
  for (TriggerStart& start : said.starts) {
    RunWanted wanted;
    wanted.tenant = start.name.tenant;
    wanted.key = std::move(start.key);
    wanted.definition = start.definition;
    wanted.version = static_cast<std::uint32_t>(start.version);
    wanted.home = options_.partition;
    wanted.inputs = Payload::inline_json(std::move(start.inputs));
    wanted.labels = {{"trigger", start.name.trigger}};
    if (start.chain > 0) wanted.labels.emplace(kChainLabel, std::to_string(start.chain));
    wanted.caller = "trigger/" + start.name.workflow + "/" + start.name.trigger;
    const PartitionId to = home_of(wanted.tenant, wanted.key, options_.partitions);
    post(to, std::move(wanted));
  }
}

void Partition::tell_trigger(std::string_view tenant, std::string_view key, std::string error) {
  if (error.empty() && !is_of_schedule(key)) return;
  std::optional<TriggerName> trigger = trigger_of(tenant, key);
  if (!trigger) return;
  const PartitionId home = home_of(trigger->tenant, trigger->workflow, options_.partitions);
  post(home, RunOver{std::move(*trigger), std::string(key), std::move(error)});
}

// Of those that have heard of by now that it is watched.
void Partition::tell_watchers(const Run& run) {
  if (watched_.empty()) return;
  const auto found = watched_.find({run.info->tenant, run.info->workflow});
  if (found == watched_.end()) return;
  const RunState state = run.record.state;
  for (const TriggerName& trigger : found->second) {
    const std::vector<RunState>& statuses = watchers_.at(trigger).statuses;
    if (!statuses.empty() && std::ranges::find(statuses, state) == statuses.end()) continue;
    post(home_of(trigger.tenant, trigger.workflow, options_.partitions),
         RunEnded{trigger, {run.id(), run.info->workflow, state, run.info->labels, run.record.ended}});
  }
}

void Partition::watch(const TriggerName& trigger, std::optional<RunEndSpec> runs) {
  if (const auto known = watchers_.find(trigger); known != watchers_.end()) {
    const auto by_workflow = watched_.find({trigger.tenant, known->second.workflow});
    by_workflow->second.erase(trigger);
    if (by_workflow->second.empty()) watched_.erase(by_workflow);
    watchers_.erase(known);
  }
  if (!runs) return;
  watched_[{trigger.tenant, runs->workflow}].insert(trigger);
  watchers_.emplace(trigger, std::move(*runs));
}

void Partition::take(Time, LetterCame&, RunEndWatched& watched) {
  effects_.watchers[watched.trigger] = watched.runs;
  count_mail();
  watch(watched.trigger, std::move(watched.runs));
}

void Partition::take(Time now, LetterCame&, RunEnded& ended) {
  TriggerEffects said;
  triggers_.run_ended(now + wall_ahead_, now, ended.trigger, ended.news, said);
  keep_triggers(std::move(said));
}

void Partition::take(Time now, LetterCame&, RunUnwanted& unwanted) {
  const std::optional<RunId> run = find_key(unwanted.tenant, unwanted.key);
  if (!run || live(*run) == nullptr) return;
  CancelRequested cancel{RequestId{}, *run, std::move(unwanted.why)};
  on(now, cancel);
}

void Partition::take(Time, LetterCame&, RunOver& over) {
  TriggerEffects said;
  triggers_.run_over(over.trigger, over.key, over.error, said);
  keep_triggers(std::move(said));
}

}  // namespace millrace
