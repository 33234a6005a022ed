#include "coordinator/shell/forward.h"

#include <algorithm>
#include <tuple>

#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

bool is_for_all(const OperatorRequest& body) {
  return std::holds_alternative<ListWorkers>(body) || std::holds_alternative<ListPartitions>(body) ||
         std::holds_alternative<ExamineCluster>(body) || std::holds_alternative<ListWorkflows>(body) ||
         std::holds_alternative<ListTriggers>(body) || std::holds_alternative<ListPauses>(body);
}

bool says_not_serving(const OperatorReply& reply) {
  const auto* error = std::get_if<ErrorReply>(&reply);
  return error != nullptr && error->error.name == "not_serving";
}

void merge(WorkersReply& all, const WorkersReply& part) {
  for (const WorkerView& theirs : part.workers) {
    auto ours = std::ranges::find(all.workers, theirs.name, &WorkerView::name);
    if (ours == all.workers.end()) {
      all.workers.push_back(theirs);
      continue;
    }
    ours->used += theirs.used;
    for (const Resource& taken : theirs.taken) {
      auto same = std::ranges::find(ours->taken, taken.name, &Resource::name);
      if (same != ours->taken.end()) same->amount += taken.amount;
    }
    if (theirs.heard > ours->heard) ours->running = theirs.running, ours->queued = theirs.queued;
    ours->joined = std::min(ours->joined, theirs.joined);
    ours->heard = std::max(ours->heard, theirs.heard);
    if (theirs.state == "draining" || (theirs.state == "ready" && ours->state == "silent")) ours->state = theirs.state;
  }
  std::ranges::sort(all.workers, {}, &WorkerView::name);
}

void merge(PartitionsReply& all, const PartitionsReply& part) {
  for (const PartitionView& theirs : part.partitions) {
    if (!theirs.runs_live) continue;  // not the owner
    auto ours = std::ranges::find(all.partitions, theirs.partition, &PartitionView::partition);
    if (ours != all.partitions.end() && !ours->runs_live) *ours = theirs;
  }
}

void merge(TriggersReply& all, const TriggersReply& part) {
  all.triggers.insert(all.triggers.end(), part.triggers.begin(), part.triggers.end());
  std::ranges::sort(all.triggers, {}, [](const TriggerView& one) { return std::tie(one.workflow, one.trigger); });
}

}  // namespace

RunName* run_name_of(OperatorRequest& request) {
  if (auto* get = std::get_if<GetRun>(&request)) return &get->run;
  if (auto* wait = std::get_if<WaitRun>(&request)) return &wait->run;
  if (auto* cancel = std::get_if<CancelRun>(&request)) return &cancel->run;
  if (auto* read = std::get_if<ReadEvents>(&request)) return &read->run;
  if (auto* lines = std::get_if<ReadLogs>(&request)) return &lines->run;
  if (auto* definition = std::get_if<GetDefinition>(&request)) return &definition->run;
  if (auto* signal = std::get_if<SignalRun>(&request)) return &signal->run;
  if (auto* decision = std::get_if<DecideApproval>(&request)) return &decision->run;
  if (auto* pause = std::get_if<PauseRun>(&request)) return &pause->run;
  return nullptr;
}

void merge_into(OperatorReply& answer, const OperatorReply& part) {
  if (auto* workers = std::get_if<WorkersReply>(&answer)) {
    if (const auto* theirs = std::get_if<WorkersReply>(&part)) merge(*workers, *theirs);
  } else if (auto* partitions = std::get_if<PartitionsReply>(&answer)) {
    if (const auto* theirs = std::get_if<PartitionsReply>(&part)) merge(*partitions, *theirs);
  } else if (auto* workflows = std::get_if<WorkflowsReply>(&answer)) {
    if (const auto* theirs = std::get_if<WorkflowsReply>(&part))
      workflows->workflows.insert(workflows->workflows.end(), theirs->workflows.begin(), theirs->workflows.end());
  } else if (auto* triggers = std::get_if<TriggersReply>(&answer)) {
    if (const auto* theirs = std::get_if<TriggersReply>(&part)) merge(*triggers, *theirs);
  } else if (auto* pauses = std::get_if<PausesReply>(&answer)) {
    if (const auto* theirs = std::get_if<PausesReply>(&part))
      pauses->pauses.insert(pauses->pauses.end(), theirs->pauses.begin(), theirs->pauses.end());
  } else if (auto* health = std::get_if<HealthReply>(&answer)) {
    if (const auto* theirs = std::get_if<HealthReply>(&part))
      health->coordinators.insert(health->coordinators.end(), theirs->coordinators.begin(), theirs->coordinators.end());
  }
}

