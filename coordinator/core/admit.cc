// Partition: how runs come in, are cancelled and are waited for.
#include <algorithm>

#include "common/base/units.h"
#include "coordinator/core/partition.h"
#include "coordinator/core/resume.h"

namespace millrace {
namespace {

SendReply error_reply(RequestId request, Code code, std::string what, std::string name = "") {
  return {request, ErrorReply{Error{code, std::move(what), {}, std::move(name)}}};
}

}  // namespace

void Partition::on(Time now, RunSubmitted& in) {
  if (auto existing = find_key(in.submit.tenant, in.submit.key)) {
    Run& run = *runs_.at(*existing);
    if (run.info->request != in.request_hash) {
      effects_.replies.push_back(error_reply(
          in.request, Code::kConflict,
          "idempotency key '" + in.submit.key + "' was used for another request (run " + to_string(run.id()) + ")",
          "key_conflict"));
    } else if (in.submit.wait) {
      WaitRequested wait{in.request, run.id(), in.submit.with_nodes ? kYamlNodesMax : 0};
      on(now, wait);
    } else {
      effects_.replies.push_back({in.request, SubmitReply{run.id(), true, run.info->trace_id}});
    }
    return;
  }
  const Deadline& wanted = in.submit.deadline.given() ? in.submit.deadline : in.plan->workflow().deadline;
  const Time deadline = wanted.since(now);
  if (deadline != Time{} && deadline <= now) {
    effects_.replies.push_back(
        error_reply(in.request, Code::kInvalid,
                    "the deadline " + format_time(deadline) + " has passed: it is " + format_time(now) + " here",
                    "deadline_passed"));
    return;
  }
  SharedResults shared;
  if (in.old != nullptr) {
    Result<SharedResults> results = shared_results(*in.old, *in.plan, *in.submit.resume);
    if (!results.ok()) return effects_.replies.push_back({in.request, ErrorReply{std::move(results).error()}});
    shared = std::move(results).value();
  }
  auto info = std::make_shared<RunInfo>();
  info->run = make_run_id(options_.partition, options_.epoch.counter, ++runs_made_);
  info->tenant = std::move(in.submit.tenant);
  info->workflow = in.plan->workflow().name;
  info->definition = in.plan->definition();
  info->labels = std::move(in.submit.labels);
  info->key = std::move(in.submit.key);
  info->request = in.request_hash;
  info->trace_id =
      in.submit.trace_id.empty() ? trace_of(info->run, options_.epoch.nonce) : std::move(in.submit.trace_id);
  info->caller = std::move(in.submit.caller);
  info->priority = in.submit.priority + in.plan->workflow().priority;
  info->inputs = in.submit.inputs.is_reference() ? std::move(in.submit.inputs)
                                                 : make_payload(info->run, std::string(in.submit.inputs.json()));
  info->workflow_version = in.submit.version;
  info->parent = std::move(in.parent);
  info->accepted = now;
  if (in.submit.resume) info->retry_of = in.submit.resume->of;
  info->deadline = deadline;
  Run& run = add(std::move(info), std::move(in.plan));
  ++tally_.accepted;
  if (in.submit.resume) say_why(run, std::move(in.submit.resume->why));
  touch(run).info = run.info;
  emit(now, run, EventType::kRunAccepted);
  if (in.submit.wait) {
    run.waiters.emplace_back(in.request, in.submit.with_nodes ? kYamlNodesMax : 0);
  } else {
    effects_.replies.push_back(
        {in.request, SubmitReply{run.id(), false, run.info->trace_id, static_cast<std::uint32_t>(shared.size())}});
  }
  for (const Hash128& part : in.parts) effects_.needs.push_back({part, run.id(), ""});
  take_over(now, run, std::move(shared));
  begin(now, run);
  if (run.done() > 0) finish_if_done(now, run);
}

Run& Partition::add(std::shared_ptr<const RunInfo> info, std::shared_ptr<const Plan> plan) {
  auto owned = std::make_unique<Run>(std::move(info), std::move(plan));
  Run& run = *owned;
  auto context = std::make_shared<RunContext>();
  context->run = run.id();
  context->epoch = options_.epoch.counter;
  context->definition = run.info->definition;
  context->workflow = run.info->workflow;
  context->trace_id = run.info->trace_id;
  context->inputs = run.info->inputs;
  run.context = std::move(context);
  if (auto it = history_.find(run.info->definition); it != history_.end()) run.ranks = it->second.ranks;
  if (!run.info->key.empty()) keys_[key_name(*run.info)] = run.id();
  ++runs_live_;
  tasks_live_ += run.plan->node_count();
  count_bytes(run, run.info->inputs);
  Load& load = tenants_[run.info->tenant];
  ++load.runs;
  load.tasks += run.plan->node_count();
  tally_.of(TaskState::kPending) += run.plan->node_count();
  live_.emplace(run.id(), &run);
  runs_.emplace(run.id(), std::move(owned));
  return run;
}

void Partition::begin(Time now, Run& run) {
  begin_run_limits(now, run);
  for (std::uint32_t task : openable(run)) {
    if (run.states[task] == TaskState::kPending) opened_.emplace_back(run.id(), TaskIndex{task});
  }
}

// Readiness is derived: a task is opened once everything upstream has a terminal record, or enough of it.
std::vector<std::uint32_t> Partition::openable(Run& run) const {
  std::vector<std::uint32_t> opened;
  run.frontier.open_sources(opened);
  if (run.done() == 0 && run.plan->stand_ins().empty()) return opened;
  for (std::uint32_t task = 0; task < run.states.size(); ++task) {
    if (is_terminal(run.states[task])) run.frontier.complete(task, opened);
  }
  for (std::uint32_t task : run.plan->early_joins()) {
    if (const auto gate = run.plan->gate_of(TaskIndex{task}); gate && !is_terminal(run.states[gate->value])) continue;
    if (upstream_of(run, TaskIndex{task}).well >= run.plan->flow(TaskIndex{task})->join) opened.push_back(task);
  }
  for (const auto& [task, stand_in] : run.plan->stand_ins()) {
    if (may_stand_in(run, TaskIndex{stand_in})) opened.push_back(stand_in);
    else if (stands_aside(run, TaskIndex{task})) opened.push_back(task);
  }
  std::ranges::sort(opened);
  return opened;
}

void Partition::say_why(Run& run, std::string why) {
  if (!why.empty()) run.record.why = clip(std::move(why), kRunWhyMax);
}

void Partition::on(Time now, CancelRequested& in) {
  auto it = runs_.find(in.run);
  if (it == runs_.end()) {
    effects_.replies.push_back(error_reply(in.request, Code::kNotFound, "no run " + to_string(in.run)));
    return;
  }
  Run& run = *it->second;
  bool was_cancelled = run.record.state == RunState::kCancelled || run.record.state == RunState::kCancelling;
  if (!run.ended() && !was_cancelled) {
    say_why(run, std::move(in.why));
    stop_run(now, run, RunState::kCancelling, Reason::kCancelRequested);
  }
  if (in.request != RequestId{})
    effects_.replies.push_back({in.request, CancelReply{in.run, run.record.state, was_cancelled}});
}

void Partition::on(Time now, WaitRequested& in) {
  auto it = runs_.find(in.run);
  if (it == runs_.end()) {
    effects_.replies.push_back(error_reply(in.request, Code::kNotFound, "no run " + to_string(in.run)));
  } else if (it->second->ended()) {
    effects_.replies.push_back({in.request, RunReply{view_of(*it->second, now, in.nodes_max)}});
  } else {
    static constexpr std::size_t kWaitersMax = 1'000;
    if (it->second->waiters.size() >= kWaitersMax)
      it->second->waiters.erase(it->second->waiters.begin());  // they ask again
    it->second->waiters.emplace_back(in.request, in.nodes_max);
  }
}

}  // namespace millrace
