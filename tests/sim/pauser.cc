#include "tests/sim/pauser.h"

#include "common/model/requirements.h"
#include "common/wire/codec.h"
#include "coordinator/core/plan.h"
#include "tests/sim/workload.h"
#include "tests/support/dag_text.h"

namespace millrace::sim {
namespace {

constexpr Duration kLate = 6s;  // so long a request may be on its way, or be held by who does not find its owner

}  // namespace

Pauser::Pauser(Context& context, std::uint64_t seed, int coordinators, Ask ask)
    : context_(context), random_(seed ^ 0x9A05E), coordinators_(coordinators), ask_(std::move(ask)) {
  names_ = {{PauseKind::kQueue, "", std::string(kDefaultQueue)},
            {PauseKind::kWorkflow, "default", kWorkflowName},
            {PauseKind::kWorkflow, "default", kRegisteredName}};
  WorkflowSpec workflow = test::DagText::parse("one -> two");
  workflow.name = kWorkflowName;
  workflow_ = workflow.name;
  definition_ = std::make_shared<const std::string>(encode_definition(workflow));
  const Hash128 hash = hash128(*definition_);
  context_.checker.definition(Plan::build(decode_definition(*definition_).value(), hash).value());
}

void Pauser::start() { act(); }

void Pauser::ask(const OperatorRequest& request) {
  const auto to = static_cast<int>(random_.below(static_cast<std::uint64_t>(coordinators_)));
  ask_(to, RequestId{kNumber << 32 | ++asked_}, request);
}

void Pauser::act() {
  if (context_.healed) {
    first_of_end_ = asked_ + 1;
    until_ = context_.now() + kLate;
    return end();
  }
  if (random_.chance(300)) {
    WorkflowRequest apply;
    apply.act = WorkflowAct::kApply;
    apply.name = workflow_;
    apply.definition = hash128(*definition_);
    apply.definition_bytes = definition_;
    ask(apply);
  }
  const PauseName& name = names_[random_.below(names_.size())];
  const bool pause = random_.chance(500);
  context_.note("an operator wants that " + describe(name) + (pause ? " is paused" : " goes on"));
  ask(PauseScope{name, pause, "the simulation says so", "sim"});
  context_.schedule.after(random_.between(50ms, 1'500ms), [this] { act(); });
}

// What was asked for before may come late, and pause once more: so also what has gone on is asked again for a while.
void Pauser::end() {
  for (const PauseName& name : names_) ask(PauseScope{name, false, "", "sim"});
  if (!done()) context_.schedule.after(2s, [this] { end(); });
}

void Pauser::receive(RequestId request, const OperatorReply& reply) {
  const std::uint64_t number = request.value & 0xFFFF'FFFF;
  if (const auto* now = std::get_if<PauseReply>(&reply);
      now != nullptr && first_of_end_ != 0 && number >= first_of_end_ && context_.now() >= until_)
    over_.insert(now->pause.what);
}

}  // namespace millrace::sim