// ---------------------------------------------------------------- finding who answers

void Loop::State::on_request(Time now, FromClient& from) {
  if (const auto* mail = std::get_if<DeliverLetters>(&from.body))
    return on_letters(now, from.request, *mail, from.hops);
  route(now, {from.request, std::move(from.body), from.hops, now + kHoldMax});
}

// The partition of which the request must find the owner.
std::optional<PartitionId> Loop::State::concerns(const OperatorRequest& body) const {
  if (const auto* submit = std::get_if<SubmitRun>(&body)) {
    const PartitionId home = home_of(*submit);
    return home.value < shares.size() ? std::optional(home) : std::nullopt;
  }
  if (const auto* workflow = std::get_if<WorkflowRequest>(&body))
    return partition_for(workflow->tenant, workflow->name);
  if (const auto* move = std::get_if<MovePartition>(&body)) {
    if (move->partition < shares.size()) return PartitionId{static_cast<std::uint16_t>(move->partition)};
    return std::nullopt;
  }
  if (const auto* tell = std::get_if<TellTrigger>(&body)) return partition_for(tell->tenant, tell->workflow);
  if (const auto* delivery = std::get_if<HookDelivery>(&body))
    return partition_for(delivery->tenant, delivery->workflow);
  if (const auto* pause = std::get_if<PauseScope>(&body))
    return millrace::home_of(pause->what, static_cast<std::uint16_t>(shares.size()));
  const RunName* name = run_name_of(const_cast<OperatorRequest&>(body));
  if (name == nullptr) return std::nullopt;
  const std::optional<RunId> run = parse_run_id(name->text);
  if (!run || partition_of(*run).value >= shares.size()) return std::nullopt;
  return partition_of(*run);
}

bool Loop::State::answers_here(const Share& share, const OperatorRequest& body) const {
  if (share.serving()) return true;
  if (!share.open()) return false;
  if (std::holds_alternative<SubmitRun>(body)) return share.accepting();  // new runs need not wait for the old ones
  const RunName* name = run_name_of(const_cast<OperatorRequest&>(body));
  return name != nullptr && share.has(*parse_run_id(name->text));
}

void Loop::State::route(Time now, Routed one) {
  if (const RunName* named = run_name_of(one.body); named != nullptr && !parse_run_id(named->text)) {
    const RunName name = *named;
    auto waiting = std::make_shared<Routed>(std::move(one));
    return with_run(now, waiting->request, name, [this, waiting](Time at, RunId run) {
      run_name_of(waiting->body)->text = to_string(run);
      route(at, std::move(*waiting));
    });
  }
  const std::optional<PartitionId> partition = concerns(one.body);
  if (!partition) {
    if (std::holds_alternative<ListCoordinators>(one.body) && !membership.known() && now < one.until)
      return hold(now, std::move(one));  // a little later it can say who lives
    return answer(now, one);
  }
  Share& owner = share(*partition);
  const bool a_hint = one.hops > 0 && std::holds_alternative<MovePartition>(one.body);
  if (a_hint || answers_here(owner, one.body)) return answer(now, one);
  if (forward(now, owner, one)) return;
  hold(now, std::move(one));
}

bool Loop::State::forward(Time now, Share& share, Routed& one) {
  if (!share.served_elsewhere()) return false;
  const MemberRecord* owner = membership.alive(share.seen->owner);
  if (owner == nullptr || owner->name == options.name || owner->nonce != share.seen->epoch.nonce) return false;
  return forward_to(now, *owner, share.id, one, 0);
}

