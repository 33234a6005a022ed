// Loop: registered workflows: what is asked of a name is answered by the owner of its home partition.
#include <algorithm>

#include "common/wire/codec.h"
#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

constexpr std::size_t kNameMax = 256;
constexpr RunState kLiveStates[] = {RunState::kRunning, RunState::kAccepted, RunState::kPaused, RunState::kFailing,
                                    RunState::kCancelling};

std::string check_names(const WorkflowRequest& ask) {
  if (ask.name.empty() || ask.name.size() > kNameMax) return "name of a workflow: 1 to 256 bytes";
  if (ask.tenant.empty() || ask.tenant.size() > kNameMax) return "tenant: 1 to 256 bytes";
  return ask.caller.size() > kNameMax ? "caller: at most 256 bytes" : "";
}

}  // namespace

void Loop::State::on_workflow(Time now, RequestId request, WorkflowRequest& ask) {
  if (std::string wrong = check_names(ask); !wrong.empty()) return refuse(request, {Code::kInvalid, wrong, {}, ""});
  Share& home = share(partition_for(ask.tenant, ask.name));
  if (!home.serving()) return refuse(request, not_serving(home.id));
  switch (ask.act) {
    case WorkflowAct::kGet: return show_workflow(request, home, ask);
    case WorkflowAct::kApply: return apply_workflow(now, request, home, ask);
    case WorkflowAct::kDelete:
      if (!ask.force) return delete_if_idle(request, std::move(ask), 0);
      break;
    case WorkflowAct::kRollBack: return roll_back_workflow(now, request, home, ask);
  }
  home.core->step(now, WorkflowChanged{request, ask.act, ask.tenant, ask.name, ask.version, {}, nullptr, ask.caller});
}

void Loop::State::show_workflow(RequestId request, Share& home, const WorkflowRequest& ask) {
  Result<const RegisteredWorkflow*> found = home.core->registry().find({ask.tenant, ask.name}, ask.version);
  if (!found.ok()) return refuse(request, std::move(found).error());
  const WorkflowVersion version = *(*found)->find(ask.version);
  WorkflowReply answer{**found, version.version, false, nullptr};
  if (!ask.with_definition) return reply(request, std::move(answer), home.id);
  if (const CachedPlan* cached = plans.find(version.definition)) {
    answer.definition = cached->bytes;
    return reply(request, std::move(answer), home.id);
  }
  ask_definition(request, home.id, version.definition, std::move(answer));
}

void Loop::State::ask_definition(RequestId request, PartitionId home, const Hash128& definition, WorkflowReply answer) {
  ask(LoadDefinition{home, definition}, [this, request, home, answer = std::move(answer)](
                                            Time, StoreAnswer&& loaded) mutable {
    if (auto* failed = std::get_if<ReadFailed>(&loaded)) return refuse(request, std::move(failed->error));
    auto* found = std::get_if<DefinitionAnswer>(&loaded);
    if (found == nullptr || found->bytes == nullptr) {
      return refuse(
          request,
          {Code::kNotFound, "the definition of workflow '" + answer.workflow.name + "' is not in the store", {}, ""});
    }
    answer.definition = std::move(found->bytes);
    reply(request, std::move(answer), home);
  });
}

void Loop::State::apply_workflow(Time now, RequestId request, Share& home, WorkflowRequest& ask) {
  const CachedPlan* cached = plans.find(ask.definition);
  if (cached == nullptr) {
    if (ask.definition_bytes == nullptr) return reply(request, NeedDefinition{ask.definition});
    Result<const CachedPlan*> made = plans.put(ask.definition, ask.definition_bytes);
    if (!made.ok()) return refuse(request, std::move(made).error());
    cached = *made;
  }
  if (cached->plan->workflow().name != ask.name) {
    return refuse(request, {Code::kInvalid,
                            "workflow '" + ask.name + "': its definition is of '" + cached->plan->workflow().name + "'",
                            {},
                            ""});
  }
  const std::vector<TriggerSpec>& triggers = cached->plan->workflow().triggers;
  if (std::string wrong = check_triggers(triggers); !wrong.empty())
    return refuse(request, {Code::kInvalid, "workflow '" + ask.name + "': " + wrong, {}, ""});
  home.core->step(now, WorkflowChanged{request, ask.act, ask.tenant, ask.name, 0, ask.definition, cached->bytes,
                                       ask.caller, triggers});
  follow_at = now;  // its streams begin here, not with the next look at what is followed
}

// The triggers of the version that it goes back to stand in its definition.
void Loop::State::roll_back_workflow(Time now, RequestId request, Share& home, WorkflowRequest& ask) {
  WorkflowChanged change{request, ask.act, ask.tenant, ask.name, ask.version, {}, nullptr, ask.caller};
  Result<const RegisteredWorkflow*> found = home.core->registry().find({ask.tenant, ask.name}, ask.version);
  if (!found.ok() || ask.version == 0) return home.core->step(now, std::move(change));  // it says what is wrong
  with_plan(home.id, (*found)->find(ask.version)->definition,
            [this, request, id = home.id, epoch = home.epoch, change = std::move(change)](
                Time at, Result<std::shared_ptr<const Plan>> plan) mutable {
              if (!plan.ok()) return refuse(request, std::move(plan).error());
              Share& still = share(id);
              if (!still.serving() || still.epoch != epoch) return refuse(request, not_serving(id));
              change.triggers = (*plan)->workflow().triggers;
              still.core->step(at, std::move(change));
              follow_at = at;
            });
}

// A name with live runs stays, unless that is forced: looked up state by state, since they may be in any partition.
void Loop::State::delete_if_idle(RequestId request, WorkflowRequest ask, std::size_t state) {
  ListRuns live;
  live.tenant = ask.tenant;
  live.workflow = ask.name;
  live.state = kLiveStates[state];
  live.limit = 1;
  this->ask(FindRuns{live, ""}, [this, request, ask = std::move(ask), state](Time now, StoreAnswer&& answer) mutable {
    if (auto* failed = std::get_if<ReadFailed>(&answer)) return refuse(request, std::move(failed->error));
    const auto* found = std::get_if<RunsAnswer>(&answer);
    if (found != nullptr && !found->runs.empty()) {
      return refuse(request, {Code::kConflict,
                              "workflow '" + ask.name + "' has live runs (" + to_string(found->runs.front().run) +
                                  "): they would go on; --force deletes the name all the same",
                              {},
                              "workflow_live"});
    }
    if (state + 1 < std::size(kLiveStates)) return delete_if_idle(request, std::move(ask), state + 1);
    ask.force = true;
    on_workflow(now, request, ask);
  });
}

WorkflowsReply Loop::State::workflows_here(const std::string& tenant) const {
  WorkflowsReply all;
  for (const Share& share : shares) {
    if (!share.serving()) continue;
    for (const auto& [key, workflow] : share.core->registry().all()) {
      if (workflow.exists() && (tenant.empty() || key.first == tenant)) all.workflows.push_back(workflow);
    }
  }
  return all;
}

}  // namespace millrace
