// Partition: how runs come in, are cancelled and are waited for.
#include "coordinator/core/partition.h"

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
  info->inputs = make_payload(info->run, std::string(in.submit.inputs.json()));
  info->accepted = now;
  Run& run = add(std::move(info), std::move(in.plan));
  ++tally_.accepted;
  touch(run).info = run.info;
  emit(now, run, EventType::kRunAccepted);
  if (in.submit.wait) {
    run.waiters.emplace_back(in.request, in.submit.with_nodes ? kYamlNodesMax : 0);
  } else {
    effects_.replies.push_back({in.request, SubmitReply{run.id(), false, run.info->trace_id}});
  }
  begin(now, run);
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
  runs_.emplace(run.id(), std::move(owned));
  return run;
}

void Partition::begin(Time now, Run& run) {
  if (Duration timeout = run.plan->workflow().timeout; timeout != Duration::zero()) {
    set_timer(std::max(now, run.info->accepted + timeout), run.id(), kRunTimer);
  }
  std::vector<std::uint32_t> sources;
  run.frontier.open_sources(sources);
  for (std::uint32_t source : sources) opened_.emplace_back(run.id(), TaskIndex{source});
}

void Partition::on(Time now, CancelRequested& in) {
  auto it = runs_.find(in.run);
  if (it == runs_.end()) {
    effects_.replies.push_back(error_reply(in.request, Code::kNotFound, "no run " + to_string(in.run)));
    return;
  }
  Run& run = *it->second;
  bool was_cancelled = run.record.state == RunState::kCancelled || run.record.state == RunState::kCancelling;
  if (!run.ended() && !was_cancelled) stop_run(now, run, RunState::kCancelling, Reason::kCancelRequested);
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