// Takes the request over when it was sent.
bool Loop::State::forward_to(Time now, const MemberRecord& peer, PartitionId partition, Routed& one,
                             std::uint64_t gather) {
  if (one.hops >= kHopsMax || peer.endpoint.empty() || forwarded.size() >= kForwardedMax) return false;
  const std::uint64_t number = ++forwards_made;
  if (!gateway.forward(peer.endpoint, number, static_cast<std::uint8_t>(one.hops + 1), one.body)) return false;
  if (gather != 0) gathers.at(gather).open.insert(number);
  forwarded.emplace(number, Forwarded{std::move(one), partition, peer.name, peer.nonce, now, gather});
  return true;
}

// A request whose owner is not known waits a little, so that a take-over is a pause and not an error.
void Loop::State::hold(Time now, Routed one) {
  if (held.size() >= kHeldMax || now >= one.until) return answer(now, one);
  held.push_back(std::move(one));
  held_at = std::min(held_at, now + kTryAgain);
}

// ---------------------------------------------------------------- what comes back, and what does not

void Loop::State::on_peer(Time now, FromPeer& from) {
  if (mail_answered(now, from)) return;
  auto it = forwarded.find(from.number);
  if (it == forwarded.end()) return;  // answered otherwise, or nobody asked
  Forwarded one = std::move(it->second);
  forwarded.erase(it);
  if (one.gather != 0) {
    auto whole = gathers.find(one.gather);
    if (whole == gathers.end()) return;
    merge_into(whole->second.answer, from.reply);
    whole->second.open.erase(from.number);
    return;
  }
  if (!says_not_serving(from.reply)) return gateway.reply(one.routed.request, from.reply);
  if (now >= one.sent + kHoldMax) one.routed.until = now + kHoldMax;  // it waited there, for an end
  if (now >= one.routed.until) return gateway.reply(one.routed.request, from.reply);
  hold(now, std::move(one.routed));
}

// Who owned it has died, or has lost the partition: the next one is asked.
void Loop::State::look_at_routes(Time now) {
  if (routes_dirty) {
    std::vector<Routed> again;
    for (auto it = forwarded.begin(); it != forwarded.end();) {
      Forwarded& one = it->second;
      const MemberRecord* peer = membership.alive(one.peer);
      bool lost = peer == nullptr || peer->nonce != one.nonce;
      if (!lost && one.partition.value < shares.size()) {
        const Share& share = this->share(one.partition);
        lost = share.ours() || (share.served_elsewhere() && share.seen->owner != one.peer) ||
               (share.seen && share.seen->owner.empty());
      }
      if (!lost) {
        ++it;
        continue;
      }
      if (one.gather != 0) {
        if (auto whole = gathers.find(one.gather); whole != gathers.end()) whole->second.open.erase(it->first);
      } else {
        one.routed.until = now + kHoldMax;
        again.push_back(std::move(one.routed));
      }
      it = forwarded.erase(it);
    }
    for (Routed& one : again) route(now, std::move(one));
  }
  if (held.empty() || (!routes_dirty && now < held_at)) {
    routes_dirty = false;
    return;
  }
  routes_dirty = false;
  held_at = kNever;
  for (Routed& one : std::exchange(held, {})) route(now, std::move(one));
}

// ---------------------------------------------------------------- questions to all

void Loop::State::gather(Time now, RequestId request, const OperatorRequest& body, OperatorReply ours) {
  assert(is_for_all(body));
  const std::uint64_t id = ++gathers_made;
  gathers.emplace(id, Gather{request, std::move(ours), {}, now + kGatherMax});
  for (const MemberRecord* peer : membership.living()) {
    if (peer->name == options.name) continue;
    Routed part{request, body, 0, now + kGatherMax};
    (void)forward_to(now, *peer, kNoPartition, part, id);
  }
  if (gathers.at(id).open.empty()) close_gathers(now);
}

void Loop::State::close_gathers(Time now) {
  for (auto it = gathers.begin(); it != gathers.end();) {
    Gather& one = it->second;
    if (!one.open.empty() && now < one.until) {
      ++it;
      continue;
    }
    for (std::uint64_t number : one.open) forwarded.erase(number);
    reply(one.request, std::move(one.answer));
    it = gathers.erase(it);
  }
}

}  // namespace millrace
